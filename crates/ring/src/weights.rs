//! Matrices of small-weight polynomials applied to vectors of uniform polynomials.
//!
//! | matrix | products | for |
//! |---|---|---|
//! | [`SparseWeights`] | shift, multiply, add | few arbitrary coefficients per polynomial |
//! | [`ShiftedWeights`] | register-blocked integer GEMM over shifted columns | all rows read the same (request, shift) columns: convolutions with one channel per polynomial |
//! | [`DenseWeights`] | FFT, summed in evaluation form | many coefficients per polynomial |

mod dense;
mod shifted;
mod sparse;

use std::ops::Range;

pub use dense::DenseWeights;
pub use shifted::{Column, ShiftedWeights};
pub use sparse::{SparseWeights, Term};

use crate::polys::Polys;

/// Largest magnitude of a weight.
pub const MAX_WEIGHT: i32 = (1 << 15) - 1;

/// A matrix of weight polynomials `w[m][i]` in `Z[X]/(X^N + 1)`, `|w| <= `[`MAX_WEIGHT`]: all the
/// linear algebra that encrypted evaluation needs. The server applies one matrix to the `a_i`
/// (hints, at setup) and to the `b_i` (every inference).
///
/// Implementors choose how: direct sparse products, FFT products, integer GEMM. The choice must
/// follow from shapes alone, never from which weights are zero (timing).
pub trait WeightMatrix: Sync {
    /// Number of columns: polynomials read.
    fn requests(&self) -> usize;

    /// Number of rows: polynomials made.
    fn responses(&self) -> usize;

    /// `out[j] += sum_i w[rows.start + j][i] * x[i] mod X^N + 1` for `j` in `0..rows.len()`.
    ///
    /// - `x`: `requests()` polynomials, words below `2^bits`.
    /// - `bits`: the modulus; only the low `bits` bits of `out` matter, higher ones may hold
    ///   anything. Products may be rounded with an error as documented by the implementor
    ///   (none, or [`fft_deviation`]).
    /// - `out`: `rows.len()` polynomials of the same degree.
    ///
    /// May run on several threads; the result must not depend on their schedule.
    fn accumulate(&self, x: &Polys, bits: u32, rows: Range<usize>, out: &mut Polys);

    /// The same for all rows, at chosen coefficients only: adds coefficient `useful[m][0]`,
    /// `useful[m][1]`, .. of every row m in turn to the words of `out`.
    ///
    /// A server needs no others of what it evaluates per inference: with direct products the cost
    /// is that of the plain convolution. `useful` has `responses()` lists of indices below N,
    /// `out` one word for each. The provided version computes whole rows.
    fn accumulate_at(&self, x: &Polys, bits: u32, useful: &[&[u32]], out: &mut [u64]) {
        let mut whole = Polys::zeros(x.degree(), useful.len());
        self.accumulate(x, bits, 0..useful.len(), &mut whole);
        pick(&whole, useful, out);
    }
}

/// Adds the coefficients `useful[m]` of polynomial m, one after another, to the words of `out`.
pub fn pick(polys: &Polys, useful: &[&[u32]], mut out: &mut [u64]) {
    for (poly, list) in polys.iter().zip(useful) {
        let Some((own, rest)) = std::mem::take(&mut out).split_at_mut_checked(list.len()) else {
            return;
        };
        pick_one(poly, list, own);
        out = rest;
    }
}

/// Adds the coefficients `useful` of one polynomial to the words of `out`.
pub fn pick_one(poly: &[u64], useful: &[u32], out: &mut [u64]) {
    for (out, index) in out.iter_mut().zip(useful) {
        *out = out.wrapping_add(poly.get(*index as usize).copied().unwrap_or_default());
    }
}

/// Standard deviation of the rounding error of FFT products in [`WeightMatrix::accumulate`].
///
/// - `bits`: modulus of the uniform operand.
/// - `weight_norm_squared`: `sum_i ||w_i||_2^2` over all coefficients summed into one output.
///
/// `2^(bits - 53) ||w||_2 c` with c = 1.2, a little above what is measured (see the tests). Zero
/// for direct products.
pub fn fft_deviation(bits: u32, weight_norm_squared: f64) -> f64 {
    1.2 * (f64::from(bits) - 53.0).exp2() * weight_norm_squared.sqrt()
}
