//! A step of several pieces: each advances as soon as the peer's part of it has come, whatever the others do.
//!
//! | client | server |
//! |---|---|
//! | `say`: sends its pieces in the order of trips, then of pieces, when they are made | the same |
//! | `hear`: receives the peer's in that order; hands each to a task of the pool | the same |
//! | a task: [`take`], then [`halves`] of the next trip, of one piece | the same |
//!
//! Each direction says what it says when whole trips alternate, byte by byte; only when differs. A piece of one trip
//! is on the wire while pieces of the next come the other way, so that a step takes its trips' latency, and one
//! trip's time on the wire, instead of all trips' time on the wire.
//!
//! No deadlock: receiving waits for nothing but the link and own tasks, and sending has a thread of its own.
//! A peer that runs ahead is read no further than a piece whose own half has not been made.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel as queue};

use gazelle_block::BitVec;
use gazelle_share::ProtocolError;
use gazelle_wire::{Channel, RecvHalf, SendHalf};
use rayon::Scope;
use rayon::prelude::*;

use super::{ChunkInput, begin, halves, take};
use crate::gmw::messages::Halves;
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Role;
use crate::gmw::run::ChunkRun;
use crate::gmw::schedule::Trip;
use crate::tasks::wait;

/// This party's part of a trip of a piece: their numbers, and its halves.
type Said = (usize, usize, BitVec);

/// A step's trips at one party.
struct Trips<'a> {
    step: &'a GmwStep,
    openings: &'a [(usize, usize)],
    pieces: Vec<Range<usize>>,
    /// By trip: bits of each chunk.
    counts: Vec<Vec<usize>>,
    own: Vec<bool>,
}

/// See [`online`](super::online).
pub(super) fn run<R: Role>(
    step: &GmwStep,
    openings: &[(usize, usize)],
    chunks: Vec<ChunkInput>,
    sends: fn(&Trip) -> bool,
    channel: &mut Channel,
) -> Result<Vec<Vec<u64>>, ProtocolError> {
    let trips = Trips {
        step,
        openings,
        pieces: step.pieces().collect(),
        counts: step.trips.iter().map(|trip| step.trip_bits(trip, openings)).collect(),
        own: step.trips.iter().map(sends).collect(),
    };
    let (send, recv) = channel.trips(trips.own.iter().copied())?;
    let (made, to_say) = queue();
    let runs = std::thread::scope(|threads| {
        let trips = &trips;
        let speaker = threads.spawn(move || trips.say(send, &to_say));
        // The queue ends behind the last task, whatever went wrong: nobody is waited for in vain.
        let heard = rayon::in_place_scope(|pool| trips.hear::<R>(chunks, recv, &made, pool));
        drop(made);
        let said = speaker.join().unwrap_or(Err(ProtocolError::Panicked));
        heard.and_then(|runs| said.map(|()| runs))
    })?;
    Ok(runs.into_par_iter().flatten().map(ChunkRun::finish).collect())
}

impl Trips<'_> {
    /// Bits of a trip of a piece.
    fn bits(&self, trip: usize, piece: usize) -> &[usize] {
        &self.counts[trip][self.pieces[piece].clone()]
    }

    /// Sends what tasks make, in order.
    fn say(&self, send: &mut SendHalf, made: &Receiver<Said>) -> Result<(), ProtocolError> {
        let mut early = HashMap::new();
        for trip in (0..self.own.len()).filter(|trip| self.own[*trip]) {
            for piece in 0..self.pieces.len() {
                let halves = loop {
                    if let Some(halves) = early.remove(&(trip, piece)) {
                        break halves;
                    }
                    // It ends early only if hearing failed, or a task: that error is the one to tell.
                    let (trip, piece, halves) = made.recv().map_err(|_| ProtocolError::Panicked)?;
                    early.insert((trip, piece), halves);
                };
                send.send(&Halves(halves), &self.bits(trip, piece).iter().sum())?;
                send.flush()?;
            }
        }
        Ok(())
    }

    /// Receives the peer's pieces and has tasks take them; the pieces' chunks after all trips.
    fn hear<'a, R: Role>(
        &'a self,
        chunks: Vec<ChunkInput>,
        recv: &mut RecvHalf,
        made: &Sender<Said>,
        pool: &Scope<'a>,
    ) -> Result<Vec<Vec<ChunkRun<'a, R>>>, ProtocolError> {
        let (back, rested) = queue();
        let mut chunks = chunks.into_iter();
        for (piece, range) in self.pieces.iter().enumerate() {
            let inputs: Vec<ChunkInput> = chunks.by_ref().take(range.len()).collect();
            let begin = move || begin::<R>(self.step, self.openings, range.clone(), inputs);
            self.spawn(pool, (&back, made), piece, (begin, 0));
        }
        let mut resting: Vec<Option<Vec<ChunkRun<'a, R>>>> =
            self.pieces.iter().map(|_| None).collect();
        for trip in (0..self.own.len()).filter(|trip| !self.own[*trip]) {
            for piece in 0..self.pieces.len() {
                let counts = self.bits(trip, piece);
                let Halves(peers) = recv.recv(&counts.iter().sum())?;
                let mut runs = rest(&mut resting, piece, &rested)?;
                let (Trip::Down(openings) | Trip::Up(openings)) = &self.step.trips[trip];
                let take = move || {
                    take(&mut runs, openings, counts, &peers);
                    runs
                };
                self.spawn(pool, (&back, made), piece, (take, trip + 1));
            }
        }
        (0..self.pieces.len()).map(|piece| rest(&mut resting, piece, &rested)).collect()
    }

    /// Has the pool bring a piece to rest: what `first` gives, then its halves of the own trips that follow up to the peer's
    /// next one.
    fn spawn<'a, R: Role>(
        &'a self,
        pool: &Scope<'a>,
        (back, made): (&Sender<Option<Rested<'a, R>>>, &Sender<Said>),
        piece: usize,
        (first, next): (impl FnOnce() -> Vec<ChunkRun<'a, R>> + Send + 'a, usize),
    ) {
        let (back, made) = (back.clone(), made.clone());
        pool.spawn(move |_| {
            let advance = || {
                let mut runs = first();
                let own = (next..self.own.len()).take_while(|trip| self.own[*trip]);
                let said: Vec<Said> = own
                    .map(|trip| {
                        let (Trip::Down(openings) | Trip::Up(openings)) = &self.step.trips[trip];
                        (trip, piece, halves(&mut runs, openings))
                    })
                    .collect();
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
