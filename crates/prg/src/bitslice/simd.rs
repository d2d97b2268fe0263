//! The vectors of WebAssembly.
#![expect(unsafe_code, reason = "loads and stores of vectors")]
#![expect(clippy::inline_always, reason = "one instruction each")]

use core::arch::wasm32::{
    i8x16_ne, i8x16_splat, i8x16_swizzle, u64x2_shl, u64x2_shr, v128, v128_and, v128_load,
    v128_store, v128_xor,
};

use super::lanes::{BYTES, Lanes};

/// `v128`: what code is compiled for has it.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Simd128(pub v128);

impl Lanes for Simd128 {
    #[inline(always)]
    fn load(bytes: &[u8; BYTES]) -> Self {
        // SAFETY: 16 bytes are read, at any alignment.
        Self(unsafe { v128_load(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, bytes: &mut [u8; BYTES]) {
        // SAFETY: 16 bytes are written, at any alignment.
        unsafe { v128_store(bytes.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(v128_xor(self.0, other.0))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(v128_and(self.0, other.0))
    }

    #[inline(always)]
    fn left(self, bits: u32) -> Self {
        Self(u64x2_shl(self.0, bits))
    }

    #[inline(always)]
    fn right(self, bits: u32) -> Self {
        Self(u64x2_shr(self.0, bits))
    }

    #[inline(always)]
    fn pick(self, order: Self) -> Self {
        Self(i8x16_swizzle(self.0, order.0))
    }

    #[inline(always)]
    fn plane(self, k: u32) -> Self {
        let bit = v128_and(self.0, i8x16_splat(1i8.wrapping_shl(k)));
        Self(i8x16_ne(bit, i8x16_splat(0)))
    }
}
