//! Passes over one level of a forest: sums per tree, and the masked repair of one node per tree.
//!
//! A level is rows of one node per tree. Where the number of trees allows it a row is whole vectors.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use zeroize::Zeroize;

/// Rows that share the high bits of their number.
const RUN_LOG2: u32 = 5;
const RUN: usize = 1 << RUN_LOG2;

/// `totals[i] ^= ` all nodes of tree `i` in `level`.
pub(crate) fn xor_all(isa: AesIsa, level: &[Block], totals: &mut [Block]) {
    dispatch(isa, XorAll { level, totals });
}

/// `nodes[p * trees + i] ^= fixes[i]` where `p == targets[i]`: a scan over all nodes, so that neither
/// branches nor addresses depend on the targets.
pub(crate) fn repair(isa: AesIsa, nodes: &mut [Block], targets: &[u32], fixes: &[Block]) {
    let trees = targets.len();
    // Which rows of a run are a tree's target, going by the low bits alone.
    let mut low: Vec<Block> = (0..RUN as u32)
        .flat_map(|p| targets.iter().map(move |target| mask(target % RUN as u32, p)))
        .collect();
    let mut chosen = vec![Block::ZERO; trees];
    for (run, nodes) in (0u32..).zip(nodes.chunks_mut(RUN * trees)) {
        for ((chosen, fix), target) in chosen.iter_mut().zip(fixes).zip(targets) {
            *chosen = Block(fix.0 & mask(target >> RUN_LOG2, run).0);
        }
        dispatch(isa, AddMasked { nodes, masks: &low, values: &chosen });
    }
    low.zeroize();
    chosen.zeroize();
}

/// All ones if a == b, for values below 2^31, without a branch.
const fn mask(a: u32, b: u32) -> Block {
    Block(u128::MAX).select((a ^ b).wrapping_sub(1) >> 31 == 1)
}

struct XorAll<'a> {
    level: &'a [Block],
    totals: &'a mut [Block],
}

impl Kernel for XorAll<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { level, totals } = self;
        if totals.len().is_multiple_of(V::BLOCKS) {
            xor_columns::<V>(level, totals);
        } else {
            xor_columns::<V::Single>(level, totals);
        }
    }
}

#[inline(always)]
fn xor_columns<V: Vector>(level: &[Block], totals: &mut [Block]) {
    let trees = totals.len();
    for (column, total) in totals.chunks_exact_mut(V::BLOCKS).enumerate() {
        let mut sum = V::load(total);
        for row in level.chunks_exact(trees) {
            let (_, row) = row.split_at(column * V::BLOCKS);
            sum = sum.xor(V::load(row));
        }
        sum.store(total);
    }
}

/// `nodes[p][i] ^= masks[p][i] & values[i]`.
struct AddMasked<'a> {
    nodes: &'a mut [Block],
    masks: &'a [Block],
    values: &'a [Block],
}

impl Kernel for AddMasked<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { nodes, masks, values } = self;
        if values.len().is_multiple_of(V::BLOCKS) {
            add_masked::<V>(nodes, masks, values);
        } else {
            add_masked::<V::Single>(nodes, masks, values);
        }
    }
}

#[inline(always)]
fn add_masked<V: Vector>(nodes: &mut [Block], masks: &[Block], values: &[Block]) {
    let rows = nodes.chunks_exact_mut(values.len()).zip(masks.chunks_exact(values.len()));
    for (nodes, masks) in rows {
        let columns = nodes.chunks_exact_mut(V::BLOCKS).zip(masks.chunks_exact(V::BLOCKS));
        for ((nodes, masks), values) in columns.zip(values.chunks_exact(V::BLOCKS)) {
            V::load(nodes).xor_and(V::load(masks), V::load(values)).store(nodes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conformance_passes_equal_their_definition_on_every_instruction_set() {
        for isa in AesIsa::all() {
            for (trees, rows) in [(1usize, 2usize), (3, 64), (4, 16), (8, 2048), (16, 4)] {
                let nodes: Vec<Block> = (0..(trees * rows) as u128)
                    .map(|i| Block(i.wrapping_mul(u128::MAX / 5)))
                    .collect();
                let mut totals = vec![Block(9); trees];
                xor_all(isa, &nodes, &mut totals);
                for (i, total) in totals.iter().enumerate() {
                    let sum = nodes.iter().skip(i).step_by(trees).fold(9, |sum, node| sum ^ node.0);
                    assert_eq!(total.0, sum);
                }
                let targets: Vec<u32> = (0..trees).map(|i| (i * 37 % rows) as u32).collect();
                let mut repaired = nodes.clone();
                repair(isa, &mut repaired, &targets, &totals);
                for (at, (after, before)) in repaired.iter().zip(&nodes).enumerate() {
                    let (p, i) = (at / trees, at % trees);
                    let hit = targets[i] as usize == p;
                    assert_eq!(after.0, before.0 ^ if hit { totals[i].0 } else { 0 });
                }
            }
        }
    }

    #[test]
    fn properties_masks_are_all_ones_exactly_for_equal_numbers() {
        for a in [0u32, 1, 2, 31, 255, 8191] {
            for b in [0u32, 1, 2, 31, 255, 8191] {
                assert_eq!(mask(a, b).0, if a == b { u128::MAX } else { 0 });
            }
        }
    }
}
