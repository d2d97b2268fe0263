//! Loops around the FFT: folding, products in evaluation form, unfolding with rounding.
//!
//! One body each, compiled for the baseline, for AVX2 + FMA and for AVX-512. With FMA a product
//! is rounded once less: results may differ in their last bits between instruction sets.
#![expect(unsafe_code, reason = "calls functions compiled for instructions found at run time")]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

use gazelle_prg::isa::{Isa, level};
use tfhe_fft::c64;

use crate::fft::Block;

/// 1.5 * 2^52: the sum with |x| < 2^51 holds x, rounded, in its low mantissa bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
                fn avx512($($arg: $type),*) {
                    $body::<true>($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    $body::<true>($($arg),*);
                }
                match level() {
                    // SAFETY: `level` found AVX-512 F, BW, DQ, VL and FMA on this processor.
                    Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: `level` found AVX2 and FMA on this processor.
                    Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            $body::<false>($($arg),*);
        }
    };
}

dispatched!(
    /// `folded[j] = (x_j + i x_{j + N/2}) twist[j]`, x read as signed after a shift left by `shift`
    /// and back.
    fold, fold_body, (x: &[u64], shift: u32, twist: &[c64], folded: &mut [c64])
);
dispatched!(
    /// The same for small signed values (below 2^51 in magnitude).
    fold_small, fold_small_body, (x: &[i64], twist: &[c64], folded: &mut [c64])
);
dispatched!(
    /// Interleaved to blocks.
    split, split_body, (folded: &[c64], blocks: &mut [Block])
);
dispatched!(
    /// Blocks to interleaved.
    join, join_body, (blocks: &[Block], folded: &mut [c64])
);
dispatched!(
    /// Digit `at` of the balanced expansion of x (see [`Digits`]), folded like `fold`.
    fold_digit, fold_digit_body,
    (x: &[u64], digits: Digits, at: u32, twist: &[c64], folded: &mut [c64])
);

/// Balanced digits `d_j` of x mod `2^bits`: `x = sum_j d_j 2^{j width}`, `|d_j| <= 2^{width-1}`.
///
/// With `y = centred x + sum_{j < count-1} 2^{j width + width - 1}` the lower digits are plain bit
/// fields of y less `2^{width-1}`, and the top one is what remains, signed.
#[derive(Clone, Copy)]
pub(crate) struct Digits {
    /// log2 of the modulus.
    pub(crate) bits: u32,
    /// Bits of a digit.
    pub(crate) width: u32,
    /// Number of digits.
    pub(crate) count: u32,
}

/// `acc += a * b`, pointwise.
pub(crate) fn mul_add(a: &[Block], b: &[Block], acc: &mut [Block]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2(a: &[Block], b: &[Block], acc: &mut [Block]) {
            mul_add_body::<true>(a, b, acc);
        }
        match level() {
            // SAFETY: `level` found AVX-512 F on this processor.
            Isa::Avx512 => return unsafe { mul_add_avx512(a, b, acc) },
            // SAFETY: `level` found AVX2 and FMA on this processor.
            Isa::Avx2 => return unsafe { avx2(a, b, acc) },
            _ => {}
        }
    }
    mul_add_body::<false>(a, b, acc);
}

/// `folded = a * b`, pointwise, interleaved.
pub(crate) fn mul_join(a: &[Block], b: &[Block], folded: &mut [c64]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2(a: &[Block], b: &[Block], folded: &mut [c64]) {
            mul_join_body::<true>(a, b, folded);
        }
        match level() {
            // SAFETY: `level` found AVX-512 F on this processor.
            Isa::Avx512 => return unsafe { mul_join_avx512(a, b, folded) },
            // SAFETY: `level` found AVX2 and FMA on this processor.
            Isa::Avx2 => return unsafe { avx2(a, b, folded) },
            _ => {}
        }
    }
    mul_join_body::<false>(a, b, folded);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn mul_add_avx512(a: &[Block], b: &[Block], acc: &mut [Block]) {
    use std::arch::x86_64::{_mm512_fmadd_pd, _mm512_fnmadd_pd, _mm512_load_pd, _mm512_store_pd};
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        // SAFETY: a block is 8 + 8 words, aligned to 64 bytes, and so is each half.
        unsafe {
            let (ar, ai) = (_mm512_load_pd(a.re.as_ptr()), _mm512_load_pd(a.im.as_ptr()));
            let (br, bi) = (_mm512_load_pd(b.re.as_ptr()), _mm512_load_pd(b.im.as_ptr()));
            let (sr, si) = (_mm512_load_pd(acc.re.as_ptr()), _mm512_load_pd(acc.im.as_ptr()));
            let sr = _mm512_fnmadd_pd(ai, bi, _mm512_fmadd_pd(ar, br, sr));
            let si = _mm512_fmadd_pd(ai, br, _mm512_fmadd_pd(ar, bi, si));
            _mm512_store_pd(acc.re.as_mut_ptr(), sr);
            _mm512_store_pd(acc.im.as_mut_ptr(), si);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn mul_join_avx512(a: &[Block], b: &[Block], folded: &mut [c64]) {
    use std::arch::x86_64::{
        _mm512_fmadd_pd, _mm512_fmsub_pd, _mm512_load_pd, _mm512_mul_pd, _mm512_permutex2var_pd,
        _mm512_setr_epi64, _mm512_storeu_pd,
    };
    let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    let (chunks, _) = folded.as_chunks_mut::<8>();
    for ((chunk, a), b) in chunks.iter_mut().zip(a).zip(b) {
        let (first, second) = chunk.split_at_mut(4);
        // SAFETY: a block is 8 + 8 words, aligned to 64 bytes; each half of a chunk is 4 complex
        // values, the 64 bytes that are written.
        unsafe {
            let (ar, ai) = (_mm512_load_pd(a.re.as_ptr()), _mm512_load_pd(a.im.as_ptr()));
            let (br, bi) = (_mm512_load_pd(b.re.as_ptr()), _mm512_load_pd(b.im.as_ptr()));
            let re = _mm512_fmsub_pd(ar, br, _mm512_mul_pd(ai, bi));
            let im = _mm512_fmadd_pd(ar, bi, _mm512_mul_pd(ai, br));
            _mm512_storeu_pd(first.as_mut_ptr().cast(), _mm512_permutex2var_pd(re, low, im));
            _mm512_storeu_pd(second.as_mut_ptr().cast(), _mm512_permutex2var_pd(re, high, im));
        }
    }
}

dispatched!(
    /// `out += round(folded * untwist) << shift`, real parts in the lower half, imaginary in the
    /// upper.
    unfold_add, unfold_add_body, (folded: &[c64], untwist: &[c64], shift: u32, out: &mut [u64])
);

/// `a * b + c`, fused where the instruction set has it.
#[inline(always)]
fn fma<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn cmul<const FUSED: bool>(x: f64, y: f64, w: c64) -> (f64, f64) {
    (fma::<FUSED>(x, w.re, -(y * w.im)), fma::<FUSED>(x, w.im, y * w.re))
}

#[inline(always)]
fn fold_body<const FUSED: bool>(x: &[u64], shift: u32, twist: &[c64], folded: &mut [c64]) {
    let (low, high) = x.split_at(x.len() / 2);
    for (((z, w), a), b) in folded.iter_mut().zip(twist).zip(low).zip(high) {
        let a = (((a << shift) as i64) >> shift) as f64;
        let b = (((b << shift) as i64) >> shift) as f64;
        (z.re, z.im) = cmul::<FUSED>(a, b, *w);
    }
}

#[inline(always)]
fn fold_small_body<const FUSED: bool>(x: &[i64], twist: &[c64], folded: &mut [c64]) {
    let (low, high) = x.split_at(x.len() / 2);
    for (((z, w), a), b) in folded.iter_mut().zip(twist).zip(low).zip(high) {
        let a = f64::from_bits(MAGIC.to_bits().wrapping_add(*a as u64)) - MAGIC;
        let b = f64::from_bits(MAGIC.to_bits().wrapping_add(*b as u64)) - MAGIC;
        (z.re, z.im) = cmul::<FUSED>(a, b, *w);
    }
}

#[inline(always)]
fn fold_digit_body<const FUSED: bool>(
    x: &[u64],
    digits: Digits,
    at: u32,
    twist: &[c64],
    folded: &mut [c64],
) {
    let Digits { bits, width, count } = digits;
    let bias =
        (0..count.saturating_sub(1)).fold(0u64, |sum, j| sum + (1 << (j * width + width - 1)));
    let shift = 64 - bits;
    // The top digit keeps its sign bits; the others are fields of `width` bits.
    let (up, half) =
        if at + 1 == count { (0, 0) } else { (64 - width - at * width, 1i64 << (width - 1)) };
    let down = up + at * width;
    let top = at + 1 == count;
    let digit = |x: u64| {
        let y = ((((x << shift) as i64) >> shift) as u64).wrapping_add(bias);
        let signed = (y as i64) >> (at * width);
        let field = ((y << up) >> down) as i64;
        let value = if top { signed } else { field } - half;
        f64::from_bits(MAGIC.to_bits().wrapping_add(value as u64)) - MAGIC
    };
    let (low, high) = x.split_at(x.len() / 2);
    for (((z, w), a), b) in folded.iter_mut().zip(twist).zip(low).zip(high) {
        (z.re, z.im) = cmul::<FUSED>(digit(*a), digit(*b), *w);
    }
}

#[inline(always)]
fn split_body<const FUSED: bool>(folded: &[c64], blocks: &mut [Block]) {
    let (chunks, _) = folded.as_chunks::<8>();
    for (block, chunk) in blocks.iter_mut().zip(chunks) {
        for ((re, im), z) in block.re.iter_mut().zip(&mut block.im).zip(chunk) {
            *re = z.re;
            *im = z.im;
        }
    }
}

#[inline(always)]
fn join_body<const FUSED: bool>(blocks: &[Block], folded: &mut [c64]) {
    let (chunks, _) = folded.as_chunks_mut::<8>();
    for (block, chunk) in blocks.iter().zip(chunks) {
        for ((re, im), z) in block.re.iter().zip(&block.im).zip(chunk) {
            *z = c64::new(*re, *im);
        }
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "constant indices below 8 into arrays of 8")]
fn mul_add_body<const FUSED: bool>(a: &[Block], b: &[Block], acc: &mut [Block]) {
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        for j in 0..8 {
            let re = fma::<FUSED>(a.re[j], b.re[j], acc.re[j]);
            acc.re[j] = fma::<FUSED>(-a.im[j], b.im[j], re);
            let im = fma::<FUSED>(a.re[j], b.im[j], acc.im[j]);
            acc.im[j] = fma::<FUSED>(a.im[j], b.re[j], im);
        }
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "constant indices below 8 into arrays of 8")]
fn mul_join_body<const FUSED: bool>(a: &[Block], b: &[Block], folded: &mut [c64]) {
    let (chunks, _) = folded.as_chunks_mut::<8>();
    for ((chunk, a), b) in chunks.iter_mut().zip(a).zip(b) {
        for (j, z) in chunk.iter_mut().enumerate() {
            *z = c64::new(
                fma::<FUSED>(a.re[j], b.re[j], -(a.im[j] * b.im[j])),
                fma::<FUSED>(a.re[j], b.im[j], a.im[j] * b.re[j]),
            );
        }
    }
}

/// Nearest integer mod 2^64, for |x| < 2^100: the multiple of 2^50 first, then the rest.
#[inline(always)]
fn to_word(x: f64) -> u64 {
    const TWO_50: f64 = 1_125_899_906_842_624.0;
    let high = x * (1.0 / TWO_50) + MAGIC;
    let low = (x - (high - MAGIC) * TWO_50) + MAGIC;
    (high.to_bits() << 50).wrapping_add(low.to_bits().wrapping_sub(MAGIC.to_bits()))
}

#[inline(always)]
fn unfold_add_body<const FUSED: bool>(
    folded: &[c64],
    untwist: &[c64],
    shift: u32,
    out: &mut [u64],
) {
    let (low, high) = out.split_at_mut(out.len() / 2);
    for (((z, w), a), b) in folded.iter().zip(untwist).zip(low).zip(high) {
        let (re, im) = cmul::<FUSED>(z.re, z.im, *w);
        *a = a.wrapping_add(to_word(re) << shift);
        *b = b.wrapping_add(to_word(im) << shift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_about_the_portable_result() {
        let value = |i: usize| ((i * 7919 % 1009) as f64 - 504.0) / 37.0;
        let block = |i: usize| Block {
            re: std::array::from_fn(|j| value(16 * i + j)),
            im: std::array::from_fn(|j| value(16 * i + 8 + j)),
        };
        let a: Vec<Block> = (0..5).map(block).collect();
        let b: Vec<Block> = (5..10).map(block).collect();
        let close = |x: f64, y: f64| (x - y).abs() < 1e-10;
        let (mut fast, mut plain) = (a.clone(), a.clone());
        mul_add(&a, &b, &mut fast);
        mul_add_body::<false>(&a, &b, &mut plain);
        for (fast, plain) in fast.iter().zip(&plain) {
            assert!(
                (0..8).all(|j| close(fast.re[j], plain.re[j]) && close(fast.im[j], plain.im[j]))
            );
        }
        let (mut fast, mut plain) = ([c64::new(0.0, 0.0); 40], [c64::new(0.0, 0.0); 40]);
        mul_join(&a, &b, &mut fast);
        mul_join_body::<false>(&a, &b, &mut plain);
        for (fast, plain) in fast.iter().zip(&plain) {
            assert!(close(fast.re, plain.re) && close(fast.im, plain.im));
        }
    }

    #[test]
    fn balanced_digits_add_up() {
        let mut x = 0x0123_4567_89ab_cdefu64;
        for (bits, width, count) in
            [(48, 24, 2), (62, 21, 3), (27, 27, 1), (50, 25, 2), (63, 21, 3)]
        {
            for round in 0..200 {
                x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let word = match round {
                    0 => 0,
                    1 => u64::MAX,
                    2 => 1 << (bits - 1),
                    3 => (1 << (bits - 1)) - 1,
                    _ => x,
                } & (u64::MAX >> (64 - bits));
                let mut sum = 0u64;
                for at in 0..count {
                    let one = [c64::new(1.0, 0.0)];
                    let mut folded = [c64::new(0.0, 0.0)];
                    fold_digit(&[word, word], Digits { bits, width, count }, at, &one, &mut folded);
                    let digit = folded[0].re as i64;
                    assert!(digit.abs() <= 1 << (width - 1), "{digit}");
                    assert!((folded[0].im - digit as f64).abs() < 0.5);
                    sum = sum.wrapping_add((digit as u64) << (at * width));
                }
                assert_eq!(sum << (64 - bits), word << (64 - bits));
            }
        }
    }

    #[test]
    fn words_are_rounded_to_nearest_mod_2_64() {
        for (x, expected) in [
            (0.4, 0u64),
            (-0.6, u64::MAX),
            (2f64.powi(40) + 0.75, (1 << 40) + 1),
            (-(2f64.powi(50)) - 3.0, 0u64.wrapping_sub((1 << 50) + 3)),
            (2f64.powi(64) + 2f64.powi(13), 1 << 13),
            (-(2f64.powi(80)) + 2f64.powi(63), 1 << 63),
            (2f64.powi(99) - 2f64.powi(60), 0u64.wrapping_sub(1 << 60)),
        ] {
            assert_eq!(to_word(x), expected, "{x}");
        }
    }
}
