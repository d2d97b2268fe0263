//! Carry-less multiplication with PCLMULQDQ, four products at a time with VPCLMULQDQ.
#![expect(unsafe_code, reason = "SIMD kernel")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64,
    _mm_xor_si128, _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32, _mm512_loadu_si512,
    _mm512_setzero_si512, _mm512_xor_si512,
};

use gazelle_prg::isa::{self, Isa};

use crate::Block;

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

/// The sum of products of polynomials (low half, high half), over as many pairs as both have, if the
/// processor may use the instructions.
#[inline]
pub(super) fn wide_inner_product(a: &[Block], b: &[Block]) -> Option<(u128, u128)> {
    match isa::level() {
        // SAFETY: the level AVX-512 includes AVX512F and VPCLMULQDQ.
        level if level >= Isa::Avx512 => Some(unsafe { sum_of_four(a, b) }),
        // SAFETY: the level AVX2 includes PCLMULQDQ.
        level if level >= Isa::Avx2 => Some(unsafe { sum_of_one(a, b) }),
        _ => None,
    }
}

#[target_feature(enable = "pclmulqdq,sse2")]
fn sum_of_one(a: &[Block], b: &[Block]) -> (u128, u128) {
    let zero = load(0);
    let (mut low, mut middle, mut high) = (zero, zero, zero);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (load(a.0), load(b.0));
        low = _mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(a, b));
        high = _mm_xor_si128(high, _mm_clmulepi64_si128::<0x11>(a, b));
        middle = _mm_xor_si128(middle, _mm_clmulepi64_si128::<0x01>(a, b));
        middle = _mm_xor_si128(middle, _mm_clmulepi64_si128::<0x10>(a, b));
    }
    let middle = store(middle);
    (store(low) ^ middle << 64, store(high) ^ middle >> 64)
}

#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse2")]
fn sum_of_four(a: &[Block], b: &[Block]) -> (u128, u128) {
    let zero = _mm512_setzero_si512();
    let (mut low, mut middle, mut high) = (zero, zero, zero);
    let count = a.len().min(b.len());
    let (a, _) = a.split_at(count);
    let (b, _) = b.split_at(count);
    let (a, a_tail) = a.as_chunks::<4>();
    let (b, b_tail) = b.as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        // SAFETY: both arrays hold 64 bytes; unaligned loads.
        let (a, b) = unsafe {
            (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast()))
        };
        low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(a, b));
        high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128::<0x11>(a, b));
        middle = _mm512_xor_si512(middle, _mm512_clmulepi64_epi128::<0x01>(a, b));
        middle = _mm512_xor_si512(middle, _mm512_clmulepi64_epi128::<0x10>(a, b));
    }
    let tail = sum_of_one(a_tail, b_tail);
    let middle = fold(middle);
    (fold(low) ^ middle << 64 ^ tail.0, fold(high) ^ middle >> 64 ^ tail.1)
}

/// The sum of the four blocks of a vector.
#[target_feature(enable = "avx512f,sse2")]
fn fold(x: __m512i) -> u128 {
    store(_mm512_extracti32x4_epi32::<0>(x))
        ^ store(_mm512_extracti32x4_epi32::<1>(x))
        ^ store(_mm512_extracti32x4_epi32::<2>(x))
        ^ store(_mm512_extracti32x4_epi32::<3>(x))
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
