//! Element types with the kernels that sum their products in registers.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "loads, stores and calls of functions for instructions found at run time"
    )
)]
#![expect(clippy::indexing_slicing, reason = "tiles have constant numbers of rows and terms")]

use super::element::{COLUMNS, Element, Left, ROWS, Row, TERMS};

/// The kernel of an element type, where the architecture has one.
macro_rules! tile_by {
    ($kernel:ident) => {
        #[cfg(target_arch = "x86_64")]
        fn add_tile(
            left: &[[[Self; TERMS]; ROWS]],
            right: &[[Self; COLUMNS]],
            sums: &mut [[Self::Sum; COLUMNS]; ROWS],
        ) {
            x86::$kernel(left, right, sums);
        }
    };
}

impl Element for u64 {
    type Weight = i32;
    type Sum = Self;
    #[inline]
    fn from_weight(weight: i32) -> Self {
        weight as Self
    }
    #[inline]
    fn add_product(sum: Self, a: Self, b: Self) -> Self {
        sum.wrapping_add(a.wrapping_mul(b))
    }
    tile_by!(add_words);
}

impl Element for f32 {
    type Weight = Self;
    type Sum = Self;
    #[inline]
    fn from_weight(weight: Self) -> Self {
        weight
    }
    #[inline]
    fn add_product(sum: Self, a: Self, b: Self) -> Self {
        sum + a * b
    }
    tile_by!(add_f32);
}

/// Integers up to 2^53, which floating point adds and multiplies exactly, and faster than words.
impl Element for f64 {
    type Weight = i32;
    type Sum = Self;
    #[inline]
    fn from_weight(weight: i32) -> Self {
        Self::from(weight)
    }
    #[inline]
    fn add_product(sum: Self, a: Self, b: Self) -> Self {
        sum + a * b
    }
    tile_by!(add_f64);
}

/// Small integers whose sums stay below 2^31: processors add two of their products at once.
impl Element for i16 {
    type Weight = i32;
    type Sum = i32;
    #[inline]
    fn from_weight(weight: i32) -> Self {
        weight as Self
    }
    #[inline]
    fn add_product(sum: i32, a: Self, b: Self) -> i32 {
        sum.wrapping_add(i32::from(a) * i32::from(b))
    }
    fn arrange(panel: &mut [[Self; COLUMNS]]) {
        pair(panel);
    }
    fn add_tile(
        left: &[[[Self; TERMS]; ROWS]],
        right: &[[Self; COLUMNS]],
        sums: &mut [[i32; COLUMNS]; ROWS],
    ) {
        #[cfg(target_arch = "x86_64")]
        x86::add_pairs(left, right, sums);
        #[cfg(not(target_arch = "x86_64"))]
        add_pairs(left, right, sums);
    }
}

/// Puts the elements of each two rows side by side, column by column.
pub(super) fn pair(panel: &mut [Row<i16>]) {
    for rows in panel.as_chunks_mut::<2>().0 {
        let [first, second] = *rows;
        let (pairs, _) = rows.as_flattened_mut().as_chunks_mut::<2>();
        for ((pair, a), b) in pairs.iter_mut().zip(first).zip(second) {
            *pair = [a, b];
        }
    }
}

/// [`add`] for paired rows.
#[inline]
pub(super) fn add_pairs(left: &[Left<i16>], right: &[Row<i16>], sums: &mut [Row<i32>; ROWS]) {
    for (r, out) in sums.iter_mut().enumerate() {
        let mut sums = *out;
        for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
            let terms = left[r].as_chunks::<2>().0.iter().zip(right.as_chunks::<2>().0);
            for ([a, b], rows) in terms {
                for (sum, [x, y]) in sums.iter_mut().zip(rows.as_flattened().as_chunks::<2>().0) {
                    let both = i32::from(*a) * i32::from(*x) + i32::from(*b) * i32::from(*y);
                    *sum = sum.wrapping_add(both);
                }
            }
        }
        *out = sums;
    }
}

/// [`add`] for an element type: vectors of an instruction set, as many rows at a time as there are
/// registers for, `$step` terms in each product.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    (
        $name:ident, $features:literal, $element:ty => $sum:ty, $vector:ty, $rows:literal, $step:literal,
        $load:ident, $store:ident, $set:expr, $multiply:ident, $add:ident
    ) => {
        #[target_feature(enable = $features)]
        fn $name(left: &[Left<$element>], right: &[Row<$element>], sums: &mut [Row<$sum>; ROWS]) {
            const FACTORS: usize = size_of::<$vector>() / size_of::<$element>();
            const SUMS: usize = size_of::<$vector>() / size_of::<$sum>();
            const VECTORS: usize = COLUMNS / SUMS;
            let set = $set;
            for (index, out) in sums.as_chunks_mut::<$rows>().0.iter_mut().enumerate() {
                let mut sums = [[set([<$element>::default(); $step]); VECTORS]; $rows];
                for (sums, out) in sums.iter_mut().zip(&*out) {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: a row of sums has VECTORS * SUMS elements.
                        *sum = unsafe { $load(out.as_ptr().add(v * SUMS).cast()) };
                    }
                }
                for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
                    for (t, right) in right.as_chunks::<$step>().0.iter().enumerate() {
                        let right = right.as_flattened().as_ptr();
                        let mut b = [set([<$element>::default(); $step]); VECTORS];
                        for (v, b) in b.iter_mut().enumerate() {
                            // SAFETY: so many rows have VECTORS * FACTORS elements.
                            *b = unsafe { $load(right.add(v * FACTORS).cast()) };
                        }
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let a = set(left[index * $rows + r].as_chunks::<$step>().0[t]);
                            for (sum, b) in sums.iter_mut().zip(&b) {
                                *sum = $add(*sum, $multiply(a, *b));
                            }
                        }
                    }
                }
                for (sums, out) in sums.iter().zip(out) {
                    for (v, sum) in sums.iter().enumerate() {
                        // SAFETY: as for the loads.
                        unsafe { $store(out.as_mut_ptr().add(v * SUMS).cast(), *sum) };
                    }
                }
            }
        }
    };
}

/// A kernel by the highest level of this processor.
#[cfg(target_arch = "x86_64")]
macro_rules! dispatch {
    ($name:ident, $element:ty => $sum:ty, $avx512:ident, $avx2:ident, $portable:path) => {
        pub(in crate::plain) fn $name(
            left: &[Left<$element>],
            right: &[Row<$element>],
            sums: &mut [Row<$sum>; ROWS],
        ) {
            match level() {
                // SAFETY: `level` found AVX-512 F, BW and DQ on this processor.
                Isa::Avx512 => unsafe { $avx512(left, right, sums) },
                // SAFETY: `level` found AVX2 on this processor.
                Isa::Avx2 => unsafe { $avx2(left, right, sums) },
                _ => $portable(left, right, sums),
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256, __m256d, __m256i, __m512, __m512d, __m512i, _mm256_add_epi32, _mm256_add_pd,
        _mm256_add_ps, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_mul_pd, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_pd, _mm256_set1_ps,
        _mm256_storeu_pd, _mm256_storeu_ps, _mm256_storeu_si256, _mm512_add_epi32,
        _mm512_add_epi64, _mm512_add_pd, _mm512_add_ps, _mm512_loadu_pd, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_madd_epi16, _mm512_mul_pd, _mm512_mul_ps, _mm512_mullo_epi64,
        _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_pd, _mm512_set1_ps, _mm512_storeu_pd,
        _mm512_storeu_ps, _mm512_storeu_si512,
    };

    use gazelle_prg::isa::{Isa, level};

    use super::super::element::{COLUMNS, Left, ROWS, Row, TERMS, add};

    #[rustfmt::skip]
    kernel!(
        f32_avx512, "avx512f", f32 => f32, __m512, 8, 1,
        _mm512_loadu_ps, _mm512_storeu_ps, |[a]: [f32; 1]| _mm512_set1_ps(a),
        _mm512_mul_ps, _mm512_add_ps
    );
    #[rustfmt::skip]
    kernel!(
        f64_avx512, "avx512f", f64 => f64, __m512d, 4, 1,
        _mm512_loadu_pd, _mm512_storeu_pd, |[a]: [f64; 1]| _mm512_set1_pd(a),
        _mm512_mul_pd, _mm512_add_pd
    );
    #[rustfmt::skip]
    kernel!(
        u64_avx512, "avx512f,avx512dq", u64 => u64, __m512i, 4, 1,
        _mm512_loadu_si512, _mm512_storeu_si512, |[a]: [u64; 1]| _mm512_set1_epi64(a as i64),
        _mm512_mullo_epi64, _mm512_add_epi64
    );
    #[rustfmt::skip]
    kernel!(
        pairs_avx512, "avx512f,avx512bw", i16 => i32, __m512i, 8, 2,
        _mm512_loadu_si512, _mm512_storeu_si512, |pair: [i16; 2]| _mm512_set1_epi32(word(pair)),
        _mm512_madd_epi16, _mm512_add_epi32
    );
    #[rustfmt::skip]
    kernel!(
        f32_avx2, "avx2", f32 => f32, __m256, 2, 1,
        _mm256_loadu_ps, _mm256_storeu_ps, |[a]: [f32; 1]| _mm256_set1_ps(a),
        _mm256_mul_ps, _mm256_add_ps
    );
    #[rustfmt::skip]
    kernel!(
        f64_avx2, "avx2", f64 => f64, __m256d, 1, 1,
        _mm256_loadu_pd, _mm256_storeu_pd, |[a]: [f64; 1]| _mm256_set1_pd(a),
        _mm256_mul_pd, _mm256_add_pd
    );
    #[rustfmt::skip]
    kernel!(
        pairs_avx2, "avx2", i16 => i32, __m256i, 2, 2,
        _mm256_loadu_si256, _mm256_storeu_si256, |pair: [i16; 2]| _mm256_set1_epi32(word(pair)),
        _mm256_madd_epi16, _mm256_add_epi32
    );
    dispatch!(add_f32, f32 => f32, f32_avx512, f32_avx2, add);
    dispatch!(add_f64, f64 => f64, f64_avx512, f64_avx2, add);
    dispatch!(add_words, u64 => u64, u64_avx512, u64_avx2, add);
    dispatch!(add_pairs, i16 => i32, pairs_avx512, pairs_avx2, super::add_pairs);

    /// Two terms of a row as one word.
    #[inline]
    fn word([a, b]: [i16; 2]) -> i32 {
        i32::from(a as u16) | i32::from(b) << 16
    }

    /// Has no product of words: what the compiler makes of the portable loop.
    #[target_feature(enable = "avx2")]
    fn u64_avx2(left: &[Left<u64>], right: &[Row<u64>], sums: &mut [Row<u64>; ROWS]) {
        add(left, right, sums);
    }

    #[cfg(test)]
    mod tests {
        use gazelle_prg::isa::detected;

        use super::super::{Element, pair};
        use super::*;

        /// Any values, some of them negative.
        fn values<T: Copy>(count: usize, of: impl Fn(i16) -> T) -> Vec<T> {
            (0..count).map(|i| of((i * 7919 % 30_011) as i16 - 15_000)).collect()
        }

        /// A kernel against [`add`].
        fn agrees<E: Element>(
            of: impl Fn(i16) -> E,
            kernel: impl Fn(&[Left<E>], &[Row<E>], &mut [Row<E::Sum>; ROWS]),
            arranged: impl Fn(&mut [Row<E>]),
        ) where
            E::Sum: PartialEq + std::fmt::Debug,
        {
            const BLOCKS: usize = 3;
            let flat = values(BLOCKS * ROWS * TERMS, &of);
            let (rows, _) = flat.as_chunks::<TERMS>();
            let (left, _) = rows.as_chunks::<ROWS>();
            let flat = values(BLOCKS * TERMS * COLUMNS, &of);
            let mut right = flat.as_chunks::<COLUMNS>().0.to_vec();
            let mut expected = [[E::Sum::default(); COLUMNS]; ROWS];
            // Twice, so that sums that are there are added to.
            add(left, &right, &mut expected);
            add(left, &right, &mut expected);
            arranged(&mut right);
            let mut got = [[E::Sum::default(); COLUMNS]; ROWS];
            kernel(left, &right, &mut got);
            kernel(left, &right, &mut got);
            assert_eq!(got, expected);
        }

        #[test]
        fn properties_all_kernels_add_the_same() {
            agrees(|x| x / 64, super::super::add_pairs, pair);
            if detected() >= Isa::Avx2 {
                // SAFETY: the processor has AVX2.
                unsafe {
                    agrees(f32::from, |l, r, s| f32_avx2(l, r, s), |_| ());
                    agrees(f64::from, |l, r, s| f64_avx2(l, r, s), |_| ());
                    agrees(|x| x as u64, |l, r, s| u64_avx2(l, r, s), |_| ());
                    agrees(|x| x / 64, |l, r, s| pairs_avx2(l, r, s), pair);
                }
            }
            if detected() >= Isa::Avx512 {
                // SAFETY: the processor has AVX-512 F, BW and DQ.
                unsafe {
                    agrees(|x| f32::from(x) * 0.37, |l, r, s| f32_avx512(l, r, s), |_| ());
                    agrees(f64::from, |l, r, s| f64_avx512(l, r, s), |_| ());
                    agrees(|x| x as u64, |l, r, s| u64_avx512(l, r, s), |_| ());
                    agrees(|x| x / 64, |l, r, s| pairs_avx512(l, r, s), pair);
                }
            }
        }
    }
}
