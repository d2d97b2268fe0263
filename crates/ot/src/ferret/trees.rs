//! Both parties' half of a group of trees (the chart is in `ferret.rs`), and the check of the sender's.
//!
//! The sender adds to its sums, per tree, the XOR `T_i` of all leaves' *shadows* (one hash more of each
//! leaf), and per group one digest C of the trees' universal hashes `C_i` of their shadows, under a
//! challenge that all sums and `T_i` determine. The receiver completes the one shadow per tree that it
//! cannot compute by `T_i`, and compares.
//!
//! - Sums that fit no tree give different leaves, so different shadows, to different noise positions: the
//!   positions of a tree fall into classes of equal shadows. `C_i` tells all classes of a tree apart, but
//!   for 2^-99 per tree and challenge (2^{2h - 1} pairs of positions, polynomials of degree 2^h), and C fits
//!   one tuple of `C_i` unless the digest has a collision. So a sender that cheats guesses one class per
//!   tree in which the receiver's position lies, and a wrong guess ends the session before anything is
//!   handed out: the leakage of Ferret's functionality. In a class of two positions or more the leaves of
//!   a tree XOR to the Delta of the retained OTs, because the sums of a level differ by it.
//! - Digests have 128 bits: who finds w tuples with one digest (2^64 hashes within the session for w = 2,
//!   2^{128 (w - 1) / w} in general) guesses one of w, and gains log2 w bits once.
//! - `T_i` shows the receiver H of the leaf that it lacks: a hash under Delta with a tweak of its own.
//! - The receiver's corrections d need no check: any d is a choice of noise positions.
//! - A sender that finds two leaves with one shadow (2^64 hashes under this session's key, to which the
//!   receiver contributed, so within the session) gains one such guess that is not punished.
//!
//! Source: the malicious PPRF of Roy, "SoftSpokenOT" (CRYPTO 2022), section 4, checked by a universal
//! hash as in Yang, Weng, Lan, Zhang, Wang, "Ferret" (CCS 2020), without their round trip.

use std::collections::VecDeque;

use gazelle_block::{BitVec, Block, Blocks};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::ahead::ChoicesAhead;
use super::batch::{BatchParty, TreeGroup, TreeTools};
use super::code::Code;
use super::parameters::{Parameters, said};
use crate::consistency::Checks;
use crate::error::OtError;
use crate::extension::Half;
use crate::ggm::Repair;

/// The check's name in errors.
const CHECK: &str = "the check of the sender's trees";

/// The party with Delta: it knows all leaves.
pub(super) struct Knower {
    delta: Block,
    /// The receiver's corrections d of the batch, `[tree][level]`.
    corrections: BitVec,
    /// Those of the batches to come.
    announced: VecDeque<BitVec>,
}

impl Knower {
    pub(super) fn new(delta: Block) -> Self {
        Self { delta, corrections: BitVec::new(), announced: VecDeque::new() }
    }

    /// Grows the group; the sums of left halves, `[level][tree]`, under the retained OTs.
    pub(super) fn sums(
        &self,
        tools: &mut TreeTools,
        group: &mut TreeGroup<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Vec<Block> {
        let (trees, depth) = (group.trees(), group.depth);
        let (top, _) = group.leaves.split_at_mut(2 * trees);
        let (left, right) = top.split_at_mut(trees);
        Block::fill_random(left, rng);
        for (right, left) in right.iter_mut().zip(left) {
            *right = *left ^ self.delta;
        }
        let mut sums = Vec::with_capacity(said(trees, depth));
        let (left, _) = group.leaves.split_at(trees);
        sums.extend_from_slice(left);
        tools.grower.grow_summed(group.leaves, 2 * trees, trees, |left| {
            sums.extend_from_slice(left);
        });
        for (at, sum) in sums.iter_mut().enumerate() {
            let (level, tree) = (at / trees, at % trees);
            let flip = self.corrections.get((group.first + tree) * depth + level);
            let y = group.retained.get(tree * depth + level).copied().unwrap_or_default();
            *sum ^= y ^ self.delta.select(flip);
        }
        sums
    }
}

/// Adds to the sums of a group what the receiver checks them by.
pub(super) fn prove(sums: &mut Vec<Block>, tools: &mut TreeTools, group: &mut TreeGroup<'_>) {
    let trees = group.trees();
    let shadows = tools.cast(group.leaves, trees, None);
    sums.extend_from_slice(&shadows);
    let hash = tools.hash(sums, trees, None);
    sums.push(hash);
}

impl Drop for Knower {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl BatchParty for Knower {
    const SPEAKS: bool = true;

    fn announce(
        &mut self,
        parameters: &Parameters,
        _rows: (&Code, u64),
        _ahead: usize,
        ch: &mut Channel,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<u8>, OtError> {
        self.announced.push_back(ch.recv(&(parameters.t() * parameters.h() as usize))?);
        Ok(Vec::new())
    }

    fn begin(&mut self) -> Result<(), OtError> {
        self.corrections = self.announced.pop_front().ok_or(OtError::Unannounced)?;
        Ok(())
    }

    fn leaves(
        &mut self,
        tools: &mut TreeTools,
        mut group: TreeGroup<'_>,
        half: &mut Half<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<Repair>, OtError> {
        let mut sums = self.sums(tools, &mut group, rng);
        prove(&mut sums, tools, &mut group);
        let count = sums.len();
        let ch = half.sending()?;
        ch.send(&Blocks(sums), &count)?;
        // At once, so that the receiver works on this group while the next one is made.
        ch.flush()?;
        Ok(None)
    }
}

/// The party with the noise positions: it knows all leaves but one per tree.
#[derive(Default)]
pub(super) struct Puncturer {
    pub(super) paths: Vec<u32>,
    ahead: ChoicesAhead,
    checks: Checks,
}

impl Puncturer {
    pub(super) fn new(checks: Checks) -> Self {
        Self { paths: Vec::new(), ahead: ChoicesAhead::default(), checks }
    }
}

impl Drop for Puncturer {
    fn drop(&mut self) {
        self.paths.zeroize();
    }
}

impl BatchParty for Puncturer {
    const SPEAKS: bool = false;

    fn start(&mut self, choices: Vec<u8>) {
        self.ahead.start(choices);
    }

    fn announce(
        &mut self,
        parameters: &Parameters,
        rows: (&Code, u64),
        ahead: usize,
        ch: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Vec<u8>, OtError> {
        let (corrections, choices) = self.ahead.next(parameters, rows, ahead, rng);
        ch.send(&corrections, &corrections.len())?;
        Ok(choices)
    }

    fn begin(&mut self) -> Result<(), OtError> {
        self.paths.zeroize();
        self.paths = self.ahead.take().ok_or(OtError::Unannounced)?;
        Ok(())
    }

    fn leaves(
        &mut self,
        tools: &mut TreeTools,
        group: TreeGroup<'_>,
        half: &mut Half<'_>,
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<Repair>, OtError> {
        let (trees, depth) = (group.trees(), group.depth);
        let TreeGroup { first, retained, leaves, .. } = group;
        let (_, paths) = self.paths.split_at(first);
        let (paths, _) = paths.split_at(trees);
        let said = half.receiving()?.recv::<Blocks>(&said(trees, depth))?;
        let Some((hash, said)) = said.0.split_last() else { return Ok(None) };
        let (sums, shadows) = said.split_at(trees * depth);
        // [level][tree]: the sum of the side that the path does not take.
        let mut sums = Zeroizing::new(sums.to_vec());
        for (at, sum) in sums.iter_mut().enumerate() {
            let (level, tree) = (at / trees, at % trees);
            *sum ^= retained.get(tree * depth + level).copied().unwrap_or_default();
        }
        let (top, deeper) = sums.split_at(trees);
        let (roots, _) = leaves.split_at_mut(2 * trees);
        let (left, right) = roots.split_at_mut(trees);
        for (((left, right), top), path) in left.iter_mut().zip(right).zip(top).zip(paths) {
            *left = top.select(path & 1 == 1);
            *right = top.select(path & 1 == 0);
        }
        let mut levels = deeper.chunks_exact(trees);
        let grown =
            tools.grower.grow_open(leaves, 2 * trees, paths, |_| levels.next().unwrap_or_default());
        let Some((sibling, totals)) = grown else { return Ok(None) };
        // The missing leaf's shadow is what all others lack.
        let sums = tools.cast(leaves, trees, Some(&sibling));
        let fixes = sums.iter().zip(shadows).map(|(sum, right)| *sum ^ *right).collect();
        let missing = Repair { targets: paths.to_vec(), fixes };
        let fits = bool::from(tools.hash(said, trees, Some(&missing)).ct_eq(hash));
        self.checks.require(fits, CHECK)?;
        // All leaves of a tree XOR to Delta: the missing one is v ^ Delta, with lowest bit 1.
        let whole = totals.iter().zip(&sibling.fixes).map(|(total, fix)| *total ^ *fix);
        let fixes = whole.map(|total| Block(total.0 | 1)).collect();
        Ok(Some(Repair { targets: paths.to_vec(), fixes }))
    }
}
