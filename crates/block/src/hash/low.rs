//! The low bits of hashes alone, as words or bit planes: what random OTs of short strings take.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use zeroize::Zeroize;

use super::{HashKey, HashSeed, POINTS, POINTS_LOG2};
use crate::Block;
use crate::aes::{Kernel, Vector, dispatch};

/// Vectors per AES call.
const GROUP: usize = 8;

impl HashSeed {
    /// `out[n]` = the low 64 bits of `H(x[n]; first_tweak + n)`.
    ///
    /// Cost: one AES call per block.
    ///
    /// # Panics
    /// Unless both slices have the same length.
    pub fn low_words(&self, first_tweak: u64, x: &[Block], out: &mut [u64]) {
        self.low::<false>(first_tweak, x, Block::ZERO, out, &mut []);
    }

    /// `zeros[n]` and `ones[n]`: the low 64 bits of `H(y[n]; t)` and `H(y[n] ^ delta; t)`,
    /// `t = first_tweak + n`.
    ///
    /// Cost: two AES calls per block.
    ///
    /// # Panics
    /// Unless all slices have the same length.
    pub fn low_words_of_both(
        &self,
        first_tweak: u64,
        y: &[Block],
        delta: Block,
        zeros: &mut [u64],
        ones: &mut [u64],
    ) {
        assert_eq!(y.len(), ones.len(), "as many outputs as inputs");
        self.low::<true>(first_tweak, y, delta, zeros, ones);
    }

    /// `planes[k * stride + i]` gets bit k of the words `64 i` to `64 i + 63`, k below `width <= 8`,
    /// `stride = words.len().div_ceil(64)`; missing words count as zero.
    ///
    /// # Panics
    /// Unless `planes` has `width * stride` words.
    pub fn planes(&self, words: &[u64], width: usize, planes: &mut [u64]) {
        assert!(width <= 8 && planes.len() == width * words.len().div_ceil(64), "shape");
        dispatch(self.isa, Planes { words, planes });
    }

    fn low<const BOTH: bool>(
        &self,
        first_tweak: u64,
        x: &[Block],
        delta: Block,
        zeros: &mut [u64],
        ones: &mut [u64],
    ) {
        assert_eq!(x.len(), zeros.len(), "as many outputs as inputs");
        let (mut tweak, mut x, mut zeros, mut ones) = (first_tweak, x, zeros, ones);
        while !x.is_empty() {
            let point = tweak as usize % POINTS;
            let now = x.len().min(POINTS - point);
            let (x_now, x_later) = x.split_at(now);
            let (zeros_now, zeros_later) = zeros.split_at_mut(now);
            let (ones_now, ones_later) = ones.split_at_mut(if BOTH { now } else { 0 });
            let key = self.key(tweak >> POINTS_LOG2);
            let job = Low::<BOTH> {
                key: &key,
                first: point,
                delta,
                x: x_now,
                zeros: zeros_now,
                ones: ones_now,
            };
            dispatch(self.isa, job);
            (x, zeros, ones) = (x_later, zeros_later, ones_later);
            tweak += now as u64;
        }
    }
}

/// Points under one key.
struct Low<'a, const BOTH: bool> {
    key: &'a HashKey,
    first: usize,
    delta: Block,
    x: &'a [Block],
    zeros: &'a mut [u64],
    ones: &'a mut [u64],
}

impl<const BOTH: bool> Kernel for Low<'_, BOTH> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // Single blocks up to a point that a group of vectors can start at, and at the end.
        let head = (self.first.wrapping_neg() % (GROUP * V::BLOCKS)).min(self.x.len());
        let (head, rest) = self.split(head);
        head.groups::<V::Single, 1>();
        let whole = rest.x.len() - rest.x.len() % (GROUP * V::BLOCKS);
        let (whole, tail) = rest.split(whole);
        whole.groups::<V, GROUP>();
        tail.groups::<V::Single, 1>();
    }
}

impl<const BOTH: bool> Low<'_, BOTH> {
    #[inline(always)]
    fn split(self, at: usize) -> (Self, Self) {
        let Self { key, first, delta, x, zeros, ones } = self;
        let (x, x_rest) = x.split_at(at);
        let (zeros, zeros_rest) = zeros.split_at_mut(at);
        let (ones, ones_rest) = ones.split_at_mut(if BOTH { at } else { 0 });
        (
            Self { key, first, delta, x, zeros, ones },
            Self { key, first: first + at, delta, x: x_rest, zeros: zeros_rest, ones: ones_rest },
        )
    }

    /// From a point that is a multiple of `M * BLOCKS`.
    #[inline(always)]
    fn groups<V: Vector, const M: usize>(self) {
        if self.x.is_empty() {
            return;
        }
        let keys = V::keys(self.key.aes());
        let mut offsets = self.key.offsets::<V, M>(self.first / (M * V::BLOCKS), 0);
        let delta = V::splat(self.delta);
        let mut ones = self.ones.chunks_exact_mut(M * V::BLOCKS);
        let zeros = self.zeros.chunks_exact_mut(M * V::BLOCKS);
        for (x, zeros) in self.x.chunks_exact(M * V::BLOCKS).zip(zeros) {
            let mut y = offsets.step();
            for (y, x) in y.iter_mut().zip(x.chunks_exact(V::BLOCKS)) {
                *y = V::load(x).xor(*y);
            }
            store::<V, M>(V::encrypt(&keys, y), y, zeros);
            if BOTH && let Some(ones) = ones.next() {
                for y in &mut y {
                    *y = y.xor(delta);
                }
                store::<V, M>(V::encrypt(&keys, y), y, ones);
            }
        }
    }
}

#[inline(always)]
fn store<V: Vector, const M: usize>(hashed: [V; M], y: [V; M], out: &mut [u64]) {
    for ((out, hashed), y) in out.chunks_exact_mut(V::BLOCKS).zip(hashed).zip(y) {
        hashed.xor(y.sigma()).store_low(out);
    }
}

struct Planes<'a> {
    words: &'a [u64],
    planes: &'a mut [u64],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { words, planes } = self;
        let stride = words.len().div_ceil(64);
        let mut bytes = [0u8; 64];
        for (i, words) in words.chunks(64).enumerate() {
            if words.len() < 64 {
                bytes = [0; 64];
            }
            for (byte, word) in bytes.iter_mut().zip(words) {
                *byte = *word as u8;
            }
            let group = V::byte_planes(&bytes);
            for (plane, word) in planes.iter_mut().skip(i).step_by(stride).zip(group) {
                *plane = word;
            }
        }
        bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use gazelle_prg::Seed;
    use proptest::prelude::*;

    use super::*;
    use crate::aes::AesIsa;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn conformance_low_words_and_planes_are_those_of_the_hash(
            tweak in 0u64..1 << 57, count in 0usize..400, width in 0usize..=8, x in any::<u128>(),
        ) {
            let x: Vec<Block> = (0..count as u128).map(|i| Block(x.wrapping_mul(2 * i + 1))).collect();
            let delta = Block(0x1234_5678_9abc_def1_1357_9bdf_0246_8ace);
            let shifted: Vec<Block> = x.iter().map(|x| *x ^ delta).collect();
            let seed = Seed::from_bytes(std::array::from_fn(|i| i as u8));
            for isa in AesIsa::all() {
                let hash = HashSeed::with_isa(&seed, isa);
                let full = |x: &[Block]| -> Vec<u64> {
                    let mut out = vec![Block::ZERO; count];
                    hash.hash(tweak, x, &mut out);
                    out.iter().map(|block| block.0 as u64).collect()
                };
                let [mut one, mut zeros, mut ones] = [(); 3].map(|()| vec![0; count]);
                hash.low_words(tweak, &x, &mut one);
                hash.low_words_of_both(tweak, &x, delta, &mut zeros, &mut ones);
                prop_assert!(one == full(&x) && zeros == one, "{}", isa.name());
                prop_assert!(ones == full(&shifted), "{}", isa.name());
                let stride = count.div_ceil(64);
                let mut planes = vec![u64::MAX; width * stride];
                hash.planes(&one, width, &mut planes);
                for (at, plane) in planes.iter().enumerate() {
                    for bit in 0..64 {
                        let word = one.get(at % stride * 64 + bit).copied().unwrap_or_default();
                        prop_assert_eq!(plane >> bit & 1, word >> (at / stride) & 1);
                    }
                }
            }
        }
    }
}
