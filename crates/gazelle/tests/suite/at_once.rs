//! Inferences whose online phase runs beside their offline phase: the same results (exact ones in `exact.rs`), bytes and
//! turns.

use std::time::Duration;

use gazelle::backend::DefaultClient;
use gazelle::{GazelleError, Hints, Limits, Offer, ServerLimits};
use gazelle_share::Network;
use gazelle_share::testing::{IdealLinear, IdealNonlinear, test_rng};
use gazelle_wire::recording::Mutation;
use gazelle_wire::testing::run_two_over;
use gazelle_wire::{Link, memory};

use crate::adversarial::tamper;
use crate::networks::{evaluate, everything, inputs, tiny};
use crate::parties::{Way, assert_traffic, compile, run_by, run_over};
use crate::real::{TRUNCATE, suites};

/// So far are results of the tiny network off where steps round locally, and of the other two steps of what it
/// reveals: a share that is wrong gives anything in thousands.
const SLACK: i64 = 8;
const STEPS: i64 = 2 * 16;

const SIDE_BY_SIDE: [Way; 2] = [Way::AtOnce, Way::Cold];

fn assert_close(values: &[i64], network: &Network, input: &[i64], slack: i64) {
    let expected = evaluate(network, input);
    assert_eq!(values.len(), expected.len());
    for (got, expected) in values.iter().zip(&expected) {
        assert!((got - expected).abs() <= slack, "{got} instead of {expected}");
    }
}

#[test]
fn every_kind_of_edge_computes_what_it_does_with_one_phase_after_the_other() {
    let network = everything(TRUNCATE);
    let inputs = inputs(&network, 3);
    for suite in suites(&network) {
        let apart = run_over(memory::pair(), &suite, &network, &inputs);
        for way in SIDE_BY_SIDE {
            let beside = run_by(way, memory::pair(), &suite, &network, &inputs);
            let both = apart.inferences.iter().zip(&beside.inferences);
            for (number, ((one, other), input)) in both.zip(&inputs).enumerate() {
                assert_close(&one.values, &network, input, STEPS);
                assert_close(&other.values, &network, input, STEPS);
                assert!(other.report.at_once);
                assert_eq!(other.report.late_hints, way == Way::Cold && number == 0);
                assert_eq!(other.report.online.turns, one.report.online.turns);
                for (one, other) in one.report.layers.iter().zip(&other.report.layers) {
                    for (one, other) in [(one.offline, other.offline), (one.online, other.online)] {
                        assert_eq!(other.bytes_sent, one.bytes_sent);
                        assert_eq!(other.bytes_received, one.bytes_received);
                        assert_eq!(other.turns, one.turns);
                    }
                }
            }
        }
    }
}

#[test]
fn transcript_bytes_and_turns_are_those_that_are_planned() {
    let network = everything(TRUNCATE);
    let inputs = inputs(&network, 2);
    for suite in suites(&network) {
        for way in SIDE_BY_SIDE {
            assert_traffic(&run_by(way, memory::pair(), &suite, &network, &inputs));
        }
    }
}

#[test]
fn a_long_link_is_waited_for_while_material_is_made() {
    let link = Link { bits_per_second: 400_000_000, round_trip: Duration::from_millis(10) };
    let network = everything(TRUNCATE);
    let inputs = inputs(&network, 1);
    for suite in suites(&network) {
        let ends = || link.pair(Duration::from_mins(1));
        for way in SIDE_BY_SIDE {
            let run = run_by(way, ends(), &suite, &network, &inputs);
            assert_close(&run.inferences[0].values, &network, &inputs[0], STEPS);
            assert_traffic(&run);
        }
    }
}

#[test]
fn with_fresh_hints_and_after_inferences_of_two_phases_as_well() {
    let network = tiny(TRUNCATE);
    let inputs = inputs(&network, 4);
    for suite in suites(&network) {
        for hints in [Hints::Reused, Hints::Fresh] {
            let suite = suite.clone().with_hints(hints);
            let server = compile(suite.clone(), network.clone());
            let (given, suite) = (inputs.clone(), suite.clone());
            let (values, served) = run_two_over(
                memory::pair(),
                move |channel| -> Result<Vec<Vec<i64>>, GazelleError> {
                    let mut rng = test_rng(1);
                    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
                    let mut client: DefaultClient = offer.accept(suite, &mut rng)?;
                    let waiting = client.prepare(&mut rng)?;
                    let mut values = vec![client.infer_at_once(&given[0], &mut rng)?.values];
                    values.push(client.infer(waiting, &given[1])?.values);
                    values.push(client.infer_at_once(&given[2], &mut rng)?.values);
                    let prepared = client.prepare(&mut rng)?;
                    values.push(client.infer(prepared, &given[3])?.values);
                    client.close()?;
                    Ok(values)
                },
                move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
            );
            assert_eq!(served.unwrap().inferences.len(), 4);
            for (values, input) in values.unwrap().iter().zip(&inputs) {
                assert_close(values, &network, input, SLACK);
            }
        }
    }
}

#[test]
fn protocols_without_sessions_for_other_material_go_one_phase_after_the_other() {
    let (network, suite) = (tiny(0), gazelle::Suite::new(IdealLinear, IdealNonlinear));
    let inputs = inputs(&network, 2);
    for way in SIDE_BY_SIDE {
        let run = run_by(way, memory::pair(), &suite, &network, &inputs);
        for (inference, input) in run.inferences.iter().zip(&inputs) {
            assert_eq!(inference.values, evaluate(&network, input));
            assert!(!inference.report.at_once && !inference.report.late_hints);
        }
    }
}

#[test]
fn adversarial_a_changed_frame_is_an_error_or_a_wrong_result_and_the_next_client_is_served() {
    let network = tiny(TRUNCATE);
    let mutations = [
        Mutation::Flip { bit: 3 },
        Mutation::Flip { bit: 15 },
        Mutation::Flip { bit: 40 },
        Mutation::Flip { bit: 71 },
        Mutation::Truncate { keep: 4 },
        Mutation::Truncate { keep: 9 },
        Mutation::Replay,
        Mutation::Garbage { seed: 1 },
    ];
    for suite in suites(&network) {
        for way in SIDE_BY_SIDE {
            tamper(&suite, &network, (SLACK, way), &mutations);
        }
    }
}
