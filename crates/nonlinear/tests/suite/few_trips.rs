//! The chains with the fewest trips: the same results, by what they cost.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{Choice, PerLayer};
use gazelle_ot::{IdealOt, Iknp, OtExtension};
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::step::StepFunction;
use gazelle_share::testing::{check_result, conformance_nonlinear, conformance_steps, test_rng};
use gazelle_share::{Pads, Shares, TensorShape, Window};

use super::common::{Case, step};

const HALF: Window =
    Window { kernel: [2, 2], stride: [2, 2], pads: Pads { top: 0, left: 0, bottom: 0, right: 0 } };

fn protocol<O: OtExtension>(ot: O, choices: Vec<Choice>) -> PerLayer<O, HalfGates> {
    PerLayer { ot, scheme: HalfGates::default(), choices: choices.into() }
}

/// Few trips wherever there is such a chain.
fn everywhere<O: OtExtension + Clone>(ot: &O) -> PerLayer<O, HalfGates> {
    let steps = conformance_steps();
    let auto = protocol(ot.clone(), Vec::new());
    let choice = |step| match auto.prices(step, Choice::GmwFewTrips) {
        Ok(_) => Choice::GmwFewTrips,
        Err(_) => Choice::Auto,
    };
    protocol(ot.clone(), steps.iter().map(choice).collect())
}

#[test]
fn conformance_of_the_chains_with_few_trips_over_ideal_ot_and_iknp() {
    let turns = conformance_nonlinear(&everywhere(&IdealOt));
    let fewest = conformance_nonlinear(&everywhere(&Iknp::default()));
    assert_eq!(turns.online, fewest.online);
}

#[test]
fn conformance_all_pairs_of_shares_of_small_windows_give_the_exact_maximum() {
    // Every value of two words, each in random sharings.
    let window = Window { kernel: [1, 2], stride: [1, 2], ..HALF };
    let function = StepFunction::MaxPool { window, relu: true };
    let b = 3;
    let values: Vec<i64> =
        (0..64).flat_map(|i| [to_signed(i >> 3, 3), to_signed(i & 7, 3)]).collect();
    let step = step(function, [1, 64, 2], [b, 0, b + 1, 7]);
    for seed in 0..8 {
        let case = Case::new(step.clone(), &values, seed);
        assert_eq!(case.run(&protocol(IdealOt, vec![Choice::GmwFewTrips])), step.apply(&values));
    }
    // One value, every sharing, against fixed ones.
    let mut case = Case::new(step.clone(), &values, 1);
    let client: Vec<u64> = (0..256).flat_map(|i| [i >> 4, i & 15]).collect();
    let server: Vec<u64> = client.iter().map(|c| 2u64.wrapping_sub(*c) & ring_mask(4)).collect();
    case.step.input = TensorShape::new(1, 256, 2);
    (case.client, case.server) = (Shares::new(4, client), Shares::new(4, server));
    case.mask = Some(Shares::random(7, 256, &mut test_rng(3)));
    assert_eq!(case.run(&protocol(IdealOt, vec![Choice::GmwFewTrips])), vec![2; 256]);
}

#[test]
fn conformance_pools_by_all_pairs_of_all_widths_lie_within_one_unit() {
    for (i, (b, t, next)) in
        [(4, 3, 12), (9, 0, 20), (13, 5, 11), (17, 12, 37)].into_iter().enumerate()
    {
        for (window, shape) in [
            (HALF, [3, 8, 10]),
            (Window { kernel: [2, 2], stride: [1, 1], pads: Pads::all(1) }, [2, 3, 4]),
            (Window { kernel: [1, 3], stride: [1, 2], pads: Pads::default() }, [2, 3, 7]),
        ] {
            let function = StepFunction::MaxPool { window, relu: true };
            let step = step(function, shape, [b, t, b + t + 1, next.max(b)]);
            let (case, exact) = Case::random(step.clone(), i as u64);
            let results = case.run(&protocol(IdealOt, vec![Choice::GmwFewTrips]));
            check_result(&step, &exact, &results);
        }
    }
}

/// 2x2 max-pool and ReLU: half the trips of the tree.
#[test]
fn transcript_of_a_2x2_pool_by_all_pairs_takes_eight_trips() {
    let pool = StepFunction::MaxPool { window: HALF, relu: true };
    let step = step(pool, [1, 2, 2], [12, 8, 21, 20]);
    let protocol = protocol(IdealOt, Vec::new());
    let tree = protocol.prices(&step, Choice::Gmw).unwrap();
    let pairs = protocol.prices(&step, Choice::GmwFewTrips).unwrap();
    assert_eq!((tree.trips, pairs.trips), (16, 8));
    // 10 signs of 13 bits, 12 ANDs, 4 words kept, an extension.
    let sign = gazelle_convert::sign::SignTree::new(13).rots();
    assert_eq!(pairs.rots, (10 * sign.0 + 12 + 4 + 1, 10 * sign.1 + 12 + 4));
    // From S: 12 leaf bits, 3 * 5 - 3 in merges; 2 per AND; a bit and 12 per word; 1. The client's
    // the same without leaves and words, and 20 bits of the result: 8 frames.
    let down = 10 * (12 + 12) + 12 * 2 + 4 * (1 + 12) + 1;
    let up = 10 * 12 + 12 * 2 + 4 + 1 + 20;
    let bytes = pairs.online.total() - 8 * 8;
    assert!((down + up) / 8 <= bytes && bytes < (down + up) / 8 + 8, "{bytes}");
}
