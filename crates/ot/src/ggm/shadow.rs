//! The leaves' shadows, one more hash of each, in one pass: the repair that is left to do of the leaves, the
//! hash, and the sums per tree. Where the number of trees divides 16; elsewhere the passes of
//! [`level`](super::level).
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::hash::{HashKey, HashSeed, POINTS, POINTS_LOG2};
use zeroize::Zeroize;

use super::fused::{self, Masked, PLACES, Repair, twice};
use super::level;

/// Repairs the leaves, then `out[n] = H(leaves[n]; first_tweak + n)`; `totals[i] ^=` the shadows of tree i.
pub(crate) fn cast(
    (hash, isa): (&HashSeed, AesIsa),
    first_tweak: u64,
    leaves: &mut [Block],
    repair: Option<&Repair>,
    out: &mut [Block],
    totals: &mut [Block],
) {
    let trees = totals.len();
    if !fused::fits(trees) {
        if let Some(Repair { targets, fixes }) = repair {
            level::repair(isa, leaves, targets, fixes);
        }
        hash.hash(first_tweak, leaves, out);
        level::xor_all(isa, out, totals);
        return;
    }
    let mut sums = [Block::ZERO; PLACES];
    let (mut leaves, mut out, mut tweak, mut at) = (leaves, out, first_tweak, 0);
    while !leaves.is_empty() {
        let point = tweak as usize % POINTS;
        let count = leaves.len().min(POINTS - point);
        let (leaves_now, leaves_later) = leaves.split_at_mut(count);
        let (out_now, out_later) = out.split_at_mut(count);
        let key = hash.key(tweak >> POINTS_LOG2);
        let part = Part { key: &key, point, at, leaves: leaves_now, out: out_now };
        dispatch(isa, Cast { part, trees, repair, sums: &mut sums });
        (leaves, out) = (leaves_later, out_later);
        tweak += count as u64;
        at += count;
    }
    for sums in sums.chunks_exact(trees) {
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total ^= *sum);
    }
    sums.zeroize();
}

/// Leaves from place `at` on, under one key.
struct Part<'a> {
    key: &'a HashKey,
    /// The first one's point.
    point: usize,
    at: usize,
    leaves: &'a mut [Block],
    out: &'a mut [Block],
}

impl Part<'_> {
    #[inline(always)]
    fn split(self, count: usize) -> (Self, Self) {
        let Self { key, point, at, leaves, out } = self;
        let (leaves, leaves_rest) = leaves.split_at_mut(count);
        let (out, out_rest) = out.split_at_mut(count);
        let (later, place) = (point + count, at + count);
        let rest = Part { key, point: later, at: place, leaves: leaves_rest, out: out_rest };
        (Part { key, point, at, leaves, out }, rest)
    }
}

struct Cast<'a> {
    part: Part<'a>,
    trees: usize,
    repair: Option<&'a Repair>,
    sums: &'a mut [Block; PLACES],
}

impl Kernel for Cast<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match (V::BLOCKS, self.trees) {
            (4.., _) => self.groups::<V, 4>(),
            (1, 16) => self.groups::<V, 16>(),
            _ => self.groups::<V, 8>(),
        }
    }
}

impl Cast<'_> {
    /// Vectors from a point that is a multiple of `M * BLOCKS` on, single blocks before and after.
    #[inline(always)]
    fn groups<V: Vector, const M: usize>(self) {
        let Self { part, trees, repair, sums } = self;
        let size = M * V::BLOCKS;
        let head = (part.point.wrapping_neg() % size).min(part.leaves.len());
        let (head, rest) = part.split(head);
        let whole = rest.leaves.len() - rest.leaves.len() % size;
        let (whole, tail) = rest.split(whole);
        for part in [head, tail] {
            for place in 0..part.leaves.len() {
                let Part { key, point, at, .. } = part;
                let (Some(leaf), Some(out)) =
                    (part.leaves.get_mut(place..=place), part.out.get_mut(place..=place))
                else {
                    continue;
                };
                let one = Part { key, point: point + place, at: at + place, leaves: leaf, out };
                run::<V::Single, 1>(one, trees, repair, sums);
            }
        }
        run::<V, M>(whole, trees, repair, sums);
    }
}

/// Groups of `M` vectors, from a point that is a multiple of `M * BLOCKS`.
#[inline(always)]
fn run<V: Vector, const M: usize>(
    part: Part<'_>,
    trees: usize,
    repair: Option<&Repair>,
    sums: &mut [Block; PLACES],
) {
    let Part { key, point, at, leaves, out } = part;
    if leaves.is_empty() {
        return;
    }
    let size = M * V::BLOCKS;
    let keys = V::keys(key.aes());
    let mut offsets = key.offsets::<V, M>(point / size, 0);
    let mut masked = repair.map(|repair| Masked::<V, M>::new(Some(repair), trees, at));
    let step = V::splat(twice((size / trees) as u64));
    let mut totals = [V::splat(Block::ZERO); M];
    for (leaves, out) in leaves.chunks_exact_mut(size).zip(out.chunks_exact_mut(size)) {
        let mut y = offsets.step();
        for (m, (y, leaf)) in y.iter_mut().zip(leaves.chunks_exact_mut(V::BLOCKS)).enumerate() {
            let mut x = V::load(leaf);
            if let Some(masked) = &masked {
                x = masked.add(x, m);
                x.store(leaf);
            }
            *y = y.xor(x);
        }
        if let Some(masked) = &mut masked {
            masked.advance(step);
        }
        let hashed = V::encrypt(&keys, y);
        let shadows = hashed.into_iter().zip(y).zip(&mut totals);
        for (out, ((hashed, y), total)) in out.chunks_exact_mut(V::BLOCKS).zip(shadows) {
            let shadow = hashed.xor(y.sigma());
            shadow.store(out);
            *total = total.xor(shadow);
        }
    }
    for (m, total) in totals.into_iter().enumerate() {
        let mut blocks = [Block::ZERO; 4];
        total.store(&mut blocks);
        for (lane, block) in blocks.iter().take(V::BLOCKS).enumerate() {
            if let Some(sum) = sums.get_mut((at + m * V::BLOCKS + lane) % PLACES) {
                *sum ^= *block;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed};

    use super::*;

    #[test]
    fn conformance_one_pass_equals_repair_hash_and_sums_apart() {
        let hash = HashSeed::new(&Seed::from_bytes([7; 16]));
        let mut rng = Prg::new(&Seed::from_bytes([8; 16]), 1);
        for isa in AesIsa::all() {
            for trees in [1, 2, 3, 4, 8, 16, 32] {
                for (rows, tweak) in [(1, 5u64), (8, 0), (64, 4090), (1024, 12), (600, 4096 - 8)] {
                    let mut leaves = vec![Block::ZERO; rows * trees];
                    Block::fill_random(&mut leaves, &mut rng);
                    let targets = (0..trees).map(|i| (i * 37 % rows) as u32).collect();
                    let mut fixes = vec![Block::ZERO; trees];
                    Block::fill_random(&mut fixes, &mut rng);
                    let repair = Repair { targets, fixes };
                    for repair in [None, Some(&repair)] {
                        let (mut got, mut expected) = (leaves.clone(), leaves.clone());
                        let mut shadows = [vec![Block::ZERO; leaves.len()], leaves.clone()];
                        let mut totals = [vec![Block(3); trees], vec![Block(3); trees]];
                        let [left, right] = &mut shadows;
                        cast((&hash, isa), tweak, &mut got, repair, left, &mut totals[0]);
                        if let Some(Repair { targets, fixes }) = repair {
                            level::repair(isa, &mut expected, targets, fixes);
                        }
                        hash.hash(tweak, &expected, right);
                        level::xor_all(isa, right, &mut totals[1]);
                        assert!(got == expected, "{} {trees} {rows} {tweak}", isa.name());
                        assert!(shadows[0] == shadows[1], "{} {trees} {rows}", isa.name());
                        assert!(totals[0] == totals[1], "{} {trees} {rows}", isa.name());
                    }
                }
            }
        }
    }
}
