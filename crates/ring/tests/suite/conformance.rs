//! Every transform against the definition.

use gazelle_ring::schoolbook::negacyclic_mul_add;
use gazelle_ring::{Fft, Schoolbook, Transform};

use super::{product, stream, uniform, weights};

/// Sums of two products of a uniform and a small polynomial, against the definition.
fn conforms<T: Transform>(transform: &T, bits: u32, weight_bits: u32) {
    let n = transform.degree();
    let mut prg = stream(n.trailing_zeros() as u8);
    let mut scratch = transform.scratch();
    let (mut acc, mut x, mut w) = (transform.zero(), transform.zero(), transform.zero());
    let mut expected = uniform(&mut prg, 64, n);
    let mut got = expected.clone();
    let mut norm = 0.0;
    for _ in 0..2 {
        let a = uniform(&mut prg, bits, n);
        let b = weights(&mut prg, weight_bits, n);
        norm += b.iter().map(|w| (*w as f64).powi(2)).sum::<f64>();
        transform.forward(&a, bits, &mut x, &mut scratch).unwrap();
        transform.forward_small(&b, &mut w, &mut scratch).unwrap();
        transform.mul_add(&mut acc, &x, &w);
        for (sum, term) in expected.iter_mut().zip(product(&a, &b)) {
            *sum = sum.wrapping_add(term);
        }
    }
    transform.inverse_add(&mut acc, &mut got, &mut scratch).unwrap();
    let shift = 64 - bits;
    let bound = 8.0 * transform.deviation(bits, norm);
    let square: f64 = got
        .iter()
        .zip(&expected)
        .map(|(got, expected)| {
            let error = ((got.wrapping_sub(*expected) << shift) as i64 >> shift) as f64;
            assert!(error.abs() <= bound.max(0.5), "error {error}, bound {bound}");
            error * error
        })
        .sum();
    let ratio = (square / n as f64).sqrt() / transform.deviation(bits, norm);
    // A bound that is far too loose would hide a lost bit.
    assert!(bound < 40.0 || (0.5..1.0).contains(&ratio), "N={n} bits={bits}: {ratio}");
}

#[test]
fn the_fft_conforms() {
    for (degree, bits, weight_bits) in [
        (32, 20, 8),
        (64, 48, 12),
        (1024, 48, 12),
        (2048, 48, 12),
        (2048, 50, 16),
        (4096, 62, 12),
        (8192, 62, 16),
    ] {
        conforms(&Fft::new(degree).unwrap(), bits, weight_bits);
    }
}

#[test]
fn the_schoolbook_conforms() {
    for degree in [32, 64, 256] {
        conforms(&Schoolbook::new(degree), 62, 16);
    }
}

#[test]
fn the_sparse_product_of_these_tests_is_the_definition() {
    let mut prg = stream(1);
    let (a, b) = (uniform(&mut prg, 64, 128), weights(&mut prg, 16, 128));
    let words: Vec<u64> = b.iter().map(|w| *w as u64).collect();
    let mut expected = vec![0; 128];
    negacyclic_mul_add(&a, &words, &mut expected);
    assert_eq!(product(&a, &b), expected);
}

#[test]
fn degrees_and_lengths_are_checked() {
    for degree in [0, 16, 48, 3000, 1 << 15] {
        assert!(Fft::new(degree).is_err());
    }
    let fft = Fft::new(64).unwrap();
    let (mut eval, mut scratch) = (fft.zero(), fft.scratch());
    assert!(fft.forward(&[0; 63], 48, &mut eval, &mut scratch).is_err());
    assert!(fft.forward_small(&[0; 65], &mut eval, &mut scratch).is_err());
    assert!(fft.inverse_add(&mut eval, &mut [0; 32], &mut scratch).is_err());
}
