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
/// registers for.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    (
        $name:ident, $features:literal, $element:ty, $vector:ty, $rows:literal,
        $load:ident, $store:ident, $set:ident, $multiply:ident, $add:ident
    ) => {
        #[target_feature(enable = $features)]
        fn $name(
            left: &[Left<$element>],
            right: &[Row<$element>],
            sums: &mut [Row<$element>; ROWS],
        ) {
            const LANES: usize = size_of::<$vector>() / size_of::<$element>();
            const VECTORS: usize = COLUMNS / LANES;
            for (index, out) in sums.as_chunks_mut::<$rows>().0.iter_mut().enumerate() {
                let mut sums = [[$set(<$element>::default()); VECTORS]; $rows];
                for (sums, out) in sums.iter_mut().zip(&*out) {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: a row has VECTORS * LANES elements.
                        *sum = unsafe { $load(out.as_ptr().add(v * LANES).cast()) };
                    }
                }
                for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
                    for (t, right) in right.iter().enumerate() {
                        let mut b = [$set(<$element>::default()); VECTORS];
                        for (v, b) in b.iter_mut().enumerate() {
                            // SAFETY: as above.
                            *b = unsafe { $load(right.as_ptr().add(v * LANES).cast()) };
                        }
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let a = $set(left[index * $rows + r][t]);
                            for (sum, b) in sums.iter_mut().zip(&b) {
                                *sum = $add(*sum, $multiply(a, *b));
                            }
                        }
                    }
                }
                for (sums, out) in sums.iter().zip(out) {
                    for (v, sum) in sums.iter().enumerate() {
                        // SAFETY: as above.
                        unsafe { $store(out.as_mut_ptr().add(v * LANES).cast(), *sum) };
                    }
                }
            }
        }
    };
}

/// [`add`] by the highest level of this processor.
#[cfg(target_arch = "x86_64")]
macro_rules! dispatch {
    ($name:ident, $element:ty, $avx512:ident, $avx2:ident) => {
        pub(in crate::plain) fn $name(
            left: &[Left<$element>],
            right: &[Row<$element>],
            sums: &mut [Row<$element>; ROWS],
        ) {
            match level() {
                // SAFETY: `level` found AVX-512 F, DQ and VL on this processor.
                Isa::Avx512 => unsafe { $avx512(left, right, sums) },
                // SAFETY: `level` found AVX2 on this processor.
                Isa::Avx2 => unsafe { $avx2(left, right, sums) },
                _ => add(left, right, sums),
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256, __m256d, __m512, __m512d, __m512i, _mm256_add_epi32, _mm256_add_pd, _mm256_add_ps,
        _mm256_loadu_pd, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_pd,
        _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_pd, _mm256_set1_ps, _mm256_setzero_si256,
        _mm256_storeu_pd, _mm256_storeu_ps, _mm256_storeu_si256, _mm512_add_epi32,
        _mm512_add_epi64, _mm512_add_pd, _mm512_add_ps, _mm512_loadu_epi16, _mm512_loadu_epi32,
        _mm512_loadu_epi64, _mm512_loadu_pd, _mm512_loadu_ps, _mm512_madd_epi16, _mm512_mul_pd,
        _mm512_mul_ps, _mm512_mullo_epi64, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_pd,
        _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_epi32, _mm512_storeu_epi64,
        _mm512_storeu_pd, _mm512_storeu_ps,
    };

    use gazelle_prg::isa::{Isa, level};

    use super::super::element::{COLUMNS, Left, ROWS, Row, TERMS, add};

    #[rustfmt::skip]
    kernel!(
        f32_avx512, "avx512f", f32, __m512, 8,
        _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_mul_ps, _mm512_add_ps
    );
    #[rustfmt::skip]
    kernel!(
        f64_avx512, "avx512f", f64, __m512d, 4,
        _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd, _mm512_mul_pd, _mm512_add_pd
    );
    #[rustfmt::skip]
    kernel!(
        u64_avx512, "avx512f,avx512dq", u64, __m512i, 4,
        _mm512_loadu_epi64, _mm512_storeu_epi64, set_words, _mm512_mullo_epi64, _mm512_add_epi64
    );
    #[rustfmt::skip]
    kernel!(
        f32_avx2, "avx2", f32, __m256, 2,
        _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_mul_ps, _mm256_add_ps
    );
    #[rustfmt::skip]
    kernel!(
        f64_avx2, "avx2", f64, __m256d, 1,
        _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd, _mm256_mul_pd, _mm256_add_pd
    );
    dispatch!(add_f32, f32, f32_avx512, f32_avx2);
    dispatch!(add_f64, f64, f64_avx512, f64_avx2);
    dispatch!(add_words, u64, u64_avx512, u64_avx2);

    /// [`super::add_pairs`] by the highest level of this processor.
    pub(in crate::plain) fn add_pairs(
        left: &[Left<i16>],
        right: &[Row<i16>],
        sums: &mut [Row<i32>; ROWS],
    ) {
        match level() {
            // SAFETY: `level` found AVX-512 F and BW on this processor.
            Isa::Avx512 => unsafe { pairs_avx512(left, right, sums) },
            // SAFETY: `level` found AVX2 on this processor.
            Isa::Avx2 => unsafe { pairs_avx2(left, right, sums) },
            _ => super::add_pairs(left, right, sums),
        }
    }

    /// Two terms of a row as one word.
    #[inline]
    fn word([a, b]: [i16; 2]) -> i32 {
        i32::from(a as u16) | i32::from(b) << 16
    }

    /// Sums of a row in vectors of 16 and of 8.
    const WIDE: usize = COLUMNS / 16;
    const NARROW: usize = COLUMNS / 8;

    #[target_feature(enable = "avx512f,avx512bw")]
    fn pairs_avx512(left: &[Left<i16>], right: &[Row<i16>], out: &mut [Row<i32>; ROWS]) {
        let mut sums = [[_mm512_setzero_si512(); WIDE]; ROWS];
        for (sums, out) in sums.iter_mut().zip(&*out) {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a row of sums has WIDE times 64 bytes.
                *sum = unsafe { _mm512_loadu_epi32(out.as_ptr().add(16 * v)) };
            }
        }
        for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
            for (t, rows) in right.as_chunks::<2>().0.iter().enumerate() {
                let both = rows.as_flattened().as_ptr();
                let mut x = [_mm512_setzero_si512(); WIDE];
                for (v, x) in x.iter_mut().enumerate() {
                    // SAFETY: two rows have WIDE times 64 bytes.
                    *x = unsafe { _mm512_loadu_epi16(both.add(32 * v)) };
                }
                for (sums, left) in sums.iter_mut().zip(left) {
                    let a = _mm512_set1_epi32(word([left[2 * t], left[2 * t + 1]]));
                    for (sum, x) in sums.iter_mut().zip(&x) {
                        *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(a, *x));
                    }
                }
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            for (v, sum) in sums.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe { _mm512_storeu_epi32(out.as_mut_ptr().add(16 * v), *sum) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn pairs_avx2(left: &[Left<i16>], right: &[Row<i16>], out: &mut [Row<i32>; ROWS]) {
        // As many sums as there are registers for.
        const TOGETHER: usize = 2;
        for (index, out) in out.as_chunks_mut::<TOGETHER>().0.iter_mut().enumerate() {
            let mut sums = [[_mm256_setzero_si256(); NARROW]; TOGETHER];
            for (sums, out) in sums.iter_mut().zip(&*out) {
                for (v, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: a row of sums has NARROW times 32 bytes.
                    *sum = unsafe { _mm256_loadu_si256(out.as_ptr().add(8 * v).cast()) };
                }
            }
            for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
                for (t, rows) in right.as_chunks::<2>().0.iter().enumerate() {
                    let both = rows.as_flattened().as_ptr();
                    let mut x = [_mm256_setzero_si256(); NARROW];
                    for (v, x) in x.iter_mut().enumerate() {
                        // SAFETY: two rows have NARROW times 32 bytes.
                        *x = unsafe { _mm256_loadu_si256(both.add(16 * v).cast()) };
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let left = &left[index * TOGETHER + r];
                        let a = _mm256_set1_epi32(word([left[2 * t], left[2 * t + 1]]));
                        for (sum, x) in sums.iter_mut().zip(&x) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, *x));
                        }
                    }
                }
            }
            for (sums, out) in sums.iter().zip(out) {
                for (v, sum) in sums.iter().enumerate() {
                    // SAFETY: as for the loads.
                    unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(8 * v).cast(), *sum) };
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn set_words(word: u64) -> __m512i {
        _mm512_set1_epi64(word as i64)
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
