//! The garbled backend, over ideal OT and IKNP.

use std::sync::Arc;
use std::time::Instant;

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{Garbled, PerLayer, StepChoice};
use gazelle_ot::{IdealOt, Iknp};
use gazelle_share::Rounding;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::testing::{conformance_nonlinear, conformance_steps, test_rng};
use gazelle_share::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, Output, Shares, Step, TensorShape,
};
use gazelle_wire::testing::run_two;
use gazelle_wire::traffic::framed_len;

fn ideal() -> Garbled<IdealOt, HalfGates> {
    Garbled { ot: IdealOt, scheme: HalfGates::default() }
}

#[test]
fn conformance_over_ideal_ot_with_one_online_turn() {
    let turns = conformance_nonlinear(&ideal());
    let reveals = |step: &Step| step.output == StepOutput::Reveal;
    for (i, step) in conformance_steps().iter().enumerate() {
        assert_eq!(turns.online[i], u64::from(!reveals(step)), "{step:?}");
    }
}

#[test]
fn conformance_over_iknp() {
    conformance_nonlinear(&Garbled { ot: Iknp::default(), scheme: HalfGates::default() });
}

#[test]
fn transcript_of_relu_is_16_b_bytes_down_and_l_bits_up() {
    let step = Step {
        function: StepFunction::Relu,
        input: TensorShape::vector(4096),
        input_bits: 20,
        truncate_bits: 8,
        rounding: Rounding::Local,
        value_bits: 12,
        sum_pool: None,
        output: StepOutput::Masked { bits: 20 },
    };
    let protocol = ideal();
    let garbled = PerLayer::auto(IdealOt, HalfGates::default());
    let price = garbled.prices(&step, StepChoice::Garbled).unwrap();
    assert_eq!(price.and_gates, 41 * 4096);
    let compiled = protocol.compile(Arc::new([step])).unwrap();
    let traffic = protocol.traffic(&compiled, 0);
    // Four chunks of 1024.
    assert_eq!(traffic.online[0].server_to_client, 4 * framed_len(16 * 12 * 1024));
    assert_eq!(traffic.online[0].client_to_server, 4 * framed_len(20 * 1024 / 8));
    // Offline: 32 bytes per AND, one correction bit per wire of the client's.
    let tables = 4 * framed_len(32 * 41 * 1024);
    assert_eq!(traffic.offline[0].server_to_client, framed_len(16) + tables);
    assert_eq!(traffic.offline[0].client_to_server, framed_len(32 * 4096 / 8));
}

#[test]
fn properties_65536_relus_take_seconds_at_most() {
    let step = Step {
        function: StepFunction::Relu,
        input: TensorShape::new(64, 32, 32),
        input_bits: 23,
        truncate_bits: 11,
        rounding: Rounding::Local,
        value_bits: 12,
        sum_pool: None,
        output: StepOutput::Masked { bits: 23 },
    };
    let protocol = ideal();
    let compiled = Arc::new(protocol.compile(Arc::new([step.clone()])).unwrap());
    let server_compiled = Arc::clone(&compiled);
    let count = step.input.len();
    let mut rng = test_rng(5);
    let client_share = Shares::random(23, count, &mut rng);
    let server_share = Shares::random(23, count, &mut rng);
    let mask = Shares::random(23, count, &mut rng);
    let start = Instant::now();
    let (client_mask, client_input) = (mask.clone(), client_share);
    let (online, share) = run_two(
        move |mut ch| {
            let mut rng = test_rng(1);
            let mut client = protocol.client(compiled, &mut ch, &mut rng).unwrap();
            let output = Output::Masked(&client_mask);
            let prepared = client.offline(0, &client_input, output, &mut ch, &mut rng).unwrap();
            let offline = Instant::now();
            assert_eq!(client.online(0, prepared, &mut ch).unwrap(), None);
            offline.elapsed()
        },
        move |mut ch| {
            let mut rng = test_rng(2);
            let mut server = ideal().server(server_compiled, &mut ch, &mut rng).unwrap();
            let prepared = server.offline(0, &mut ch, &mut rng).unwrap();
            server.online(0, prepared, server_share, &mut ch).unwrap().unwrap()
        },
    );
    let whole = start.elapsed();
    println!("65536 ReLUs: {whole:?}, online {online:?}");
    assert_eq!(share.len(), count);
    // The unoptimised build on a busy machine: far above what a release build takes.
    assert!(whole.as_secs() < 40, "{whole:?}");
    // Every output is a non-negative value of 11 bits.
    assert!(share.add(&mask).words().iter().all(|z| *z < 1 << 11));
}

/// Circuits round squares to the nearest, halves up, though the step allows both neighbours.
#[test]
fn conformance_garbled_squares_round_to_the_nearest() {
    let function = StepFunction::Square { drop_bits: 5 };
    let step = super::common::step(function, [200, 1, 1], [9, 0, 9, 20]);
    let (case, exact) = super::common::Case::random(step.clone(), 8);
    assert_eq!(case.run(&ideal()), step.apply(&exact));
    // With truncation: of one of the two neighbours.
    let step =
        super::common::step(StepFunction::Square { drop_bits: 5 }, [200, 1, 1], [9, 4, 13, 20]);
    let (case, exact) = super::common::Case::random(step.clone(), 9);
    let of = |up: i64| step.apply(&exact.iter().map(|x| (x + up) >> 4).collect::<Vec<_>>());
    let (low, high) = (of(0), of(15));
    for ((z, low), high) in case.run(&ideal()).iter().zip(&low).zip(&high) {
        assert!(z == low || z == high, "{z} is neither {low} nor {high}");
    }
}
