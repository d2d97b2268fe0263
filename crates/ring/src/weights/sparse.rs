//! Arbitrary sparse weight polynomials by shift, multiply, add.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::RingError;
use crate::kernel::mul_add::shift_mul_add;
use crate::polys::Polys;
use crate::weights::WeightMatrix;

/// `weight * X^shift` in the polynomial that multiplies request `request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Which request polynomial.
    pub request: u32,
    /// Exponent, below N.
    pub shift: u32,
    /// Coefficient.
    pub weight: i32,
}

/// Rows given as lists of terms. Exact; `N` multiply-adds per term.
#[derive(Clone)]
pub struct SparseWeights {
    degree: usize,
    requests: usize,
    rows: Vec<Vec<Term>>,
}

impl SparseWeights {
    /// A matrix of `rows.len()` responses over `requests` requests of degree N.
    ///
    /// # Errors
    /// [`RingError::Index`] if a term names a request or exponent that does not exist.
    pub fn new(degree: usize, requests: usize, rows: Vec<Vec<Term>>) -> Result<Self, RingError> {
        for term in rows.iter().flatten() {
            for (got, limit) in [(term.request as usize, requests), (term.shift as usize, degree)] {
                if got >= limit {
                    return Err(RingError::Index { got, limit });
                }
            }
        }
        Ok(Self { degree, requests, rows })
    }
}

impl WeightMatrix for SparseWeights {
    fn requests(&self) -> usize {
        self.requests
    }

    fn responses(&self) -> usize {
        self.rows.len()
    }

    fn accumulate(&self, x: &Polys, _bits: u32, rows: Range<usize>, out: &mut Polys) {
        debug_assert_eq!((x.degree(), x.count()), (self.degree, self.requests));
        let rows = self.rows.get(rows).unwrap_or_default();
        out.par_iter_mut().zip(rows).for_each(|(out, terms)| {
            for term in terms {
                let x = x.poly(term.request as usize);
                shift_mul_add(i64::from(term.weight), term.shift as usize, x, out);
            }
        });
    }

    fn accumulate_at(&self, x: &Polys, _bits: u32, useful: &[&[u32]], mut out: &mut [u64]) {
        debug_assert_eq!((x.degree(), x.count()), (self.degree, self.requests));
        let mut jobs = Vec::with_capacity(useful.len());
        for (terms, list) in self.rows.iter().zip(useful) {
            let Some((own, rest)) = std::mem::take(&mut out).split_at_mut_checked(list.len())
            else {
                break;
            };
            out = rest;
            jobs.push((terms, *list, own));
        }
        jobs.into_par_iter().for_each(|(terms, list, out)| {
            for term in terms {
                let x = x.poly(term.request as usize);
                let word = |index: usize| x.get(index).copied().unwrap_or_default();
                for (out, index) in out.iter_mut().zip(list) {
                    let x = match index.checked_sub(term.shift) {
                        Some(at) => word(at as usize),
                        None => {
                            word((index + self.degree as u32 - term.shift) as usize).wrapping_neg()
                        }
                    };
                    *out = out.wrapping_add(x.wrapping_mul(term.weight as i64 as u64));
                }
            }
        });
    }
}
