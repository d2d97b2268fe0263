//! Loops around the FFT: folding, products in evaluation form, unfolding with rounding.
//!
//! One body each, compiled for the baseline, for AVX2 + FMA and for AVX-512. With FMA a product
//! is rounded once less: results may differ in their last bits between instruction sets.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls functions compiled for instructions found at run time")
)]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
use gazelle_prg::isa::{Isa, level};
use tfhe_fft::c64;

/// Eight complex values, real parts first.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FourierBlock {
    /// Real parts.
    pub re: [f64; 8],
    /// Imaginary parts.
    pub im: [f64; 8],
}

/// 1.5 * 2^52: the sum with |x| < 2^51 holds x, rounded, in its low mantissa bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) {
                    $body::<true>($($arg),*);
                }
                match level() {
                    // SAFETY: `level` found AVX-512 F, BW, DQ, VL and FMA on this processor.
                    Isa::Avx512 => return unsafe { avx512::$name($($arg),*) },
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
    fold, fold_body, (x: &[u64], shift: u32, twist: &[FourierBlock], folded: &mut [c64])
);
dispatched!(
    /// The same for small signed values (below 2^51 in magnitude).
    fold_small, fold_small_body, (x: &[i64], twist: &[FourierBlock], folded: &mut [c64])
);
dispatched!(
    /// Interleaved to blocks.
    split, split_body, (folded: &[c64], blocks: &mut [FourierBlock])
);
dispatched!(
    /// Blocks to interleaved.
    join, join_body, (blocks: &[FourierBlock], folded: &mut [c64])
);
dispatched!(
    /// Digit `at` of the balanced expansion of x (see [`Digits`]), folded like `fold`.
    fold_digit, fold_digit_body,
    (x: &[u64], digits: Digits, at: u32, twist: &[FourierBlock], folded: &mut [c64])
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

dispatched!(
    /// `acc += a * b`, pointwise.
    mul_add, mul_add_body, (a: &[FourierBlock], b: &[FourierBlock], acc: &mut [FourierBlock])
);
dispatched!(
    /// `folded = a * b`, pointwise, interleaved.
    mul_join, mul_join_body, (a: &[FourierBlock], b: &[FourierBlock], folded: &mut [c64])
);
dispatched!(
    /// `out += round(folded * untwist) << shift`, real parts in the lower half, imaginary in the
    /// upper.
    unfold_add, unfold_add_body, (folded: &[c64], untwist: &[FourierBlock], shift: u32, out: &mut [u64])
);

/// `a * b + c`, fused where the instruction set has it.
#[inline(always)]
fn fma<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn cmul<const FUSED: bool>(x: f64, y: f64, (re, im): (f64, f64)) -> (f64, f64) {
    (fma::<FUSED>(x, re, -(y * im)), fma::<FUSED>(x, im, y * re))
}

/// The values of blocks one by one.
#[inline(always)]
fn values(blocks: &[FourierBlock]) -> impl Iterator<Item = (f64, f64)> + '_ {
    blocks.iter().flat_map(|block| block.re.iter().copied().zip(block.im.iter().copied()))
}

#[inline(always)]
fn fold_body<const FUSED: bool>(x: &[u64], shift: u32, twist: &[FourierBlock], folded: &mut [c64]) {
    let (low, high) = x.split_at(x.len() / 2);
    for (((z, w), a), b) in folded.iter_mut().zip(values(twist)).zip(low).zip(high) {
        let a = (((a << shift) as i64) >> shift) as f64;
        let b = (((b << shift) as i64) >> shift) as f64;
        (z.re, z.im) = cmul::<FUSED>(a, b, w);
    }
}

#[inline(always)]
fn fold_small_body<const FUSED: bool>(x: &[i64], twist: &[FourierBlock], folded: &mut [c64]) {
    let (low, high) = x.split_at(x.len() / 2);
    for (((z, w), a), b) in folded.iter_mut().zip(values(twist)).zip(low).zip(high) {
        // An integer added to the mantissa of 1.5 * 2^52 is the integer as a double: no conversion of 64-bit words
        // is needed, which AVX2 does not have.
        let a = f64::from_bits(MAGIC.to_bits().wrapping_add(*a as u64)) - MAGIC;
        let b = f64::from_bits(MAGIC.to_bits().wrapping_add(*b as u64)) - MAGIC;
        (z.re, z.im) = cmul::<FUSED>(a, b, w);
    }
}

impl Digits {
    /// What is added to a centred word before its digits are cut.
    fn bias(self) -> u64 {
        let Self { width, count, .. } = self;
        (0..count.saturating_sub(1)).fold(0, |sum, j| sum + (1 << (j * width + width - 1)))
    }
}

#[inline(always)]
fn fold_digit_body<const FUSED: bool>(
    x: &[u64],
    digits: Digits,
    at: u32,
    twist: &[FourierBlock],
    folded: &mut [c64],
) {
    let Digits { bits, width, count } = digits;
    let bias = digits.bias();
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
    for (((z, w), a), b) in folded.iter_mut().zip(values(twist)).zip(low).zip(high) {
        (z.re, z.im) = cmul::<FUSED>(digit(*a), digit(*b), w);
    }
}

#[inline(always)]
fn split_body<const FUSED: bool>(folded: &[c64], blocks: &mut [FourierBlock]) {
    let (chunks, _) = folded.as_chunks::<8>();
    for (block, chunk) in blocks.iter_mut().zip(chunks) {
        for ((re, im), z) in block.re.iter_mut().zip(&mut block.im).zip(chunk) {
            *re = z.re;
            *im = z.im;
        }
    }
}

#[inline(always)]
fn join_body<const FUSED: bool>(blocks: &[FourierBlock], folded: &mut [c64]) {
    let (chunks, _) = folded.as_chunks_mut::<8>();
    for (block, chunk) in blocks.iter().zip(chunks) {
        for ((re, im), z) in block.re.iter().zip(&block.im).zip(chunk) {
            *z = c64::new(*re, *im);
        }
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "constant indices below 8 into arrays of 8")]
fn mul_add_body<const FUSED: bool>(
    a: &[FourierBlock],
    b: &[FourierBlock],
    acc: &mut [FourierBlock],
) {
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
fn mul_join_body<const FUSED: bool>(a: &[FourierBlock], b: &[FourierBlock], folded: &mut [c64]) {
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
    untwist: &[FourierBlock],
    shift: u32,
    out: &mut [u64],
) {
    let (low, high) = out.split_at_mut(out.len() / 2);
    for (((z, w), a), b) in folded.iter().zip(values(untwist)).zip(low).zip(high) {
        let (re, im) = cmul::<FUSED>(z.re, z.im, w);
        *a = a.wrapping_add(to_word(re) << shift);
        *b = b.wrapping_add(to_word(im) << shift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f64 {
        ((i * 7919 % 1009) as f64 - 504.0) / 37.0
    }

    fn blocks(from: usize, count: usize) -> Vec<FourierBlock> {
        (from..from + count)
            .map(|i| FourierBlock {
                re: std::array::from_fn(|j| value(16 * i + j)),
                im: std::array::from_fn(|j| value(16 * i + 8 + j)),
            })
            .collect()
    }

    fn word(i: usize) -> u64 {
        (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Relative to the size of the operands.
    fn close(fast: &[c64], plain: &[c64], scale: f64) {
        let near = |x: f64, y: f64| (x - y).abs() <= 1e-12 * scale;
        assert!(fast.iter().zip(plain).all(|(x, y)| near(x.re, y.re) && near(x.im, y.im)));
    }

    #[test]
    fn every_instruction_set_gives_about_the_portable_result() {
        let (a, b) = (blocks(0, 5), blocks(5, 5));
        let (mut fast, mut plain) = (a.clone(), a.clone());
        mul_add(&a, &b, &mut fast);
        mul_add_body::<false>(&a, &b, &mut plain);
        let zero = [c64::new(0.0, 0.0); 40];
        let (mut x, mut y) = (zero, zero);
        join(&fast, &mut x);
        join_body::<false>(&plain, &mut y);
        close(&x, &y, 1e3);
        split(&x, &mut plain);
        assert!(plain == fast);
        mul_join(&a, &b, &mut x);
        mul_join_body::<false>(&a, &b, &mut y);
        close(&x, &y, 1e3);

        let words: Vec<u64> = (0..80).map(word).collect();
        let small: Vec<i64> = words.iter().map(|x| (*x as i64) >> 20).collect();
        fold(&words, 16, &a, &mut x);
        fold_body::<false>(&words, 16, &a, &mut y);
        close(&x, &y, 2f64.powi(52));
        fold_small(&small, &a, &mut x);
        fold_small_body::<false>(&small, &a, &mut y);
        close(&x, &y, 2f64.powi(48));
        let digits = Digits { bits: 62, width: 21, count: 3 };
        for at in 0..3 {
            fold_digit(&words, digits, at, &a, &mut x);
            fold_digit_body::<false>(&words, digits, at, &a, &mut y);
            close(&x, &y, 2f64.powi(25));
        }
        // Integers come out, so that rounding hides the last bits.
        let ones = vec![FourierBlock { re: [1.0; 8], im: [0.0; 8] }; 5];
        let integers = std::array::from_fn::<c64, 40, _>(|i| {
            c64::new((word(i) >> 14) as f64 + 0.25, -((word(i + 40) >> 20) as f64) * 2f64.powi(40))
        });
        let (mut fast, mut plain) = (words.clone(), words);
        unfold_add(&integers, &ones, 3, &mut fast);
        unfold_add_body::<false>(&integers, &ones, 3, &mut plain);
        assert_eq!(fast, plain);
    }

    #[test]
    fn balanced_digits_add_up() {
        let one = [FourierBlock { re: [1.0; 8], im: [0.0; 8] }];
        for (bits, width, count) in
            [(48, 24, 2), (62, 21, 3), (27, 27, 1), (50, 25, 2), (63, 21, 3)]
        {
            let edges = [0, u64::MAX, 1 << (bits - 1), (1 << (bits - 1)) - 1];
            let words: Vec<u64> = edges.into_iter().chain((0..796).map(word)).collect();
            for words in words.chunks(16) {
                let words: Vec<u64> = words.iter().map(|x| x & (u64::MAX >> (64 - bits))).collect();
                let mut sums = [0u64; 16];
                for at in 0..count {
                    let mut folded = [c64::new(0.0, 0.0); 8];
                    fold_digit(&words, Digits { bits, width, count }, at, &one, &mut folded);
                    for (j, z) in folded.iter().enumerate() {
                        for (sum, digit) in [(j, z.re as i64), (j + 8, z.im as i64)] {
                            assert!(digit.abs() <= 1 << (width - 1), "{digit}");
                            sums[sum] = sums[sum].wrapping_add((digit as u64) << (at * width));
                        }
                    }
                }
                for (sum, word) in sums.iter().zip(words) {
                    assert_eq!(sum << (64 - bits), word << (64 - bits));
                }
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
