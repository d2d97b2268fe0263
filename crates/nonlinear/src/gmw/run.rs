//! A chunk on its way through the chain, at either party.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step; indices are in range by construction"
)]

use std::collections::VecDeque;
use std::ops::Range;

use gazelle_block::BitVec;
use gazelle_convert::Planes;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use crate::all_pairs::{AllPairs, Literal, ZERO};
use crate::gmw::chain::Before;
use crate::gmw::op::Op;
use crate::gmw::ops::{KEPT, OnlineOp};
use crate::gmw::plan::{GmwStep, Shape};

/// Which party: constants are added by the server, and halves are counted per party.
pub(crate) trait Role: Send + Sync + 'static {
    /// A public constant's share.
    fn constant(value: u64) -> u64;
    /// This party's and the peer's planes of an opening.
    fn planes(op: &Op, opening: usize) -> (usize, usize);
}

/// The client.
pub(crate) struct Client;
/// The server.
pub(crate) struct Server;

impl Role for Client {
    fn constant(_value: u64) -> u64 {
        0
    }
    fn planes(op: &Op, opening: usize) -> (usize, usize) {
        let (server, client) = op.planes(opening);
        (client, server)
    }
}

impl Role for Server {
    fn constant(value: u64) -> u64 {
        value
    }
    fn planes(op: &Op, opening: usize) -> (usize, usize) {
        op.planes(opening)
    }
}

/// A chunk's state.
pub(crate) struct ChunkRun<'a, R> {
    step: &'a GmwStep,
    shape: &'a Shape,
    openings: &'a [(usize, usize)],
    ops: VecDeque<Box<dyn OnlineOp>>,
    /// All words so far (a max tree appends).
    words: Vec<u64>,
    /// Openings whose own half is made; whose peer's half came; that are complete.
    made: usize,
    there: usize,
    complete: usize,
    waiting: VecDeque<Planes>,
    role: std::marker::PhantomData<R>,
}

impl<R> Drop for ChunkRun<'_, R> {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl<'a, R: Role> ChunkRun<'a, R> {
    /// Starts with this party's share of the chunk's inputs.
    pub(crate) fn new(
        step: &'a GmwStep,
        shape: &'a Shape,
        openings: &'a [(usize, usize)],
        ops: VecDeque<Box<dyn OnlineOp>>,
        words: Vec<u64>,
    ) -> Self {
        let (made, there, complete) = (0, 0, 0);
        let waiting = VecDeque::new();
        let role = std::marker::PhantomData;
        let words = initial::<R>(step, shape, words);
        let mut run =
            Self { step, shape, openings, ops, words, made, there, complete, waiting, role };
        run.before(0);
        run.skip();
        run
    }

    /// This party's halves of some openings.
    pub(crate) fn send(&mut self, openings: Range<usize>) -> BitVec {
        let mut bits = BitVec::new();
        for opening in openings {
            let (op, inner) = self.openings[opening];
            let (own, _) = R::planes(&self.step.chain[op].1, inner);
            if own > 0
                && let Some(op) = self.ops.front_mut()
            {
                bits.extend(&op.half(inner).to_bits());
            }
            self.made = opening + 1;
            self.advance();
        }
        bits
    }

    /// The peer's halves of some openings.
    pub(crate) fn receive(&mut self, openings: Range<usize>, bits: &BitVec) {
        let mut start = 0;
        for opening in openings {
            let (op, inner) = self.openings[opening];
            let lanes = self.shape.lanes[op];
            let (_, peer) = R::planes(&self.step.chain[op].1, inner);
            if peer > 0 {
                let count = peer * lanes;
                self.waiting.push_back(Planes::from_bits(&bits.slice(start, count), lanes));
                start += count;
            }
            self.there = self.there.max(opening + 1);
        }
        self.skip();
        self.advance();
    }

    /// The result, once all openings are complete.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        std::mem::take(&mut self.words)
    }

    /// Passes over halves that do not exist.
    fn skip(&mut self) {
        let empty = |index: usize| {
            self.openings.get(index).map(|(op, inner)| {
                let (own, peer) = R::planes(&self.step.chain[*op].1, *inner);
                (own == 0, peer == 0)
            })
        };
        let (mut made, mut there) = (self.made, self.there);
        while empty(made).is_some_and(|(own, _)| own) {
            made += 1;
        }
        while empty(there).is_some_and(|(_, peer)| peer) {
            there += 1;
        }
        (self.made, self.there) = (made, there);
    }

    /// Completes what has both halves.
    fn advance(&mut self) {
        while self.complete < self.made.min(self.there) {
            let (op, inner) = self.openings[self.complete];
            let kind = &self.step.chain[op].1;
            let (_, peer) = R::planes(kind, inner);
            let half = if peer > 0 { self.waiting.pop_front() } else { None };
            if let Some(op) = self.ops.front_mut() {
                op.complete(inner, &half.unwrap_or_default());
            }
            self.complete += 1;
            if inner + 1 == kind.openings() {
                let result = self.ops.pop_front().map(|mut op| op.finish()).unwrap_or_default();
                self.after(op, result);
                if op + 1 < self.step.chain.len() {
                    self.before(op + 1);
                }
            }
            self.skip();
        }
    }

    /// Hands this party's share to an operation.
    fn before(&mut self, index: usize) {
        let (before, op) = &self.step.chain[index];
        let x = operand::<R>(self.step, self.shape, before, op.operand_bits(), &self.words);
        if let Some(op) = self.ops.front_mut() {
            op.start(x);
        }
    }

    /// Takes an operation's result.
    fn after(&mut self, index: usize, mut result: Vec<u64>) {
        let (before, op) = &self.step.chain[index];
        match (before, op) {
            (Before::Level(level), Op::Relu { bits, .. }) => {
                // max(a, b) = b + ReLU(a - b).
                if let Some(levels) = &self.shape.levels {
                    let mask = ring_mask(*bits);
                    let (a, b) = &levels.pairs[*level];
                    for (z, b) in result.iter_mut().zip(b) {
                        *z = z.wrapping_add(self.words[*b as usize]) & mask;
                    }
                    self.words.extend_from_slice(&result);
                    // min(a, b) = a + b - max(a, b).
                    for i in &levels.smaller[*level] {
                        let i = *i as usize;
                        let sum = self.words[a[i] as usize].wrapping_add(self.words[b[i] as usize]);
                        self.words.push(sum.wrapping_sub(result[i]) & mask);
                    }
                    if level + 1 == levels.pairs.len() {
                        let mut words = outputs(&levels.outputs, &self.words);
                        std::mem::swap(&mut self.words, &mut words);
                        words.zeroize();
                    }
                }
            }
            (Before::From(constant), Op::Relu { bits, .. }) => {
                let (constant, mask) = (R::constant(*constant), ring_mask(*bits));
                for z in &mut result {
                    *z = constant.wrapping_sub(*z) & mask;
                }
                std::mem::swap(&mut self.words, &mut result);
            }
            (Before::Pairs | Before::Both(_), _) => self.words.extend_from_slice(&result),
            (Before::Kept, Op::Keep { bits }) => {
                if let Some(plan) = &self.shape.all_pairs {
                    let mut sums = vec![0u64; plan.outputs];
                    for (z, (_, _, output)) in result.iter().zip(&plan.kept) {
                        let sum = &mut sums[*output as usize];
                        *sum = sum.wrapping_add(*z) & ring_mask(*bits);
                    }
                    self.words.zeroize();
                    self.words = sums;
                }
            }
            (_, Op::Square { bits, drop, .. }) => {
                let (up, mask) = (R::constant((1 << drop) - 1), ring_mask(*bits));
                for z in &mut result {
                    *z = (z.wrapping_add(up) & mask) >> drop;
                }
                std::mem::swap(&mut self.words, &mut result);
            }
            (Before::Shift, Op::Extend { to, .. }) => {
                let half = R::constant(1 << (self.step.step.value_bits - 1));
                let mask = ring_mask(*to);
                for z in &mut result {
                    *z = z.wrapping_sub(half) & mask;
                }
                std::mem::swap(&mut self.words, &mut result);
            }
            _ => std::mem::swap(&mut self.words, &mut result),
        }
        // What is no longer needed.
        result.zeroize();
    }
}

/// The words before the first operation: keys carry their index, the first one the largest; a max
/// tree without levels already has its outputs.
pub(crate) fn initial<R: Role>(step: &GmwStep, shape: &Shape, mut words: Vec<u64>) -> Vec<u64> {
    if let Some(bits) = step.keys {
        let mask = ring_mask(step.ring + bits);
        for (index, word) in words.iter_mut().enumerate() {
            let below = R::constant(ring_mask(bits) - index as u64);
            *word = (*word << bits).wrapping_add(below) & mask;
        }
    }
    match &shape.levels {
        Some(levels) if levels.pairs.is_empty() => outputs(&levels.outputs, &words),
        _ => words,
    }
}

fn outputs(ids: &[u32], words: &[u64]) -> Vec<u64> {
    ids.iter().map(|id| words[*id as usize]).collect()
}

/// A party's share of an operation's operand, modulo `2^bits`.
pub(crate) fn operand<R: Role>(
    step: &GmwStep,
    shape: &Shape,
    before: &Before,
    bits: u32,
    words: &[u64],
) -> Vec<u64> {
    let mask = ring_mask(bits);
    let add = |constant: u64| words.iter().map(|x| x.wrapping_add(constant) & mask).collect();
    if let Some(plan) = &shape.all_pairs
        && let Some(words) = gathered::<R>(plan, before, mask, words)
    {
        return words;
    }
    match (before, &shape.levels, &shape.sums) {
        (Before::Level(level), Some(levels), _) => {
            let (a, b) = &levels.pairs[*level];
            let difference =
                |(a, b): (&u32, &u32)| words[*a as usize].wrapping_sub(words[*b as usize]) & mask;
            a.iter().zip(b).map(difference).collect()
        }
        (Before::From(constant), ..) => {
            let constant = R::constant(*constant);
            words.iter().map(|x| constant.wrapping_sub(*x) & mask).collect()
        }
        (Before::Shift, ..) => add(R::constant(1 << (step.step.value_bits - 1))),
        (Before::Sum, _, Some(groups)) => {
            let mut sums = vec![0u64; shape.outputs];
            for group in groups {
                for term in &group.terms {
                    for (output, input) in group.outputs.iter().zip(term) {
                        let sum = &mut sums[*output as usize];
                        *sum = sum.wrapping_add(words[*input as usize]) & mask;
                    }
                }
            }
            sums
        }
        _ => add(0),
    }
}

/// A party's share of an operand of [`AllPairs`]; the bits that tell what is kept lie above `mask`,
/// and only where they are there already.
fn gathered<R: Role>(
    plan: &AllPairs,
    before: &Before,
    mask: u64,
    words: &[u64],
) -> Option<Vec<u64>> {
    let bit = |(id, flip): &Literal| {
        let word = words.get(*id as usize).copied().unwrap_or_default();
        word ^ if *flip { R::constant(1) } else { 0 }
    };
    match before {
        Before::Pairs => {
            let word = |id: &u32| if *id == ZERO { 0 } else { words[*id as usize] };
            let (a, b) = &plan.pairs;
            let difference = |(a, b): (&u32, &u32)| word(a).wrapping_sub(word(b)) & mask;
            Some(a.iter().zip(b).map(difference).collect())
        }
        Before::Both(level) => {
            let (a, b) = &plan.ands[*level];
            Some(a.iter().zip(b).map(|(a, b)| bit(a) | bit(b) << 1).collect())
        }
        Before::Kept => {
            let low = mask & ring_mask(KEPT);
            let kept = plan
                .kept
                .iter()
                .map(|(literal, input, _)| (words[*input as usize] & low) | bit(literal) << KEPT);
            Some(kept.collect())
        }
        _ => None,
    }
}
