//! Exact products: equal to the definition, with room to spare.

use gazelle_ring::exact::{MAX_DIGIT_BITS, digits_of};
use gazelle_ring::{Fft, Schoolbook, Transform};

use super::{gaussian, product, stream, ternary, uniform};

fn exact(degree: usize, bits: u32, a: &[u64], s: &[i64]) {
    let fft = Fft::new(degree).unwrap();
    let mut scratch = fft.scratch();
    let operand = fft.prepare_exact(a, bits, &mut scratch).unwrap();
    let mut small = fft.zero();
    fft.forward_small(s, &mut small, &mut scratch).unwrap();
    let mut got = vec![11u64; degree];
    fft.exact_mul_add(&operand, &small, &mut got, &mut scratch).unwrap();
    let mask = (1u64 << bits) - 1;
    for (got, expected) in got.iter().zip(product(a, s)) {
        assert_eq!(got.wrapping_sub(11) & mask, expected & mask);
    }
}

#[test]
fn exact_products_equal_the_definition_for_ternary_and_gaussian_secrets() {
    for (tag, degree, bits) in [
        (1, 2048, 46),
        (2, 2048, 48),
        (3, 2048, 50),
        (4, 4096, 54),
        (5, 4096, 60),
        (6, 4096, 62),
        (7, 8192, 62),
    ] {
        let mut prg = stream(tag);
        for _ in 0..4 {
            let a = uniform(&mut prg, bits, degree);
            exact(degree, bits, &a, &ternary(&mut prg, degree));
            exact(degree, bits, &a, &gaussian(&mut prg, degree));
        }
    }
}

#[test]
fn exact_products_hold_at_the_edges() {
    for (degree, bits) in [(2048, 50), (4096, 54), (4096, 62)] {
        let extreme = 1u64 << (bits - 1);
        let alternating: Vec<u64> = (0..degree as u64).map(|i| extreme - (i & 1)).collect();
        for a in [vec![extreme; degree], vec![extreme - 1; degree], alternating] {
            exact(degree, bits, &a, &vec![1; degree]);
            exact(degree, bits, &a, &vec![-1; degree]);
            let largest: Vec<i64> =
                (0..degree).map(|i| if i % 3 == 0 { 59 } else { -59 }).collect();
            exact(degree, bits, &a, &largest);
        }
    }
}

/// The error before rounding, seen by multiplying with a digit as the "uniform" operand: at the
/// widest digits it stays far below 1/2.
#[test]
fn rounding_errors_stay_far_below_one_half() {
    let degree = 4096;
    let fft = Fft::new(degree).unwrap();
    let mut scratch = fft.scratch();
    let mut prg = stream(9);
    let mut worst = 0.0f64;
    for _ in 0..4 {
        // Scaled down by 2^20, the product's fraction shows what the rounding would lose: products
        // of digits d and secrets s are integers, so (2^20 d) s has an error in units of 2^-20.
        let d: Vec<u64> = uniform(&mut prg, MAX_DIGIT_BITS, degree);
        let scaled: Vec<u64> = d.iter().map(|d| d << 20).collect();
        let s = gaussian(&mut prg, degree);
        let (mut x, mut w, mut acc) = (fft.zero(), fft.zero(), fft.zero());
        fft.forward(&scaled, MAX_DIGIT_BITS + 20, &mut x, &mut scratch).unwrap();
        fft.forward_small(&s, &mut w, &mut scratch).unwrap();
        fft.mul_add(&mut acc, &x, &w);
        let mut got = vec![0; degree];
        fft.inverse_add(&mut acc, &mut got, &mut scratch).unwrap();
        for (got, expected) in got.iter().zip(product(&scaled, &s)) {
            let error = (got.wrapping_sub(expected) << 17) as i64 >> 17;
            worst = worst.max((error as f64).abs() / 20f64.exp2());
        }
    }
    assert!(worst > 0.0 && worst < 8f64.exp2().recip(), "worst error {worst}");
}

#[test]
fn the_oracle_multiplies_exactly_too() {
    let mut prg = stream(8);
    let (a, s) = (uniform(&mut prg, 62, 128), ternary(&mut prg, 128));
    let oracle = Schoolbook::new(128);
    let operand = oracle.prepare_exact(&a, 62, &mut ()).unwrap();
    let mut small = oracle.zero();
    oracle.forward_small(&s, &mut small, &mut ()).unwrap();
    let mut got = vec![0; 128];
    oracle.exact_mul_add(&operand, &small, &mut got, &mut ()).unwrap();
    for (got, expected) in got.iter().zip(product(&a, &s)) {
        assert_eq!(got << 2, expected << 2);
    }
    assert_eq!(digits_of(62).0, 3);
}
