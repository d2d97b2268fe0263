//! GGM trees in batches: binary trees whose nodes are hashed from their parent, all trees in lockstep.
//!
//! Node `p` of tree `i` at depth d lies at `p * trees + i`; its children are `p` (left) and `p + 2^d`
//! (right). So bit d of a leaf's number is the turn taken at depth d, and every level is doubled by one
//! long run of the hash. With a node x hashed under index t:
//!
//! - [`TreeKind::Plain`]: left = H(x; t), right = H(x; t'), t' an index of its own;
//! - [`TreeKind::Correlated`] (half-tree: Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, EUROCRYPT 2023): left =
//!   H(x; t), right = x ^ left. Every level of a tree XORs to the same value, Delta.
//!
//! A *punctured* forest knows all nodes but those on one path per tree. It holds garbage there, and is
//! repaired at each level by one masked XOR over all nodes: nothing is branched on or indexed by the
//! paths, which are secret.

pub(crate) mod commitment;
pub(crate) mod fused;
pub(crate) mod level;
mod shadow;

use gazelle_block::Block;
use gazelle_block::aes::AesIsa;
use gazelle_block::hash::HashSeed;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use fused::Repair;
pub(crate) use level::{repair, xor_all};

/// Blocks hashed at once when both children take a hash.
const PIECE: usize = 256;

/// How children follow from their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeKind {
    /// Two hashes.
    Plain,
    /// One hash; levels XOR to Delta.
    Correlated,
}

/// Grows trees; indices run on from call to call.
pub(crate) struct Grower {
    hash: HashSeed,
    tweak: u64,
    kind: TreeKind,
    pub(crate) isa: AesIsa,
}

impl Grower {
    /// `first_tweak` is the first index used.
    pub(crate) fn new(hash: HashSeed, first_tweak: u64, kind: TreeKind) -> Self {
        Self { hash, tweak: first_tweak, kind, isa: AesIsa::best() }
    }

    /// Doubles a level: `nodes` has room for the children, its first half holds the parents.
    fn double(&mut self, nodes: &mut [Block]) {
        let (left, right) = nodes.split_at_mut(nodes.len() / 2);
        right.copy_from_slice(left);
        let tweak = self.next(left.len());
        self.hash.hash(tweak, right, left);
        match self.kind {
            TreeKind::Correlated => {
                for (right, left) in right.iter_mut().zip(left) {
                    *right ^= *left;
                }
            }
            TreeKind::Plain => {
                let mut input = [Block::ZERO; PIECE];
                for right in right.chunks_mut(PIECE) {
                    let (input, _) = input.split_at_mut(right.len());
                    input.copy_from_slice(right);
                    let tweak = self.next(right.len());
                    self.hash.hash(tweak, input, right);
                }
                input.zeroize();
            }
        }
    }

    /// Repairs the parents, then doubles; `totals[side][i]` becomes the sum of the left or right half
    /// of tree `i`'s new level.
    fn double_summed(
        &mut self,
        nodes: &mut [Block],
        pending: Option<&Repair>,
        totals: &mut [Vec<Block>; 2],
    ) {
        let [left, right] = totals;
        left.fill(Block::ZERO);
        right.fill(Block::ZERO);
        if self.kind == TreeKind::Correlated && fused::fits(left.len()) {
            let tweak = self.next(nodes.len() / 2);
            return fused::double((&self.hash, self.isa), tweak, nodes, pending, [left, right]);
        }
        if let Some(Repair { targets, fixes }) = pending {
            let (parents, _) = nodes.split_at_mut(nodes.len() / 2);
            repair(self.isa, parents, targets, fixes);
        }
        self.double(nodes);
        let (left_nodes, right_nodes) = nodes.split_at(nodes.len() / 2);
        xor_all(self.isa, left_nodes, left);
        xor_all(self.isa, right_nodes, right);
    }

    /// Repairs the leaves; then their shadows: one more hash of each, as if a level followed of which only
    /// left children count. `out` is as long as `leaves`; `totals[i] ^=` the shadows of tree i.
    pub(crate) fn shadow(
        &mut self,
        leaves: &mut [Block],
        pending: Option<&Repair>,
        out: &mut [Block],
        totals: &mut [Block],
    ) {
        let tweak = self.next(leaves.len());
        shadow::cast((&self.hash, self.isa), tweak, leaves, pending, out, totals);
    }

    fn next(&mut self, count: usize) -> u64 {
        let first = self.tweak;
        self.tweak += count as u64;
        first
    }

    /// Grows all of `nodes` from its first `have` blocks. `each` sees every new level.
    pub(crate) fn grow(
        &mut self,
        nodes: &mut [Block],
        have: usize,
        mut each: impl FnMut(&[Block]),
    ) {
        let mut size = have;
        while size < nodes.len() {
            size *= 2;
            let (level, _) = nodes.split_at_mut(size);
            self.double(level);
            each(level);
        }
    }

    /// As [`grow`](Self::grow), `trees` of them; `each` sees the sums of every new level's left half.
    pub(crate) fn grow_summed(
        &mut self,
        nodes: &mut [Block],
        have: usize,
        trees: usize,
        mut each: impl FnMut(&[Block]),
    ) {
        let mut totals = [vec![Block::ZERO; trees], vec![Block::ZERO; trees]];
        let mut size = have;
        while size < nodes.len() {
            size *= 2;
            let (level, _) = nodes.split_at_mut(size);
            self.double_summed(level, None, &mut totals);
            let [left, _] = &totals;
            each(left);
        }
        for side in &mut totals {
            side.zeroize();
        }
    }

    /// Grows all of `nodes` from its first `have` blocks, knowing everything but one path per tree.
    ///
    /// - `paths[i]`: the unknown leaf of tree `i` (bits as in the module's description).
    /// - `sibling_sums(depth)[i]`: XOR of all nodes at `depth + 1` of tree `i` on the side that its
    ///   path does *not* take at `depth`.
    pub(crate) fn grow_punctured<'a>(
        &mut self,
        nodes: &mut [Block],
        have: usize,
        paths: &[u32],
        sibling_sums: impl FnMut(u32) -> &'a [Block],
    ) {
        if let Some((last, _)) = self.grow_open(nodes, have, paths, sibling_sums) {
            repair(self.isa, nodes, &last.targets, &last.fixes);
        }
    }

    /// As [`grow_punctured`](Self::grow_punctured), but for the last level's repair, which is left to
    /// do; with the sum of each tree's last level as it is without it. Nothing if nothing grows.
    pub(crate) fn grow_open<'a>(
        &mut self,
        nodes: &mut [Block],
        have: usize,
        paths: &[u32],
        mut sibling_sums: impl FnMut(u32) -> &'a [Block],
    ) -> Option<(Repair, Zeroizing<Vec<Block>>)> {
        let trees = paths.len();
        let mut totals = [vec![Block::ZERO; trees], vec![Block::ZERO; trees]];
        let mut pending: Option<Repair> = None;
        let mut size = have;
        while size < nodes.len() {
            let depth = (size / trees).trailing_zeros();
            size *= 2;
            let (level, _) = nodes.split_at_mut(size);
            self.double_summed(level, pending.as_ref(), &mut totals);
            // What the given sum lacks, counting the garbage that stands for the missing node.
            let [left, right] = &totals;
            let known = sibling_sums(depth).iter().zip(paths);
            let fixes = left.iter().zip(right).zip(known);
            let fixes = fixes.map(|((left, right), (known, path))| {
                *known ^ *right ^ (*left ^ *right).select(path >> depth & 1 == 1)
            });
            let low = (2u32 << depth) - 1;
            let targets = paths.iter().map(|path| (path ^ 1 << depth) & low);
            pending = Some(Repair { targets: targets.collect(), fixes: fixes.collect() });
        }
        let [left, right] = &mut totals;
        left.iter_mut().zip(&*right).for_each(|(left, right)| *left ^= *right);
        right.zeroize();
        let sums = Zeroizing::new(std::mem::take(left));
        pending.map(|pending| (pending, sums))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_range_loop, reason = "indices name rows of several arrays")]
    use super::*;
    use gazelle_prg::{Prg, Seed};

    fn grower(kind: TreeKind) -> Grower {
        Grower::new(HashSeed::new(&Seed::from_bytes([7; 16])), 1000, kind)
    }

    fn random(count: usize) -> Vec<Block> {
        let mut blocks = vec![Block::ZERO; count];
        Block::fill_random(&mut blocks, &mut Prg::new(&Seed::from_bytes([8; 16]), 1));
        blocks
    }

    #[test]
    fn properties_correlated_levels_xor_to_delta() {
        let (trees, depth, delta) = (5, 6, random(9)[8]);
        let mut nodes = vec![Block::ZERO; trees << depth];
        for (i, root) in random(trees).into_iter().enumerate() {
            nodes[i] = root;
            nodes[trees + i] = root ^ delta;
        }
        let mut levels = 0;
        grower(TreeKind::Correlated).grow(&mut nodes, 2 * trees, |level| {
            let mut totals = vec![Block::ZERO; trees];
            xor_all(AesIsa::best(), level, &mut totals);
            assert!(totals.iter().all(|total| *total == delta));
            levels += 1;
        });
        assert_eq!(levels, depth - 1);
    }

    #[test]
    fn conformance_a_punctured_forest_agrees_everywhere_but_at_the_paths() {
        for kind in [TreeKind::Plain, TreeKind::Correlated] {
            for (trees, depth) in [(1usize, 1u32), (3, 4), (16, 7), (64, 2)] {
                let mut nodes = vec![Block::ZERO; trees << depth];
                nodes[..trees].copy_from_slice(&random(trees));
                let mut sums = Vec::new();
                grower(kind).grow(&mut nodes, trees, |level| {
                    let (left, right) = level.split_at(level.len() / 2);
                    sums.push([left, right].map(|side| {
                        let mut totals = vec![Block::ZERO; trees];
                        xor_all(AesIsa::best(), side, &mut totals);
                        totals
                    }));
                });
                let paths: Vec<u32> = (0..trees as u32)
                    .map(|i| (i.wrapping_mul(2_654_435_761) >> 7) % (1 << depth))
                    .collect();
                let siblings: Vec<Vec<Block>> = (0..depth)
                    .map(|d| {
                        let side = |i: usize| usize::from(paths[i] >> d & 1 == 0);
                        (0..trees).map(|i| sums[d as usize][side(i)][i]).collect()
                    })
                    .collect();
                let mut punctured = vec![Block(0xbad); trees << depth];
                grower(kind)
                    .grow_punctured(&mut punctured, trees, &paths, |d| &siblings[d as usize]);
                for p in 0..1 << depth {
                    for i in 0..trees {
                        let at = p as usize * trees + i;
                        assert_eq!(
                            punctured[at] == nodes[at],
                            p != paths[i],
                            "leaf {p} of tree {i}"
                        );
                    }
                }
            }
        }
    }

    /// Vectors from tests/vectors/ot.py (Python, AES of the `cryptography` package).
    #[test]
    fn known_answers_of_an_independent_program() {
        let text = include_str!("../tests/vectors/ot.txt");
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with("tree")) {
            let parts: Vec<Vec<&str>> =
                line.split(':').map(|part| part.split_whitespace().collect()).collect();
            let blocks = |part: &[&str]| -> Vec<Block> {
                part.iter().map(|text| Block(u128::from_str_radix(text, 16).unwrap())).collect()
            };
            let kind = if parts[0][1] == "plain" { TreeKind::Plain } else { TreeKind::Correlated };
            let (trees, depth): (usize, u32) =
                (parts[0][2].parse().unwrap(), parts[0][3].parse().unwrap());
            let tweak = u64::from_str_radix(parts[0][4], 16).unwrap();
            let mut nodes = vec![Block::ZERO; trees << depth];
            nodes[..trees].copy_from_slice(&blocks(&parts[1]));
            let hash = HashSeed::new(&Seed::from_bytes(std::array::from_fn(|i| i as u8)));
            Grower::new(hash, tweak, kind).grow(&mut nodes, trees, |_| ());
            assert!(nodes == blocks(&parts[2]), "{}", parts[0].join(" "));
            count += 1;
        }
        assert_eq!(count, 6);
    }
}
