//! Hashing correlated OTs in place: one pass over the caller's buffers, many lanes per AES call.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use std::ops::Range;

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::hash::{HashKey, HashSeed, POINTS, POINTS_LOG2};

/// Vectors per AES call.
const GROUP: usize = 4;

/// `ones[i] = H(y_i ^ delta; tweak + i)`, `zeros[i] = H(y_i; tweak + i)`, y given in `zeros`.
pub(super) fn hash_both(
    hash: &HashSeed,
    tweaks: Range<u64>,
    delta: Block,
    zeros: &mut [Block],
    ones: &mut [Block],
) {
    let (mut tweak, mut zeros, mut ones) = (tweaks.start, zeros, ones);
    while !zeros.is_empty() {
        let (key, first, count) = next_key(hash, tweak, zeros.len());
        let (zeros_now, zeros_later) = zeros.split_at_mut(count);
        let (ones_now, ones_later) = ones.split_at_mut(count);
        let job = BothHashes { delta, zeros: zeros_now, ones: ones_now };
        dispatch(AesIsa::best(), HashRun { key: &key, first, job });
        (zeros, ones) = (zeros_later, ones_later);
        tweak += count as u64;
    }
}

/// `strings[i] = H(z_i; tweak + i)`, z given in `strings`.
pub(super) fn hash_one(hash: &HashSeed, tweaks: Range<u64>, strings: &mut [Block]) {
    let (mut tweak, mut strings) = (tweaks.start, strings);
    while !strings.is_empty() {
        let (key, first, count) = next_key(hash, tweak, strings.len());
        let (now, later) = strings.split_at_mut(count);
        dispatch(AesIsa::best(), HashRun { key: &key, first, job: One { strings: now } });
        strings = later;
        tweak += count as u64;
    }
}

/// The key of `tweak`, its first point there, and how many of `count` points it serves.
fn next_key(hash: &HashSeed, tweak: u64, count: usize) -> (HashKey, usize, usize) {
    let point = tweak as usize % POINTS;
    (hash.key(tweak >> POINTS_LOG2), point, count.min(POINTS - point))
}

/// A computation on points one after the other.
trait HashJob {
    fn len(&self) -> usize;
    /// The next `M * V::BLOCKS` points; `offsets` are theirs. Advances by as many.
    fn step<V: Vector, const M: usize>(&mut self, keys: &V::Keys, offsets: [V; M]);
}

struct HashRun<'a, J> {
    key: &'a HashKey,
    first: usize,
    job: J,
}

impl<J: HashJob> Kernel for HashRun<'_, J> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { key, first, mut job } = self;
        // Single blocks up to a point that a group of vectors can start at, and at the end.
        let head = (first.wrapping_neg() % (GROUP * V::BLOCKS)).min(job.len());
        steps::<V::Single, 1, J>(key, first, head, &mut job);
        let middle = job.len() - job.len() % (GROUP * V::BLOCKS);
        steps::<V, GROUP, J>(key, first + head, middle, &mut job);
        let tail = job.len();
        steps::<V::Single, 1, J>(key, first + head + middle, tail, &mut job);
    }
}

#[inline(always)]
fn steps<V: Vector, const M: usize, J: HashJob>(
    key: &HashKey,
    first: usize,
    count: usize,
    job: &mut J,
) {
    if count == 0 {
        return;
    }
    let keys = V::keys(key.aes());
    let mut offsets = key.offsets::<V, M>(first / (M * V::BLOCKS), 0);
    for _ in 0..count / (M * V::BLOCKS) {
        job.step::<V, M>(&keys, offsets.step());
    }
}

struct One<'a> {
    strings: &'a mut [Block],
}

impl HashJob for One<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.strings.len()
    }

    #[inline(always)]
    fn step<V: Vector, const M: usize>(&mut self, keys: &V::Keys, offsets: [V; M]) {
        let (now, later) = std::mem::take(&mut self.strings).split_at_mut(M * V::BLOCKS);
        self.strings = later;
        let mut inputs = offsets;
        for (input, blocks) in inputs.iter_mut().zip(now.chunks_exact(V::BLOCKS)) {
            *input = input.xor(V::load(blocks));
        }
        let hashed = V::encrypt(keys, inputs);
        for ((blocks, input), hashed) in now.chunks_exact_mut(V::BLOCKS).zip(inputs).zip(hashed) {
            hashed.xor(input.sigma()).store(blocks);
        }
    }
}

struct BothHashes<'a> {
    delta: Block,
    zeros: &'a mut [Block],
    ones: &'a mut [Block],
}

impl HashJob for BothHashes<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.zeros.len()
    }

    #[inline(always)]
    fn step<V: Vector, const M: usize>(&mut self, keys: &V::Keys, offsets: [V; M]) {
        let (zeros, later) = std::mem::take(&mut self.zeros).split_at_mut(M * V::BLOCKS);
        self.zeros = later;
        let (ones, later) = std::mem::take(&mut self.ones).split_at_mut(M * V::BLOCKS);
        self.ones = later;
        let delta = V::splat(self.delta);
        let mut low = offsets;
        for (input, blocks) in low.iter_mut().zip(zeros.chunks_exact(V::BLOCKS)) {
            *input = input.xor(V::load(blocks));
        }
        let mut high = low;
        for input in &mut high {
            *input = input.xor(delta);
        }
        for (inputs, blocks) in [(low, zeros), (high, ones)] {
            let hashed = V::encrypt(keys, inputs);
            for ((blocks, input), hashed) in
                blocks.chunks_exact_mut(V::BLOCKS).zip(inputs).zip(hashed)
            {
                hashed.xor(input.sigma()).store(blocks);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_prg::Seed;

    #[test]
    fn conformance_the_fused_passes_equal_the_hash() {
        let hash = HashSeed::new(&Seed::from_bytes([6; 16]));
        let delta = Block(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
        for (first, count) in
            [(0u64, 5000usize), (4093, 70), ((1 << 56) + 77, 4500), (3, 1), (9, 0)]
        {
            let y: Vec<Block> =
                (0..count as u128).map(|i| Block(i.wrapping_mul(delta.0))).collect();
            let flipped: Vec<Block> = y.iter().map(|y| *y ^ delta).collect();
            let (mut zeros, mut ones) = (y.clone(), y.clone());
            hash.hash(first, &y, &mut zeros);
            hash.hash(first, &flipped, &mut ones);
            let tweaks = first..first + count as u64;
            let (mut fused_zeros, mut fused_ones) = (y.clone(), vec![Block(1); count]);
            hash_both(&hash, tweaks.clone(), delta, &mut fused_zeros, &mut fused_ones);
            assert!(fused_zeros == zeros && fused_ones == ones);
            let mut one = y.clone();
            hash_one(&hash, tweaks, &mut one);
            assert!(one == zeros);
        }
    }
}
