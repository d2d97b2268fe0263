//! A wave of several pieces: each advances as soon as the peer's part of it has come, whatever the others do.
//!
//! | client | server |
//! |---|---|
//! | `say`: sends its pieces in the order of the wave's trips when they are made | the same |
//! | `hear`: receives the peer's in that order; hands each to a task of the pool | the same |
//! | a task: [`take`], then [`halves`] of the next trip, of one piece | the same |
//!
//! Each direction says what it says when whole trips alternate, byte by byte; only when differs. A piece of one trip
//! is on the wire while pieces of the next come the other way, so that a step takes its trips' latency, and one
//! trip's time on the wire, instead of all trips' time on the wire.
//!
//! No deadlock: receiving waits for nothing but the link and own tasks, and sending has a thread of its own.
//! A peer that runs ahead is read no further than a piece whose own half has not been made.

#![expect(clippy::indexing_slicing, reason = "pieces and trips are numbered by the wave's steps")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel as queue};

use gazelle_block::BitVec;
use gazelle_share::ProtocolError;
use gazelle_wire::{Channel, RecvHalf, SendHalf};
use rayon::Scope;

use super::wave::OnlineWave;
use super::{Moved, Runs, halves, take};
use crate::gmw::messages::Halves;
use crate::gmw::role::Role;
use crate::gmw::run::{ChunkInput, ChunkRun};
use crate::tasks::wait;

/// This party's part of a trip of a piece: their numbers, and its halves.
type Said = (usize, usize, BitVec);

/// See [`online`](super::online).
pub(super) fn run<'a, R: Role>(
    wave: &'a OnlineWave<'_>,
    chunks: Vec<Vec<ChunkInput>>,
    channel: &mut Channel,
) -> Result<(Runs<'a, R>, Moved), ProtocolError> {
    let (send, recv) = channel.trips(wave.trips.iter().map(|trip| trip.own))?;
    let (made, to_say) = queue();
    std::thread::scope(|threads| {
        let speaker = threads.spawn(move || say(wave, send, &to_say));
        // The queue ends behind the last task, whatever went wrong: nobody is waited for in vain.
        let heard = rayon::in_place_scope(|pool| hear::<R>(wave, chunks, recv, &made, pool));
        drop(made);
        let said = speaker.join().unwrap_or(Err(ProtocolError::Panicked));
        let (runs, received) = heard?;
        Ok((runs, said?.into_iter().zip(received).collect()))
    })
}

/// Sends what tasks make, in order; the bytes of each step.
fn say(
    wave: &OnlineWave<'_>,
    send: &mut SendHalf,
    made: &Receiver<Said>,
) -> Result<Vec<u64>, ProtocolError> {
    let mut early = HashMap::new();
    let mut bytes = vec![0; wave.steps.len()];
    for (trip, piece) in wave.trips.iter().filter(|trip| trip.own).flat_map(|trip| &trip.messages) {
        let halves = loop {
            if let Some(halves) = early.remove(&(*trip, *piece)) {
                break halves;
            }
            let (trip, piece, halves) = if let Ok(said) = made.try_recv() {
                said
            } else {
                // What can be said has been: the peer gets it before this waits.
                send.flush()?;
                // It ends early only if hearing failed, or a task: that error is the one to tell.
                made.recv().map_err(|_| ProtocolError::Panicked)?
            };
            early.insert((trip, piece), halves);
        };
        let (message, before) = (wave.message(*trip, *piece), send.sent());
        send.send(&Halves(halves), &message.bits())?;
        bytes[message.step] += send.sent() - before;
    }
    send.flush()?;
    Ok(bytes)
}

/// Receives the peer's pieces and has tasks take them; the pieces' chunks after all trips, and the bytes of each
/// step.
fn hear<'a, R: Role>(
    wave: &'a OnlineWave<'_>,
    chunks: Vec<Vec<ChunkInput>>,
    recv: &mut RecvHalf,
    made: &Sender<Said>,
    pool: &Scope<'a>,
) -> Result<(Runs<'a, R>, Vec<u64>), ProtocolError> {
    let (back, rested) = queue();
    for (number, (piece, inputs)) in wave.pieces.iter().zip(wave.split(chunks)).enumerate() {
        spawn(wave, pool, (&back, made), number, (move || wave.begin::<R>(piece, inputs), 0));
    }
    let mut resting: Vec<Option<Vec<ChunkRun<'a, R>>>> = wave.pieces.iter().map(|_| None).collect();
    let mut bytes = vec![0; wave.steps.len()];
    for (trip, piece) in wave.trips.iter().filter(|trip| !trip.own).flat_map(|trip| &trip.messages)
    {
        let (message, before) = (wave.message(*trip, *piece), recv.received());
        let Halves(peers) = recv.recv(&message.bits())?;
        bytes[message.step] += recv.received() - before;
        let mut runs = rest(&mut resting, *piece, &rested)?;
        let take = move || {
            take(&mut runs, message.openings, message.counts, &peers);
            runs
        };
        spawn(wave, pool, (&back, made), *piece, (take, trip + 1));
    }
    let pieces = 0..wave.pieces.len();
    let runs = pieces.map(|piece| rest(&mut resting, piece, &rested)).collect::<Result<_, _>>()?;
    Ok((runs, bytes))
}

/// Has the pool bring a piece to rest: what `first` gives, then its halves of the own trips that follow up to the peer's
/// next one.
fn spawn<'a, R: Role>(
    wave: &'a OnlineWave<'_>,
    pool: &Scope<'a>,
    (back, made): (&Sender<Option<Rested<'a, R>>>, &Sender<Said>),
    piece: usize,
    (first, next): (impl FnOnce() -> Vec<ChunkRun<'a, R>> + Send + 'a, usize),
) {
    let (back, made) = (back.clone(), made.clone());
    pool.spawn(move |_| {
        let advance = || {
            let mut runs = first();
            let say = |trip| (trip, piece, halves(&mut runs, wave.message(trip, piece).openings));
            let said: Vec<Said> = wave.own_from(piece, next).map(say).collect();
            (runs, said)
        };
        let advanced = catch_unwind(AssertUnwindSafe(advance)).ok();
        // Nobody listens only after an error, which is what counts then. The piece rests before what it says
        // can leave, so that an honest peer's answer finds it.
        let (runs, said) =
            advanced.map_or((None, Vec::new()), |(runs, said)| (Some((piece, runs)), said));
        let _ = back.send(runs);
        for said in said {
            let _ = made.send(said);
        }
    });
}

/// A piece that waits for the peer.
type Rested<'a, R> = (usize, Vec<ChunkRun<'a, R>>);

/// Takes a piece that rests, or waits until it does.
fn rest<'a, R>(
    resting: &mut [Option<Vec<ChunkRun<'a, R>>>],
    piece: usize,
    rested: &Receiver<Option<Rested<'a, R>>>,
) -> Result<Vec<ChunkRun<'a, R>>, ProtocolError> {
    loop {
        if let Some(runs) = resting[piece].take() {
            return Ok(runs);
        }
        let (other, runs) = wait(rested)?;
        resting[other] = Some(runs);
    }
}
