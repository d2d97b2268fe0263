//! Steps side by side: their trips laid over each other, their pieces in one numbering.
//!
//! | client | server |
//! |---|---|
//! | trip i of the wave: what it says in its next trip of each step that has one | the same, in turn |
//!
//! In each trip the steps come in their order, of each step its pieces: both parties know every message.

#![expect(clippy::indexing_slicing, reason = "pieces and trips are numbered by the wave's steps")]

use std::ops::Range;

use rayon::prelude::*;

use crate::gmw::plan::GmwStep;
use crate::gmw::role::Role;
use crate::gmw::run::{ChunkInput, ChunkRun};
use crate::gmw::schedule::{Trip, together};

/// A wave at one party.
pub(super) struct OnlineWave<'a> {
    pub(super) steps: Vec<WaveStep<'a>>,
    /// All steps' pieces, one after the other.
    pub(super) pieces: Vec<Piece>,
    pub(super) trips: Vec<WaveTrip>,
}

/// A step of a wave.
pub(super) struct WaveStep<'a> {
    step: &'a GmwStep,
    openings: Vec<(usize, usize)>,
    /// By trip: bits of each chunk.
    counts: Vec<Vec<usize>>,
    /// By trip: whether it is this party's.
    own: Vec<bool>,
}

/// Some chunks of a step.
pub(super) struct Piece {
    step: usize,
    chunks: Range<usize>,
}

/// What one party says at once.
pub(super) struct WaveTrip {
    pub(super) own: bool,
    /// `(trip of its step, piece)` of each message.
    pub(super) messages: Vec<(usize, usize)>,
}

/// A message: halves of a piece.
pub(super) struct WaveMessage<'a> {
    pub(super) step: usize,
    pub(super) openings: &'a Range<usize>,
    /// Bits by chunk.
    pub(super) counts: &'a [usize],
}

impl WaveMessage<'_> {
    /// Bits of all chunks.
    pub(super) fn bits(&self) -> usize {
        self.counts.iter().sum()
    }
}

impl<'a> OnlineWave<'a> {
    /// Of these steps at the party whose trips `sends` tells.
    pub(super) fn new(steps: &[&'a GmwStep], sends: fn(&Trip) -> bool) -> Self {
        let trips: Vec<&[Trip]> = steps.iter().map(|step| &step.trips[..]).collect();
        let slots = together(&trips);
        let (mut pieces, mut of_step) = (Vec::new(), Vec::with_capacity(steps.len()));
        for (step, compiled) in steps.iter().enumerate() {
            let first = pieces.len();
            pieces.extend(compiled.pieces().map(|chunks| Piece { step, chunks }));
            of_step.push(first..pieces.len());
        }
        let trips = slots.into_iter().map(|slot| {
            let own = slot.iter().any(|(step, trip)| sends(&steps[*step].trips[*trip]));
            let pieces = |(step, trip): (usize, usize)| {
                of_step[step].clone().map(move |piece| (trip, piece))
            };
            WaveTrip { own, messages: slot.into_iter().flat_map(pieces).collect() }
        });
        let trips = trips.collect();
        let with_openings = |step: &&'a GmwStep| {
            let openings = step.openings();
            let counts = step.trips.iter().map(|trip| step.trip_bits(trip, &openings)).collect();
            let own = step.trips.iter().map(sends).collect();
            WaveStep { step, openings, counts, own }
        };
        Self { steps: steps.iter().map(with_openings).collect(), pieces, trips }
    }

    /// The inputs of all steps by pieces.
    pub(super) fn split(
        &self,
        chunks: Vec<Vec<ChunkInput>>,
    ) -> impl Iterator<Item = Vec<ChunkInput>> {
        let mut chunks = chunks.into_iter().flatten();
        self.pieces.iter().map(move |piece| chunks.by_ref().take(piece.chunks.len()).collect())
    }

    /// Starts a piece with this party's share of its inputs.
    pub(super) fn begin<R: Role>(
        &self,
        piece: &Piece,
        inputs: Vec<ChunkInput>,
    ) -> Vec<ChunkRun<'_, R>> {
        let WaveStep { step, openings, .. } = &self.steps[piece.step];
        let begin = |(chunk, (executions, words))| {
            ChunkRun::new(step, step.shape_of(chunk), openings, executions, words)
        };
        step.chunks[piece.chunks.clone()].par_iter().zip(inputs).map(begin).collect()
    }

    /// What is said of a piece in a trip of its step.
    pub(super) fn message(&self, trip: usize, piece: usize) -> WaveMessage<'_> {
        let Piece { step, chunks } = &self.pieces[piece];
        let of = &self.steps[*step];
        let (Trip::Down(openings) | Trip::Up(openings)) = &of.step.trips[trip];
        WaveMessage { step: *step, openings, counts: &of.counts[trip][chunks.clone()] }
    }

    /// This party's trips of a piece from `next` up to the peer's next one.
    pub(super) fn own_from(&self, piece: usize, next: usize) -> impl Iterator<Item = usize> {
        let own = &self.steps[self.pieces[piece].step].own;
        (next..own.len()).take_while(|trip| own[*trip])
    }

    /// The steps' results, chunk by chunk, of all pieces at their end.
    pub(super) fn results<R: Role>(&self, runs: Vec<Vec<ChunkRun<'_, R>>>) -> Vec<Vec<Vec<u64>>> {
        let mut results: Vec<Vec<_>> = self.steps.iter().map(|_| Vec::new()).collect();
        for (piece, runs) in self.pieces.iter().zip(runs) {
            results[piece.step].extend(runs.into_iter().map(ChunkRun::finish));
        }
        results
    }
}
