//! The chains with the fewest trips: the same results, by what they cost.

use gazelle_convert::{ClientShare, Operation, Sign};
use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, StepChoice};
use gazelle_ot::{IdealOt, Iknp, OtExtension};
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::step::StepFunction;
use gazelle_share::testing::{
    check_result, conformance_nonlinear, conformance_nonlinear_exact, conformance_steps,
    exact_steps, test_rng,
};
use gazelle_share::{Pads, Rounding, Shares, Step, TensorShape, Window};

use super::common::{Case, step};

const HALF: Window =
    Window { kernel: [2, 2], stride: [2, 2], pads: Pads { top: 0, left: 0, bottom: 0, right: 0 } };

fn protocol<O: OtExtension>(ot: O, choices: Vec<StepChoice>) -> PerLayer<O, HalfGates> {
    PerLayer { ot, scheme: HalfGates::default(), choices: choices.into() }
}

/// Few trips wherever there is such a chain.
fn everywhere<O: OtExtension + Clone>(ot: &O) -> PerLayer<O, HalfGates> {
    let steps = conformance_steps();
    let auto = protocol(ot.clone(), Vec::new());
    let choice = |step| match auto.prices(step, StepChoice::GmwFewTrips) {
        Ok(_) => StepChoice::GmwFewTrips,
        Err(_) => StepChoice::Auto,
    };
    protocol(ot.clone(), steps.iter().map(choice).collect())
}

#[test]
fn conformance_of_the_chains_with_few_trips_over_ideal_ot_and_iknp() {
    let turns = conformance_nonlinear(&everywhere(&IdealOt));
    let fewest = conformance_nonlinear(&everywhere(&Iknp::default()));
    assert_eq!(turns.online, fewest.online);
}

/// The same of exact steps.
#[test]
fn conformance_of_exact_steps_with_few_trips() {
    let auto = protocol(IdealOt, Vec::new());
    let choice = |step| match auto.prices(step, StepChoice::GmwFewTrips) {
        Ok(_) => StepChoice::GmwFewTrips,
        Err(_) => StepChoice::Auto,
    };
    let choices = exact_steps().iter().map(choice).collect();
    conformance_nonlinear_exact(&protocol(IdealOt, choices));
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
        assert_eq!(
            case.run(&protocol(IdealOt, vec![StepChoice::GmwFewTrips])),
            step.apply(&values)
        );
    }
    // One value, every sharing, against fixed ones.
    let mut case = Case::new(step.clone(), &values, 1);
    let client: Vec<u64> = (0..256).flat_map(|i| [i >> 4, i & 15]).collect();
    let server: Vec<u64> = client.iter().map(|c| 2u64.wrapping_sub(*c) & ring_mask(4)).collect();
    case.step.input = TensorShape::new(1, 256, 2);
    (case.client, case.server) = (Shares::new(4, client), Shares::new(4, server));
    case.mask = Some(Shares::random(7, 256, &mut test_rng(3)));
    assert_eq!(case.run(&protocol(IdealOt, vec![StepChoice::GmwFewTrips])), vec![2; 256]);
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
            let results = case.run(&protocol(IdealOt, vec![StepChoice::GmwFewTrips]));
            check_result(&step, &exact, &results);
        }
    }
}

/// Exact: inputs are truncated first, and the client's shares are online values.
#[test]
fn conformance_exact_pools_by_all_pairs_are_the_reference() {
    for (i, (b, t, g, next)) in
        [(4, 3, 1, 12), (9, 0, 2, 20), (12, 7, 2, 20)].into_iter().enumerate()
    {
        let function = StepFunction::MaxPool { window: HALF, relu: true };
        let local = step(function, [3, 8, 10], [b, t, b + t + g + 1, next]);
        let step = Step { rounding: Rounding::Exact { guard_bits: g }, ..local };
        let (case, exact) = Case::random(step.clone(), i as u64);
        let rounded: Vec<i64> = exact.iter().map(|x| step.rounded(*x)).collect();
        let protocol = protocol(IdealOt, vec![StepChoice::GmwFewTrips]);
        assert_eq!(case.run(&protocol), step.apply(&rounded), "{b} {t}");
        let trips = |choice| protocol.prices(&step, choice).unwrap().trips;
        assert!(trips(StepChoice::GmwFewTrips) < trips(StepChoice::Gmw), "{b} {t}");
    }
}

/// 2x2 max-pool and ReLU: half the trips of the tree.
#[test]
fn transcript_of_a_2x2_pool_by_all_pairs_takes_eight_trips() {
    let pool = StepFunction::MaxPool { window: HALF, relu: true };
    let step = step(pool, [1, 2, 2], [12, 8, 21, 20]);
    let protocol = protocol(IdealOt, Vec::new());
    let tree = protocol.prices(&step, StepChoice::Gmw).unwrap();
    let pairs = protocol.prices(&step, StepChoice::GmwFewTrips).unwrap();
    assert_eq!((tree.trips, pairs.trips), (16, 8));
    // 10 signs of 13 bits, 12 ANDs, 4 words kept, an extension.
    let sign = Sign::new(13, ClientShare::Offline).rots();
    assert_eq!(pairs.rots, (10 * sign.0 + 12 + 4 + 1, 10 * sign.1 + 12 + 4));
    // From S: 8 leaf bits, 3 * 7 - 3 in merges; 2 per AND; a bit and 12 per word; 1. The client's
    // the same without leaves and words, and 20 bits of the result: 8 frames.
    let down = 10 * (8 + 18) + 12 * 2 + 4 * (1 + 12) + 1;
    let up = 10 * 18 + 12 * 2 + 4 + 1 + 20;
    let bytes = pairs.online.total() - 8 * 8;
    assert!((down + up) / 8 <= bytes && bytes < (down + up) / 8 + 8, "{bytes}");
}

#[test]
fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_fused_relu() {
    for b in [2, 3, 6] {
        let mut case = Case::new(step(StepFunction::Relu, [1, 1, 1], [b, 0, b, 11]), &[0], 1);
        let pairs = || (0..1u64 << (2 * b)).map(|i| (i >> b, i & ring_mask(b)));
        let relu: Vec<i64> =
            pairs().map(|(c, s)| to_signed((c + s) & ring_mask(b), b).max(0)).collect();
        case.step.input = TensorShape::vector(relu.len());
        case.mask = Some(Shares::random(11, relu.len(), &mut test_rng(4)));
        case.client = Shares::new(b, pairs().map(|pair| pair.0).collect());
        case.server = Shares::new(b, pairs().map(|pair| pair.1).collect());
        assert_eq!(case.run(&protocol(IdealOt, vec![StepChoice::GmwFewTrips])), relu, "b = {b}");
    }
}

/// Every pair of shares of a small ring, exactly rounded and extended at once.
#[test]
fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_extended_relu() {
    for (b, g, t) in [(2, 1, 1), (3, 2, 0), (4, 0, 2)] {
        let ring = b + t + g;
        let local = step(StepFunction::Relu, [1, 1, 1], [b, t, ring, 11]);
        let exact = Step { rounding: Rounding::Exact { guard_bits: g }, ..local };
        let pairs = || (0..1u64 << (2 * ring)).map(|i| (i >> ring, i & ring_mask(ring)));
        let values: Vec<i64> =
            pairs().map(|(c, s)| to_signed((c + s) & ring_mask(ring), ring)).collect();
        let mut case = Case::new(exact, &[0], 1);
        case.step.input = TensorShape::vector(values.len());
        case.mask = Some(Shares::random(11, values.len(), &mut test_rng(4)));
        case.client = Shares::new(ring, pairs().map(|pair| pair.0).collect());
        case.server = Shares::new(ring, pairs().map(|pair| pair.1).collect());
        let got = case.run(&protocol(IdealOt, vec![StepChoice::GmwFewTrips]));
        let half = (1i64 << g >> 1) + if t > 0 { 1 << (t + g) >> 1 } else { 0 };
        for (x, z) in values.iter().zip(&got) {
            // The constant that rounds wraps with the ring, as the sum does.
            let v = to_signed((x + half) as u64 & ring_mask(ring), ring) >> (t + g);
            assert_eq!(*z, v.max(0), "b = {b}: {x}");
        }
    }
}

/// An exact ReLU at (12, 7 + 2, 20): two trips less for 29 bits more.
#[test]
fn transcript_of_an_exact_relu_with_few_trips_takes_six() {
    let protocol = protocol(IdealOt, Vec::new());
    let price = |b: u32, t: u32, choice| {
        let local = step(StepFunction::Relu, [8000, 1, 1], [b, t, b + t + 2, 20]);
        let exact = Step { rounding: Rounding::Exact { guard_bits: 2 }, ..local };
        protocol.prices(&exact, choice).unwrap()
    };
    for (b, t, tree, few) in [(3, 2, 6, 4), (9, 6, 6, 6), (12, 7, 8, 6), (17, 12, 8, 6)] {
        let trips = |choice| price(b, t, choice).trips;
        let found = (trips(StepChoice::Gmw), trips(StepChoice::GmwFewTrips));
        assert_eq!(found, (tree, few), "b = {b}");
    }
    // Nothing to gain: the same chain.
    assert_eq!(price(9, 6, StepChoice::Gmw), price(9, 6, StepChoice::GmwFewTrips));
    let few = price(12, 7, StepChoice::GmwFewTrips);
    let sides =
        |cost: gazelle_wire::Cost| [cost.server_to_client / 1000, cost.client_to_server / 1000];
    assert_eq!(sides(few.online), [69, 74]);
    assert_eq!(sides(few.offline), [47, 22]);
    assert_eq!(few.rots.0 + few.rots.1, 42 * 8000);
}

/// An exact clip compares twice at once, and takes as many trips as a ReLU.
#[test]
fn transcript_of_an_exact_clip_with_few_trips_takes_eight() {
    let protocol = protocol(IdealOt, Vec::new());
    let price = |b: u32, t: u32, choice| {
        let clip = StepFunction::Clip { high: 3 };
        let local = step(clip, [8000, 1, 1], [b, t, b + t + 2, 20]);
        let exact = Step { rounding: Rounding::Exact { guard_bits: 2 }, ..local };
        protocol.prices(&exact, choice).unwrap()
    };
    for (b, t, tree, few) in [(9, 6, 10, 6), (12, 7, 12, 8), (17, 12, 12, 8)] {
        let trips = |choice| price(b, t, choice).trips;
        let found = (trips(StepChoice::Gmw), trips(StepChoice::GmwFewTrips));
        assert_eq!(found, (tree, few), "b = {b}");
    }
    let clip = price(12, 7, StepChoice::GmwFewTrips);
    let bits = |cost: gazelle_wire::Cost| cost.total() / 1000;
    assert_eq!((bits(clip.online), bits(clip.offline)), (182, 96));
    assert_eq!(clip.rots.0 + clip.rots.1, 67 * 8000);
}

/// Online bits `(S to C, C to S)` of 1,000 elements, offline ones, ROTs and trips.
#[test]
fn transcript_of_a_fused_relu_saves_two_trips_where_levels_are_even() {
    let protocol = protocol(IdealOt, Vec::new());
    let price = |b: u32, choice| {
        let step = step(StepFunction::Relu, [1000, 1, 1], [b, 8, b + 8, 20]);
        protocol.prices(&step, choice).unwrap()
    };
    for (b, tree, fused) in [(3, 4, 2), (9, 6, 4), (12, 6, 6), (18, 8, 6)] {
        let trips = |choice| price(b, choice).trips;
        assert_eq!(
            (trips(StepChoice::Gmw), trips(StepChoice::GmwFewTrips)),
            (tree, fused),
            "b = {b}"
        );
    }
    assert_eq!(price(12, StepChoice::Gmw), price(12, StepChoice::GmwFewTrips));
    // b = 9: 8 leaf bits, 21 of m and V, 2 + 5 in merges, 1; the client's 7, 1 and the result's 20.
    let fused = price(9, StepChoice::GmwFewTrips);
    let frames = |bits: u64| bits * 1000 / 8 + 2 * 8;
    assert_eq!(fused.online.server_to_client, frames(8 + 21 + 7 + 1));
    assert_eq!(fused.online.client_to_server, frames(7 + 1 + 20));
    let tree = Sign::new(9, ClientShare::Offline);
    let (down, up) = tree.offline_planes();
    assert_eq!(fused.offline.server_to_client, down as u64 * 125 + 8);
    assert_eq!(fused.offline.client_to_server, (up as u64 + 3 * 20 - 2 * 9) * 125 + 8);
    assert_eq!(fused.rots, (1000 * (tree.rots().0 + 1), 1000 * (tree.rots().1 + 2)));
}

#[test]
fn conformance_a_coarse_comparison_loses_small_positive_values_alone() {
    for choice in [StepChoice::Gmw, StepChoice::GmwFewTrips] {
        for drop_bits in 0..=3u32 {
            let (b, function) = (5, StepFunction::CoarseRelu { drop_bits });
            let mut case = Case::new(step(function, [1, 1, 1], [b, 0, b, 11]), &[0], 1);
            let pairs = || (0..1u64 << (2 * b)).map(|i| (i >> b, i & ring_mask(b)));
            let values: Vec<i64> =
                pairs().map(|(c, s)| to_signed((c + s) & ring_mask(b), b)).collect();
            case.step.input = TensorShape::vector(values.len());
            case.mask = Some(Shares::random(11, values.len(), &mut test_rng(4)));
            case.client = Shares::new(b, pairs().map(|pair| pair.0).collect());
            case.server = Shares::new(b, pairs().map(|pair| pair.1).collect());
            let mut kept = [0; 16];
            for (z, v) in case.run(&protocol(IdealOt, vec![choice])).iter().zip(&values) {
                if *v < (1 << drop_bits) - 16 {
                    // Below its range a carry wraps: this is what the planner's margin is for.
                    assert!(*z == 0 || (z - v) % 32 == 0, "{choice:?} {drop_bits}: {v} {z}");
                    continue;
                }
                let small = (0..1 << drop_bits).contains(v);
                assert!(*z == (*v).max(0) || (small && *z == 0), "{choice:?} {drop_bits}: {v} {z}");
                if *v > 0 && *z == *v {
                    kept[*v as usize] += 1;
                }
            }
            // Of the 32 sharings of v those without a carry from the low bits keep it.
            for (v, kept) in kept.iter().enumerate().skip(1).take((1 << drop_bits) - 1) {
                assert_eq!(*kept, (v + 1) << (b - drop_bits), "{choice:?} {drop_bits} {v}");
            }
        }
    }
}

/// Two bits left out of 12: 8 bits less online, 14 in all.
#[test]
fn transcript_of_a_coarse_relu_saves_bits_and_ots() {
    let protocol = protocol(IdealOt, Vec::new());
    let price = |drop_bits: u32, choice| {
        let function = StepFunction::CoarseRelu { drop_bits };
        let step = step(function, [8000, 1, 1], [12, 8, 20, 20]);
        protocol.prices(&step, choice).unwrap()
    };
    let bits = |drop| (price(drop, StepChoice::Gmw).online.total() - 6 * 8) / 1000;
    assert_eq!([bits(0), bits(1), bits(2), bits(3)], [74, 72, 66, 58]);
    let offline = |drop| price(drop, StepChoice::Gmw).offline.total() / 1000;
    assert_eq!([offline(0), offline(1), offline(2), offline(3)], [44, 38, 38, 44]);
    for drop in 0..=3 {
        let ots = Sign::new(12 - drop, ClientShare::Offline).rots();
        assert_eq!(price(drop, StepChoice::Gmw).rots, (8000 * (ots.0 + 2), 8000 * (ots.1 + 1)));
    }
    assert_eq!((price(3, StepChoice::Gmw).trips, price(3, StepChoice::GmwFewTrips).trips), (6, 4));
}
