//! The definition: four blocks at a time without intrinsics, AES by the `aes` crate.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use aes::Aes128Enc;

use super::{AesKey, Vector, encrypt_portable, portable_key};
use crate::Block;

/// Four blocks in ordinary integers.
#[derive(Clone, Copy)]
pub struct Portable<const N: usize = 4>([u128; N]);

impl<const N: usize> Portable<N> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(u128, u128) -> u128) -> Self {
        let mut out = self;
        for (x, y) in out.0.iter_mut().zip(other.0) {
            *x = f(*x, y);
        }
        out
    }
}

impl<const N: usize> Vector for Portable<N> {
    const BLOCKS: usize = N;
    type Single = Portable<1>;
    type Keys = Aes128Enc;

    #[inline(always)]
    fn keys(key: &AesKey) -> Aes128Enc {
        portable_key(key.key)
    }

    #[inline(always)]
    fn load(source: &[Block]) -> Self {
        let mut out = [0; N];
        let (source, _) = source.split_at(N);
        for (x, block) in out.iter_mut().zip(source) {
            *x = block.0;
        }
        Self(out)
    }

    #[inline(always)]
    fn store(self, target: &mut [Block]) {
        let (target, _) = target.split_at_mut(N);
        for (block, x) in target.iter_mut().zip(self.0) {
            block.0 = x;
        }
    }

    #[inline(always)]
    fn load_bytes(source: &[u8]) -> Self {
        let mut out = [0; N];
        let (source, _) = source.split_at(16 * N);
        for (x, bytes) in out.iter_mut().zip(source.as_chunks::<16>().0) {
            *x = u128::from_le_bytes(*bytes);
        }
        Self(out)
    }

    #[inline(always)]
    fn store_bytes(self, target: &mut [u8]) {
        let (target, _) = target.split_at_mut(16 * N);
        for (bytes, x) in target.as_chunks_mut::<16>().0.iter_mut().zip(self.0) {
            *bytes = x.to_le_bytes();
        }
    }

    #[inline(always)]
    fn splat(block: Block) -> Self {
        Self([block.0; N])
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self.zip(other, |x, y| x ^ y)
    }

    #[inline(always)]
    fn xor_and(self, mask: Self, value: Self) -> Self {
        self.xor(mask.zip(value, |x, y| x & y))
    }

    #[inline(always)]
    fn select(mask: Self, ones: Self, zeros: Self) -> Self {
        zeros.xor_and(mask, ones.xor(zeros))
    }

    #[inline(always)]
    fn sigma(self) -> Self {
        let mut out = self;
        for x in &mut out.0 {
            *x = x.rotate_left(64) ^ (*x >> 64 << 64);
        }
        out
    }

    #[inline(always)]
    fn double_halves(self) -> Self {
        const LOW_BITS: u128 = 1 << 64 | 1;
        let mut out = self;
        for x in &mut out.0 {
            *x = (*x << 1 & !LOW_BITS) ^ ((*x >> 63 & LOW_BITS) * 0x1b);
        }
        out
    }

    #[inline(always)]
    fn swap_halves(self) -> Self {
        let mut out = self;
        for x in &mut out.0 {
            *x = x.rotate_left(64);
        }
        out
    }

    #[inline(always)]
    fn repeat_high(self) -> Self {
        let mut out = self;
        for x in &mut out.0 {
            *x = (*x >> 64 << 64) | *x >> 64;
        }
        out
    }

    #[inline(always)]
    fn bit(self, k: u32) -> Self {
        let mut out = self;
        for x in &mut out.0 {
            *x = (*x >> k & 1).wrapping_neg();
        }
        out
    }

    #[inline(always)]
    fn encrypt<const M: usize>(keys: &Aes128Enc, states: [Self; M]) -> [Self; M] {
        let mut out = states;
        // Gathered so that the bitsliced backend is filled.
        let mut blocks = [[Block::ZERO; N]; M];
        for (row, state) in blocks.iter_mut().zip(&states) {
            state.store(row);
        }
        encrypt_portable(keys, blocks.as_flattened_mut());
        for (row, state) in blocks.iter().zip(&mut out) {
            *state = Self::load(row);
        }
        out
    }
}
