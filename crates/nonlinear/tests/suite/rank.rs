//! Indices of the largest values, on every backend, against the plain function.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, Price, StepChoice};
use gazelle_ot::IdealOt;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::{check_result, test_rng};
use gazelle_share::{Shares, Step};
use gazelle_wire::recording::{Frame, frames};
use gazelle_wire::testing::run_two_recorded;
use gazelle_wire::traffic::framed_len;
use rand_core::Rng;

use super::common::{Case, step};

/// The backends that compute a step on so many values.
fn choices(n: usize, k: usize) -> Vec<StepChoice> {
    let all_pairs = k == 1 && (2..=64).contains(&n);
    let few_trips = all_pairs.then_some(StepChoice::GmwFewTrips);
    [StepChoice::Garbled, StepChoice::Gmw].into_iter().chain(few_trips).collect()
}

fn protocol(choice: StepChoice) -> PerLayer<IdealOt, HalfGates> {
    PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices: vec![choice].into() }
}

fn ranked(function: StepFunction, n: usize, b: u32, t: u32) -> Step {
    Step { output: StepOutput::Reveal, ..step(function, [n, 1, 1], [b, t, b + t + 1, 0]) }
}

#[test]
fn conformance_every_list_of_three_small_values_is_ranked_as_in_the_clear() {
    for (k, function) in [(1, StepFunction::ArgMax), (2, StepFunction::TopK { k: 2 })] {
        for choice in choices(3, k) {
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
    for (n, k) in [(1, 1), (2, 1), (2, 2), (10, 1), (10, 5), (64, 1), (1000, 1), (1000, 5)] {
        for choice in choices(n, k) {
            let function = if k == 1 { StepFunction::ArgMax } else { StepFunction::TopK { k } };
            for seed in 0..2 {
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
    for choice in choices(5, 5).into_iter().chain([StepChoice::GmwFewTrips]) {
        let (low, high) = (-(1 << 11), (1 << 11) - 1);
        let values = [low, high, low, high, 0];
        if choice != StepChoice::GmwFewTrips {
            let step = ranked(StepFunction::TopK { k: 5 }, 5, 12, 0);
            assert_eq!(Case::new(step, &values, 1).run(&protocol(choice)), [1, 3, 4, 0, 2]);
        }
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

/// Trips, online bits `(S to C, C to S)` and ROTs of 10 values of 12 bits, by tree and by all pairs.
#[test]
fn transcript_of_ten_classes_by_tree_and_by_all_pairs() {
    let step = ranked(StepFunction::ArgMax, 10, 12, 8);
    let price = |choice| protocol(choice).prices(&step, choice).unwrap();
    let garbled = price(StepChoice::Garbled);
    assert_eq!((garbled.and_gates, garbled.trips), (110 + 216, 1));
    assert_eq!(garbled.online.server_to_client, 1937);
    let tree = price(StepChoice::Gmw);
    // 9 comparisons of keys of 17 bits: 16 leaf bits, 3 * 7 - 3 in merges, 17 selected, 1 opened;
    // behind the first level the client's leaf and selected bits come online too. 4 index bits.
    assert_eq!(tree.rots, (9 * 24, 9 * 8));
    assert_eq!(tree.trips, 21);
    let all = price(StepChoice::GmwFewTrips);
    // 45 comparisons of 13 bits: 8 leaf bits, 3 * 7 - 3 in merges; 1 bit to elect; 10 rows.
    assert_eq!(all.rots, (45 * (15 + 1), 45 * 7));
    assert_eq!(all.trips, 5);
    let (case, exact) = Case::random(step.clone(), 3);
    for (choice, price) in [(StepChoice::Gmw, tree), (StepChoice::GmwFewTrips, all)] {
        let (a, b) = (case.clone(), case.clone());
        let ((result, _), (), recording) = run_two_recorded(
            move |channel| a.run_client(&protocol(choice), channel).unwrap(),
            move |channel| b.run_server(&protocol(choice), channel).map(|_| ()).unwrap(),
        );
        check_result(&step, &exact, &result.unwrap());
        let tail = |frames: Vec<Frame>, bytes: u64| -> usize {
            let mut left = bytes;
            frames
                .iter()
                .rev()
                .take_while(|frame| {
                    let fits = left > 0;
                    left = left.saturating_sub(framed_len(frame.payload.len()));
                    fits
                })
                .count()
        };
        let down = tail(frames(&recording.received()), price.online.server_to_client);
        let up = tail(frames(&recording.sent()), price.online.client_to_server);
        assert_eq!(down + up, price.trips, "{choice:?}");
    }
    let bytes = |price: Price| (price.online.server_to_client, price.online.client_to_server);
    assert_eq!((bytes(tree), bytes(all)), ((150, 125), (231, 123)));
}
