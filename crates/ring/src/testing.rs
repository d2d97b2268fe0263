//! Conformance suites for implementors of [`Transform`] and [`WeightMatrix`].
//!
//! Everything is compared with [`negacyclic_mul_add`], the definition; where rounding is allowed, its
//! deviation must be the announced one: neither exceeded nor so loose that a lost bit would hide.
#![expect(clippy::expect_used, reason = "a test helper: failing loudly is its job")]

use std::ops::Range;

use gazelle_prg::sample::{self, Narrow};
use gazelle_prg::{Prg, Seed};

use crate::polys::Polys;
use crate::schoolbook::negacyclic_mul_add;
use crate::transform::Transform;
use crate::weights::{WeightMatrix, pick};

/// Uniform words below `2^bits`.
pub fn uniform(prg: &mut Prg, bits: u32, len: usize) -> Vec<u64> {
    let mut out = vec![0; len];
    sample::uniform(prg, bits, &mut out);
    out
}

/// Weights uniform in `-2^{bits-1} .. 2^{bits-1}`.
pub fn weights(prg: &mut Prg, bits: u32, len: usize) -> Vec<i64> {
    uniform(prg, bits, len).iter().map(|w| *w as i64 - (1 << (bits - 1))).collect()
}

/// `out += a * b` by definition, b small.
fn definition(a: &[u64], b: &[i64], out: &mut [u64]) {
    let b: Vec<u64> = b.iter().map(|b| *b as u64).collect();
    negacyclic_mul_add(a, &b, out);
}

/// `got - expected` mod `2^bits`, centred.
fn errors(got: &[u64], expected: &[u64], bits: u32) -> Vec<f64> {
    let shift = 64 - bits;
    got.iter()
        .zip(expected)
        .map(|(got, expected)| ((got.wrapping_sub(*expected) << shift) as i64 >> shift) as f64)
        .collect()
}

/// Errors are under 8 deviations, and where they are large enough to tell, above half a deviation.
fn fits(errors: &[f64], deviation: f64) {
    let square: f64 = errors.iter().map(|error| error * error).sum();
    let measured = (square / errors.len().max(1) as f64).sqrt();
    let worst = errors.iter().fold(0.0f64, |worst, error| worst.max(error.abs()));
    assert!(worst <= (8.0 * deviation).max(0.5), "error {worst}, deviation {deviation}");
    assert!(
        deviation < 5.0 || (0.5..1.05).contains(&(measured / deviation)),
        "measured {measured}, announced {deviation}"
    );
}

/// Sums of products of a uniform and a small polynomial, and exact products with ternary and
/// Gaussian secrets; N^2 operations, so use small degrees (64 to 1024 tell as much as large ones).
///
/// # Panics
/// If `transform` does not conform.
pub fn transform<T: Transform>(transform: &T, bits: u32, weight_bits: u32) {
    const AGREE: &str = "the lengths agree";
    let n = transform.degree();
    let mut prg = Prg::new(&Seed::from_bytes([n.trailing_zeros() as u8; 16]), 7);
    let mut scratch = transform.scratch();
    let (mut acc, mut x, mut w) = (transform.zero(), transform.zero(), transform.zero());
    let mut expected = uniform(&mut prg, 64, n);
    let mut got = expected.clone();
    let mut norm = 0.0;
    for _ in 0..2 {
        let a = uniform(&mut prg, bits, n);
        let b = weights(&mut prg, weight_bits, n);
        norm += b.iter().map(|w| (*w as f64).powi(2)).sum::<f64>();
        transform.forward(&a, bits, &mut x, &mut scratch).expect(AGREE);
        transform.forward_small(&b, &mut w, &mut scratch).expect(AGREE);
        transform.mul_add(&mut acc, &x, &w);
        definition(&a, &b, &mut expected);
    }
    transform.inverse_add(&mut acc, &mut got, &mut scratch).expect(AGREE);
    fits(&errors(&got, &expected, bits), transform.deviation(bits, norm));

    let mut secrets = [vec![0i64; n], vec![0i64; n]];
    let [ternary, gaussian] = &mut secrets;
    sample::ternary(&mut prg, ternary);
    sample::gaussian_narrow(&mut prg, Narrow::S6_4, gaussian);
    for s in &secrets {
        let a = uniform(&mut prg, bits, n);
        let operand = transform.prepare_exact(&a, bits, &mut scratch).expect(AGREE);
        transform.forward_small(s, &mut w, &mut scratch).expect(AGREE);
        let (mut got, mut expected) = (vec![11; n], vec![11; n]);
        transform.exact_mul_add(&operand, &w, &mut got, &mut scratch).expect(AGREE);
        definition(&a, s, &mut expected);
        assert!(errors(&got, &expected, bits).iter().all(|error| *error == 0.0), "exact products");
    }

    let short = vec![0u64; n - 1];
    assert!(transform.forward(&short, bits, &mut x, &mut scratch).is_err(), "a length is checked");
    assert!(transform.prepare_exact(&short, bits, &mut scratch).is_err(), "a length is checked");
}

/// Every run of rows against the definition.
///
/// - `degree`, `bits`: of the uniform polynomials that are made up.
/// - `coefficients(m, i)`: the N coefficients of `w[m][i]`.
/// - `deviation`: the announced error, zero for exact products.
///
/// # Panics
/// If `matrix` does not conform.
pub fn weight_matrix(
    matrix: &dyn WeightMatrix,
    degree: usize,
    bits: u32,
    coefficients: &dyn Fn(usize, usize) -> Vec<i64>,
    deviation: f64,
) {
    let (requests, rows) = (matrix.requests(), matrix.responses());
    let mut prg = Prg::new(&Seed::from_bytes([rows as u8; 16]), 8);
    let mut x = Polys::zeros(degree, requests);
    sample::uniform(&mut prg, bits, x.words_mut());
    let mut expected = Polys::zeros(degree, rows);
    for (m, out) in expected.iter_mut().enumerate() {
        out.fill(5);
        for (i, x) in x.iter().enumerate() {
            let w = coefficients(m, i);
            for (shift, w) in w.iter().enumerate().filter(|(_, w)| **w != 0) {
                crate::kernel::mul_add::shift_mul_add(*w, shift, x, out);
            }
        }
    }
    let runs: [Range<usize>; 4] = [0..rows, 0..1, rows / 2..rows, rows / 3..rows / 3 + 1];
    let mut all = Vec::new();
    for run in runs {
        let mut got = Polys::zeros(degree, run.len());
        got.words_mut().fill(5);
        matrix.accumulate(&x, bits, run.clone(), &mut got);
        for (got, m) in got.iter().zip(run) {
            all.append(&mut errors(got, expected.poly(m), bits));
        }
    }
    fits(&all, deviation);

    // Chosen coefficients: a run, a comb, one, none; in any order.
    let lists: [Vec<u32>; 4] = [
        (3..3 + degree as u32 / 2).collect(),
        (0..degree as u32).rev().step_by(3).collect(),
        vec![degree as u32 - 1],
        Vec::new(),
    ];
    let useful: Vec<&[u32]> = lists.iter().map(Vec::as_slice).cycle().take(rows).collect();
    let mut got = vec![0; useful.iter().map(|list| list.len()).sum()];
    let mut wanted = got.clone();
    matrix.accumulate_at(&x, bits, &useful, &mut got);
    for word in expected.words_mut() {
        *word = word.wrapping_sub(5);
    }
    pick(&expected, &useful, &mut wanted);
    fits(&errors(&got, &wanted, bits), deviation);
}
