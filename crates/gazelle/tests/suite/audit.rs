//! Clients that are not trusted: who follows the protocol is never accused, who does not is caught.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gazelle::{
    AuditRate, CheatingEvidence, Client, Clients, GazelleError, Guest, Hints, Inference, Limits,
    Offer, PlannedTraffic, ServerLimits, Service, SessionStage, SessionWatcher, Suite,
};
use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, StepChoice};
use gazelle_ot::{BaseOt, Iknp};
use gazelle_share::{LinearProtocol, Network};
use gazelle_wire::recording::{Mutation, frames, tampered_pair};
use gazelle_wire::testing::{run_two, run_two_over, run_two_recorded};
use gazelle_wire::{Channel, Cost};

use crate::lying::{Lie, Lying};
use crate::networks::{evaluate, everything, exactly, inputs, tiny};
use crate::parties::compile;

/// Guard bits of all linear outputs of an exact network.
const GUARD: u32 = 3;
pub(crate) const TRUNCATE: u32 = 4;

pub(crate) type Checked = PerLayer<Iknp, HalfGates>;

const NEVER: AuditRate = AuditRate { audits: 0, of: 1 };
const ALWAYS: AuditRate = AuditRate { audits: 1, of: 1 };
const HALF: AuditRate = AuditRate { audits: 1, of: 2 };

fn steps(choice: StepChoice) -> Checked {
    PerLayer { ot: Iknp::default(), scheme: HalfGates::default(), choices: vec![choice; 8].into() }
}

/// Of a client, and of a server that audits as often; who asks does not look at the rate.
pub(crate) fn suite<L>(linear: L, rate: AuditRate) -> Suite<L, Checked> {
    let clients = Clients::Untrusted(BaseOt::Hybrid, rate);
    Suite::new(linear, steps(StepChoice::Checked)).with_clients(clients)
}

/// Keeps what the server has against its client.
#[derive(Default)]
struct Court(Mutex<Vec<CheatingEvidence>>);

impl SessionWatcher for Court {
    fn caught(&self, evidence: &CheatingEvidence) {
        self.0.lock().unwrap().push(evidence.clone());
    }
}

/// What the server says of a session, and what it has against the client.
pub(crate) type Served = (Result<(), GazelleError>, Vec<CheatingEvidence>);

pub(crate) fn serve<L: LinearProtocol>(server: &Service<L, Checked>, channel: Channel) -> Served {
    let mut rng = gazelle::system_rng().unwrap();
    let court = Court::default();
    let stage = SessionStage::default();
    let mut guest = Guest::greet(channel).unwrap();
    let result = server
        .welcome(&mut guest, u64::MAX, &mut rng)
        .and_then(|()| server.attend(guest, &ServerLimits::default(), &stage, &court, &mut rng));
    (result, court.0.into_inner().unwrap())
}

/// An inference per input, and how many more were opened.
fn visit<L: LinearProtocol>(
    suite: Suite<L, Checked>,
    channel: Channel,
    inputs: &[Vec<i64>],
) -> Result<(Vec<Inference>, u64), GazelleError> {
    let mut rng = gazelle::system_rng().unwrap();
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let mut client: Client<L, Checked> = offer.accept(suite, &mut rng)?;
    let mut inferences = Vec::new();
    for input in inputs {
        let prepared = client.prepare(&mut rng)?;
        inferences.push(client.infer(prepared, input)?);
    }
    let opened = client.opened();
    client.close()?;
    Ok((inferences, opened))
}

/// One session of a client with these linear layers.
fn session(
    linear: Lying,
    network: &Network,
    inputs: &[Vec<i64>],
    audit: AuditRate,
) -> (Result<(Vec<Inference>, u64), GazelleError>, Served) {
    let server = compile(suite(linear.clone(), audit), network.clone());
    let inputs = inputs.to_vec();
    run_two(
        move |channel| visit(suite(linear, audit), channel, &inputs),
        move |channel| serve(&server, channel),
    )
}

#[test]
fn transcript_an_honest_client_gets_the_reference_and_the_planned_bytes() {
    let network = exactly(&tiny(TRUNCATE));
    let inputs = inputs(&network, 3);
    let planned = compile(suite(Lying::default(), HALF), network.clone()).traffic().clone();
    let (client, (served, accused)) = session(Lying::default(), &network, &inputs, NEVER);
    served.unwrap();
    assert!(accused.is_empty());
    let (inferences, opened) = client.unwrap();
    assert_eq!(opened, 0);
    for (input, inference) in inputs.iter().zip(&inferences) {
        assert_eq!(inference.values, evaluate(&network, input));
    }
    let bytes = |cost: Cost| (cost.client_to_server, cost.server_to_client);
    let report = &inferences[0].report;
    let seen = |phase: &gazelle::Phase| (phase.bytes_sent, phase.bytes_received);
    assert_eq!(seen(&report.offline), bytes(planned.offline));
    assert_eq!(seen(&report.online), bytes(planned.online));
    // One behind the commitment, one behind the offline phase.
    assert!(report.offline.turns <= 5, "{}", report.offline.turns);
}

#[test]
fn transcript_an_inference_that_is_opened_takes_the_planned_bytes_and_no_table() {
    let network = exactly(&tiny(TRUNCATE));
    let asked = inputs(&network, 1);
    let service = compile(suite(Lying::default(), HALF), network.clone());
    let planned: Vec<PlannedTraffic> =
        (0..64).map(|earlier| service.traffic_after(earlier)).collect();
    let tables = planned[0].nonlinear.kept_back;
    assert!(tables.server_to_client > 0 && tables.client_to_server == 0);
    let [opened, offline] =
        [planned[0].opened, planned[0].offline].map(|cost| cost.server_to_client);
    assert_eq!(opened + tables.server_to_client, offline);
    // All that is opened before the first inference that is used, and this one.
    let offline = |opened: usize| -> Cost {
        planned[..opened].iter().map(|run| run.opened).sum::<Cost>() + planned[opened].offline
    };
    let rest = (planned[0].setup + planned[0].online).total() as f64;
    let chances =
        (0..64).map(|opened| 0.5f64.powi(opened as i32 + 1) * offline(opened).total() as f64);
    assert!((service.audited_bytes().unwrap() - rest - chances.sum::<f64>()).abs() < 1.0);
    // How many are opened before one is used is chance: none, each time, with 2^-64.
    let opened = (0..64).find_map(|_| {
        let (client, (served, _)) = session(Lying::default(), &network, &asked, HALF);
        served.unwrap();
        let (inferences, opened) = client.unwrap();
        let seen = inferences[0].report.offline;
        let all = offline(opened as usize);
        let moved = (seen.bytes_sent, seen.bytes_received);
        assert_eq!(moved, (all.client_to_server, all.server_to_client), "{opened} opened");
        (opened > 0).then_some(opened)
    });
    assert!(opened.is_some());
    // 64 are opened, and the client leaves: what the server says holds no table.
    let server = compile(suite(Lying::default(), ALWAYS), network);
    let (client, _, recording) = run_two_recorded(
        move |channel| visit(suite(Lying::default(), ALWAYS), channel, &asked),
        move |channel| serve(&server, channel),
    );
    assert!(client.is_err());
    let heard = frames(&recording.received());
    let count = |kind| heard.iter().filter(|frame| frame.header.kind == kind).count();
    assert_eq!((count(0x0714), count(0x0601)), (64, 0));
}

#[test]
fn an_honest_client_is_never_accused_however_often_it_is_opened() {
    let slow = std::env::var("GAZELLE_SLOW").is_ok_and(|value| value == "1");
    let network = exactly(&tiny(TRUNCATE));
    let inputs = inputs(&network, 1);
    // Each session has 64 audits, then the client takes the server for one that learns from them.
    let sessions = if slow { 157 } else { 2 };
    for _ in 0..sessions {
        let (client, (served, accused)) = session(Lying::default(), &network, &inputs, ALWAYS);
        let error = client.unwrap_err();
        assert!(error.to_string().contains("64 inferences in a row"), "{error}");
        assert!(!matches!(served, Err(GazelleError::Cheating(_))), "{served:?}");
        assert!(accused.is_empty());
    }
    let many = crate::networks::inputs(&network, 12);
    let (client, (served, accused)) = session(Lying::default(), &network, &many, HALF);
    served.unwrap();
    assert!(accused.is_empty());
    for (input, inference) in many.iter().zip(&client.unwrap().0) {
        assert_eq!(inference.values, evaluate(&network, input));
    }
}

/// Several readers of one tensor, residual sums, concatenation, bias, pools: all that an audit has to do again.
/// With fresh hints every opened inference has a linear setup of its own.
#[test]
fn an_honest_client_of_a_network_with_every_kind_of_edge_is_never_accused() {
    let plain = everything(TRUNCATE);
    let network = exactly(&plain);
    let inputs = inputs(&network, 4);
    for hints in [Hints::Reused, Hints::Fresh] {
        let suite = suite(Lying::default(), HALF).with_hints(hints);
        let server = compile(suite.clone(), network.clone());
        let asked = inputs.clone();
        let (client, (served, accused)) = run_two(
            move |channel| visit(suite, channel, &asked),
            move |channel| serve(&server, channel),
        );
        served.unwrap();
        assert!(accused.is_empty());
        for (input, inference) in inputs.iter().zip(&client.unwrap().0) {
            assert_eq!(inference.values, evaluate(&plain, input));
        }
    }
    let (client, (_, accused)) = session(Lying::default(), &network, &inputs[..1], ALWAYS);
    assert!(client.unwrap_err().to_string().contains("64 inferences in a row"));
    assert!(accused.is_empty());
    // A lie in any of its groups is found.
    let groups = gazelle::Plan::new(network.architecture().clone()).unwrap().groups().len();
    for group in 0..groups {
        let lying = Lying::with(Lie::Coins(group));
        let (_, (served, accused)) = session(lying, &network, &inputs[..1], ALWAYS);
        assert!(matches!(served, Err(GazelleError::Cheating(_))) && accused.len() == 1);
    }
}

#[test]
fn adversarial_lies_about_masks_shares_and_coins_are_caught_when_they_are_opened() {
    let network = exactly(&tiny(TRUNCATE));
    let inputs = inputs(&network, 1);
    let mut one = vec![0; 32];
    one[31] = 1;
    let lies = [
        (Lie::Shares(0, one), "what it put into circuits"),
        (Lie::Shares(1, vec![1 << 20, 0, 0]), "what it put into circuits"),
        (Lie::Mask(1), "what it put into circuits"),
        (Lie::Coins(0), "a request"),
        (Lie::Coins(1), "a request"),
        (Lie::Secret(0), "a request"),
        (Lie::Secret(1), "a request"),
    ];
    for (lie, check) in lies {
        let (client, (served, accused)) = session(Lying::with(lie), &network, &inputs, ALWAYS);
        assert!(client.is_err());
        let error = served.unwrap_err().to_string();
        assert!(error.contains(check), "{error}");
        let [evidence] = accused.as_slice() else { panic!("{accused:?}") };
        assert!(evidence.check.contains(check) && evidence.opened.is_some());
    }
    // Not opened, a lie goes through: that is what eps is.
    let unseen = Lying::with(Lie::Shares(1, vec![1 << 10, 0, 0]));
    let (client, (served, accused)) = session(unseen, &network, &inputs, NEVER);
    served.unwrap();
    assert!(accused.is_empty());
    assert_ne!(client.unwrap().0[0].values, evaluate(&network, &inputs[0]));
}

/// A session in which one bit of one of the client's frames is another one.
fn tampered(
    network: &Network,
    index: usize,
    bit: usize,
    audit: AuditRate,
) -> (Result<Vec<i64>, GazelleError>, Served) {
    let server = compile(suite(Lying::default(), audit), network.clone());
    let inputs = inputs(network, 1);
    let mutation = Mutation::Flip { bit };
    let ends = tampered_pair(Duration::from_secs(100), index, mutation);
    run_two_over(
        ends,
        move |channel| {
            let visited = visit(suite(Lying::default(), audit), channel, &inputs);
            visited.map(|(mut inferences, _)| inferences.remove(0).values)
        },
        move |channel| serve(&server, channel),
    )
}

/// The client's frames of a kind in a session with one inference that is used.
fn places(network: &Network, kind: u16) -> Vec<(usize, usize)> {
    let server = compile(suite(Lying::default(), NEVER), network.clone());
    let inputs = inputs(network, 1);
    let (client, _, recording) = run_two_recorded(
        move |channel| visit(suite(Lying::default(), NEVER), channel, &inputs),
        move |channel| serve(&server, channel),
    );
    client.unwrap();
    let frames = frames(&recording.sent()).into_iter().enumerate();
    let places = frames.filter(|(_, frame)| frame.header.kind == kind);
    let places: Vec<_> = places.map(|(index, frame)| (index, 8 * frame.payload.len())).collect();
    assert!(!places.is_empty(), "{kind:x}");
    places
}

fn caught(served: &Served, check: &str) {
    let (result, accused) = served;
    let found = matches!(result, Err(GazelleError::Cheating(found)) if found.contains(check));
    assert!(found, "{result:?}, not {check}");
    assert_eq!(accused.len(), 1);
}

const HEADER: usize = 64;

#[test]
fn adversarial_every_message_of_the_offline_phase_is_held_to_its_coins() {
    let network = exactly(&tiny(TRUNCATE));
    // Encrypted masks: the seed of beta, pb, the levels, a pinned coefficient where there are any.
    for (index, bits) in places(&network, 0x0202) {
        for bit in [5, 128 + 3, 128 + 8000, bits - 9000, bits - 8] {
            let (_, served) = tampered(&network, index, HEADER + bit, ALWAYS);
            match &served.0 {
                // No number of the level's range at all.
                Err(GazelleError::Channel(_) | GazelleError::Layer { .. }) => {}
                _ => caught(&served, "a request"),
            }
        }
    }
    // Choices of labels.
    for (index, bits) in places(&network, 0x0604) {
        for bit in [0, bits / 2, bits - 8] {
            let (_, served) = tampered(&network, index, HEADER + bit, ALWAYS);
            caught(&served, "what it put into circuits");
            // Without an audit nobody knows: the client has put in another number.
            let (_, served) = tampered(&network, index, HEADER + bit, NEVER);
            assert!(served.1.is_empty());
        }
    }
    // What commits it, and what it opens.
    let (index, _) = places(&network, 0x0710)[0];
    caught(&tampered(&network, index, HEADER + 7, ALWAYS).1, "its commitment");
    let (index, _) = places(&network, 0x0713)[0];
    caught(&tampered(&network, index, HEADER + 256 + 9, ALWAYS).1, "its commitment");
    let answer = tampered(&network, index, HEADER + 512 + 9, ALWAYS);
    caught(&answer.1, "what it put into circuits");
    // Another witness: the client does not go on, the server has nothing against it.
    let (client, served) = tampered(&network, index, HEADER + 9, NEVER);
    assert!(client.is_err() && served.1.is_empty());
    // Corrections of the OT extension.
    let (index, bits) = places(&network, 0x0301)[0];
    caught(&tampered(&network, index, HEADER + bits / 2, NEVER).1, "check");
}

#[test]
fn adversarial_every_wrong_colour_is_caught_before_anything_is_revealed() {
    let network = exactly(&tiny(TRUNCATE));
    for kind in [0x0605, 0x0607] {
        for (index, bits) in places(&network, kind) {
            for bit in [0, 1, bits / 2, bits - 8] {
                let (client, served) = tampered(&network, index, HEADER + bit, NEVER);
                caught(&served, "returned colours");
                assert!(client.is_err(), "nothing was revealed");
            }
        }
    }
}

/// Muse's attack on a network of one hidden layer: a client that adds to its shares switches hidden units on
/// and off, and reads the last layer's weights from what the output moves.
fn extract(
    suite: Suite<Lying, Checked>,
    lie: &Mutex<Lie>,
    channel: Channel,
    hidden: usize,
) -> Result<Vec<Vec<i64>>, GazelleError> {
    const UNIT: u64 = 1 << 10;
    let mut rng = gazelle::system_rng().unwrap();
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let mut client: Client<_, Checked> = offer.accept(suite, &mut rng)?;
    let input = vec![0; client.plan().architecture().input().shape.len()];
    let mut query = |unit: usize, height: u64| {
        // All others far below zero.
        let word = |i: usize| if i == unit { height } else { (4 * UNIT).wrapping_neg() };
        let offsets = (0..hidden).map(|i| word(i) << (TRUNCATE + GUARD)).collect();
        *lie.lock().unwrap() = Lie::Shares(0, offsets);
        let prepared = client.prepare(&mut rng)?;
        client.infer(prepared, &input).map(|inference| inference.values)
    };
    let mut columns = Vec::new();
    for unit in 0..hidden {
        let (low, high) = (query(unit, UNIT)?, query(unit, 2 * UNIT)?);
        columns.push(low.iter().zip(&high).map(|(a, b)| (b - a) / UNIT as i64).collect());
    }
    Ok(columns)
}

#[test]
fn adversarial_muse_reads_the_weights_without_protection_and_is_caught_with_it() {
    let network = exactly(&tiny(TRUNCATE));
    let hidden = 32;
    let run = |suite: Suite<Lying, Checked>, lie: Arc<Mutex<Lie>>| {
        let server = compile(suite.clone(), network.clone());
        run_two(
            move |channel| extract(suite, &lie, channel, hidden),
            move |channel| serve(&server, channel),
        )
    };
    let lying = Lying::default();
    let unprotected = Suite::new(lying.clone(), steps(StepChoice::Garbled));
    let (columns, (served, accused)) = run(unprotected, lying.lie);
    served.unwrap();
    assert!(accused.is_empty());
    let (_, weights) = network.layers().nth(2).unwrap();
    let columns = columns.unwrap();
    for (row, weights) in weights.weights.chunks(hidden).enumerate() {
        for (unit, weight) in weights.iter().enumerate() {
            assert_eq!(columns[unit][row], i64::from(*weight) >> TRUNCATE, "{row} {unit}");
        }
    }
    // 64 queries, each of which is opened with probability 1/2.
    let lying = Lying::default();
    let (columns, (served, accused)) = run(suite(lying.clone(), HALF), lying.lie);
    assert!(columns.is_err() && accused.len() == 1);
    assert!(matches!(served, Err(GazelleError::Cheating(_))));
}

#[test]
fn adversarial_plans_that_round_locally_are_refused() {
    let info = gazelle::ModelInfo::default;
    let none = serde_json::Value::Null;
    let refused =
        Service::compile(suite(Lying::default(), HALF), tiny(TRUNCATE), info(), none.clone());
    assert!(refused.unwrap_err().to_string().contains("round"));
    let refused =
        Service::compile(suite(Lying::default(), HALF), everything(TRUNCATE), info(), none);
    assert!(refused.is_err());
}
