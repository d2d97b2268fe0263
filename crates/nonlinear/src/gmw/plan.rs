//! A step's chain of operations over its chunks, and what it costs.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step; indices are in range by construction"
)]

use std::ops::Range;

use gazelle_ot::OtExtension;
use gazelle_share::step::StepFunction;
use gazelle_share::{ProtocolError, Step, TensorShape};
use gazelle_wire::Cost;
use gazelle_wire::traffic::framed_len;

use crate::all_pairs::AllPairs;
use crate::garbled::ot_cost;
use crate::gmw::chain::{Before, Chain, Variant};
use crate::gmw::op::Op;
use crate::gmw::schedule::{Trip, trips};
use crate::pool::{MaxLevels, MaxTree, SumGroup, sum_groups};
use crate::rank::{Network, all_pairs};
use crate::width::function_shape;

/// Elements per chunk: what one task works on.
const CHUNK: usize = 4096;
/// OTs from S to C per batch of the offline phase (at least one chunk's): a batch costs a round trip.
const BATCH: usize = 1 << 20;
/// Chunks per message of a trip.
const PIECE: usize = 16;

/// A chunk's index lists; chunks with as many units share them.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) levels: Option<MaxLevels>,
    pub(crate) all_pairs: Option<AllPairs>,
    pub(crate) sums: Option<Vec<SumGroup>>,
    /// Lanes of each operation.
    pub(crate) lanes: Vec<usize>,
}

/// A part of a step.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) shape: usize,
    pub(crate) inputs: Range<usize>,
    pub(crate) outputs: Range<usize>,
}

/// A step, compiled.
#[derive(Debug, Clone)]
pub(crate) struct GmwStep {
    pub(crate) step: Step,
    /// Ring of the input shares after truncation.
    pub(crate) ring: u32,
    /// Index bits below each value, if values carry their index.
    pub(crate) keys: Option<u32>,
    pub(crate) chain: Vec<(Before, Op)>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) trips: Vec<Trip>,
}

impl GmwStep {
    /// Compiles a step, or says why this backend does not compute it.
    pub(crate) fn new(index: usize, step: &Step, variant: Variant) -> Result<Self, ProtocolError> {
        crate::width::check(index, step)?;
        let Chain { ring, keys, ops: chain } = Chain::new(index, step, variant)?;
        let halves: Vec<(bool, bool)> = chain
            .iter()
            .flat_map(|(_, op)| (0..op.openings()).map(|j| op.planes(j)))
            .map(|(server, client)| (server > 0, client > 0))
            .collect();
        let mut compiled = Self {
            step: step.clone(),
            ring,
            keys,
            chain,
            shapes: Vec::new(),
            chunks: Vec::new(),
            trips: trips(&halves),
        };
        compiled.split();
        Ok(compiled)
    }

    fn split(&mut self) {
        let step = self.step.clone();
        if step.ranked().is_some() {
            let (inputs, outputs) = (step.input.len(), step.output_shape().len());
            self.shapes = vec![self.ranked_shape(inputs, outputs)];
            self.chunks = vec![Chunk { shape: 0, inputs: 0..inputs, outputs: 0..outputs }];
            return;
        }
        let pooled =
            matches!(step.function, StepFunction::MaxPool { .. }) || step.sum_pool.is_some();
        let plane = |shape: TensorShape| shape.height * shape.width;
        let (units, inputs, outputs) = if pooled {
            (step.input.channels, plane(step.input), plane(step.output_shape()))
        } else {
            (step.input.len(), 1, 1)
        };
        let size = (CHUNK / inputs.max(1)).max(1).min(units.max(1));
        for start in (0..units).step_by(size) {
            let count = size.min(units - start);
            let found = self.shapes.iter().position(|shape| shape.inputs == count * inputs);
            let shape = found.unwrap_or_else(|| {
                let shape = self.shape(count, pooled, count * inputs, count * outputs);
                self.shapes.push(shape);
                self.shapes.len() - 1
            });
            self.chunks.push(Chunk {
                shape,
                inputs: start * inputs..(start + count) * inputs,
                outputs: start * outputs..(start + count) * outputs,
            });
        }
    }

    /// One chunk: values are compared with each other.
    fn ranked_shape(&self, inputs: usize, outputs: usize) -> Shape {
        let levels = match self.keys {
            Some(_) => Network::of(&self.step).levels(inputs),
            None => all_pairs(inputs),
        };
        let lanes = |(before, op): &(Before, Op)| match (before, op) {
            (Before::Level(level), _) => levels.pairs[*level].0.len(),
            (_, Op::Elect { .. }) => levels.pairs[0].0.len(),
            _ => levels.outputs.len(),
        };
        let lanes = self.chain.iter().map(lanes).collect();
        Shape { inputs, outputs, levels: Some(levels), all_pairs: None, sums: None, lanes }
    }

    fn shape(&self, units: usize, pooled: bool, inputs: usize, outputs: usize) -> Shape {
        let step = &self.step;
        let channels = |shape: TensorShape| TensorShape { channels: units, ..shape };
        let by_pairs = self.chain.iter().any(|(before, _)| *before == Before::Pairs);
        let (levels, all_pairs) = match &step.function {
            StepFunction::MaxPool { window, .. } if by_pairs => {
                (None, Some(AllPairs::new(window, channels(step.input))))
            }
            StepFunction::MaxPool { window, .. } => {
                (MaxTree::new(window, step.input).map(|tree| tree.expand(units)), None)
            }
            _ => (None, None),
        };
        let pairs = |f: fn(&AllPairs, usize) -> usize, level: usize| {
            all_pairs.as_ref().map_or(0, |pairs| f(pairs, level))
        };
        let middle = if pooled { channels(function_shape(step)).len() } else { inputs };
        let sums = step.sum_pool.map(|window| sum_groups(&window, channels(function_shape(step))));
        let lanes = self
            .chain
            .iter()
            .map(|(before, op)| match (before, op) {
                (Before::Level(level), _) => {
                    levels.as_ref().map_or(0, |levels| levels.pairs[*level].0.len())
                }
                (_, Op::Reshare { .. }) => outputs,
                (Before::Pairs, _) => pairs(|plan, _| plan.pairs.0.len(), 0),
                (Before::Both(level), _) => pairs(|plan, level| plan.ands[level].0.len(), *level),
                (Before::Kept, _) => pairs(|plan, _| plan.kept.len(), 0),
                _ => middle,
            })
            .collect();
        Shape { inputs, outputs, levels, all_pairs, sums, lanes }
    }

    pub(crate) fn shape_of(&self, chunk: &Chunk) -> &Shape {
        &self.shapes[chunk.shape]
    }

    /// The chunks by batches of the offline phase.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let first = self.chunks.first().map_or(1, |chunk| self.rots(chunk).0.max(1));
        let (batch, count) = ((BATCH / first).max(1), self.chunks.len());
        (0..count).step_by(batch).map(move |start| start..(start + batch).min(count))
    }

    /// The chunks by messages of a trip.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.chunks.len();
        (0..count).step_by(PIECE).map(move |start| start..(start + PIECE).min(count))
    }

    /// The chunks' bits in a trip.
    pub(crate) fn trip_bits(&self, trip: &Trip, openings: &[(usize, usize)]) -> Vec<usize> {
        let (Trip::Down(range) | Trip::Up(range)) = trip;
        let here = openings.get(range.clone()).unwrap_or_default();
        let bits = |chunk| match (trip, self.opening_bits(chunk, here)) {
            (Trip::Down(_), (server, _)) => server,
            (Trip::Up(_), (_, client)) => client,
        };
        self.chunks.iter().map(bits).collect()
    }

    /// Sums `count(op) * lanes` over a chunk.
    fn per_chunk(&self, chunk: &Chunk, count: impl Fn(&Op) -> (usize, usize)) -> (usize, usize) {
        let lanes = &self.shape_of(chunk).lanes;
        self.chain.iter().zip(lanes).fold((0, 0), |(down, up), ((_, op), lanes)| {
            let (server, client) = count(op);
            (down + server * lanes, up + client * lanes)
        })
    }

    /// ROTs of a chunk, S to C and C to S.
    pub(crate) fn rots(&self, chunk: &Chunk) -> (usize, usize) {
        self.per_chunk(chunk, Op::rots)
    }

    /// Offline bits of a chunk, from S and from C.
    pub(crate) fn offline_bits(&self, chunk: &Chunk) -> (usize, usize) {
        self.per_chunk(chunk, Op::offline_planes)
    }

    /// The operations' openings in one numbering: `(operation, opening of it)`.
    pub(crate) fn openings(&self) -> Vec<(usize, usize)> {
        let chain = self.chain.iter().enumerate();
        chain.flat_map(|(i, (_, op))| (0..op.openings()).map(move |j| (i, j))).collect()
    }

    /// Bits that a party sends of a chunk in some openings, `(server, client)`.
    pub(crate) fn opening_bits(
        &self,
        chunk: &Chunk,
        openings: &[(usize, usize)],
    ) -> (usize, usize) {
        let lanes = &self.shape_of(chunk).lanes;
        openings.iter().fold((0, 0), |(down, up), (op, opening)| {
            let (server, client) = self.chain[*op].1.planes(*opening);
            (down + server * lanes[*op], up + client * lanes[*op])
        })
    }

    /// Exact offline and online bytes; `made` counts the session's OTs S to C and C to S.
    pub(crate) fn traffic<O: OtExtension>(
        &self,
        ot: &O,
        made: &mut (usize, usize),
    ) -> (Cost, Cost) {
        let mut offline = Cost::default();
        for batch in self.batches() {
            let mut bits = (0, 0);
            for chunk in &self.chunks[batch] {
                let (down, up) = self.rots(chunk);
                if down > 0 {
                    offline += ot_cost(ot.extend_traffic(made.0, down));
                }
                if up > 0 {
                    let traffic = ot_cost(ot.extend_traffic(made.1, up));
                    offline.client_to_server += traffic.server_to_client;
                    offline.server_to_client += traffic.client_to_server;
                }
                *made = (made.0 + down, made.1 + up);
                let (server, client) = self.offline_bits(chunk);
                bits = (bits.0 + server, bits.1 + client);
            }
            if bits.0 > 0 {
                offline.server_to_client += framed_len(bits.0.div_ceil(8));
            }
            if bits.1 > 0 {
                offline.client_to_server += framed_len(bits.1.div_ceil(8));
            }
        }
        let openings = self.openings();
        let mut online = Cost::default();
        for trip in &self.trips {
            let counts = self.trip_bits(trip, &openings);
            let bytes = |piece: Range<usize>| counts[piece].iter().sum::<usize>().div_ceil(8);
            let bytes = self.pieces().map(|piece| framed_len(bytes(piece))).sum::<u64>();
            match trip {
                Trip::Down(_) => online.server_to_client += bytes,
                Trip::Up(_) => online.client_to_server += bytes,
            }
        }
        (offline, online)
    }
}

#[cfg(test)]
mod tests;
