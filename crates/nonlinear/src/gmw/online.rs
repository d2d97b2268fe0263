//! The trips of a step, at either party. A trip is a message per piece of the step; each piece goes through
//! the trips on its own ([`pipeline`]), so that some are computed on while others are on the link, in both
//! directions at once.

#![expect(clippy::indexing_slicing, reason = "pieces and halves are numbered by the step's chunks")]

mod pipeline;

use std::ops::Range;

use gazelle_share::ProtocolError;
use gazelle_wire::Channel;
use rayon::prelude::*;

use crate::gmw::messages::{Halves, join};
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Role;
use crate::gmw::run::{ChunkRun, Executions};
use crate::gmw::schedule::Trip;

/// A party's material of a chunk, and its share of the chunk's inputs.
pub(crate) type ChunkInput = (Executions, Vec<u64>);

/// Runs all trips; `chunks` holds this party's share and material of each chunk, `sends` tells which
/// trips are its own. Gives its share of the results, chunk by chunk.
///
/// What either party sends, and in which order, is the same however the pieces advance.
pub(crate) fn online<R: Role>(
    step: &GmwStep,
    chunks: Vec<ChunkInput>,
    sends: fn(&Trip) -> bool,
    channel: &mut Channel,
) -> Result<Vec<Vec<u64>>, ProtocolError> {
    let openings = step.openings();
    if step.pieces().nth(1).is_some() && !channel.is_single_threaded() {
        return pipeline::run::<R>(step, &openings, chunks, sends, channel);
    }
    let mut runs = begin::<R>(step, &openings, 0..step.chunks.len(), chunks);
    for trip in &step.trips {
        let counts = step.trip_bits(trip, &openings);
        let (Trip::Down(range) | Trip::Up(range)) = trip;
        let mut rest = &mut runs[..];
        for piece in step.pieces() {
            let (here, behind) = rest.split_at_mut(piece.len());
            rest = behind;
            let counts = &counts[piece];
            let total = counts.iter().sum();
            if sends(trip) {
                channel.send(&Halves(halves(here, range)), &total)?;
            } else {
                let Halves(peers) = channel.recv(&total)?;
                take(here, range, counts, &peers);
            }
        }
        channel.flush()?;
    }
    Ok(runs.into_par_iter().map(ChunkRun::finish).collect())
}

/// Starts some chunks with this party's share of their inputs.
fn begin<'a, R: Role>(
    step: &'a GmwStep,
    openings: &'a [(usize, usize)],
    range: Range<usize>,
    inputs: Vec<ChunkInput>,
) -> Vec<ChunkRun<'a, R>> {
    let begin = |(chunk, (executions, words))| {
        ChunkRun::new(step, step.shape_of(chunk), openings, executions, words)
    };
    step.chunks[range].par_iter().zip(inputs).map(begin).collect()
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
