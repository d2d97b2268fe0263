//! Carry-less multiplication with PCLMULQDQ.
#![expect(unsafe_code, reason = "SIMD kernel")]

use std::arch::x86_64::{
    __m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64,
    _mm_xor_si128,
};

use gazelle_prg::isa::{self, Isa};

/// The product of two polynomials (low half, high half), if the processor may use the instruction.
#[inline]
pub(super) fn wide_mul(a: u128, b: u128) -> Option<(u128, u128)> {
    if isa::level() >= Isa::Avx2 {
        // SAFETY: the level AVX2 includes PCLMULQDQ.
        Some(unsafe { clmul(a, b) })
    } else {
        None
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
fn clmul(a: u128, b: u128) -> (u128, u128) {
    let (a, b) = (load(a), load(b));
    let low = store(_mm_clmulepi64_si128::<0x00>(a, b));
    let high = store(_mm_clmulepi64_si128::<0x11>(a, b));
    let middle = store(_mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    ));
    (low ^ middle << 64, high ^ middle >> 64)
}

#[target_feature(enable = "sse2")]
fn load(x: u128) -> __m128i {
    _mm_set_epi64x((x >> 64) as i64, x as i64)
}

#[target_feature(enable = "sse2")]
fn store(x: __m128i) -> u128 {
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x)) as u64;
    u128::from(high) << 64 | u128::from(_mm_cvtsi128_si64(x) as u64)
}
