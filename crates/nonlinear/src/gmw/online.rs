//! The trips of a step, at either party. A trip is a message per piece of the step, so that the pool
//! computes on some pieces while others are on the link.

#![expect(clippy::indexing_slicing, reason = "pieces and halves are numbered by the step's chunks")]

use std::ops::Range;
use std::sync::mpsc::channel as queue;

use gazelle_block::BitVec;
use gazelle_share::ProtocolError;
use gazelle_wire::Channel;
use rayon::prelude::*;

use crate::gmw::messages::{Halves, join};
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Role;
use crate::gmw::run::{ChunkRun, Executions};
use crate::gmw::schedule::Trip;
use crate::tasks::{deliver, wait};

/// Runs all trips; `chunks` holds this party's share and material of each chunk, `sends` tells which
/// trips are its own. Gives its share of the results, chunk by chunk.
pub(crate) fn online<R: Role>(
    step: &GmwStep,
    chunks: Vec<(Executions, Vec<u64>)>,
    sends: fn(&Trip) -> bool,
    channel: &mut Channel,
) -> Result<Vec<Vec<u64>>, ProtocolError> {
    let openings = step.openings();
    let mut runs: Vec<ChunkRun<'_, R>> = step
        .chunks
        .par_iter()
        .zip(chunks)
        .map(|(chunk, (executions, words))| {
            ChunkRun::new(step, step.shape_of(chunk), &openings, executions, words)
        })
        .collect();
    for trip in &step.trips {
        let counts = step.trip_bits(trip, &openings);
        let (Trip::Down(range) | Trip::Up(range)) = trip;
        if sends(trip) {
            send(step, &mut runs, range, &counts, channel)?;
        } else {
            receive(step, &mut runs, range, &counts, channel)?;
        }
    }
    Ok(runs.into_par_iter().map(ChunkRun::finish).collect())
}

/// Sends this party's halves of some openings; `counts` are the chunks' bits.
fn send<R: Role>(
    step: &GmwStep,
    runs: &mut [ChunkRun<'_, R>],
    openings: &Range<usize>,
    counts: &[usize],
    channel: &mut Channel,
) -> Result<(), ProtocolError> {
    let (made, results) = queue();
    rayon::in_place_scope(|scope| {
        for (chunk, run) in runs.iter_mut().enumerate() {
            let (made, openings) = (made.clone(), openings.clone());
            scope.spawn(move |_| deliver(&made, || (chunk, run.send(openings))));
        }
        let mut halves: Vec<Option<BitVec>> = counts.iter().map(|_| None).collect();
        for piece in step.pieces() {
            let mut parts = Vec::with_capacity(piece.len());
            for chunk in piece.clone() {
                loop {
                    if let Some(part) = halves[chunk].take() {
                        parts.push(part);
                        break;
                    }
                    let (other, part) = wait(&results)?;
                    halves[other] = Some(part);
                }
            }
            let total = counts[piece].iter().sum();
            channel.send(&Halves(join(parts)), &total)?;
            channel.flush()?;
        }
        Ok(())
    })
}

/// Receives the peer's halves of some openings.
fn receive<R: Role>(
    step: &GmwStep,
    runs: &mut [ChunkRun<'_, R>],
    openings: &Range<usize>,
    counts: &[usize],
    channel: &mut Channel,
) -> Result<(), ProtocolError> {
    rayon::in_place_scope(|scope| {
        let mut runs = runs.iter_mut().zip(counts);
        for piece in step.pieces() {
            let total = counts[piece.clone()].iter().sum();
            let Halves(all) = channel.recv(&total)?;
            let mut start = 0;
            for (run, count) in runs.by_ref().take(piece.len()) {
                let (half, openings) = (all.slice(start, *count), openings.clone());
                start += count;
                scope.spawn(move |_| run.receive(openings, &half));
            }
        }
        Ok(())
    })
}
