//! A transform of one's own: Karatsuba's products, held against the definition by the conformance suite.
//! docs/swapping.md says where it goes.
//!
//! `cargo run --example own_transform -p gazelle-ring`

use gazelle_ring::{ExactOperand, RingError, Transform, testing};

/// Products over u64 with wrapping, in N^1.58 multiplications; N a power of two.
struct Karatsuba(usize);

/// `out[0 .. 2n] += a b`.
#[expect(clippy::indexing_slicing, reason = "both factors have n coefficients, the product 2 n")]
fn karatsuba(a: &[u64], b: &[u64], out: &mut [u64]) {
    let n = a.len();
    if n <= 32 {
        for (i, a) in a.iter().enumerate() {
            for (out, b) in out[i..].iter_mut().zip(b) {
                *out = out.wrapping_add(a.wrapping_mul(*b));
            }
        }
        return;
    }
    let half = n / 2;
    let ((a0, a1), (b0, b1)) = (a.split_at(half), b.split_at(half));
    let sum = |x: &[u64], y: &[u64]| -> Vec<u64> {
        x.iter().zip(y).map(|(x, y)| x.wrapping_add(*y)).collect()
    };
    let [mut low, mut middle, mut high] = [const { Vec::new() }; 3].map(|mut v| {
        v.resize(n, 0);
        v
    });
    karatsuba(a0, b0, &mut low);
    karatsuba(a1, b1, &mut high);
    karatsuba(&sum(a0, a1), &sum(b0, b1), &mut middle);
    for i in 0..n {
        out[i] = out[i].wrapping_add(low[i]);
        out[n + i] = out[n + i].wrapping_add(high[i]);
        let cross = middle[i].wrapping_sub(low[i]).wrapping_sub(high[i]);
        out[half + i] = out[half + i].wrapping_add(cross);
    }
}

/// `out += a b mod X^N + 1`.
#[expect(clippy::indexing_slicing, reason = "the product has 2 n coefficients")]
fn negacyclic(a: &[u64], b: &[u64], out: &mut [u64]) {
    let n = out.len();
    let mut product = vec![0; 2 * n];
    karatsuba(a, b, &mut product);
    for i in 0..n {
        out[i] = out[i].wrapping_add(product[i]).wrapping_sub(product[n + i]);
    }
}

impl Karatsuba {
    fn check(&self, got: usize) -> Result<(), RingError> {
        if got == self.0 { Ok(()) } else { Err(RingError::Length { expected: self.0, got }) }
    }
}

impl Transform for Karatsuba {
    type Eval = Vec<u64>;
    type Scratch = ();

    fn degree(&self) -> usize {
        self.0
    }
    fn zero(&self) -> Vec<u64> {
        vec![0; self.0]
    }
    fn scratch(&self) {}
    fn forward(&self, x: &[u64], _: u32, out: &mut Vec<u64>, (): &mut ()) -> Result<(), RingError> {
        self.check(x.len())?;
        // Any representative mod 2^bits gives the product mod 2^bits.
        out.copy_from_slice(x);
        Ok(())
    }
    fn forward_small(&self, x: &[i64], out: &mut Vec<u64>, (): &mut ()) -> Result<(), RingError> {
        self.check(x.len())?;
        *out = x.iter().map(|x| *x as u64).collect();
        Ok(())
    }
    fn mul_add(&self, acc: &mut Vec<u64>, a: &Vec<u64>, b: &Vec<u64>) {
        negacyclic(a, b, acc);
    }
    fn inverse_add(
        &self,
        acc: &mut Vec<u64>,
        out: &mut [u64],
        (): &mut (),
    ) -> Result<(), RingError> {
        self.check(out.len())?;
        for (out, acc) in out.iter_mut().zip(acc) {
            *out = out.wrapping_add(*acc);
        }
        Ok(())
    }
    fn deviation(&self, _: u32, _: f64) -> f64 {
        0.0
    }
    fn prepare_exact(
        &self,
        x: &[u64],
        bits: u32,
        (): &mut (),
    ) -> Result<ExactOperand<Vec<u64>>, RingError> {
        self.check(x.len())?;
        Ok(ExactOperand::new(vec![x.to_vec()], bits))
    }
    fn exact_mul_add(
        &self,
        a: &ExactOperand<Vec<u64>>,
        s: &Vec<u64>,
        out: &mut [u64],
        (): &mut (),
    ) -> Result<(), RingError> {
        // These products wrap, so that the whole operand is one digit.
        for digit in a.digits() {
            negacyclic(digit, s, out);
        }
        Ok(())
    }
}

fn main() {
    testing::transform(&Karatsuba(256), 48, 12);
    println!("Karatsuba's products conform");
}
