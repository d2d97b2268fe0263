//! Indices of the largest values, on every backend, against the plain function.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{Choice, PerLayer};
use gazelle_ot::IdealOt;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::{check_result, test_rng};
use gazelle_share::{Shares, Step};
use rand_core::Rng;

use super::common::{Case, step};

const CHOICES: [Choice; 1] = [Choice::Garbled];

fn protocol(choice: Choice) -> PerLayer<IdealOt, HalfGates> {
    PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices: vec![choice].into() }
}

fn ranked(function: StepFunction, n: usize, b: u32, t: u32) -> Step {
    Step { output: StepOutput::Reveal, ..step(function, [n, 1, 1], [b, t, b + t + 1, 0]) }
}

#[test]
fn conformance_every_list_of_three_small_values_is_ranked_as_in_the_clear() {
    // One session per list is slow: one choice per backend sees all of them on one small ring.
    for choice in CHOICES {
        for function in [StepFunction::ArgMax, StepFunction::TopK { k: 2 }] {
            for code in 0..27i64 {
                let values = [code % 3 - 1, code / 3 % 3 - 1, code / 9 - 1];
                let step = ranked(function.clone(), 3, 3, 0);
                let case = Case::new(step.clone(), &values, code as u64);
                assert_eq!(
                    case.run(&protocol(choice)),
                    step.apply(&values),
                    "{choice:?} {values:?}"
                );
            }
        }
    }
}

#[test]
fn conformance_of_random_lists_and_ties_of_10_and_1000_classes() {
    for choice in CHOICES {
        for (n, k) in [(1, 1), (2, 2), (10, 1), (10, 5), (1000, 1), (1000, 5)] {
            let function = if k == 1 { StepFunction::ArgMax } else { StepFunction::TopK { k } };
            for seed in 0..4 {
                // Exact: no bits are dropped; many equal values in every other run.
                let exact = ranked(function.clone(), n, 12, 0);
                let mut rng = test_rng(seed);
                let spread = if seed % 2 == 0 { 2047 } else { 3 };
                let values: Vec<i64> = (0..n)
                    .map(|_| (rng.next_u64() % (2 * spread)) as i64 - spread as i64)
                    .collect();
                let case = Case::new(exact.clone(), &values, seed);
                assert_eq!(case.run(&protocol(choice)), exact.apply(&values), "{choice:?} {n} {k}");
            }
            let rounded = ranked(function, n, 10, 6);
            let (case, exact) = Case::random(rounded.clone(), 9);
            check_result(&rounded, &exact, &case.run(&protocol(choice)));
        }
    }
}

#[test]
fn conformance_extremes_of_the_range_compare_rightly() {
    for choice in CHOICES {
        let (low, high) = (-(1 << 11), (1 << 11) - 1);
        let values = [low, high, low, high, 0];
        let step = ranked(StepFunction::TopK { k: 5 }, 5, 12, 0);
        assert_eq!(Case::new(step, &values, 1).run(&protocol(choice)), [1, 3, 4, 0, 2]);
        let step = ranked(StepFunction::ArgMax, 5, 12, 0);
        let mut case = Case::new(step, &values, 2);
        assert_eq!(case.run(&protocol(choice)), [1]);
        // The same with the client's share zero, and the server's.
        let all = case.client.clone().add(&case.server);
        case.client = Shares::zero(13, 5);
        case.server = all.clone();
        assert_eq!(case.run(&protocol(choice)), [1]);
        (case.client, case.server) = (all, Shares::zero(13, 5));
        assert_eq!(case.run(&protocol(choice)), [1]);
    }
}
