//! A chunk on its way through the chain, at either party.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step; indices are in range by construction"
)]

use std::collections::VecDeque;
use std::ops::Range;

use gazelle_block::BitVec;
use gazelle_convert::{Execution, Planes};
use zeroize::Zeroize;

use crate::gmw::chain::Before;
use crate::gmw::gather::key;
use crate::gmw::plan::{Chunk, GmwStep, Shape};
use crate::gmw::role::Role;

/// The executions of a chunk's operations, in order.
pub(crate) type Executions = VecDeque<Box<dyn Execution>>;

/// A party's material of a chunk, and its share of the chunk's inputs.
pub(crate) type ChunkInput = (Executions, Vec<u64>);

/// A chunk's state. Halves may be made before the peer's of the opening before has come, and come
/// before the own one is made; an opening is complete with both, and the next operation starts with
/// the last one's result.
pub(crate) struct ChunkRun<'a, R> {
    step: &'a GmwStep,
    shape: &'a Shape,
    openings: &'a [(usize, usize)],
    executions: Executions,
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
        executions: Executions,
        words: Vec<u64>,
    ) -> Self {
        let (made, there, complete) = (0, 0, 0);
        let waiting = VecDeque::new();
        let role = std::marker::PhantomData;
        let words = initial::<R>(step, shape, words);
        let mut run =
            Self { step, shape, openings, executions, words, made, there, complete, waiting, role };
        run.start(0);
        run.skip();
        run
    }

    /// This party's and the peer's planes of an opening.
    fn planes(&self, (op, inner): (usize, usize)) -> (usize, usize) {
        R::own_and_peer(self.step.chain.links[op].operation.planes(inner))
    }

    /// This party's halves of some openings.
    pub(crate) fn send(&mut self, openings: Range<usize>) -> BitVec {
        let mut bits = BitVec::new();
        for opening in openings {
            let (op, inner) = self.openings[opening];
            if self.planes((op, inner)).0 > 0 {
                bits.extend(&self.executions[0].half(inner).to_bits());
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
            let (_, peer) = self.planes((op, inner));
            if peer > 0 {
                let lanes = self.shape.gathers[op].lanes();
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
            self.openings.get(index).map(|opening| {
                let (own, peer) = self.planes(*opening);
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
            let (_, peer) = self.planes((op, inner));
            if peer == 0 {
                self.executions[0].complete(inner, &Planes::default());
            } else {
                self.executions[0].complete(inner, &self.waiting[0]);
                self.waiting.pop_front();
            }
            self.complete += 1;
            if inner + 1 == self.step.chain.links[op].operation.openings() {
                self.end(op);
                if op + 1 < self.step.chain.links.len() {
                    self.start(op + 1);
                }
            }
            self.skip();
        }
    }

    /// Hands this party's share to an operation.
    fn start(&mut self, index: usize) {
        let bits = self.step.chain.links[index].operation.operand_bits();
        let x = self.shape.gathers[index].operand::<R>(bits, &self.words);
        self.executions[0].start(x);
    }

    /// Takes an operation's result; its material is spent.
    fn end(&mut self, index: usize) {
        let bits = self.step.chain.links[index].operation.result_bits();
        let result = self.executions[0].result();
        self.executions.pop_front();
        self.shape.gathers[index].take::<R>(bits, &mut self.words, result);
    }
}

impl GmwStep {
    /// Bits of the peer's corrections of a chunk.
    pub(crate) fn corrections<R: Role>(&self, chunk: &Chunk) -> usize {
        let links = self.chain.links.iter().zip(&self.shape_of(chunk).gathers);
        links
            .map(|(link, gather)| {
                R::own_and_peer(link.operation.offline_planes()).1 * gather.lanes()
            })
            .sum()
    }

    /// Hands a chunk's executions the peer's corrections, one after the other.
    pub(crate) fn correct<R: Role>(
        &self,
        chunk: &Chunk,
        executions: &mut Executions,
        corrections: &BitVec,
    ) {
        let gathers = &self.shape_of(chunk).gathers;
        let mut start = 0;
        for ((execution, link), gather) in executions.iter_mut().zip(&self.chain.links).zip(gathers)
        {
            let (_, peer) = R::own_and_peer(link.operation.offline_planes());
            let count = peer * gather.lanes();
            let part = corrections.slice(start, count);
            execution.correct(&Planes::from_bits(&part, gather.lanes()));
            start += count;
        }
    }
}

/// The words before the first operation: keys carry their index, the first one the largest; a max
/// tree without levels already has its outputs.
pub(crate) fn initial<R: Role>(step: &GmwStep, shape: &Shape, mut words: Vec<u64>) -> Vec<u64> {
    let later = step.chain.links.iter().any(|link| matches!(link.before, Before::Keyed(_)));
    if let Some(keys) = step.chain.keys
        && !later
    {
        key::<R>(step.chain.ring, keys, &mut words);
    }
    match &shape.start {
        Some(outputs) => outputs.iter().map(|id| words[*id as usize]).collect(),
        None => words,
    }
}
