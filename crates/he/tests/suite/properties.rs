//! Random parameters and shapes.

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::noise::error_bound;
use proptest::prelude::*;

use super::group::{Group, random_terms, rng};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shares_add_up_for_random_parameters(
        l in 8u32..=36,
        k in 12u32..=40,
        h in 1u32..=40,
        d in 0u32..=30,
        requests in 1usize..4,
        responses in 1usize..4,
        tag: u8,
    ) {
        let k = k.min(50 - l);
        let parameters = Parameters::new(2048, l, k, h.min(k), d.min(l + k - 2)).unwrap();
        let (rows, norm) = random_terms(2048, requests, responses, 10, 6);
        let bound = error_bound(&parameters, norm, 8.0);
        // Beyond half the ring an error cannot be told from another.
        prop_assume!(bound < f64::from(l - 2).exp2());
        let (errors, _) = Group::new(parameters, requests, rows, false).errors(0, &mut rng(tag));
        let worst = errors.iter().map(|e| e.unsigned_abs()).max().unwrap() as f64;
        prop_assert!(worst <= bound, "{parameters:?}: {worst} > {bound}");
    }
}
