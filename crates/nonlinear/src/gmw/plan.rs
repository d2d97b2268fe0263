//! A step's chain of operations over its chunks, and what it costs.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step; indices are in range by construction"
)]

use std::ops::Range;

use gazelle_convert::Operation;
use gazelle_ot::OtExtension;
use gazelle_share::step::StepFunction;
use gazelle_share::{ProtocolError, Step, TensorShape};
use gazelle_wire::Cost;
use gazelle_wire::traffic::framed_len;

use crate::chunks;
use crate::gmw::all_pairs::AllPairs;
use crate::gmw::chain::{Before, Chain, Link, Variant};
use crate::gmw::gather::{Gather, Pairs};
use crate::gmw::schedule::Trip;
use crate::ot_session::{down_cost, up_cost};
use crate::pool::{MaxLevels, MaxTree, sum_groups};
use crate::rank::{SortingNetwork, all_pairs};

/// Elements per chunk: what one task works on.
const CHUNK: usize = 4096;
/// OTs from S to C per batch of the offline phase, at least one chunk's: a batch's corrections are one
/// message each way.
const BATCH: usize = 1 << 20;
/// Chunks per message of a trip: at least and at most, unless the step has fewer.
const PIECE: [usize; 2] = [4, 16];
/// Messages of a trip, where that allows it: the time of one on the wire is waited for, the others' pass
/// while it travels.
const PIECES: usize = 8;

/// How the words of a chunk go through the chain; chunks with as many units share it.
#[derive(Debug)]
pub(crate) struct Shape {
    units: usize,
    /// The words that the chain begins with, if not all inputs: the outputs of a tree without levels.
    pub(crate) start: Option<Vec<u32>>,
    /// By operation.
    pub(crate) gathers: Vec<Gather>,
}

/// A part of a step.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) shape: usize,
    pub(crate) inputs: Range<usize>,
    pub(crate) outputs: Range<usize>,
}

/// A step, compiled.
#[derive(Debug)]
pub(crate) struct GmwStep {
    pub(crate) step: Step,
    pub(crate) chain: Chain,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) trips: Vec<Trip>,
}

impl GmwStep {
    /// Compiles a step, or says why this backend does not compute it.
    pub(crate) fn new(index: usize, step: &Step, variant: Variant) -> Result<Self, ProtocolError> {
        let refuse = |why: String| ProtocolError::Plan(format!("non-linear step {index}: {why}"));
        step.check().map_err(refuse)?;
        Self::with_chain(step, Chain::new(index, step, variant)?)
            .map_err(|why| refuse(why.to_owned()))
    }

    /// As a chain of its own says.
    pub(crate) fn with_chain(step: &Step, chain: Chain) -> Result<Self, &'static str> {
        let trips = chain.trips();
        let (mut shapes, mut made): (Vec<Shape>, Vec<Chunk>) = (Vec::new(), Vec::new());
        for part in chunks::split(step, CHUNK) {
            let found = shapes.iter().position(|shape| shape.units == part.units);
            let shape = if let Some(shape) = found {
                shape
            } else {
                shapes.push(Shape::new(step, &chain, part.units)?);
                shapes.len() - 1
            };
            made.push(Chunk { shape, inputs: part.inputs, outputs: part.outputs });
        }
        Ok(Self { step: step.clone(), chain, shapes, chunks: made, trips })
    }

    pub(crate) fn shape_of(&self, chunk: &Chunk) -> &Shape {
        &self.shapes[chunk.shape]
    }

    /// The chunks by batches of the offline phase.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        // The first chunk is the largest. A step without elements has no batch at all.
        let first = self.chunks.iter().map(|chunk| self.rots(chunk).0.max(1)).next();
        let batch = first.map_or(1, |rots| (BATCH / rots).max(1));
        let count = self.chunks.len();
        (0..count).step_by(batch).map(move |start| start..(start + batch).min(count))
    }

    /// The chunks by messages of a trip.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.chunks.len();
        let [least, most] = PIECE;
        let piece = count.div_ceil(PIECES).clamp(least, most);
        (0..count).step_by(piece).map(move |start| start..(start + piece).min(count))
    }

    /// The chunks' bits in a trip.
    pub(crate) fn trip_bits(&self, trip: &Trip, openings: &[(usize, usize)]) -> Vec<usize> {
        let (Trip::Down(range) | Trip::Up(range)) = trip;
        let here = &openings[range.clone()];
        let bits = |chunk| match (trip, self.opening_bits(chunk, here)) {
            (Trip::Down(_), (server, _)) => server,
            (Trip::Up(_), (_, client)) => client,
        };
        self.chunks.iter().map(bits).collect()
    }

    /// Sums `count(operation) * lanes` over a chunk.
    fn per_chunk(
        &self,
        chunk: &Chunk,
        count: impl Fn(&dyn Operation) -> (usize, usize),
    ) -> (usize, usize) {
        let gathers = &self.shape_of(chunk).gathers;
        self.chain.links.iter().zip(gathers).fold((0, 0), |(down, up), (link, gather)| {
            let ((server, client), lanes) = (count(link.operation.as_ref()), gather.lanes());
            (down + server * lanes, up + client * lanes)
        })
    }

    /// ROTs of a chunk, S to C and C to S.
    pub(crate) fn rots(&self, chunk: &Chunk) -> (usize, usize) {
        self.per_chunk(chunk, |operation| operation.rots())
    }

    /// ROTs of all chunks, S to C and C to S.
    pub(crate) fn all_rots(&self) -> (usize, usize) {
        let rots = self.chunks.iter().map(|chunk| self.rots(chunk));
        rots.fold((0, 0), |sum, rots| (sum.0 + rots.0, sum.1 + rots.1))
    }

    /// Offline bits of a chunk, from S and from C.
    pub(crate) fn offline_bits(&self, chunk: &Chunk) -> (usize, usize) {
        self.per_chunk(chunk, |operation| operation.offline_planes())
    }

    /// The operations' openings in one numbering: `(operation, opening of it)`.
    pub(crate) fn openings(&self) -> Vec<(usize, usize)> {
        let links = self.chain.links.iter().enumerate();
        links.flat_map(|(i, link)| (0..link.operation.openings()).map(move |j| (i, j))).collect()
    }

    /// Bits that a party sends of a chunk in some openings, `(server, client)`.
    pub(crate) fn opening_bits(
        &self,
        chunk: &Chunk,
        openings: &[(usize, usize)],
    ) -> (usize, usize) {
        let gathers = &self.shape_of(chunk).gathers;
        openings.iter().fold((0, 0), |(down, up), (op, opening)| {
            let (server, client) = self.chain.links[*op].operation.planes(*opening);
            let lanes = gathers[*op].lanes();
            (down + server * lanes, up + client * lanes)
        })
    }

    /// Exact offline and online bytes; `made` counts the session's OTs S to C and C to S.
    pub(crate) fn traffic<O: OtExtension>(
        &self,
        ot: &O,
        made: &mut (usize, usize),
    ) -> (Cost, Cost) {
        let (mut offline, second) = (Cost::default(), ot.second());
        for batch in self.batches() {
            let mut bits = (0, 0);
            for chunk in &self.chunks[batch] {
                let (down, up) = self.rots(chunk);
                if down > 0 {
                    offline += down_cost(ot.extend_traffic(made.0, down));
                }
                if up > 0 {
                    offline += up_cost(second.extend_traffic(made.1, up));
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

impl Shape {
    /// The positions of everything that the chain does with the words of `units` channels (or
    /// elements) of a step.
    fn new(step: &Step, chain: &Chain, units: usize) -> Result<Self, &'static str> {
        let channels = |shape: TensorShape| TensorShape { channels: units, ..shape };
        let middle = match step.ranked() {
            Some(_) => step.function_shape(),
            None if chunks::is_pooled(step) => channels(step.function_shape()),
            None => TensorShape::vector(units),
        };
        let inputs = match step.ranked() {
            Some(_) => step.input,
            None if chunks::is_pooled(step) => channels(step.input),
            None => TensorShape::vector(units),
        };
        let by_window = || match &step.function {
            StepFunction::MaxPool { window, .. } => Ok(window),
            _ => Err("only a max-pool has windows to compare"),
        };
        let uses = |before: Before| chain.links.iter().any(|link| link.before == before);
        let plan =
            if uses(Before::Pairs) { Some(AllPairs::new(by_window()?, inputs)) } else { None };
        // Maxima by levels: of windows, or of all values with their index.
        let levels: Option<MaxLevels> = match &step.function {
            StepFunction::MaxPool { window, .. } if plan.is_none() => {
                let tree = MaxTree::new(window, step.input).ok_or("a window is empty")?;
                Some(tree.expand(units))
            }
            _ if chain.keys.is_some() => Some(SortingNetwork::of(step).levels(inputs.len())),
            _ => None,
        };
        let start = levels
            .as_ref()
            .filter(|levels| levels.pairs.is_empty())
            .map(|levels| levels.outputs.clone());
        let mut positions = Positions::new(plan, levels);
        let mut words = start.as_ref().map_or(inputs.len(), Vec::len);
        let mut gathers = Vec::with_capacity(chain.links.len());
        for Link { before, operation } in &chain.links {
            let gather = match before {
                Before::Take => Gather::Take(words),
                Before::From(constant) => Gather::From { constant: *constant, count: words },
                Before::Shift(constant) => Gather::Shift { constant: *constant, count: words },
                Before::Keyed(keys) => Gather::Keyed { keys: *keys, count: words },
                Before::Compare => Gather::Compare(all_pairs(inputs.len())),
                Before::Sum => match step.sum_pool {
                    None => Gather::Take(words),
                    Some(window) => Gather::Sum {
                        groups: sum_groups(&window, middle),
                        outputs: window.output(middle).len(),
                    },
                },
                before => positions.next(*before).ok_or("the chain does not fit its function")?,
            };
            words = gather.words_after(words, operation.results(gather.lanes()));
            gathers.push(gather);
        }
        Ok(Self { units, start, gathers })
    }
}

/// The positions that are handed out level by level.
struct Positions {
    /// Per level: what is compared, and the pairs whose smaller word is kept too.
    levels: std::vec::IntoIter<(Pairs, Vec<u32>)>,
    outputs: Vec<u32>,
    plan: Option<AllPairs>,
}

impl Positions {
    fn new(plan: Option<AllPairs>, levels: Option<MaxLevels>) -> Self {
        let (levels, outputs) = match levels {
            Some(MaxLevels { pairs, smaller, outputs }) => {
                (pairs.into_iter().zip(smaller).collect(), outputs)
            }
            None => (Vec::new(), Vec::new()),
        };
        Self { levels: levels.into_iter(), outputs, plan }
    }

    fn next(&mut self, before: Before) -> Option<Gather> {
        let plan = self.plan.as_mut();
        Some(match before {
            Before::Level => {
                let (pairs, smaller) = self.levels.next()?;
                let last = self.levels.len() == 0;
                let outputs = last.then(|| std::mem::take(&mut self.outputs));
                Gather::Level { pairs, smaller, outputs }
            }
            Before::Pairs => Gather::CompareAlso(std::mem::take(&mut plan?.pairs)),
            Before::Both => {
                let (left, right) = plan?.ands.next()?;
                Gather::Both(left, right)
            }
            Before::Kept => {
                let plan = plan?;
                Gather::Kept { kept: std::mem::take(&mut plan.kept), outputs: plan.outputs }
            }
            _ => return None,
        })
    }
}
