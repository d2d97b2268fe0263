//! Correlated trees in one pass per level: the repair of the level above, the hash, both children and
//! their sums. Where the number of trees divides 16; elsewhere the passes of [`level`](super::level).
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::hash::{HashKey, HashSeed, POINTS, POINTS_LOG2};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Places over which sums are kept apart: a multiple of the blocks of any group of vectors.
pub(crate) const PLACES: usize = 16;

/// Still to be done: `nodes[p * trees + i] ^= fixes[i]` where `p == targets[i]`. Secret.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Repair {
    pub(crate) targets: Vec<u32>,
    pub(crate) fixes: Vec<Block>,
}

/// Whether forests of so many trees go through these kernels.
pub(crate) const fn fits(trees: usize) -> bool {
    matches!(trees, 1 | 2 | 4 | 8 | 16)
}

/// Doubles a level (`nodes` has room for the children, its first half holds the parents), after
/// `repair` of the parents: left = H(x; tweak + place), right = x ^ left. `totals[side][i] ^=` the
/// children of tree i.
pub(crate) fn double(
    (hash, isa): (&HashSeed, AesIsa),
    first_tweak: u64,
    nodes: &mut [Block],
    repair: Option<&Repair>,
    totals: [&mut [Block]; 2],
) {
    let [totals_left, totals_right] = totals;
    let trees = totals_left.len();
    let (mut left, mut right) = nodes.split_at_mut(nodes.len() / 2);
    let mut sums = [[Block::ZERO; PLACES]; 2];
    let (mut tweak, mut at) = (first_tweak, 0);
    while !left.is_empty() {
        let point = tweak as usize % POINTS;
        let count = left.len().min(POINTS - point);
        let (left_now, left_later) = left.split_at_mut(count);
        let (right_now, right_later) = right.split_at_mut(count);
        let key = hash.key(tweak >> POINTS_LOG2);
        let part = ForestPart { key: &key, point, at, left: left_now, right: right_now };
        dispatch(isa, Double { part, trees, repair, sums: &mut sums });
        (left, right) = (left_later, right_later);
        tweak += count as u64;
        at += count;
    }
    let [left, right] = &sums;
    for (totals, sums) in [(totals_left, left), (totals_right, right)] {
        for sums in sums.chunks_exact(trees) {
            totals.iter_mut().zip(sums).for_each(|(total, sum)| *total ^= *sum);
        }
    }
    sums.as_flattened_mut().zeroize();
}

/// Parents from place `at` of the level on, under one key.
struct ForestPart<'a> {
    key: &'a HashKey,
    /// The first one's point.
    point: usize,
    at: usize,
    left: &'a mut [Block],
    right: &'a mut [Block],
}

impl ForestPart<'_> {
    #[inline(always)]
    fn split(self, count: usize) -> (Self, Self) {
        let Self { key, point, at, left, right } = self;
        let (left, left_rest) = left.split_at_mut(count);
        let (right, right_rest) = right.split_at_mut(count);
        let rest = ForestPart {
            key,
            point: point + count,
            at: at + count,
            left: left_rest,
            right: right_rest,
        };
        (ForestPart { key, point, at, left, right }, rest)
    }
}

struct Double<'a> {
    part: ForestPart<'a>,
    trees: usize,
    repair: Option<&'a Repair>,
    sums: &'a mut [[Block; PLACES]; 2],
}

impl Kernel for Double<'_> {
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

impl Double<'_> {
    #[inline(always)]
    fn groups<V: Vector, const M: usize>(self) {
        let Self { part, trees, repair, sums } = self;
        let size = M * V::BLOCKS;
        let head = (part.point.wrapping_neg() % size).min(part.left.len());
        let (head, rest) = part.split(head);
        let whole = rest.left.len() - rest.left.len() % size;
        let (whole, tail) = rest.split(whole);
        singles::<V::Single>(head, trees, repair, sums);
        if !whole.left.is_empty() {
            vectors::<V, M>(whole, trees, repair, sums);
        }
        singles::<V::Single>(tail, trees, repair, sums);
    }
}

/// From a point that is a multiple of `M * BLOCKS`, itself a multiple of `trees`.
#[inline(always)]
fn vectors<V: Vector, const M: usize>(
    part: ForestPart<'_>,
    trees: usize,
    repair: Option<&Repair>,
    sums: &mut [[Block; PLACES]; 2],
) {
    let ForestPart { key, point, at, left, right } = part;
    let size = M * V::BLOCKS;
    let keys = V::keys(key.aes());
    let mut offsets = key.offsets::<V, M>(point / size, 0);
    let mut masked = Masked::<V, M>::new(repair, trees, at);
    let step = V::splat(twice((size / trees) as u64));
    let (mut left_sums, mut right_sums) = ([V::splat(Block::ZERO); M], [V::splat(Block::ZERO); M]);
    for (left, right) in left.chunks_exact_mut(size).zip(right.chunks_exact_mut(size)) {
        let mut x = offsets.step();
        let mut y = x;
        for (m, (x, left)) in x.iter_mut().zip(left.chunks_exact(V::BLOCKS)).enumerate() {
            *x = masked.add(V::load(left), m);
        }
        masked.advance(step);
        for (y, x) in y.iter_mut().zip(x) {
            *y = y.xor(x);
        }
        let hashed = V::encrypt(&keys, y);
        let parts = left.chunks_exact_mut(V::BLOCKS).zip(right.chunks_exact_mut(V::BLOCKS));
        let sums = left_sums.iter_mut().zip(&mut right_sums);
        for (((left, right), (left_sum, right_sum)), ((hashed, y), x)) in
            parts.zip(sums).zip(hashed.into_iter().zip(y).zip(x))
        {
            let child = hashed.xor(y.sigma());
            let other = x.xor(child);
            child.store(left);
            other.store(right);
            *left_sum = left_sum.xor(child);
            *right_sum = right_sum.xor(other);
        }
    }
    for (total, sum) in sums.iter_mut().zip([left_sums, right_sums]) {
        for (m, sum) in sum.into_iter().enumerate() {
            let mut blocks = [Block::ZERO; 4];
            sum.store(&mut blocks);
            for (lane, block) in blocks.iter().take(V::BLOCKS).enumerate() {
                if let Some(total) = total.get_mut((at + m * V::BLOCKS + lane) % PLACES) {
                    *total ^= *block;
                }
            }
        }
    }
}

/// One by one, wherever they lie.
#[inline(always)]
fn singles<V: Vector>(
    part: ForestPart<'_>,
    trees: usize,
    repair: Option<&Repair>,
    sums: &mut [[Block; PLACES]; 2],
) {
    let ForestPart { key, point, at, left, right } = part;
    if left.is_empty() {
        return;
    }
    let keys = V::keys(key.aes());
    let mut offsets = key.offsets::<V, 1>(point, 0);
    let parts = left.chunks_exact_mut(1).zip(right.chunks_exact_mut(1));
    for (place, (left, right)) in (at..).zip(parts) {
        let x = Masked::<V, 1>::new(repair, trees, place).add(V::load(left), 0);
        let [offset] = offsets.step();
        let y = x.xor(offset);
        let [hashed] = V::encrypt(&keys, [y]);
        hashed.xor(y.sigma()).store(left);
        x.xor(V::load(left)).store(right);
        for (sums, child) in sums.iter_mut().zip([left, right]) {
            if let (Some(sum), Some(child)) = (sums.get_mut(place % PLACES), child.first()) {
                *sum ^= *child;
            }
        }
    }
}

/// A repair as vectors, for places that go in steps of `M * BLOCKS`.
pub(crate) struct Masked<V, const M: usize> {
    rows: [V; M],
    targets: [V; M],
    fixes: [V; M],
}

impl<V: Vector, const M: usize> Masked<V, M> {
    /// From place `at` on; without `repair` nothing changes.
    #[inline(always)]
    pub(crate) fn new(repair: Option<&Repair>, trees: usize, at: usize) -> Self {
        let target = |place: usize| {
            let target = repair.and_then(|repair| repair.targets.get(place % trees));
            twice(u64::from(target.copied().unwrap_or_default()))
        };
        let fix = |place: usize| {
            let fix = repair.and_then(|repair| repair.fixes.get(place % trees));
            fix.copied().unwrap_or_default()
        };
        Self {
            rows: spread::<V, M>(|q| twice(((at + q) / trees) as u64)),
            targets: spread::<V, M>(|q| target(at + q)),
            fixes: spread::<V, M>(|q| fix(at + q)),
        }
    }

    /// Node vector `m` of this step, repaired.
    #[inline(always)]
    pub(crate) fn add(&self, node: V, m: usize) -> V {
        match (self.rows.get(m), self.targets.get(m), self.fixes.get(m)) {
            (Some(row), Some(target), Some(fix)) => node.xor_where_equal(*row, *target, *fix),
            _ => node,
        }
    }

    /// To the next step, `rows` rows further in both halves.
    #[inline(always)]
    pub(crate) fn advance(&mut self, rows: V) {
        for row in &mut self.rows {
            *row = row.add_halves(rows);
        }
    }
}

/// A number in both halves of a block.
pub(crate) const fn twice(x: u64) -> Block {
    Block(x as u128 | (x as u128) << 64)
}

#[inline(always)]
fn spread<V: Vector, const M: usize>(block: impl Fn(usize) -> Block) -> [V; M] {
    let mut out = [V::splat(Block::ZERO); M];
    for (m, out) in out.iter_mut().enumerate() {
        let mut blocks = [Block::ZERO; 4];
        for (lane, slot) in blocks.iter_mut().enumerate().take(V::BLOCKS) {
            *slot = block(m * V::BLOCKS + lane);
        }
        *out = V::load(&blocks);
    }
    out
}

#[cfg(test)]
mod tests {
    use gazelle_prg::{Prg, Seed};

    use super::super::level;
    use super::*;

    #[test]
    fn conformance_one_pass_equals_repair_hash_and_sums_apart() {
        let hash = HashSeed::new(&Seed::from_bytes([7; 16]));
        let mut rng = Prg::new(&Seed::from_bytes([8; 16]), 1);
        for isa in AesIsa::all() {
            for trees in [1, 2, 4, 8, 16] {
                assert!(fits(trees));
                for (parents, tweak) in [(1, 5u64), (8, 0), (64, 4090), (1024, 12), (600, 4096 - 8)]
                {
                    let mut nodes = vec![Block::ZERO; 2 * parents * trees];
                    Block::fill_random(&mut nodes, &mut rng);
                    let targets = (0..trees).map(|i| (i * 37 % parents) as u32).collect();
                    let mut fixes = vec![Block::ZERO; trees];
                    Block::fill_random(&mut fixes, &mut rng);
                    let repair = Repair { targets, fixes };
                    for repair in [None, Some(&repair)] {
                        let (mut got, mut expected) = (nodes.clone(), nodes.clone());
                        let mut totals = [vec![Block(3); trees], vec![Block(5); trees]];
                        let mut sums = totals.clone();
                        let [left, right] = &mut totals;
                        double((&hash, isa), tweak, &mut got, repair, [left, right]);
                        let (left, right) = expected.split_at_mut(parents * trees);
                        if let Some(Repair { targets, fixes }) = repair {
                            level::repair(isa, left, targets, fixes);
                        }
                        right.copy_from_slice(left);
                        hash.hash(tweak, right, left);
                        right.iter_mut().zip(&*left).for_each(|(right, left)| *right ^= *left);
                        level::xor_all(isa, left, &mut sums[0]);
                        level::xor_all(isa, right, &mut sums[1]);
                        assert!(got == expected, "{} {trees} {parents} {tweak}", isa.name());
                        assert!(totals == sums, "{} {trees} {parents} {tweak}", isa.name());
                    }
                }
            }
        }
        assert!(!fits(3) && !fits(32));
    }
}
