//! A step as a chain of operations, and what it costs.
//!
//! | step | chain |
//! |---|---|
//! | ReLU | relu(b), extend(b -> l'), re-share |
//! | max-pool | per level of the tree: relu(b + 1) of differences; relu(b) or nothing; extend; re-share |
//! | clip | relu(b) of x; relu(b) of high - z; extend(b -> l'); re-share |
//! | rescale | extend(b + 1 -> l') of v + 2^(b-1); re-share |
//!
//! A sum-pool comes before re-sharing, on extended shares. No extension where `l' <=` the ring.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step; indices are in range by construction"
)]

use std::ops::Range;

use gazelle_convert::sign::{ClientShare, ClientSign, ServerSign, SignTree};
use gazelle_ot::OtExtension;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step, TensorShape};
use gazelle_wire::Cost;
use gazelle_wire::traffic::framed_len;

use crate::garbled::ot_cost;
use crate::gmw::schedule::{Trip, trips};
use crate::pool::{MaxLevels, MaxTree, SumGroup, sum_groups};
use crate::width::function_shape;

/// Elements per chunk: what one task works on.
const CHUNK: usize = 4096;
/// OTs from S to C per batch of the offline phase (at least one chunk's): a batch costs a round trip.
const BATCH: usize = 1 << 20;

/// An operation on all lanes of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// `max(x, 0)` modulo `2^bits`.
    Relu { bits: u32, share: ClientShare, tree: SignTree },
    /// From `2^from` to `2^to`.
    Extend { from: u32, to: u32 },
    /// z - r.
    Reshare { bits: u32 },
}

impl Op {
    pub(crate) fn openings(&self) -> usize {
        match self {
            Self::Relu { tree, .. } => tree.levels() + 2,
            Self::Extend { .. } | Self::Reshare { .. } => 1,
        }
    }

    /// Planes of an opening, `(server, client)`.
    pub(crate) fn planes(&self, opening: usize) -> (usize, usize) {
        match self {
            Self::Relu { bits, share, tree } => {
                if opening > tree.levels() {
                    return (1, 1);
                }
                let server = ServerSign::planes(tree, opening);
                let client = ClientSign::planes(tree, *share, opening);
                let first = |used: bool| if used && opening == 0 { *bits as usize } else { 0 };
                (server + first(true), client + first(*share == ClientShare::Online))
            }
            Self::Extend { .. } => (1, 1),
            Self::Reshare { bits } => (0, *bits as usize),
        }
    }

    /// Offline planes, `(server, client)`.
    pub(crate) fn offline_planes(&self) -> (usize, usize) {
        match self {
            Self::Relu { bits, share, tree } => {
                let (client, server) = tree.offline_bits(*share);
                let first = if *share == ClientShare::Offline { *bits as usize } else { 0 };
                (server, client + first)
            }
            Self::Extend { from, to } => ((to - from) as usize, 0),
            Self::Reshare { .. } => (0, 0),
        }
    }

    /// ROTs per element, S to C and C to S.
    pub(crate) fn rots(&self) -> (usize, usize) {
        match self {
            Self::Relu { tree, .. } => {
                let (down, up) = tree.rots();
                (down + 1, up + 1)
            }
            Self::Extend { .. } => (1, 0),
            Self::Reshare { .. } => (0, 0),
        }
    }
}

/// What happens to the words before an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// The differences of a level of the max tree; results are added and appended.
    Level(usize),
    /// As they are (after a pool: the tree's outputs), reduced to the operation's ring.
    Take,
    /// A public constant minus them; the same afterwards.
    From(u64),
    /// `2^(b-1)` is added, and subtracted afterwards.
    Shift,
    /// Sums over windows, if there is a sum-pool.
    Sum,
}

/// A chunk's index lists; chunks with as many units share them.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) levels: Option<MaxLevels>,
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
    pub(crate) chain: Vec<(Before, Op)>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) trips: Vec<Trip>,
}

impl GmwStep {
    /// Compiles a step, or says why this backend does not compute it.
    pub(crate) fn new(index: usize, step: &Step) -> Result<Self, ProtocolError> {
        crate::width::check(index, step)?;
        let refuse = |why: &str| {
            Err(ProtocolError::Plan(format!(
                "non-linear step {index}: {why}; use the garbled backend"
            )))
        };
        let StepOutput::Masked { bits: to } = step.output else {
            return refuse("revealing is not computed from OT");
        };
        let (b, left) = (step.value_bits, step.input_bits - step.truncate_bits);
        let relu =
            |bits: u32, share: ClientShare| Op::Relu { bits, share, tree: SignTree::new(bits) };
        let mut chain: Vec<(Before, Op)> = Vec::new();
        // The ring of the input, and of the shares at the end of the function.
        let (ring, last, signed) = match &step.function {
            StepFunction::Relu => {
                chain.push((Before::Take, relu(b, ClientShare::Offline)));
                (b, b, false)
            }
            StepFunction::MaxPool { window, relu: rectify } => {
                if left < b + 1 {
                    return refuse("a max-pool needs one bit more in the ring");
                }
                let unit = TensorShape { channels: 1, ..step.input };
                let Some(tree) = MaxTree::new(window, unit) else {
                    return refuse("a window is empty");
                };
                for level in 0..tree.depth() {
                    let share = if level == 0 { ClientShare::Offline } else { ClientShare::Online };
                    chain.push((Before::Level(level), relu(b + 1, share)));
                }
                if *rectify {
                    let share =
                        if chain.is_empty() { ClientShare::Offline } else { ClientShare::Online };
                    chain.push((Before::Take, relu(b, share)));
                }
                (b + 1, if *rectify { b } else { b + 1 }, !rectify)
            }
            StepFunction::Rescale => {
                let ring = if to <= left { to } else { b + 1 };
                if to > left && left < b + 1 {
                    return refuse("extending signed values needs one bit more in the ring");
                }
                (ring, ring, true)
            }
            StepFunction::Clip { high } => {
                chain.push((Before::Take, relu(b, ClientShare::Offline)));
                // min(z, high) = high - ReLU(high - z).
                chain.push((Before::From(*high as u64), relu(b, ClientShare::Online)));
                (b, b, false)
            }
            StepFunction::Square { .. } => return refuse("squares are not computed from OT"),
            StepFunction::Round | StepFunction::ArgMax | StepFunction::TopK { .. } => {
                return refuse("revealing is not computed from OT");
            }
        };
        if to > last {
            let before = if signed { Before::Shift } else { Before::Take };
            chain.push((before, Op::Extend { from: last, to }));
        }
        chain.push((Before::Sum, Op::Reshare { bits: to }));
        let halves: Vec<(bool, bool)> = chain
            .iter()
            .flat_map(|(_, op)| (0..op.openings()).map(|j| op.planes(j)))
            .map(|(server, client)| (server > 0, client > 0))
            .collect();
        let mut compiled = Self {
            step: step.clone(),
            ring,
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

    fn shape(&self, units: usize, pooled: bool, inputs: usize, outputs: usize) -> Shape {
        let step = &self.step;
        let channels = |shape: TensorShape| TensorShape { channels: units, ..shape };
        let levels = match &step.function {
            StepFunction::MaxPool { window, .. } => {
                MaxTree::new(window, step.input).map(|tree| tree.expand(units))
            }
            _ => None,
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
                _ => middle,
            })
            .collect();
        Shape { inputs, outputs, levels, sums, lanes }
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
            let (Trip::Down(range) | Trip::Up(range)) = trip;
            let bits = |pick: fn((usize, usize)) -> usize| -> usize {
                let of = |chunk| pick(self.opening_bits(chunk, &openings[range.clone()]));
                self.chunks.iter().map(of).sum()
            };
            match trip {
                Trip::Down(_) => online.server_to_client += framed_len(bits(|x| x.0).div_ceil(8)),
                Trip::Up(_) => online.client_to_server += framed_len(bits(|x| x.1).div_ceil(8)),
            }
        }
        (offline, online)
    }
}

#[cfg(test)]
mod tests;
