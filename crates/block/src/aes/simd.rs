//! Four blocks in the vectors of WebAssembly; AES bit-sliced, eight blocks at a time.
#![expect(unsafe_code, reason = "loads and stores of vectors")]
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use core::arch::wasm32::{
    i32x4_shl, i32x4_shr, i32x4_shuffle, i64x2_add, i64x2_eq, i64x2_extract_lane, i64x2_shl,
    i64x2_shuffle, i64x2_splat, u64x2, u64x2_shr, v128, v128_and, v128_bitselect, v128_load,
    v128_store, v128_xor,
};
use gazelle_prg::bitslice::{self, Simd128, SlicedRounds};

use super::{AesKey, Vector};
use crate::Block;

/// Eight blocks that are encrypted together.
const AT_ONCE: usize = bitslice::BLOCKS;

/// `N` blocks.
#[derive(Clone, Copy)]
pub(super) struct Wide<const N: usize = 4>([v128; N]);

/// Fills in the round keys.
pub(super) fn expand(keys: &mut [AesKey]) {
    for keys in keys.chunks_mut(AT_ONCE) {
        let mut bytes = [[0; 16]; AT_ONCE];
        for (bytes, key) in bytes.iter_mut().zip(keys.iter()) {
            *bytes = key.key.to_bytes();
        }
        let rounds = bitslice::expand::<Simd128>(&bytes);
        for (n, round) in rounds.iter().enumerate() {
            for (key, bytes) in keys.iter_mut().zip(round) {
                if let Some(to) = key.rounds.get_mut(n) {
                    *to = Block::from_bytes(*bytes);
                }
            }
        }
    }
}

impl<const N: usize> Wide<N> {
    #[inline(always)]
    fn map(self, f: impl Fn(v128) -> v128) -> Self {
        let mut out = self;
        for x in &mut out.0 {
            *x = f(*x);
        }
        out
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(v128, v128) -> v128) -> Self {
        let mut out = self;
        for (x, y) in out.0.iter_mut().zip(other.0) {
            *x = f(*x, y);
        }
        out
    }
}

#[inline(always)]
fn load(from: &[u8; 16]) -> v128 {
    // SAFETY: 16 bytes are read, at any alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

#[inline(always)]
fn vector(block: Block) -> v128 {
    u64x2(block.0 as u64, (block.0 >> 64) as u64)
}

impl<const N: usize> Vector for Wide<N> {
    const BLOCKS: usize = N;
    type Single = Wide<1>;
    type Keys = SlicedRounds<Simd128>;

    #[inline(always)]
    fn keys(key: &AesKey) -> SlicedRounds<Simd128> {
        SlicedRounds::new(&key.rounds.map(Block::to_bytes))
    }

    #[inline(always)]
    fn load(source: &[Block]) -> Self {
        let mut out = [i64x2_splat(0); N];
        let (source, _) = source.split_at(N);
        for (x, block) in out.iter_mut().zip(source) {
            // SAFETY: a `Block` is 16 readable bytes.
            *x = unsafe { v128_load((&raw const *block).cast()) };
        }
        Self(out)
    }

    #[inline(always)]
    fn store(self, target: &mut [Block]) {
        let (target, _) = target.split_at_mut(N);
        for (block, x) in target.iter_mut().zip(self.0) {
            // SAFETY: a `Block` is 16 writable bytes.
            unsafe { v128_store((&raw mut *block).cast(), x) }
        }
    }

    #[inline(always)]
    fn store_low(self, target: &mut [u64]) {
        let (target, _) = target.split_at_mut(N);
        for (word, x) in target.iter_mut().zip(self.0) {
            *word = i64x2_extract_lane::<0>(x) as u64;
        }
    }

    #[inline(always)]
    fn load_bytes(source: &[u8]) -> Self {
        let mut out = [i64x2_splat(0); N];
        let (source, _) = source.split_at(16 * N);
        for (x, bytes) in out.iter_mut().zip(source.as_chunks::<16>().0) {
            *x = load(bytes);
        }
        Self(out)
    }

    #[inline(always)]
    fn store_bytes(self, target: &mut [u8]) {
        let (target, _) = target.split_at_mut(16 * N);
        for (bytes, x) in target.as_chunks_mut::<16>().0.iter_mut().zip(self.0) {
            // SAFETY: 16 bytes are written, at any alignment.
            unsafe { v128_store(bytes.as_mut_ptr().cast(), x) }
        }
    }

    #[inline(always)]
    fn splat(block: Block) -> Self {
        Self([vector(block); N])
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, |x, y| v128_xor(x, y))
    }

    #[inline(always)]
    fn xor_and(self, mask: Self, value: Self) -> Self {
        self.xor(mask.zip(value, |x, y| v128_and(x, y)))
    }

    #[inline(always)]
    fn select(mask: Self, ones: Self, zeros: Self) -> Self {
        let mut out = zeros;
        for ((x, one), mask) in out.0.iter_mut().zip(ones.0).zip(mask.0) {
            *x = v128_bitselect(one, *x, mask);
        }
        out
    }

    #[inline(always)]
    fn sigma(self) -> Self {
        let high = u64x2(0, u64::MAX);
        self.map(|x| v128_xor(i64x2_shuffle::<1, 0>(x, x), v128_and(x, high)))
    }

    #[inline(always)]
    fn double_halves(self) -> Self {
        self.map(|x| {
            // The top bit of each half, over the whole half.
            let carries = i64x2_eq(u64x2_shr(x, 63), i64x2_splat(1));
            v128_xor(i64x2_shl(x, 1), v128_and(carries, i64x2_splat(0x1b)))
        })
    }

    #[inline(always)]
    fn add_halves(self, other: Self) -> Self {
        self.zip(other, |x, y| i64x2_add(x, y))
    }

    #[inline(always)]
    fn xor_where_equal(self, a: Self, b: Self, value: Self) -> Self {
        self.xor_and(a.zip(b, |x, y| i64x2_eq(x, y)), value)
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        self.map(|x| i64x2_shuffle::<1, 0>(x, x))
    }

    #[inline(always)]
    fn repeat_high(self) -> Self {
        self.map(|x| i64x2_shuffle::<1, 1>(x, x))
    }

    #[inline(always)]
    fn bit(self, k: u32) -> Self {
        // Bit k goes up to the sign, then the sign down over the whole block.
        self.map(|x| {
            let word = i32x4_shuffle::<0, 0, 0, 0>(x, x);
            i32x4_shr(i32x4_shl(word, 31 - k), 31)
        })
    }

    #[inline(always)]
    fn encrypt<const M: usize>(keys: &SlicedRounds<Simd128>, states: [Self; M]) -> [Self; M] {
        let mut rows = states.map(|state| state.0);
        for blocks in rows.as_flattened_mut().chunks_mut(AT_ONCE) {
            let mut sliced = [Simd128(i64x2_splat(0)); AT_ONCE];
            for (to, from) in sliced.iter_mut().zip(blocks.iter()) {
                to.0 = *from;
            }
            bitslice::encrypt(keys, &mut sliced);
            for (to, from) in blocks.iter_mut().zip(sliced) {
                *to = from.0;
            }
        }
        rows.map(Self)
    }
}
