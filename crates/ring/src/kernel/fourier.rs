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
    /// `acc += a * b`, pointwise.
    mul_add, mul_add_body, (a: &[Block], b: &[Block], acc: &mut [Block])
);
dispatched!(
    /// `folded = a * b`, pointwise, interleaved.
    mul_join, mul_join_body, (a: &[Block], b: &[Block], folded: &mut [c64])
);
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
