//! The samplers' inner loops: one portable definition each, compiled once more for AVX2 and AVX-512
//! and chosen at run time. The results are the same bit for bit (no fused multiply-adds).
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls functions compiled for instructions found at run time")
)]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

#[cfg(target_arch = "x86_64")]
use crate::isa::{Isa, level};

/// 1.5 * 2^52: the sum with a smaller |x| < 2^51 holds x, rounded, in its low mantissa bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// The bits of sqrt(1/2) as f64.
const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;

/// Defines `$name` as the portable `$body`, dispatched over instruction sets.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) {
                    $body($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) {
                    $body($($arg),*);
                }
                match level() {
                    // SAFETY: `level` found AVX-512 F, BW, DQ and VL on this processor.
                    Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: `level` found AVX2 on this processor.
                    Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            $body($($arg),*);
        }
    };
}

dispatched!(
    /// `out[i] = floor(3 raw[i] / 2^64) - 1`.
    ternary, ternary_body, (raw: &[u64], out: &mut [i64])
);

/// `out[i] = +-#{ t in tails: raw[i] < t }`, negative where bit i of `signs` is set; `tails` falls.
pub(super) fn inversion(tails: &[u64], raw: &[u64], signs: &[u64], out: &mut [i64]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(tails: &[u64], raw: &[u64], signs: &[u64], out: &mut [i64]) {
            inversion_body(tails, raw, signs, out);
        }
        match level() {
            Isa::Avx512 if tails.len() < 64 => {
                // SAFETY: `level` found AVX-512 F, BW, DQ and VL on this processor.
                return unsafe { inversion_avx512(tails, raw, signs, out) };
            }
            // SAFETY: `level` found AVX2 on this processor.
            Isa::Avx512 | Isa::Avx2 => return unsafe { avx2(tails, raw, signs, out) },
            _ => {}
        }
    }
    inversion_body(tails, raw, signs, out);
}

/// The same in two steps for fewer than 64 thresholds, in registers only: the thresholds 8, 16, ..
/// say which run of eight the sample is in, then each lane compares with its run's other seven.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn inversion_avx512(tails: &[u64], raw: &[u64], signs: &[u64], out: &mut [i64]) {
    use std::arch::x86_64::{
        _mm512_cmplt_epu64_mask, _mm512_loadu_si512, _mm512_mask_add_epi64, _mm512_mask_sub_epi64,
        _mm512_permutexvar_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64,
        _mm512_storeu_si512,
    };
    // table[j][run] = threshold number 8 run + j + 1; zero beyond the last.
    let mut table = [[0u64; 8]; 8];
    for (index, tail) in tails.iter().enumerate() {
        if let Some(slot) = table.get_mut(index % 8).and_then(|row| row.get_mut(index / 8)) {
            *slot = *tail;
        }
    }
    // SAFETY: every row is 8 words, the 64 bytes that are read.
    let rows = table.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) });
    let [within @ .., _] = rows;
    let [.., splitters] = table;
    let one = _mm512_set1_epi64(1);
    let zero = _mm512_setzero_si512();
    let mut index = 0usize;
    for (out, raw) in out.chunks_mut(8).zip(raw.chunks(8)) {
        let mut words = [0u64; 8];
        words.iter_mut().zip(raw).for_each(|(word, raw)| *word = *raw);
        // SAFETY: 8 words are 64 bytes.
        let u = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
        let mut run = zero;
        for splitter in splitters {
            let below = _mm512_cmplt_epu64_mask(u, _mm512_set1_epi64(splitter as i64));
            run = _mm512_mask_add_epi64(run, below, run, one);
        }
        let mut count = _mm512_slli_epi64::<3>(run);
        for row in within {
            let threshold = _mm512_permutexvar_epi64(run, row);
            let below = _mm512_cmplt_epu64_mask(u, threshold);
            count = _mm512_mask_add_epi64(count, below, count, one);
        }
        let word = signs.get(index / 64).copied().unwrap_or_default() >> (index % 64);
        let signed = _mm512_mask_sub_epi64(count, word as u8, zero, count);
        let mut result = [0i64; 8];
        // SAFETY: 8 words are 64 bytes.
        unsafe { _mm512_storeu_si512(result.as_mut_ptr().cast(), signed) };
        out.iter_mut().zip(result).for_each(|(out, result)| *out = result);
        index += 8;
    }
}

dispatched!(
    /// Box-Muller: `out[i]` and `out[half + i]` from `raw[i]` and `raw[half + i]`; both of one even
    /// length.
    box_muller, box_muller_body, (deviation: f64, raw: &[u64], out: &mut [i64])
);

#[inline(always)]
fn ternary_body(raw: &[u64], out: &mut [i64]) {
    for (x, u) in out.iter_mut().zip(raw) {
        // The high word of 3u = u + 2u: the bit shifted out of 2u, and the carry of the sum.
        let double = u << 1;
        let carry = i64::from(double.wrapping_add(*u) < *u);
        *x = (u >> 63) as i64 + carry - 1;
    }
}

#[inline(always)]
fn inversion_body(tails: &[u64], raw: &[u64], signs: &[u64], out: &mut [i64]) {
    // Sixteen samples at a time stay in registers while the table goes by.
    const LANES: usize = 16;
    let mut index = 0usize;
    for (out, raw) in out.chunks_mut(LANES).zip(raw.chunks(LANES)) {
        let mut u = [0u64; LANES];
        u.iter_mut().zip(raw).for_each(|(u, raw)| *u = *raw);
        let mut count = [0i64; LANES];
        for tail in tails {
            for (count, u) in count.iter_mut().zip(&u) {
                *count += i64::from(*u < *tail);
            }
        }
        let word = signs.get(index / 64).copied().unwrap_or_default() >> (index % 64);
        for (lane, (x, count)) in out.iter_mut().zip(&count).enumerate() {
            let negative = ((word >> lane) & 1) as i64;
            *x = (count ^ -negative) + negative;
        }
        index += LANES;
    }
}

#[inline(always)]
fn box_muller_body(deviation: f64, raw: &[u64], out: &mut [i64]) {
    let half = raw.len() / 2;
    let (radial, angular) = raw.split_at(half);
    let (first, second) = out.split_at_mut(half);
    for (((x, y), u), w) in first.iter_mut().zip(second).zip(radial).zip(angular) {
        let radius = deviation * (-2.0 * ln_of_fraction(*u)).sqrt();
        let (sin, cos) = sin_cos_of_turn(*w);
        *x = round(radius * cos);
        *y = round(radius * sin);
    }
}

/// Nearest integer, for |x| < 2^51.
#[inline(always)]
fn round(x: f64) -> i64 {
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i64
}

/// `ln((u + 1/2) / 2^64)`, accurate to about 2^-52 relative to its size or absolutely.
#[inline(always)]
fn ln_of_fraction(u: u64) -> f64 {
    // u = high 2^32 + low exactly; the sum is rounded once.
    let high = f64_of_u32(u >> 32);
    let low = f64_of_u32(u & 0xffff_ffff);
    let x = high * 4_294_967_296.0 + (low + 0.5);
    // x = m 2^e with m in [sqrt(1/2), sqrt(2)).
    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i64) >> 52;
    let mantissa = f64::from_bits(bits.wrapping_sub((exponent as u64) << 52));
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut series = 1.0 / 21.0;
    series = series * z + 1.0 / 19.0;
    series = series * z + 1.0 / 17.0;
    series = series * z + 1.0 / 15.0;
    series = series * z + 1.0 / 13.0;
    series = series * z + 1.0 / 11.0;
    series = series * z + 1.0 / 9.0;
    series = series * z + 1.0 / 7.0;
    series = series * z + 1.0 / 5.0;
    series = series * z + 1.0 / 3.0;
    let ln_m = 2.0 * s + 2.0 * s * z * series;
    // exponent in -1..=64, as f64 without a conversion of signed 64-bit integers.
    let e = f64_of_u32((exponent + 64) as u64) - 128.0;
    e * std::f64::consts::LN_2 + ln_m
}

/// Sine and cosine of `2 pi w / 2^64`, accurate to about 2^-52.
#[inline(always)]
fn sin_cos_of_turn(w: u64) -> (f64, f64) {
    // Nearest quarter turn, and the rest in [-1/8, 1/8) of a turn.
    let quarter = w.wrapping_add(1 << 61) >> 62;
    let rest = (w.wrapping_sub(quarter << 62) as i64) >> 11;
    // |rest| < 2^50: an exact conversion by the mantissa.
    let turns = f64::from_bits(MAGIC.to_bits().wrapping_add(rest as u64)) - MAGIC;
    let angle = turns * (std::f64::consts::TAU / 9_007_199_254_740_992.0);
    let z = angle * angle;
    // Taylor, |angle| <= pi / 4: the next terms are below 2^-56.
    let mut s = -1.0 / 1_307_674_368_000.0;
    s = s * z + 1.0 / 6_227_020_800.0;
    s = s * z - 1.0 / 39_916_800.0;
    s = s * z + 1.0 / 362_880.0;
    s = s * z - 1.0 / 5_040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    let sin = angle + angle * z * s;
    let mut c = 1.0 / 20_922_789_888_000.0;
    c = c * z - 1.0 / 87_178_291_200.0;
    c = c * z + 1.0 / 479_001_600.0;
    c = c * z - 1.0 / 3_628_800.0;
    c = c * z + 1.0 / 40_320.0;
    c = c * z - 1.0 / 720.0;
    c = c * z + 1.0 / 24.0;
    c = c * z - 0.5;
    let cos = 1.0 + z * c;
    // Quarter turns: swap on odd ones, signs from the top two bits; selections are bit masks.
    let odd = (quarter & 1).wrapping_neg();
    let (sin, cos) = (sin.to_bits(), cos.to_bits());
    let swap = (sin ^ cos) & odd;
    let sine = (sin ^ swap) ^ ((quarter >> 1) << 63);
    let cosine = (cos ^ swap) ^ (((quarter ^ (quarter >> 1)) & 1) << 63);
    (f64::from_bits(sine), f64::from_bits(cosine))
}

/// Exact conversion of `x < 2^52` by the mantissa; vectorises on every instruction set. (Negative
/// small values arrive wrapped and are the caller's business.)
#[inline(always)]
fn f64_of_u32(x: u64) -> f64 {
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    f64::from_bits(TWO_52.to_bits() | x) - TWO_52
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_angle_are_accurate() {
        let mut u = 0x0123_4567_89ab_cdefu64;
        for round in 0..20_000u32 {
            u = u.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let small = u >> (round % 64);
            let expected = (small as f64 + 0.5).ln() - 64.0 * std::f64::consts::LN_2;
            let error = (ln_of_fraction(small) - expected).abs();
            // Near 0 the reference itself loses digits: the difference of two numbers near 44.
            assert!(error <= 3e-14, "{small}: {error}");
            let angle = u as f64 * 64f64.exp2().recip() * std::f64::consts::TAU;
            let (sin, cos) = sin_cos_of_turn(u);
            assert!((sin - angle.sin()).abs() < 2e-15 && (cos - angle.cos()).abs() < 2e-15);
        }
        for (u, expected) in [(u64::MAX, 0.0), (1 << 63, 0.5f64.ln()), (0, -65.0 * 2f64.ln())] {
            assert!((ln_of_fraction(u) - expected).abs() < 1e-14);
        }
    }

    #[test]
    fn rounding_is_to_nearest() {
        for (x, expected) in [(0.4, 0), (0.6, 1), (-0.6, -1), (-1e7 - 0.2, -10_000_000)] {
            assert_eq!(round(x), expected);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_portable_result() {
        let raw: Vec<u64> =
            (0..333u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let tails = &super::super::tables::TAILS_6_4;
        let signs = [0x0f0f_1234_5678_9abc; 6];
        let (mut fast, mut plain) = (vec![0i64; 333], vec![0i64; 333]);
        ternary(&raw, &mut fast);
        ternary_body(&raw, &mut plain);
        assert_eq!(fast, plain);
        // Words beside every threshold of both tables among them.
        let mut edges = raw.clone();
        for (index, tail) in tails.iter().chain(&super::super::tables::TAILS_3_2).enumerate() {
            edges[3 * index] = tail - 1;
            edges[3 * index + 1] = *tail;
            edges[3 * index + 2] = tail + 1;
        }
        for tails in [&tails[..], &super::super::tables::TAILS_3_2] {
            inversion(tails, &edges, &signs, &mut fast);
            inversion_body(tails, &edges, &signs, &mut plain);
            assert_eq!(fast, plain);
        }
        let (mut fast, mut plain) = (vec![0i64; 332], vec![0i64; 332]);
        box_muller(1e6, &raw[..332], &mut fast);
        box_muller_body(1e6, &raw[..332], &mut plain);
        assert_eq!(fast, plain);
    }
}
