//! Laws of the ring, and random small shapes.

use gazelle_ring::kernel::mul_add::{mul_add, shift_mul_add};
use gazelle_ring::{Fft, Transform};
use proptest::prelude::*;

use super::{product, stream, uniform};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shifting_twice_is_shifting_once(a in 0usize..64, b in 0usize..64, tag: u8) {
        let x = uniform(&mut stream(tag), 64, 64);
        let (mut once, mut twice, mut both) = (vec![0; 64], vec![0; 64], vec![0; 64]);
        shift_mul_add(1, a, &x, &mut once);
        shift_mul_add(1, b, &once, &mut twice);
        let (shift, sign) = if a + b < 64 { (a + b, 1) } else { (a + b - 64, -1) };
        shift_mul_add(sign, shift, &x, &mut both);
        prop_assert_eq!(twice, both);
    }

    #[test]
    fn multiply_add_is_linear_in_the_weight(v in -32767i64..32768, w in -32767i64..32768, len in 0usize..70) {
        let x = uniform(&mut stream(len as u8), 64, len);
        let (mut apart, mut together) = (vec![1; len], vec![1; len]);
        mul_add(v, &x, &mut apart);
        mul_add(w, &x, &mut apart);
        mul_add(v + w, &x, &mut together);
        prop_assert_eq!(apart, together);
    }

    #[test]
    fn exact_products_are_exact_at_any_width(bits in 12u32..=62, tag: u8) {
        let n = 256;
        let fft = Fft::new(n).unwrap();
        let mut scratch = fft.scratch();
        let mut prg = stream(tag);
        let a = uniform(&mut prg, bits, n);
        let s = super::gaussian(&mut prg, n);
        let operand = fft.prepare_exact(&a, bits, &mut scratch).unwrap();
        let mut small = fft.zero();
        fft.forward_small(&s, &mut small, &mut scratch).unwrap();
        let mut got = vec![0; n];
        fft.exact_mul_add(&operand, &small, &mut got, &mut scratch).unwrap();
        for (got, expected) in got.iter().zip(product(&a, &s)) {
            prop_assert_eq!(got << (64 - bits), expected << (64 - bits));
        }
    }
}
