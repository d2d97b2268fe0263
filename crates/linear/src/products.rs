//! Sums of products of small-weight polynomials and ciphertext words.
//!
//! `X^e x` is a window of `[-x | x]`: coefficient p is word `N - e + p`. A sum of sparse products is
//! an integer matrix product whose columns are such windows.

#![expect(
    clippy::indexing_slicing,
    reason = "exponents are below N and every window of N words lies in 2 N"
)]

use rayon::prelude::*;

/// Rows that one task computes.
const ROWS: usize = 8;
/// Columns that stay in registers and the first-level cache.
const STRIP: usize = 64;

/// `[-x | x]` for every polynomial.
pub(crate) fn extend(polys: &[u64], degree: usize) -> Vec<u64> {
    let mut extended = vec![0; 2 * polys.len()];
    for (pair, poly) in extended.chunks_exact_mut(2 * degree).zip(polys.chunks_exact(degree)) {
        let (negative, positive) = pair.split_at_mut(degree);
        positive.copy_from_slice(poly);
        negative.iter_mut().zip(poly).for_each(|(n, p)| *n = p.wrapping_neg());
    }
    extended
}

/// `out[r] += sum_j weights[r][j] X^{e_j} x_{c_j}` with `(c_j, e_j) = columns[j]`, words wrap.
pub(crate) fn direct(
    columns: &[(u32, u32)],
    weights: &[i32],
    extended: &[u64],
    degree: usize,
    out: &mut [u64],
) {
    if columns.is_empty() {
        return;
    }
    let starts: Vec<usize> = columns
        .iter()
        .map(|&(chunk, exponent)| (2 * chunk as usize + 1) * degree - exponent as usize)
        .collect();
    out.par_chunks_mut(ROWS * degree).zip(weights.par_chunks(ROWS * columns.len())).for_each(
        |(out, weights)| {
            for strip in (0..degree).step_by(STRIP) {
                let end = (strip + STRIP).min(degree);
                for (row, weights) in
                    out.chunks_exact_mut(degree).zip(weights.chunks_exact(columns.len()))
                {
                    let row = &mut row[strip..end];
                    for (&start, &weight) in starts.iter().zip(weights) {
                        let window = &extended[start + strip..start + end];
                        let weight = i64::from(weight) as u64;
                        for (sum, word) in row.iter_mut().zip(window) {
                            *sum = sum.wrapping_add(weight.wrapping_mul(*word));
                        }
                    }
                }
            }
        },
    );
}
