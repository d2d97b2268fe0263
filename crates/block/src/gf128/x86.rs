//! Carry-less multiplication with PCLMULQDQ, four products at a time with VPCLMULQDQ.
#![expect(unsafe_code, reason = "SIMD kernel")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64,
    _mm_xor_si128, _mm512_broadcast_i32x4, _mm512_clmulepi64_epi128, _mm512_extracti32x4_epi32,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi64, _mm512_setzero_si512, _mm512_shuffle_epi32,
    _mm512_xor_si512,
};

use gazelle_prg::isa::{self, Isa};

use crate::Block;

/// Whether the processor may use the instruction.
#[inline]
pub(super) fn multiplies() -> bool {
    isa::level() >= Isa::Avx2
}

/// The product of two polynomials (low half, high half), if the processor may use the instruction.
#[inline]
pub(super) fn wide_mul(a: u128, b: u128) -> Option<(u128, u128)> {
    if multiplies() {
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

/// [`super::add_row_products`], if the processor may use the instructions.
pub(super) fn add_row_products(
    sums: &mut [Block],
    rows: &[[u8; 16]],
    width: usize,
    b: &[Block],
) -> bool {
    let can = isa::level() >= Isa::Avx512 && width > 0 && b.len() == width;
    if can {
        // SAFETY: the level AVX-512 includes AVX512F and VPCLMULQDQ.
        unsafe { row_products(sums, rows, width, b) }
    }
    can
}

/// `sums[j] ^= sum_i values[i * lists + j] b_i` for `lists = sums.len()`, if they are a multiple of four, rows
/// are whole, and the processor may use the instructions.
pub(super) fn add_column_products(sums: &mut [Block], values: &[Block], b: &[Block]) -> bool {
    let whole = !sums.is_empty() && values.len().is_multiple_of(sums.len());
    let can = isa::level() >= Isa::Avx512 && whole && sums.len().is_multiple_of(4);
    if can {
        // SAFETY: the level AVX-512 includes AVX512F and VPCLMULQDQ.
        unsafe { column_products(sums, values, b) }
    }
    can
}

/// Sums of products by Karatsuba's way, not reduced: of the low halves, of the high halves, and of the
/// halves' sums; four lanes each.
struct Sums([__m512i; 3]);

impl Sums {
    /// Both halves of every block exchanged are added to it.
    #[target_feature(enable = "avx512f")]
    fn folded(x: __m512i) -> __m512i {
        _mm512_xor_si512(x, _mm512_shuffle_epi32::<0x4e>(x))
    }

    /// `folded` is that of `b`.
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    fn add(&mut self, a: __m512i, b: __m512i, folded: __m512i) {
        let [low, high, middle] = &mut self.0;
        *low = _mm512_xor_si512(*low, _mm512_clmulepi64_epi128::<0x00>(a, b));
        *high = _mm512_xor_si512(*high, _mm512_clmulepi64_epi128::<0x11>(a, b));
        let product = _mm512_clmulepi64_epi128::<0x00>(Self::folded(a), folded);
        *middle = _mm512_xor_si512(*middle, product);
    }

    /// The polynomials (low half, high half) of low, high and middle parts.
    fn wide([low, high, middle]: [u128; 3]) -> (u128, u128) {
        let middle = middle ^ low ^ high;
        (low ^ middle << 64, high ^ middle >> 64)
    }
}

#[target_feature(enable = "avx512f,vpclmulqdq,sse2")]
fn row_products(sums: &mut [Block], rows: &[[u8; 16]], width: usize, b: &[Block]) {
    let mut factors = Vec::with_capacity(width.div_ceil(4));
    for four in b.chunks(4) {
        let mut blocks = [Block::ZERO; 4];
        blocks.iter_mut().zip(four).for_each(|(slot, block)| *slot = *block);
        // SAFETY: four blocks are 64 bytes; an unaligned load.
        let b = unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) };
        factors.push((b, Sums::folded(b)));
    }
    let rest = (1u8 << (2 * (width % 4))).wrapping_sub(1);
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
        let mut products = Sums([_mm512_setzero_si512(); 3]);
        let (whole, tail) = row.as_chunks::<4>();
        for (a, (b, folded)) in whole.iter().zip(&factors) {
            // SAFETY: four pieces are 64 bytes; an unaligned load.
            let a = unsafe { _mm512_loadu_si512(a.as_ptr().cast()) };
            products.add(a, *b, *folded);
        }
        if let (false, Some((b, folded))) = (tail.is_empty(), factors.last()) {
            // SAFETY: the mask has two bits for each piece of `tail`, so nothing beyond it is read.
            let a = unsafe { _mm512_maskz_loadu_epi64(rest, tail.as_ptr().cast()) };
            products.add(a, *b, *folded);
        }
        let (low, high) = Sums::wide(products.0.map(|part| fold(part)));
        *sum ^= super::reduce(low, high);
    }
}

#[target_feature(enable = "avx512f,vpclmulqdq,sse2")]
fn column_products(sums: &mut [Block], values: &[Block], b: &[Block]) {
    let lists = sums.len();
    for (column, sums) in sums.chunks_exact_mut(4).enumerate() {
        let mut products = Sums([_mm512_setzero_si512(); 3]);
        for (row, b) in values.chunks_exact(lists).zip(b) {
            let Some(a) = row.as_chunks::<4>().0.get(column) else { continue };
            let b = _mm512_broadcast_i32x4(load(b.0));
            // SAFETY: four blocks are 64 bytes; an unaligned load.
            let a = unsafe { _mm512_loadu_si512(a.as_ptr().cast()) };
            products.add(a, b, Sums::folded(b));
        }
        let parts = products.0.map(|part| lanes(part));
        for (lane, sum) in sums.iter_mut().enumerate() {
            let part = |of: usize| parts.get(of).and_then(|part| part.get(lane));
            let part = |of| part(of).copied().unwrap_or_default();
            let (low, high) = Sums::wide([part(0), part(1), part(2)]);
            *sum ^= super::reduce(low, high);
        }
    }
}

/// The four blocks of a vector.
#[target_feature(enable = "avx512f,sse2")]
fn lanes(x: __m512i) -> [u128; 4] {
    [
        store(_mm512_extracti32x4_epi32::<0>(x)),
        store(_mm512_extracti32x4_epi32::<1>(x)),
        store(_mm512_extracti32x4_epi32::<2>(x)),
        store(_mm512_extracti32x4_epi32::<3>(x)),
    ]
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
    let [a, b, c, d] = lanes(x);
    a ^ b ^ c ^ d
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
