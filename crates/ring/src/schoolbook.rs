//! The oracle: negacyclic products by definition.

use crate::error::RingError;
use crate::transform::{ExactOperand, Transform, centre, check_len};

/// Products by definition, in `N^2` wrapping multiplications; exact mod `2^64`.
#[derive(Debug, Clone, Copy)]
pub struct Schoolbook {
    degree: usize,
}

impl Schoolbook {
    /// For polynomials of `degree` coefficients.
    pub fn new(degree: usize) -> Self {
        Self { degree }
    }
}

/// `out += a * b mod X^N + 1, 2^64`; all of one length.
pub fn negacyclic_mul_add(a: &[u64], b: &[u64], out: &mut [u64]) {
    let n = out.len();
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            let product = a.wrapping_mul(*b);
            let wraps = i + j >= n;
            if let Some(out) = out.get_mut(if wraps { i + j - n } else { i + j }) {
                *out = if wraps { out.wrapping_sub(product) } else { out.wrapping_add(product) };
            }
        }
    }
}

impl Transform for Schoolbook {
    type Eval = Vec<u64>;
    type Scratch = ();

    fn degree(&self) -> usize {
        self.degree
    }
    fn zero(&self) -> Vec<u64> {
        vec![0; self.degree]
    }
    fn scratch(&self) {}

    fn forward(
        &self,
        x: &[u64],
        bits: u32,
        out: &mut Vec<u64>,
        (): &mut (),
    ) -> Result<(), RingError> {
        check_len(self.degree, x.len())?;
        *out = x.iter().map(|x| centre(*x, bits)).collect();
        Ok(())
    }
    fn forward_small(&self, x: &[i64], out: &mut Vec<u64>, (): &mut ()) -> Result<(), RingError> {
        check_len(self.degree, x.len())?;
        *out = x.iter().map(|x| *x as u64).collect();
        Ok(())
    }
    fn mul_add(&self, acc: &mut Vec<u64>, a: &Vec<u64>, b: &Vec<u64>) {
        negacyclic_mul_add(a, b, acc);
    }
    fn inverse_add(
        &self,
        acc: &mut Vec<u64>,
        out: &mut [u64],
        (): &mut (),
    ) -> Result<(), RingError> {
        check_len(self.degree, out.len())?;
        for (out, acc) in out.iter_mut().zip(acc) {
            *out = out.wrapping_add(*acc);
        }
        Ok(())
    }
    fn prepare_exact(
        &self,
        x: &[u64],
        bits: u32,
        (): &mut (),
    ) -> Result<ExactOperand<Vec<u64>>, RingError> {
        check_len(self.degree, x.len())?;
        let digits = vec![x.iter().map(|x| centre(*x, bits)).collect()];
        Ok(ExactOperand { digits, width: bits })
    }
    fn deviation(&self, _bits: u32, _weight_norm_squared: f64) -> f64 {
        0.0
    }
    fn exact_mul_add(
        &self,
        a: &ExactOperand<Vec<u64>>,
        s: &Vec<u64>,
        out: &mut [u64],
        (): &mut (),
    ) -> Result<(), RingError> {
        check_len(self.degree, out.len())?;
        for digit in &a.digits {
            negacyclic_mul_add(digit, s, out);
        }
        Ok(())
    }
}
