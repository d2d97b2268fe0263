//! What inferences and sessions share: hints, and what a client may ask for in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle::backend::{Choice, DefaultSuite};
use gazelle::{
    Client, GazelleError, Guest, Hints, Limits, Offer, ServerLimits, SessionStage, SessionWatcher,
};
use gazelle_share::testing::test_rng;
use gazelle_wire::testing::run_two;

use crate::networks::{evaluate, everything, exactly, inputs, tiny};
use crate::parties::{assert_traffic, compile, run};

const TRUNCATE: u32 = 10;

fn suite(hints: Hints) -> DefaultSuite {
    Choice { hints, ..Choice::default() }.suite(11)
}

/// Fresh hints: the first inference is a cold one as ever, each other one brings another linear setup.
#[test]
fn transcript_with_fresh_hints_every_inference_has_a_setup_of_its_own() {
    let plain = everything(TRUNCATE);
    let network = exactly(&plain);
    let inputs = inputs(&network, 3);
    let run = run(&suite(Hints::Fresh), &network, &inputs);
    assert_traffic(&run);
    let offline: Vec<(u64, u64)> = run
        .inferences
        .iter()
        .map(|inference| &inference.report.offline)
        .map(|phase| (phase.bytes_sent, phase.bytes_received))
        .collect();
    let setup = run.planned.linear.setup;
    assert!(setup.server_to_client > 0);
    // Garbled steps send ahead by inference, and their OTs in pieces.
    let reused = crate::parties::run(&suite(Hints::Reused), &network, &inputs);
    for (later, with) in reused.inferences.iter().zip(&offline).skip(1) {
        let later = &later.report.offline;
        let again = (later.bytes_sent + setup.client_to_server, later.bytes_received);
        assert_eq!(*with, (again.0, again.1 + setup.server_to_client));
    }
    for (input, inference) in inputs.iter().zip(&run.inferences) {
        assert_eq!(inference.values, evaluate(&plain, input));
    }
}

#[test]
fn adversarial_parties_that_disagree_on_hints_do_not_begin() {
    let network = tiny(TRUNCATE);
    let server = compile(suite(Hints::Fresh), network);
    let (client, server) = run_two(
        move |channel| {
            let offer = Offer::receive(channel, Limits::default(), None, &mut test_rng(1))?;
            let client: Result<Client<_, _>, _> =
                offer.accept(suite(Hints::Reused), &mut test_rng(1));
            client.map(drop)
        },
        move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    assert!(client.is_err() && matches!(server, Err(GazelleError::Peer(_))), "{server:?}");
}

/// What a client may still make, in all its sessions.
#[derive(Clone)]
struct Left(Arc<AtomicU64>);

impl SessionWatcher for Left {
    fn admit(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}

/// Two sessions of one client: three inferences in all, one allowed less.
#[test]
fn adversarial_a_client_gets_no_more_inferences_than_its_sessions_may_make_together() {
    let network = tiny(TRUNCATE);
    let inputs = inputs(&network, 2);
    let server = compile(suite(Hints::Reused), network);
    let quota = Left(Arc::new(AtomicU64::new(3)));
    let mut made = Vec::new();
    for _ in 0..2 {
        let (server, inputs, quota) = (server.clone(), inputs.clone(), quota.clone());
        let (client, server) = run_two(
            move |channel| {
                let mut rng = test_rng(1);
                let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
                let mut client = offer.accept(suite(Hints::Reused), &mut rng)?;
                let mut made = 0;
                for input in &inputs {
                    let Ok(prepared) = client.prepare(&mut rng) else { return Ok(made) };
                    client.infer(prepared, input)?;
                    made += 1;
                }
                client.close()?;
                Ok::<_, GazelleError>(made)
            },
            move |channel| {
                let mut guest = Guest::greet(channel)?;
                server.welcome(&mut guest, u64::MAX, &mut test_rng(3))?;
                let (limits, stage) = (ServerLimits::default(), SessionStage::default());
                server.attend(guest, &limits, &stage, &quota, &mut test_rng(2))
            },
        );
        made.push((client.unwrap(), server));
    }
    assert!(made[0].0 == 2 && made[0].1.is_ok());
    assert!(made[1].0 == 1 && matches!(made[1].1, Err(GazelleError::Allowance)));
    assert_eq!(quota.0.load(Ordering::SeqCst), 0);
}
