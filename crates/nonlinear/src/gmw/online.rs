//! The trips of a step, at either party.

use std::collections::VecDeque;

use gazelle_share::ProtocolError;
use gazelle_wire::Channel;
use rayon::prelude::*;

use crate::gmw::messages::{Halves, join, starts};
use crate::gmw::ops::OnlineOp;
use crate::gmw::plan::GmwStep;
use crate::gmw::run::{ChunkRun, Role};
use crate::gmw::schedule::Trip;

/// The operations of a chunk, in order.
pub(crate) type Ops = VecDeque<Box<dyn OnlineOp>>;

/// Runs all trips; `chunks` holds this party's share and material of each chunk, `sends` tells which
/// trips are its own. Gives its share of the results, chunk by chunk.
pub(crate) fn online<R: Role>(
    step: &GmwStep,
    chunks: Vec<(Ops, Vec<u64>)>,
    sends: fn(&Trip) -> bool,
    channel: &mut Channel,
) -> Result<Vec<Vec<u64>>, ProtocolError> {
    let openings = step.openings();
    let mut runs: Vec<ChunkRun<'_, R>> = step
        .chunks
        .par_iter()
        .zip(chunks)
        .map(|(chunk, (ops, words))| {
            ChunkRun::new(step, step.shape_of(chunk), &openings, ops, words)
        })
        .collect();
    for trip in &step.trips {
        let (Trip::Down(range) | Trip::Up(range)) = trip;
        let here = openings.get(range.clone()).unwrap_or_default();
        let bits = |chunk| match (trip, step.opening_bits(chunk, here)) {
            (Trip::Down(_), (server, _)) => server,
            (Trip::Up(_), (_, client)) => client,
        };
        let counts: Vec<usize> = step.chunks.iter().map(bits).collect();
        let total = counts.iter().sum();
        if sends(trip) {
            let parts: Vec<_> = runs.par_iter_mut().map(|run| run.send(range.clone())).collect();
            channel.send(&Halves(join(parts)), &total)?;
            channel.flush()?;
        } else {
            let Halves(all) = channel.recv(&total)?;
            let pairs: Vec<_> = counts.iter().map(|count| (*count, 0)).collect();
            let (starts, _) = starts(&pairs);
            runs.par_iter_mut().zip(starts).zip(&counts).for_each(|((run, (start, _)), count)| {
                run.receive(range.clone(), &all.slice(start, *count));
            });
        }
    }
    Ok(runs.into_par_iter().map(ChunkRun::finish).collect())
}
