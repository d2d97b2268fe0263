//! Dense weight polynomials by FFT products, summed in evaluation form.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::error::RingError;
use crate::fft::{Fft, Fourier};
use crate::polys::Polys;
use crate::transform::Transform;
use crate::weights::WeightMatrix;

/// Weight polynomials `w[m][i]` written on demand by a function; transforms are made once and kept
/// for the first `cached` of them (row by row), and made anew on each use for the others.
///
/// Rounded: see [`fft_deviation`](crate::weights::fft_deviation). Per product one pointwise
/// multiply-add of N/2 complex values, and a transform if not cached; per row one inverse
/// transform; per request one transform.
pub struct DenseWeights<F> {
    fft: Fft,
    requests: usize,
    responses: usize,
    write: F,
    cache: Vec<OnceLock<Fourier>>,
}

impl<F: Fn(usize, usize, &mut [i64]) + Sync> DenseWeights<F> {
    /// - `write(m, i, out)`: the N coefficients of `w[m][i]` into a zeroed `out`.
    /// - `cached`: transforms kept, `8 N` bytes each.
    ///
    /// # Errors
    /// [`RingError::Degree`].
    pub fn new(
        degree: usize,
        requests: usize,
        responses: usize,
        cached: usize,
        write: F,
    ) -> Result<Self, RingError> {
        let cache = (0..cached.min(requests * responses)).map(|_| OnceLock::new()).collect();
        Ok(Self { fft: Fft::new(degree)?, requests, responses, write, cache })
    }
}

impl<F: Fn(usize, usize, &mut [i64]) + Sync> WeightMatrix for DenseWeights<F> {
    fn requests(&self) -> usize {
        self.requests
    }

    fn responses(&self) -> usize {
        self.responses
    }

    fn accumulate(&self, x: &Polys, bits: u32, rows: Range<usize>, out: &mut Polys) {
        let fft = &self.fft;
        let degree = fft.degree();
        debug_assert_eq!((x.degree(), x.count()), (degree, self.requests));
        // Lengths were agreed above; a transform fails for no other reason.
        let evaluated: Vec<Fourier> = (0..x.count())
            .into_par_iter()
            .map_init(
                || fft.scratch(),
                |scratch, i| {
                    let mut eval = fft.zero();
                    let done = fft.forward(x.poly(i), bits, &mut eval, scratch);
                    debug_assert_eq!(done, Ok(()));
                    eval
                },
            )
            .collect();
        let first = rows.start;
        out.par_iter_mut().take(rows.len()).enumerate().for_each_init(
            || (fft.scratch(), fft.zero(), fft.zero(), vec![0i64; degree]),
            |(scratch, sum, weight, coefficients), (j, out)| {
                let row = first + j;
                sum.clear();
                let mut transform = |i: usize, into: &mut Fourier| {
                    coefficients.fill(0);
                    (self.write)(row, i, coefficients);
                    let done = fft.forward_small(coefficients, into, scratch);
                    debug_assert_eq!(done, Ok(()));
                };
                for (i, x) in evaluated.iter().enumerate() {
                    if let Some(slot) = self.cache.get(row * self.requests + i) {
                        let kept = slot.get_or_init(|| {
                            let mut made = fft.zero();
                            transform(i, &mut made);
                            made
                        });
                        fft.mul_add(sum, x, kept);
                    } else {
                        transform(i, weight);
                        fft.mul_add(sum, x, weight);
                    }
                }
                let done = fft.inverse_add(sum, out, scratch);
                debug_assert_eq!(done, Ok(()));
            },
        );
    }
}
