//! The loops of [`super`] in AVX-512, eight values at a time.

use std::arch::x86_64::{
    __m512d, __m512i, _mm_cvtsi32_si128, _mm512_add_epi64, _mm512_add_pd, _mm512_castpd_si512,
    _mm512_cvtepi64_pd, _mm512_fmadd_pd, _mm512_fmsub_pd, _mm512_fnmadd_pd, _mm512_load_pd,
    _mm512_loadu_pd, _mm512_loadu_si512, _mm512_mul_pd, _mm512_permutex2var_pd, _mm512_set1_epi64,
    _mm512_set1_pd, _mm512_setr_epi64, _mm512_sll_epi64, _mm512_slli_epi64, _mm512_sra_epi64,
    _mm512_srl_epi64, _mm512_store_pd, _mm512_storeu_pd, _mm512_storeu_si512, _mm512_sub_epi64,
    _mm512_sub_pd,
};

use tfhe_fft::c64;

use super::FourierBlock;
use super::{Digits, MAGIC};

/// Values in a vector.
const LANES: usize = 8;

#[target_feature(enable = "avx512f")]
fn load(block: &FourierBlock) -> (__m512d, __m512d) {
    // SAFETY: a block is 8 + 8 values, each half aligned to the 64 bytes that are read.
    unsafe { (_mm512_load_pd(block.re.as_ptr()), _mm512_load_pd(block.im.as_ptr())) }
}

#[target_feature(enable = "avx512f")]
fn store(block: &mut FourierBlock, re: __m512d, im: __m512d) {
    // SAFETY: a block is 8 + 8 values, each half aligned to the 64 bytes that are written.
    unsafe {
        _mm512_store_pd(block.re.as_mut_ptr(), re);
        _mm512_store_pd(block.im.as_mut_ptr(), im);
    }
}

#[target_feature(enable = "avx512f")]
fn load_words(words: &[u64; LANES]) -> __m512i {
    // SAFETY: 8 words are the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Real and imaginary parts of interleaved values.
#[target_feature(enable = "avx512f")]
fn load_pairs(values: &[c64; LANES]) -> (__m512d, __m512d) {
    let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    let odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    let (first, second) = values.split_at(LANES / 2);
    // SAFETY: four complex values are the 64 bytes that are read.
    let (x, y) = unsafe {
        (_mm512_loadu_pd(first.as_ptr().cast()), _mm512_loadu_pd(second.as_ptr().cast()))
    };
    (_mm512_permutex2var_pd(x, even, y), _mm512_permutex2var_pd(x, odd, y))
}

#[target_feature(enable = "avx512f")]
fn store_pairs(values: &mut [c64; LANES], re: __m512d, im: __m512d) {
    let low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    let high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    let (first, second) = values.split_at_mut(LANES / 2);
    // SAFETY: four complex values are the 64 bytes that are written.
    unsafe {
        _mm512_storeu_pd(first.as_mut_ptr().cast(), _mm512_permutex2var_pd(re, low, im));
        _mm512_storeu_pd(second.as_mut_ptr().cast(), _mm512_permutex2var_pd(re, high, im));
    }
}

/// `(a + i b) w`.
#[target_feature(enable = "avx512f")]
fn multiply(a: __m512d, b: __m512d, (re, im): (__m512d, __m512d)) -> (__m512d, __m512d) {
    (_mm512_fmsub_pd(a, re, _mm512_mul_pd(b, im)), _mm512_fmadd_pd(a, im, _mm512_mul_pd(b, re)))
}

/// Folds `convert` of every word; the loop of `fold`, `fold_small` and `fold_digit`.
macro_rules! fold_by {
    ($x:expr, $twist:expr, $folded:expr, $convert:expr) => {
        let (words, _) = $x.as_chunks::<LANES>();
        let (low, high) = words.split_at(words.len() / 2);
        let (chunks, _) = $folded.as_chunks_mut::<LANES>();
        for (((chunk, w), a), b) in chunks.iter_mut().zip($twist).zip(low).zip(high) {
            let (re, im) = multiply($convert(a), $convert(b), load(w));
            store_pairs(chunk, re, im);
        }
    };
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn fold(x: &[u64], shift: u32, twist: &[FourierBlock], folded: &mut [c64]) {
    let shift = _mm_cvtsi32_si128(shift as i32);
    let convert = |words: &[u64; LANES]| {
        // Up and down again: the ring's top bit becomes the sign of 64 bits.
        let words = load_words(words);
        _mm512_cvtepi64_pd(_mm512_sra_epi64(_mm512_sll_epi64(words, shift), shift))
    };
    fold_by!(x, twist, folded, convert);
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn fold_small(x: &[i64], twist: &[FourierBlock], folded: &mut [c64]) {
    let convert = |words: &[i64; LANES]| {
        // SAFETY: 8 words are the 64 bytes that are read.
        _mm512_cvtepi64_pd(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    };
    fold_by!(x, twist, folded, convert);
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn fold_digit(
    x: &[u64],
    digits: Digits,
    at: u32,
    twist: &[FourierBlock],
    folded: &mut [c64],
) {
    let Digits { bits, width, count } = digits;
    let centre = _mm_cvtsi32_si128(64 - bits as i32);
    let bias = _mm512_set1_epi64(digits.bias() as i64);
    let biased = |words: &[u64; LANES]| {
        let words = _mm512_sll_epi64(load_words(words), centre);
        _mm512_add_epi64(_mm512_sra_epi64(words, centre), bias)
    };
    // The top digit keeps what is left with its sign; a lower one is a field of the biased word.
    if at + 1 == count {
        let down = _mm_cvtsi32_si128((at * width) as i32);
        let convert =
            |words: &[u64; LANES]| _mm512_cvtepi64_pd(_mm512_sra_epi64(biased(words), down));
        fold_by!(x, twist, folded, convert);
    } else {
        let up = _mm_cvtsi32_si128((64 - width - at * width) as i32);
        let down = _mm_cvtsi32_si128((64 - width) as i32);
        let half = _mm512_set1_epi64(1 << (width - 1));
        let convert = |words: &[u64; LANES]| {
            let field = _mm512_srl_epi64(_mm512_sll_epi64(biased(words), up), down);
            _mm512_cvtepi64_pd(_mm512_sub_epi64(field, half))
        };
        fold_by!(x, twist, folded, convert);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn split(folded: &[c64], blocks: &mut [FourierBlock]) {
    let (chunks, _) = folded.as_chunks::<LANES>();
    for (block, chunk) in blocks.iter_mut().zip(chunks) {
        let (re, im) = load_pairs(chunk);
        store(block, re, im);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn join(blocks: &[FourierBlock], folded: &mut [c64]) {
    let (chunks, _) = folded.as_chunks_mut::<LANES>();
    for (block, chunk) in blocks.iter().zip(chunks) {
        let (re, im) = load(block);
        store_pairs(chunk, re, im);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn mul_add(a: &[FourierBlock], b: &[FourierBlock], acc: &mut [FourierBlock]) {
    for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
        let ((ar, ai), (br, bi), (sr, si)) = (load(a), load(b), load(acc));
        let re = _mm512_fnmadd_pd(ai, bi, _mm512_fmadd_pd(ar, br, sr));
        let im = _mm512_fmadd_pd(ai, br, _mm512_fmadd_pd(ar, bi, si));
        store(acc, re, im);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn mul_join(a: &[FourierBlock], b: &[FourierBlock], folded: &mut [c64]) {
    let (chunks, _) = folded.as_chunks_mut::<LANES>();
    for ((chunk, a), b) in chunks.iter_mut().zip(a).zip(b) {
        let (ar, ai) = load(a);
        let (re, im) = multiply(ar, ai, load(b));
        store_pairs(chunk, re, im);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn unfold_add(folded: &[c64], untwist: &[FourierBlock], shift: u32, out: &mut [u64]) {
    const TWO_50: f64 = 1_125_899_906_842_624.0;
    let magic = _mm512_set1_pd(MAGIC);
    let magic_bits = _mm512_castpd_si512(magic);
    let (up, down) = (_mm512_set1_pd(TWO_50), _mm512_set1_pd(1.0 / TWO_50));
    let shift = _mm_cvtsi32_si128(shift as i32);
    let add = |words: &mut [u64; LANES], x: __m512d| {
        // Adding 1.5 * 2^52 rounds to an integer in the low mantissa bits; a conversion to 64 bits would saturate,
        // and x may be larger.
        let high = _mm512_fmadd_pd(x, down, magic);
        // Fused, so that the difference of two large numbers is exact.
        let rest = _mm512_fnmadd_pd(_mm512_sub_pd(high, magic), up, x);
        let low = _mm512_sub_epi64(_mm512_castpd_si512(_mm512_add_pd(rest, magic)), magic_bits);
        let word = _mm512_add_epi64(_mm512_slli_epi64::<50>(_mm512_castpd_si512(high)), low);
        let sum = _mm512_add_epi64(load_words(words), _mm512_sll_epi64(word, shift));
        // SAFETY: 8 words are the 64 bytes that are written.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), sum) };
    };
    let (words, _) = out.as_chunks_mut::<LANES>();
    let (low, high) = words.split_at_mut(words.len() / 2);
    let (chunks, _) = folded.as_chunks::<LANES>();
    for (((chunk, w), a), b) in chunks.iter().zip(untwist).zip(low).zip(high) {
        let (re, im) = load_pairs(chunk);
        let (re, im) = multiply(re, im, load(w));
        add(a, re);
        add(b, im);
    }
}
