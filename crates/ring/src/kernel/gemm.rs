//! Register-blocked integer matrix products over ciphertext words:
//! `out[m][j] += sum_c w[m][c] * column_c[j] mod 2^64`.
//!
//! A *panel* holds [`STRIP`] consecutive words of every column side by side, so that the inner loop
//! reads memory in order; weights are packed so that the [`ROWS`] rows of a block lie together.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "SIMD kernels for instructions found at run time")
)]
#![expect(
    clippy::inline_always,
    reason = "a body must become part of the function that enables the instructions"
)]

#[cfg(target_arch = "x86_64")]
use gazelle_prg::isa::{Isa, level};

/// Rows computed together.
pub const ROWS: usize = 8;
/// Words of a column computed together: two vectors of 512 bits.
pub const STRIP: usize = 16;

/// `acc[m][j] = sum_c weights[c][m] * panel[c][j] mod 2^64` for one block of rows and one strip.
///
/// `weights`: `[columns]` of [`ROWS`] signed words below 2^31 in magnitude; `panel`: `[columns]` of
/// [`STRIP`] words.
pub fn block(weights: &[[i64; ROWS]], panel: &[[u64; STRIP]], acc: &mut [[u64; STRIP]; ROWS]) {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` found AVX-512 F and DQ on this processor.
        Isa::Avx512 => return unsafe { avx512(weights, panel, acc) },
        // SAFETY: `level` found AVX2 on this processor.
        Isa::Avx2 => return unsafe { avx2(weights, panel, acc) },
        _ => {}
    }
    portable(weights, panel, acc);
}

/// As [`block`], modulo 2^32: half the memory, and less than half the time.
pub fn narrow_block(
    weights: &[[i32; ROWS]],
    panel: &[[u32; STRIP]],
    acc: &mut [[u32; STRIP]; ROWS],
) {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` found AVX-512 F on this processor.
        Isa::Avx512 => return unsafe { narrow_avx512(weights, panel, acc) },
        // SAFETY: `level` found AVX2 on this processor.
        Isa::Avx2 => return unsafe { narrow_avx2(weights, panel, acc) },
        _ => {}
    }
    narrow_portable(weights, panel, acc);
}

#[inline(always)]
fn narrow_portable(
    weights: &[[i32; ROWS]],
    panel: &[[u32; STRIP]],
    acc: &mut [[u32; STRIP]; ROWS],
) {
    *acc = [[0; STRIP]; ROWS];
    for (weights, column) in weights.iter().zip(panel) {
        for (acc, w) in acc.iter_mut().zip(weights) {
            for (acc, x) in acc.iter_mut().zip(column) {
                *acc = acc.wrapping_add(x.wrapping_mul(*w as u32));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn narrow_avx512(weights: &[[i32; ROWS]], panel: &[[u32; STRIP]], acc: &mut [[u32; STRIP]; ROWS]) {
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_loadu_si512, _mm512_mullo_epi32, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };
    let mut sums = [_mm512_setzero_si512(); ROWS];
    for (weights, column) in weights.iter().zip(panel) {
        // SAFETY: a column is 16 words, the 64 bytes that are read.
        let x = unsafe { _mm512_loadu_si512(column.as_ptr().cast()) };
        for (sum, w) in sums.iter_mut().zip(weights) {
            *sum = _mm512_add_epi32(*sum, _mm512_mullo_epi32(x, _mm512_set1_epi32(*w)));
        }
    }
    for (acc, sum) in acc.iter_mut().zip(sums) {
        // SAFETY: a row is 16 words, the 64 bytes that are written.
        unsafe { _mm512_storeu_si512(acc.as_mut_ptr().cast(), sum) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn narrow_avx2(weights: &[[i32; ROWS]], panel: &[[u32; STRIP]], acc: &mut [[u32; STRIP]; ROWS]) {
    // Half a strip at a time: its eight sums are half of the sixteen registers.
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_loadu_si256, _mm256_mullo_epi32, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };
    for half in 0..2 {
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for (weights, column) in weights.iter().zip(panel) {
            let (low, high) = column.split_at(STRIP / 2);
            let words = if half == 0 { low } else { high };
            // SAFETY: half a column is 8 words, the 32 bytes that are read.
            let x = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
            for (sum, w) in sums.iter_mut().zip(weights) {
                *sum = _mm256_add_epi32(*sum, _mm256_mullo_epi32(x, _mm256_set1_epi32(*w)));
            }
        }
        for (acc, sum) in acc.iter_mut().zip(sums) {
            let (low, high) = acc.split_at_mut(STRIP / 2);
            let words = if half == 0 { low } else { high };
            // SAFETY: half a row is 8 words, the 32 bytes that are written.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), sum) };
        }
    }
}

#[inline(always)]
fn portable(weights: &[[i64; ROWS]], panel: &[[u64; STRIP]], acc: &mut [[u64; STRIP]; ROWS]) {
    *acc = [[0; STRIP]; ROWS];
    for (weights, column) in weights.iter().zip(panel) {
        for (acc, w) in acc.iter_mut().zip(weights) {
            for (acc, x) in acc.iter_mut().zip(column) {
                *acc = acc.wrapping_add(x.wrapping_mul(*w as u64));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn avx512(weights: &[[i64; ROWS]], panel: &[[u64; STRIP]], acc: &mut [[u64; STRIP]; ROWS]) {
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_loadu_si512, _mm512_mullo_epi64, _mm512_set1_epi64,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };
    // 16 sums, 2 operands and a weight: all in registers, so that each word of the panel is loaded once for
    // eight rows.
    let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
    for (weights, column) in weights.iter().zip(panel) {
        let (low, high) = column.split_at(STRIP / 2);
        // SAFETY: each half of a column is 8 words, the 64 bytes that are read.
        let (x0, x1) = unsafe {
            (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()))
        };
        for ([s0, s1], w) in sums.iter_mut().zip(weights) {
            let w = _mm512_set1_epi64(*w);
            *s0 = _mm512_add_epi64(*s0, _mm512_mullo_epi64(x0, w));
            *s1 = _mm512_add_epi64(*s1, _mm512_mullo_epi64(x1, w));
        }
    }
    for (acc, [s0, s1]) in acc.iter_mut().zip(sums) {
        let (low, high) = acc.split_at_mut(STRIP / 2);
        // SAFETY: each half of a row is 8 words, the 64 bytes that are written.
        unsafe {
            _mm512_storeu_si512(low.as_mut_ptr().cast(), s0);
            _mm512_storeu_si512(high.as_mut_ptr().cast(), s1);
        }
    }
}

/// `x w = lo w + 2^32 hi w` with the balanced split `x = lo + 2^32 hi`, lo signed: two signed
/// products of 32 bits, summed apart. Four words and four rows at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(weights: &[[i64; ROWS]], panel: &[[u64; STRIP]], acc: &mut [[u64; STRIP]; ROWS]) {
    use std::arch::x86_64::{
        _mm256_add_epi64, _mm256_loadu_si256, _mm256_mul_epi32, _mm256_set1_epi64x,
        _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256,
    };
    const LANES: usize = 4;
    // A 64-bit product takes three 32-bit ones; weights below 2^31 and a signed low half make do with two.
    let half = _mm256_set1_epi64x(1 << 31);
    for quarter in 0..STRIP / LANES {
        // Half the rows at a time: two sums each are eight of the sixteen registers.
        for rows in [0, ROWS / 2] {
            let mut low_sums = [_mm256_setzero_si256(); ROWS / 2];
            let mut high_sums = [_mm256_setzero_si256(); ROWS / 2];
            for (weights, column) in weights.iter().zip(panel) {
                let Some(words) = column.get(quarter * LANES..(quarter + 1) * LANES) else {
                    continue;
                };
                // SAFETY: `words` is 4 words, the 32 bytes that are read.
                let x = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
                let high = _mm256_srli_epi64::<32>(_mm256_add_epi64(x, half));
                let weights = weights.iter().skip(rows);
                for ((low_sum, high_sum), w) in low_sums.iter_mut().zip(&mut high_sums).zip(weights)
                {
                    let w = _mm256_set1_epi64x(*w);
                    *low_sum = _mm256_add_epi64(*low_sum, _mm256_mul_epi32(x, w));
                    *high_sum = _mm256_add_epi64(*high_sum, _mm256_mul_epi32(high, w));
                }
            }
            for ((acc, low), high) in acc.iter_mut().skip(rows).zip(low_sums).zip(high_sums) {
                let Some(words) = acc.get_mut(quarter * LANES..(quarter + 1) * LANES) else {
                    continue;
                };
                let sum = _mm256_add_epi64(low, _mm256_slli_epi64::<32>(high));
                // SAFETY: `words` is 4 words, the 32 bytes that are written.
                unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operands(columns: usize) -> (Vec<[i64; ROWS]>, Vec<[u64; STRIP]>) {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state ^ (state >> 29)
        };
        let mut weights = vec![[0; ROWS]; columns];
        weights.iter_mut().flatten().for_each(|w| *w = (next() >> 48) as i64 - 32768);
        let mut panel = vec![[0; STRIP]; columns];
        panel.iter_mut().flatten().for_each(|x| *x = next());
        // Edges of the balanced split.
        if let [first, ..] = panel.as_mut_slice() {
            first[..4].copy_from_slice(&[u64::MAX, 1 << 31, (1 << 31) - 1, 1 << 63]);
        }
        (weights, panel)
    }

    #[test]
    fn every_instruction_set_gives_the_portable_result() {
        for columns in [0, 1, 2, 9, 65] {
            let (weights, panel) = operands(columns);
            let mut expected = [[0; STRIP]; ROWS];
            portable(&weights, &panel, &mut expected);
            let mut got = [[1; STRIP]; ROWS];
            block(&weights, &panel, &mut got);
            assert_eq!(got, expected);
            #[cfg(target_arch = "x86_64")]
            if gazelle_prg::isa::level() >= Isa::Avx2 {
                // SAFETY: `level` found AVX2 on this processor.
                unsafe { avx2(&weights, &panel, &mut got) };
                assert_eq!(got, expected);
            }
        }
    }

    #[test]
    fn narrow_blocks_are_the_low_halves_of_wide_ones() {
        for columns in [0, 1, 2, 9, 65] {
            let (mut weights, panel) = operands(columns);
            if let [first, ..] = weights.as_mut_slice() {
                first[..2].copy_from_slice(&[i64::from(i32::MAX), i64::from(i32::MIN)]);
            }
            let mut wide = [[0; STRIP]; ROWS];
            portable(&weights, &panel, &mut wide);
            let expected = wide.map(|row| row.map(|word| word as u32));
            let weights: Vec<_> = weights.iter().map(|row| row.map(|w| w as i32)).collect();
            let panel: Vec<_> = panel.iter().map(|column| column.map(|x| x as u32)).collect();
            let mut got = [[1; STRIP]; ROWS];
            narrow_block(&weights, &panel, &mut got);
            assert_eq!(got, expected);
            narrow_portable(&weights, &panel, &mut got);
            assert_eq!(got, expected);
            #[cfg(target_arch = "x86_64")]
            if gazelle_prg::isa::level() >= Isa::Avx2 {
                // SAFETY: `level` found AVX2 on this processor.
                unsafe { narrow_avx2(&weights, &panel, &mut got) };
                assert_eq!(got, expected);
            }
        }
    }
}
