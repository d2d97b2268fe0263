//! The GMW backend, and both backends behind one protocol.

use std::sync::Arc;

use gazelle_convert::{ClientShare, Operation, Sign};
use gazelle_garble::HalfGates;
use gazelle_nonlinear::{Gmw, PerLayer, StepChoice};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{Ferret, IdealOt, Iknp, SoftSpoken};
use gazelle_share::Rounding;
use gazelle_share::shares::{ring_mask, to_signed};
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::{
    check_result, conformance_nonlinear, conformance_nonlinear_exact, conformance_steps,
    exact_steps, test_rng,
};
use gazelle_share::{NonlinearProtocol, Pads, ProtocolError, Shares, Step, TensorShape, Window};
use gazelle_wire::recording::frames;
use gazelle_wire::testing::run_two_recorded;
use gazelle_wire::traffic::framed_len;

use super::common::{Case, step};

const POOL: Window =
    Window { kernel: [3, 3], stride: [2, 2], pads: Pads { top: 1, left: 1, bottom: 1, right: 1 } };

#[test]
fn conformance_of_the_choice_per_step_over_ideal_ot() {
    let protocol = PerLayer::auto(IdealOt, HalfGates::default());
    let turns = conformance_nonlinear(&protocol);
    let steps = conformance_steps();
    let compiled = protocol.compile(Arc::clone(&steps)).unwrap();
    for (i, step) in steps.iter().enumerate() {
        // A square on the narrowest ring cannot be extended.
        let narrow = step.input_bits < step.wanted_bits();
        let garbled = step.function == StepFunction::Round || narrow;
        let name = protocol.name(&compiled, i);
        assert_eq!(name, if garbled { "garbled" } else { "gmw" }, "{step:?}");
        if step.function == StepFunction::Relu && step.value_bits >= 12 {
            // Three of the six trips are received, and the client sent last before the first one too,
            // unless nothing came before but the streams of the offline phase.
            assert_eq!(turns.online[i], 3 - u64::from(i == 0), "{step:?}");
        }
    }
}

#[test]
fn conformance_of_the_choice_per_step_over_iknp() {
    conformance_nonlinear(&PerLayer::auto(Iknp::default(), HalfGates::default()));
}

#[test]
fn conformance_of_the_choice_per_step_over_softspoken() {
    conformance_nonlinear(&PerLayer::auto(SoftSpoken::default(), HalfGates::default()));
}

#[test]
fn conformance_of_the_choice_per_step_over_ferret() {
    conformance_nonlinear(&PerLayer::auto(Ferret::default(), HalfGates::default()));
}

/// Bytes per exact ReLU of 12 bits over 9, all messages and the OT extension's included, in a layer of
/// a million.
#[test]
fn transcript_of_an_exact_relu_is_42_ots_and_at_most_28_bytes() {
    let count = 1 << 20;
    let local = step(StepFunction::Relu, [count, 1, 1], [12, 7, 21, 20]);
    let exact = Step { rounding: Rounding::Exact { guard_bits: 2 }, ..local };
    // 22.9 in messages of its own, the rest is Ferret's: 0.10 bytes for each OT of the set for layers of
    // that size, 0.19 of its default set.
    for (set, most) in [(Parameters::LARGE, 27.6), (Parameters::MEDIUM, 31.0)] {
        let protocol = PerLayer::auto(Ferret::new(set), HalfGates::default());
        let price = protocol.prices(&exact, StepChoice::Gmw).unwrap();
        assert_eq!(price.rots, (27 * count, 15 * count));
        let bytes = (price.offline.total() + price.online.total()) as f64 / count as f64;
        assert!((22.9..=most).contains(&bytes), "{set}: {bytes}");
    }
}

/// Every function that may be exact equals its reference, on each backend.
#[test]
fn conformance_of_exact_steps_on_both_backends() {
    let scheme = HalfGates::default();
    conformance_nonlinear_exact(&PerLayer::auto(IdealOt, scheme));
    let choices = |choice| exact_steps().iter().map(|_| choice).collect::<Vec<_>>().into();
    conformance_nonlinear_exact(&PerLayer {
        ot: IdealOt,
        scheme,
        choices: choices(StepChoice::Garbled),
    });
    conformance_nonlinear_exact(&PerLayer::auto(Iknp::default(), scheme));
}

/// Every pair of shares of the input ring: 1 or 2 guard bits, values rounded down, nothing left to
/// coins.
#[test]
fn conformance_every_pair_of_shares_of_small_rings_is_exact_for_every_function() {
    let window = Window { kernel: [1, 2], stride: [1, 2], pads: Pads::default() };
    for (function, b, t, g, more, to) in [
        (StepFunction::Relu, 3, 1, 1, 0, 7),
        (StepFunction::Relu, 3, 0, 2, 0, 3),
        (StepFunction::Clip { high: 2 }, 3, 1, 1, 0, 6),
        (StepFunction::Rescale, 2, 1, 1, 1, 6),
        (StepFunction::Rescale, 2, 1, 1, 1, 3),
        (StepFunction::Square { drop_bits: 2 }, 2, 1, 1, 1, 7),
        (StepFunction::Square { drop_bits: 0 }, 2, 1, 1, 1, 7),
        (StepFunction::MaxPool { window, relu: true }, 2, 1, 1, 1, 6),
        (StepFunction::MaxPool { window, relu: false }, 2, 1, 1, 1, 6),
    ] {
        let l = b + t + g + more;
        let mut case = Case::new(step(function, [1, 1, 1 << (2 * l)], [b, t, l, to]), &[], 1);
        case.step.rounding = Rounding::Exact { guard_bits: g };
        let pairs = (0..1u64 << (2 * l)).map(|i| (i >> l, i & ring_mask(l)));
        let value = |(c, s): &(u64, u64)| to_signed((c + s) & ring_mask(l), l);
        // v fits b bits.
        let fits = |pair: &(u64, u64)| {
            let v = case.step.rounded(value(pair));
            (-(1i64 << (b - 1))..1 << (b - 1)).contains(&v) && value(pair) < (1 << (l - 1)) - 1
        };
        let (client, server): (Vec<u64>, Vec<u64>) = pairs.filter(fits).unzip();
        // Windows of two neighbours.
        let count = client.len() / 2 * 2;
        let values: Vec<i64> =
            client.iter().zip(&server).take(count).map(|(c, s)| value(&(*c, *s))).collect();
        case.step.input = TensorShape::new(1, 1, count);
        case.mask = Some(Shares::random(to, case.step.output_shape().len(), &mut test_rng(4)));
        case.client = Shares::new(l, client[..count].to_vec());
        case.server = Shares::new(l, server[..count].to_vec());
        let exact: Vec<i64> = values.iter().map(|x| case.step.rounded(*x)).collect();
        let expected = case.step.apply(&exact);
        for choice in [StepChoice::Gmw, StepChoice::Garbled] {
            let scheme = HalfGates::default();
            let protocol = PerLayer { ot: IdealOt, scheme, choices: vec![choice].into() };
            assert_eq!(case.run(&protocol), expected, "{:?} {choice:?}", case.step);
        }
    }
}

#[test]
fn conformance_of_garbled_steps_chosen_by_the_plan() {
    let choices: Vec<StepChoice> =
        conformance_steps().iter().map(|_| StepChoice::Garbled).collect();
    let scheme = HalfGates::default();
    conformance_nonlinear(&PerLayer { ot: Iknp::default(), scheme, choices: choices.into() });
}

#[test]
fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_relu() {
    for b in 2..=5u32 {
        let mut case =
            Case::new(step(StepFunction::Relu, [1 << (2 * b), 1, 1], [b, 0, b, 9]), &[], 1);
        let pairs = |pick: fn(u64, u32) -> u64| (0..1u64 << (2 * b)).map(|i| pick(i, b)).collect();
        let client: Vec<u64> = pairs(|i, b| i >> b);
        let server: Vec<u64> = pairs(|i, b| i & ring_mask(b));
        let exact: Vec<i64> = client
            .iter()
            .zip(&server)
            .map(|(c, s)| gazelle_share::shares::to_signed((c + s) & ring_mask(b), b))
            .collect();
        case.client = gazelle_share::Shares::new(b, client);
        case.server = gazelle_share::Shares::new(b, server);
        let relu: Vec<i64> = exact.iter().map(|x| (*x).max(0)).collect();
        assert_eq!(case.run(&Gmw { ot: IdealOt }), relu, "b = {b}");
    }
}

#[test]
fn conformance_pools_and_rescales_of_all_widths_lie_within_one_unit() {
    let pool = |relu| StepFunction::MaxPool { window: POOL, relu };
    for (i, (b, t, next)) in
        [(4, 3, 12), (7, 0, 20), (10, 8, 23), (13, 5, 11), (17, 12, 37)].into_iter().enumerate()
    {
        let clip = StepFunction::Clip { high: (1 << (b - 2)) + 1 };
        let functions = [StepFunction::Relu, clip, StepFunction::Rescale, pool(true), pool(false)];
        for function in functions {
            let step = step(function, [3, 9, 10], [b, t, b + t + 1, next.max(b)]);
            let (case, exact) = Case::random(step.clone(), i as u64);
            check_result(&step, &exact, &case.run(&Gmw { ot: IdealOt }));
        }
    }
}

#[test]
fn transcript_of_a_relu_layer_is_exactly_the_protocols_bits_and_looks_uniform() {
    for ((b, l), (online_down, online_up), (offline_down, offline_up)) in
        [((12, 20), (37, 37), (24, 20)), ((17, 37), (53, 57), (52, 33))]
    {
        let count = 8192u64;
        let step = step(StepFunction::Relu, [count as usize, 1, 1], [b, 8, b + 8, l]);
        // The worst case for a leak: all values equal.
        let case = Case::new(step, &vec![-5; count as usize], 3);
        let (a, c) = (case.clone(), case.clone());
        let protocol = Gmw { ot: IdealOt };
        let (client, server, recording) = run_two_recorded(
            move |channel| a.run_client(&protocol, channel).map(|(r, _)| r).unwrap(),
            move |channel| c.run_server(&protocol, channel).map(|(r, _)| r).unwrap(),
        );
        assert!(case.results(client, server).iter().all(|z| *z == 0));
        let (sent, received) = (frames(&recording.sent()), frames(&recording.received()));
        // Client: corrections, then M2, M4, M6. Server: hash seed, ideal OT, corrections, M1, M3, M5.
        let payload = |frames: &[gazelle_wire::recording::Frame], skip: usize| -> u64 {
            frames.iter().skip(skip).map(|frame| frame.payload.len() as u64).sum()
        };
        let first_up = sent.len() - 3;
        let first_down = received.len() - 3;
        assert_eq!(payload(&sent, first_up), count * online_up / 8);
        assert_eq!(payload(&received, first_down), count * online_down / 8);
        assert_eq!(sent[first_up - 1].payload.len() as u64, count * offline_up / 8);
        assert_eq!(received[first_down - 1].payload.len() as u64, count * offline_down / 8);
        for frame in sent[first_up - 1..].iter().chain(&received[first_down - 1..]) {
            let bits = 8.0 * frame.payload.len() as f64;
            let ones: u32 = frame.payload.iter().map(|byte| byte.count_ones()).sum();
            assert!((f64::from(ones) - bits / 2.0).abs() < 6.0 * (bits / 4.0).sqrt());
        }
    }
}

#[test]
fn transcript_a_layer_of_several_batches_sends_what_is_planned() {
    // b = 3: 4 ROTs from S to C each, so four batches of 2^20 and a bit: five messages each way.
    let count = (4 << 18) + 77;
    let step = step(StepFunction::Relu, [count, 1, 1], [3, 2, 5, 6]);
    let (case, exact) = Case::random(step.clone(), 7);
    let protocol = Gmw { ot: IdealOt };
    let compiled = protocol.compile(Arc::new([step.clone()])).unwrap();
    let planned = protocol.traffic(&compiled, 0);
    let (a, c) = (case.clone(), case.clone());
    let (client, server) = gazelle_wire::testing::run_two(
        move |channel| a.run_client(&protocol, channel).unwrap(),
        move |channel| c.run_server(&protocol, channel).unwrap().0,
    );
    let traffic = client.1.traffic();
    let cost = planned.setup + planned.offline[0] + planned.online[0];
    assert_eq!((traffic.sent, traffic.received), (cost.client_to_server, cost.server_to_client));
    check_result(&step, &exact, &case.results(client.0, server));
}

#[test]
fn transcript_traffic_of_one_batch_is_one_message_each_way() {
    let protocol = Gmw { ot: IdealOt };
    let step = step(StepFunction::Relu, [1000, 1, 1], [12, 8, 20, 20]);
    let compiled = protocol.compile(Arc::new([step])).unwrap();
    let traffic = protocol.traffic(&compiled, 0);
    assert_eq!(traffic.offline[0].client_to_server, framed_len(20 * 1000 / 8));
    assert_eq!(traffic.offline[0].server_to_client, framed_len(24 * 1000 / 8));
    let frames = 3 * 8;
    assert_eq!(traffic.online[0].total(), 74 * 1000 / 8 + 2 * frames);
}

#[test]
fn adversarial_steps_that_break_the_ring_conditions_are_refused() {
    let pool = StepFunction::MaxPool { window: POOL, relu: true };
    let refuse = |step: Step| {
        let result = Gmw { ot: IdealOt }.compile(Arc::new([step.clone()]));
        assert!(matches!(result, Err(ProtocolError::Plan(_))), "{step:?}");
    };
    refuse(step(StepFunction::Relu, [4, 1, 1], [12, 9, 20, 20]));
    refuse(step(pool.clone(), [1, 4, 4], [12, 8, 20, 20]));
    refuse(step(StepFunction::Rescale, [4, 1, 1], [12, 8, 20, 20]));
    refuse(step(StepFunction::Round, [4, 1, 1], [12, 8, 20, 20]));
    refuse(step(StepFunction::Square { drop_bits: 0 }, [4, 1, 1], [12, 8, 20, 24]));
    refuse(Step { output: StepOutput::Reveal, ..step(pool, [1, 4, 4], [12, 8, 21, 20]) });
}

#[test]
fn properties_values_beyond_the_range_wrap_and_the_margin_covers_them() {
    // v = 2^(b-1) is one too many: it is read as -2^(b-1); with one bit of margin it is right.
    let exact = vec![(1 << 11) << 8; 64];
    let narrow = Case::new(step(StepFunction::Relu, [64, 1, 1], [12, 8, 21, 20]), &exact, 1);
    assert_eq!(narrow.run(&Gmw { ot: IdealOt }), vec![0; 64]);
    let wide = Case::new(step(StepFunction::Relu, [64, 1, 1], [13, 8, 21, 20]), &exact, 1);
    assert_eq!(wide.run(&Gmw { ot: IdealOt }), vec![1 << 11; 64]);
}

#[test]
fn conformance_every_pair_of_shares_of_small_rings_gives_the_exact_square() {
    // Known shares on a wide ring; extended ones on the narrowest.
    for (b, l) in [(3, 5), (3, 4), (2, 3), (4, 5)] {
        let function = StepFunction::Square { drop_bits: 0 };
        let mut case = Case::new(step(function, [1 << (2 * l), 1, 1], [b, 0, l, 11]), &[], 1);
        let half = 1i64 << (b - 1);
        let pairs = (0..1u64 << (2 * l)).map(|i| (i >> l, i & ring_mask(l)));
        let value = |(c, s): &(u64, u64)| to_signed((c + s) & ring_mask(l), l);
        let (client, server): (Vec<u64>, Vec<u64>) =
            pairs.filter(|pair| (-half..half).contains(&value(pair))).unzip();
        let squares: Vec<i64> =
            client.iter().zip(&server).map(|(c, s)| value(&(*c, *s)).pow(2)).collect();
        case.step.input = TensorShape::vector(client.len());
        case.mask = Some(Shares::random(11, client.len(), &mut test_rng(4)));
        (case.client, case.server) = (Shares::new(l, client), Shares::new(l, server));
        assert_eq!(case.run(&Gmw { ot: IdealOt }), squares, "b = {b}, l = {l}");
    }
}

/// Online and offline bits `(S to C, C to S)`, ROTs, trips, for b = 12 and 9 bits to drop.
#[test]
fn transcript_of_a_square_is_what_the_protocol_says() {
    let protocol = PerLayer::auto(IdealOt, HalfGates::default());
    let of = |l: u32, to: u32| {
        let function = StepFunction::Square { drop_bits: 9 };
        let step = step(function, [8000, 1, 1], [12, 8, l, to]);
        let price = protocol.prices(&step, StepChoice::Gmw).unwrap();
        let frames = |bytes: u64, trips: u64| (bytes - 8 * trips) / 1000;
        let online = (price.online.server_to_client, price.online.client_to_server);
        let (down, up) = (price.trips as u64 / 2, price.trips as u64 / 2);
        let offline = (price.offline.server_to_client, price.offline.client_to_server);
        let rots = (price.rots.0 / 8000, price.rots.1 / 8000);
        ((frames(online.0, down), frames(online.1, up)), offline, rots, price.trips)
    };
    // The client's share known (23 bits of ring): m down; then an extension from 15 to 22 bits,
    // whose half the server sends along.
    let known = of(31, 22);
    assert_eq!((known.0, known.2, known.3), ((23 + 1, 1 + 22), (23 + 1, 0), 2));
    // Narrow: first an extension from 13 to 23 bits; e comes online.
    let narrow = of(21, 22);
    assert_eq!((narrow.0, narrow.2, narrow.3), ((1 + 23 + 1, 1 + 23 + 1 + 22), (25, 0), 4));
    // Offline: u is w (w - 1) / 2 bits, t is 7; e is w.
    assert_eq!(known.1, (framed_len(1000 * (253 + 7)), framed_len(1000 * 23)));
    assert_eq!(narrow.1, (framed_len(1000 * (10 + 253 + 7)), 0));
}

/// slope x + (1 - slope) max(x, 0), as the importer rewrites leaky `ReLUs`: a rescale and a ReLU of the
/// same shares, joined by the next weights. Slopes may differ by channel and be negative.
#[test]
fn conformance_leaky_relus_of_all_slopes_come_from_a_rescale_and_a_relu() {
    let (channels, plane, unit) = (8usize, 40usize, 64i64);
    let slopes: [i64; 8] = [0, 1, 6, 13, 32, 64, -16, -64];
    for (seed, t) in [(1, 0), (2, 5)] {
        let relu = step(StepFunction::Relu, [channels, plane, 1], [10, t, 11 + t, 20]);
        let (case, exact) = Case::random(relu.clone(), seed);
        let rescale =
            Case { step: Step { function: StepFunction::Rescale, ..relu }, ..case.clone() };
        let gmw = Gmw { ot: IdealOt };
        let (rectified, values) = (case.run(&gmw), rescale.run(&gmw));
        for (i, x) in exact.iter().enumerate() {
            let slope = slopes[i / plane];
            let leaky = slope * values[i] + (unit - slope) * rectified[i];
            let expected = (slope * x + (unit - slope) * (*x).max(0)) as f64 / f64::from(1 << t);
            // Each of the two is rounded by less than one unit.
            let bound = if t == 0 { 0.0 } else { (slope.abs() + (unit - slope).abs()) as f64 };
            assert!((leaky as f64 - expected).abs() <= bound, "{slope} {x}: {leaky} {expected}");
        }
    }
}

/// 3x3 windows with stride 2 go by rows, then columns: 6 comparisons per output.
#[test]
fn transcript_of_a_3x3_pool_with_stride_2_is_six_comparisons_per_output() {
    let window = Window { pads: Pads::default(), ..POOL };
    let pool = |relu| StepFunction::MaxPool { window, relu };
    let protocol = PerLayer::auto(IdealOt, HalfGates::default());
    let rots = |function| {
        let step = step(function, [2, 113, 113], [12, 8, 21, 20]);
        protocol.prices(&step, StepChoice::Gmw).unwrap().rots
    };
    let (down, up) = Sign::new(13, ClientShare::Offline).rots();
    let outputs = 56 * 56;
    // One row more than outputs need is shared by nobody.
    let comparisons = 2 * (6 * outputs + 2 * 56);
    let extension = 2 * outputs;
    assert_eq!(rots(pool(false)), (comparisons * (down + 1) + extension, comparisons * (up + 1)));
}
