//! The definition: four blocks at a time without intrinsics, AES by the `aes` crate.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use aes::Aes128Enc;

use super::{AesKey, Vector, encrypt_portable, portable_key};
use crate::Block;

/// Four blocks in ordinary integers.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize = 4>([u128; N]);

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
    fn store_low(self, target: &mut [u64]) {
        let (target, _) = target.split_at_mut(N);
        for (word, x) in target.iter_mut().zip(self.0) {
            *word = x as u64;
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
    fn add_halves(self, other: Self) -> Self {
        self.zip(other, |x, y| {
            let low = (x as u64).wrapping_add(y as u64);
            let high = ((x >> 64) as u64).wrapping_add((y >> 64) as u64);
            u128::from(high) << 64 | u128::from(low)
        })
    }

    #[inline(always)]
    fn xor_where_equal(self, a: Self, b: Self, value: Self) -> Self {
        // All ones where a half is zero, without a branch.
        let zero = |x: u64| ((x | x.wrapping_neg()) >> 63).wrapping_sub(1);
        let mask = a.zip(b, |a, b| {
            let difference = a ^ b;
            u128::from(zero((difference >> 64) as u64)) << 64 | u128::from(zero(difference as u64))
        });
        self.xor_and(mask, value)
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

/// The definition of [`Vector::byte_planes`].
pub(super) fn byte_planes(bytes: &[u8; 64]) -> [u64; 8] {
    let mut planes = [0; 8];
    for (group, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let columns = transpose8(u64::from_le_bytes(*eight)).to_le_bytes();
        for (plane, column) in planes.iter_mut().zip(columns) {
            *plane |= u64::from(column) << (8 * group);
        }
    }
    planes
}

/// Bit j of byte i becomes bit i of byte j.
const fn transpose8(x: u64) -> u64 {
    let swap = (x ^ (x >> 7)) & 0x00aa_00aa_00aa_00aa;
    let x = x ^ swap ^ (swap << 7);
    let swap = (x ^ (x >> 14)) & 0x0000_cccc_0000_cccc;
    let x = x ^ swap ^ (swap << 14);
    let swap = (x ^ (x >> 28)) & 0x0000_0000_f0f0_f0f0;
    x ^ swap ^ (swap << 28)
}
