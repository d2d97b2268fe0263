//! The trips of a wave of steps, mostly of one, at either party: trip for trip of all its steps together
//! ([`wave`]). A trip is a message per piece of each step; each piece goes through its trips on its own
//! ([`pipeline`]), so that some are computed on while others are on the link, in both directions at once.

#![expect(clippy::indexing_slicing, reason = "pieces and trips are numbered by the wave's steps")]

mod pipeline;
mod wave;

use std::ops::Range;

use gazelle_share::{OnlineSteps, ProtocolError, StepCost};
use gazelle_wire::{Channel, Instant};
use rayon::prelude::*;

use crate::gmw::messages::{Halves, join};
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Role;
use crate::gmw::run::{ChunkInput, ChunkRun};
use crate::gmw::schedule::Trip;
use wave::OnlineWave;

/// What a party sent and received of each step.
type Moved = Vec<(u64, u64)>;

/// The chunks of all pieces at their end, in order.
type Runs<'a, R> = Vec<Vec<ChunkRun<'a, R>>>;

/// Runs all trips; `steps` come with this party's share and material of each of their chunks, `sends` tells which
/// trips are its own. Gives its share of their results, chunk by chunk.
///
/// What either party sends, and in which order, is the same however the pieces advance; of each step it is what
/// it would be alone.
pub(crate) fn online<R: Role>(
    steps: Vec<(&GmwStep, Vec<ChunkInput>)>,
    sends: fn(&Trip) -> bool,
    channel: &mut Channel,
) -> Result<OnlineSteps<Vec<Vec<u64>>>, ProtocolError> {
    let start = Instant::now();
    let (steps, chunks): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
    let wave = OnlineWave::new(&steps, sends);
    let alone = channel.is_single_threaded() || wave.pieces.len() < 2;
    let (runs, moved) = if alone {
        in_turn::<R>(&wave, chunks, channel)?
    } else {
        pipeline::run::<R>(&wave, chunks, channel)?
    };
    let results = wave.results(runs);
    let seconds = start.elapsed().as_secs_f64();
    let all: u64 = moved.iter().map(|(sent, received)| sent + received).sum();
    let cost = |(sent, received)| {
        let part = if all == 0 { 0.0 } else { (sent + received) as f64 / all as f64 };
        StepCost { seconds: seconds * part, sent, received }
    };
    Ok(results.into_iter().zip(moved.into_iter().map(cost)).collect())
}

/// Whole trips, one after the other.
fn in_turn<'a, R: Role>(
    wave: &'a OnlineWave<'_>,
    chunks: Vec<Vec<ChunkInput>>,
    channel: &mut Channel,
) -> Result<(Runs<'a, R>, Moved), ProtocolError> {
    let inputs = wave.pieces.iter().zip(wave.split(chunks));
    let mut runs: Runs<'a, R> = inputs.map(|(piece, inputs)| wave.begin(piece, inputs)).collect();
    let mut moved: Moved = vec![(0, 0); wave.steps.len()];
    for trip in &wave.trips {
        for (part, piece) in &trip.messages {
            let message = wave.message(*part, *piece);
            let (here, before) = (&mut runs[*piece], channel.traffic());
            if trip.own {
                channel.send(&Halves(halves(here, message.openings)), &message.bits())?;
            } else {
                let Halves(peers) = channel.recv(&message.bits())?;
                take(here, message.openings, message.counts, &peers);
            }
            let now = channel.traffic() - before;
            let (sent, received) = moved[message.step];
            moved[message.step] = (sent + now.sent, received + now.received);
        }
        channel.flush()?;
    }
    Ok((runs, moved))
}

/// This party's halves of some openings, of a piece's chunks.
fn halves<R: Role>(runs: &mut [ChunkRun<'_, R>], openings: &Range<usize>) -> gazelle_block::BitVec {
    let parts: Vec<_> = runs.par_iter_mut().map(|run| run.send(openings.clone())).collect();
    join(parts)
}

/// The peer's halves of some openings, of a piece's chunks; `counts` are their bits.
fn take<R: Role>(
    runs: &mut [ChunkRun<'_, R>],
    openings: &Range<usize>,
    counts: &[usize],
    peers: &gazelle_block::BitVec,
) {
    let ends = counts.iter().scan(0, |end, count| {
        *end += count;
        Some(*end)
    });
    let places: Vec<(usize, usize)> = ends.zip(counts).map(|(end, n)| (end - n, *n)).collect();
    let take = |(run, (start, count)): (&mut ChunkRun<'_, R>, (usize, usize))| {
        run.receive(openings.clone(), &peers.slice(start, count));
    };
    runs.par_iter_mut().zip(places).for_each(take);
}
