//! Every message of either party flipped, cut, repeated, dropped or replaced: an error or a wrong
//! result, never a panic or a hang.

#![expect(clippy::unwrap_used, reason = "a test: failing loudly is its job")]

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, StepChoice};
use gazelle_ot::IdealOt;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{Pads, Step, Window};
use gazelle_wire::recording::{Mutation, frames};
use gazelle_wire::testing::{Tampered, run_two_recorded, run_two_tampered};

use super::common::{Case, step};

fn protocol(choice: StepChoice) -> PerLayer<IdealOt, HalfGates> {
    PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices: vec![choice].into() }
}

/// Tries all mutations of all frames; gives how many runs ended with an error at either party.
fn tamper(choice: StepChoice, case: &Case) -> usize {
    let (a, b) = (case.clone(), case.clone());
    let ((), (), recording) = run_two_recorded(
        move |channel| drop(a.run_client(&protocol(choice), channel).unwrap()),
        move |channel| drop(b.run_server(&protocol(choice), channel).unwrap()),
    );
    let counts = [
        (Tampered::Client, frames(&recording.sent()).len()),
        (Tampered::Server, frames(&recording.received()).len()),
    ];
    // Frame 0 of the server is the ideal OT's own or the hash seed; all are tried.
    let cases: Vec<(Tampered, usize, Mutation)> = counts
        .into_iter()
        .flat_map(|(party, count)| (0..count).map(move |index| (party, index)))
        .flat_map(|(party, index)| Mutation::all().into_iter().map(move |m| (party, index, m)))
        .collect();
    assert!(cases.len() > 30);
    let mut errors = 0;
    // Time-outs dominate: many at once.
    for group in cases.chunks(48) {
        let threads: Vec<_> = group
            .iter()
            .map(|(party, index, mutation)| {
                let (party, index, mutation) = (*party, *index, *mutation);
                let (a, b) = (case.clone(), case.clone());
                std::thread::spawn(move || {
                    let (client, server) = run_two_tampered(
                        party,
                        index,
                        mutation,
                        move |channel| a.run_client(&protocol(choice), channel).map(|(r, _)| r),
                        move |channel| b.run_server(&protocol(choice), channel).map(|(r, _)| r),
                    );
                    usize::from(client.is_err() || server.is_err())
                })
            })
            .collect();
        errors += threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>();
    }
    assert!(errors > cases.len() / 3, "{errors} of {}", cases.len());
    errors
}

#[test]
fn adversarial_a_garbled_relu_survives_every_changed_message() {
    let (case, _) = Case::random(step(StepFunction::Relu, [70, 1, 1], [12, 8, 20, 20]), 1);
    tamper(StepChoice::Garbled, &case);
}

#[test]
fn adversarial_a_garbled_reveal_survives_every_changed_message() {
    let reveal = Step {
        output: StepOutput::Reveal,
        ..step(StepFunction::Round, [10, 1, 1], [12, 8, 20, 20])
    };
    let (case, _) = Case::random(reveal, 2);
    tamper(StepChoice::Garbled, &case);
}

#[test]
fn adversarial_a_gmw_max_pool_survives_every_changed_message() {
    let window = Window { kernel: [2, 2], stride: [2, 2], pads: Pads::default() };
    let pool = StepFunction::MaxPool { window, relu: true };
    let (case, _) = Case::random(step(pool.clone(), [2, 4, 4], [6, 4, 11, 12]), 3);
    tamper(StepChoice::Gmw, &case);
    let (case, _) = Case::random(step(pool, [1, 2, 4], [4, 2, 7, 8]), 3);
    tamper(StepChoice::GmwFewTrips, &case);
}

#[test]
fn adversarial_an_arg_max_survives_every_changed_message_on_every_backend() {
    for choice in [StepChoice::Garbled, StepChoice::Gmw, StepChoice::GmwFewTrips] {
        let step = Step {
            output: StepOutput::Reveal,
            ..step(StepFunction::ArgMax, [4, 1, 1], [4, 2, 7, 0])
        };
        tamper(choice, &Case::random(step, 5).0);
    }
}

#[test]
fn adversarial_a_top_k_survives_every_changed_message() {
    let step = Step {
        output: StepOutput::Reveal,
        ..step(StepFunction::TopK { k: 2 }, [5, 1, 1], [5, 3, 9, 0])
    };
    tamper(StepChoice::Gmw, &Case::random(step, 6).0);
}

#[test]
fn adversarial_a_gmw_square_survives_every_changed_message() {
    let square = StepFunction::Square { drop_bits: 3 };
    for l in [11, 16] {
        let step = step(square.clone(), [5, 1, 1], [6, 4, l, 12]);
        tamper(StepChoice::Gmw, &Case::random(step, 7).0);
    }
}

#[test]
fn adversarial_a_fused_relu_survives_every_changed_message() {
    let (case, _) = Case::random(step(StepFunction::Relu, [7, 1, 1], [6, 4, 10, 12]), 8);
    tamper(StepChoice::GmwFewTrips, &case);
}

#[test]
fn adversarial_material_of_one_backend_is_refused_by_the_other() {
    use gazelle_nonlinear::PerLayerClientPrepared;
    use gazelle_share::testing::test_rng;
    use gazelle_share::{NonlinearClient, NonlinearProtocol, NonlinearServer, Output};
    let relu = step(StepFunction::Relu, [8, 1, 1], [12, 8, 20, 20]);
    let (case, _) = Case::random(relu.clone(), 4);
    let steps: std::sync::Arc<[Step]> = std::sync::Arc::new([relu.clone(), relu]);
    let both = PerLayer {
        choices: vec![StepChoice::Garbled, StepChoice::Gmw].into(),
        ..protocol(StepChoice::Auto)
    };
    let (other, server_steps) = (both.clone(), steps.clone());
    gazelle_wire::testing::run_two(
        move |mut ch| {
            let rng = &mut test_rng(1);
            let compiled = std::sync::Arc::new(both.compile(steps).unwrap());
            let mut client = both.client(compiled, &mut ch, rng).unwrap();
            let output = Output::Masked(case.mask.as_ref().unwrap());
            let garbled = client.offline(0, &case.client, output, &mut ch, rng).unwrap();
            assert!(matches!(garbled, PerLayerClientPrepared::Garbled(_)));
            assert!(client.online(1, garbled, &mut ch).is_err());
            let gmw = client.offline(1, &case.client, output, &mut ch, rng).unwrap();
            assert!(client.online(0, gmw, &mut ch).is_err());
            assert!(client.offline(2, &case.client, output, &mut ch, rng).is_err());
        },
        move |mut ch| {
            let rng = &mut test_rng(2);
            let compiled = std::sync::Arc::new(other.compile(server_steps).unwrap());
            let mut server = other.server(compiled, &mut ch, rng).unwrap();
            drop(server.offline(0, &mut ch, rng).unwrap());
            drop(server.offline(1, &mut ch, rng).unwrap());
        },
    );
}
