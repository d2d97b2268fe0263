//! Material that was made ahead, in another session.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use gazelle::backend::{Choice, DefaultClient, DefaultService, DefaultSuite, StepProtocol};
use gazelle::{
    Claimed, EntryKept, GazelleError, Guest, Limits, Offer, ServerLimits, ServerShelf,
    SessionStage, SessionWatcher, SetupName, WriteInto, system_rng,
};
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Options, import, quantise, samples};
use gazelle_share::testing::test_rng;
use gazelle_share::{KeptSetup, LinearWeights, Network, Node, NodeKind};
use gazelle_wire::testing::run_two;

use crate::networks::{evaluate, everything, exactly, inputs, tiny};
use crate::parties::compile;

type Bytes32 = [u8; 32];
const REPLICA: Bytes32 = [8; 32];
const HOLDER: Bytes32 = [7; 32];
/// By binding and id.
type Entries = HashMap<(Bytes32, Bytes32), Vec<u8>>;

/// A server's store in memory.
#[derive(Default, Clone)]
struct Shelf(Arc<Mutex<Entries>>);

impl ServerShelf for Shelf {
    fn find(&self, _: &Bytes32, _: &SetupName) -> Option<(KeptSetup, u64)> {
        None
    }
    fn keep(&self, _: &Bytes32, _: &Bytes32, _: &KeptSetup) -> bool {
        false
    }
    fn count(&self, _: &Bytes32, _: &Bytes32, _: u64) -> Option<u64> {
        None
    }
    fn has_room(&self) -> bool {
        true
    }
    fn replica(&self) -> Bytes32 {
        REPLICA
    }
    fn keep_entry(
        &self,
        bound: &Bytes32,
        entry: &Bytes32,
        _: &Bytes32,
        write: &mut WriteInto<'_>,
    ) -> bool {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        self.0.lock().unwrap().insert((*bound, *entry), bytes).is_none()
    }
    fn take_entry(&self, bound: &Bytes32, entry: &Bytes32) -> Option<Box<dyn Read + Send>> {
        Some(Box::new(Cursor::new(self.0.lock().unwrap().remove(&(*bound, *entry))?)))
    }
    fn compare_entries(&self, _: &Bytes32, _: &Bytes32, entries: &[Bytes32]) -> Vec<bool> {
        let mut all = self.0.lock().unwrap();
        all.retain(|(_, entry), _| entries.contains(entry));
        entries.iter().map(|entry| all.keys().any(|(_, known)| known == entry)).collect()
    }
}

impl SessionWatcher for Shelf {
    fn shelf(&self) -> Option<&dyn ServerShelf> {
        Some(self)
    }
}

/// A session in which the client does `work`; what that gives, and whether the server ended well.
fn session<T: Send + 'static>(
    service: &Arc<DefaultService>,
    suite: &DefaultSuite,
    shelf: &Shelf,
    work: impl FnOnce(&mut DefaultClient) -> Result<T, GazelleError> + Send + 'static,
) -> (Result<T, GazelleError>, Result<(), GazelleError>) {
    let (suite, service, shelf) = (suite.clone(), Arc::clone(service), shelf.clone());
    run_two(
        move |channel| {
            let offer =
                Offer::receive(channel, Limits::default(), None, &mut system_rng().unwrap())?;
            let mut client = offer.accept_unprepared(suite)?;
            let result = work(&mut client)?;
            client.close()?;
            Ok(result)
        },
        move |channel| -> Result<(), GazelleError> {
            let mut guest = Guest::greet(channel)?;
            service.welcome(&mut guest, u64::MAX, &mut test_rng(7))?;
            let stage = SessionStage::default();
            service.attend(guest, &ServerLimits::default(), &stage, &shelf, &mut test_rng(2))
        },
    )
}

/// Entries of one session: ids and the client's halves.
fn prepared(
    service: &Arc<DefaultService>,
    suite: &DefaultSuite,
    shelf: &Shelf,
    count: u8,
) -> Vec<(Bytes32, Vec<u8>)> {
    let (entries, served) = session(service, suite, shelf, move |client| {
        let rng = &mut test_rng(5);
        client.set_up(None, rng)?;
        let mut entries = Vec::new();
        for number in 0..count {
            let (id, mut bytes) = ([number; 32], Vec::new());
            let mut keep = |replica: &Bytes32, write: &mut WriteInto<'_>| {
                assert_eq!(replica, &REPLICA);
                write(&mut bytes)
            };
            let kept = client.prepare_to_keep((&id, &HOLDER), &mut keep, rng)?;
            assert_eq!(kept, EntryKept::Stored);
            entries.push((id, bytes));
        }
        Ok(entries)
    });
    served.unwrap();
    entries.unwrap()
}

/// One inference with an entry, in a session without a setup; `None` if the server has not got it.
fn infer(
    service: &Arc<DefaultService>,
    suite: &DefaultSuite,
    shelf: &Shelf,
    (id, bytes): (Bytes32, Vec<u8>),
    input: &[i64],
) -> Result<Option<Vec<i64>>, GazelleError> {
    let input = input.to_vec();
    let (values, served) = session(service, suite, shelf, move |client| {
        let claim = match client.claim(&id)? {
            Claimed::Taken(claim) => claim,
            Claimed::Missing(replica) => {
                assert_eq!(replica, REPLICA);
                return Ok(None);
            }
        };
        let prepared = client.load(claim, &mut bytes.as_slice())?;
        assert_eq!(client.setup().turns, 1, "the handshake and nothing else");
        Ok(Some(client.infer(prepared, &input)?.values))
    });
    served.ok();
    values
}

fn suite(network: &Network, step: StepProtocol) -> DefaultSuite {
    let choice = Choice::uniform(network.architecture(), step).unwrap();
    let is_step = |node: &&Node| matches!(node.kind, NodeKind::Step(_));
    let count = network.architecture().nodes().iter().filter(is_step).count();
    let mut steps = vec![step; count];
    if step == StepProtocol::GmwFewTrips {
        // Values are revealed by garbled circuits alone.
        steps[count - 1] = StepProtocol::Garbled;
    }
    Choice { steps, ..choice }.suite(count)
}

#[test]
fn conformance_stored_material_of_exact_networks_gives_the_reference_bit_for_bit() {
    for name in ["mnist_a_secureml", "mnist_b_cryptonets", "mnist_d_minionn"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
        let path = path.join("model.onnx");
        let graph = import(&std::fs::read(&path).unwrap()).unwrap();
        let calibration = samples::beside(&path, &graph, 4);
        let options = Options { calibration: calibration.clone(), ..Options::default() };
        let network = quantise(&graph, &options).unwrap().network;
        let input = fixed::encode(network.architecture(), &calibration[0]).unwrap();
        let expected = fixed::run(&network, &input, Rounding::Nearest).unwrap();
        for step in [StepProtocol::Gmw, StepProtocol::Garbled] {
            let suite = suite(&network, step);
            let service = compile(suite.clone(), network.clone());
            let shelf = Shelf::default();
            for entry in prepared(&service, &suite, &shelf, 2) {
                let values = infer(&service, &suite, &shelf, entry, &input).unwrap();
                assert_eq!(values.unwrap(), expected, "{name} {step:?}");
            }
        }
    }
}

#[test]
fn conformance_stored_material_gives_the_networks_results_once() {
    let plain = everything(10);
    let network = exactly(&plain);
    let inputs = inputs(&network, 2);
    for step in [StepProtocol::Gmw, StepProtocol::GmwFewTrips, StepProtocol::Garbled] {
        let suite = suite(&network, step);
        let service = compile(suite.clone(), network.clone());
        let shelf = Shelf::default();
        let entries = prepared(&service, &suite, &shelf, 2);
        assert_eq!(shelf.0.lock().unwrap().len(), 2);
        // In any order.
        for (entry, input) in entries.iter().rev().zip(&inputs) {
            let values = infer(&service, &suite, &shelf, entry.clone(), input).unwrap();
            assert_eq!(values.unwrap(), evaluate(&plain, input), "{step:?}");
            // A client that goes back to a copy of its store is told that the entry is spent.
            let again = infer(&service, &suite, &shelf, entry.clone(), input).unwrap();
            assert_eq!(again, None);
        }
        assert!(shelf.0.lock().unwrap().is_empty());
    }
}

#[test]
fn adversarial_entries_of_other_weights_cut_off_or_too_long_are_refused_before_the_input_moves() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let input = inputs(&network, 1).remove(0);
    let shelf = Shelf::default();
    let entries = prepared(&service, &suite, &shelf, 4);
    // Other weights behind the same description.
    let negate = |weights: &LinearWeights| LinearWeights {
        weights: weights.weights.iter().map(|w| -w).collect(),
        bias: weights.bias.clone(),
    };
    let negated = network.layers().map(|(_, weights)| negate(weights)).collect();
    let other = Network::new(network.architecture().clone(), negated).unwrap();
    let other = compile(suite.clone(), other);
    let refused = infer(&other, &suite, &shelf, entries[0].clone(), &input).unwrap();
    assert_eq!(refused, None);
    // The client's half.
    for (entry, change) in entries.iter().zip([0, 1, 2]) {
        let (id, mut bytes) = entry.clone();
        match change {
            0 => bytes.truncate(bytes.len() - 1),
            1 => bytes.push(0),
            _ => bytes.truncate(40),
        }
        let error = infer(&service, &suite, &shelf, (id, bytes), &input).unwrap_err();
        assert!(matches!(error, GazelleError::Kept(_)), "{error}");
    }
    // The server's.
    shelf.0.lock().unwrap().values_mut().for_each(|bytes| bytes.truncate(40));
    let error = infer(&service, &suite, &shelf, entries[3].clone(), &input).unwrap_err();
    assert!(error.to_string().contains("the server cannot read its half"), "{error}");
    assert!(shelf.0.lock().unwrap().is_empty());
}

#[test]
fn a_session_goes_on_behind_entries_that_either_party_cannot_read_or_that_were_never_loaded() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let input = inputs(&network, 1).remove(0);
    let expected = evaluate(&tiny(10), &input);
    let shelf = Shelf::default();
    let entries = prepared(&service, &suite, &shelf, 4);
    for (key, bytes) in shelf.0.lock().unwrap().iter_mut() {
        if key.1 == entries[0].0 {
            bytes.pop();
        }
    }
    let (values, served) = session(&service, &suite, &shelf, move |client| {
        let claim = |client: &mut DefaultClient, number: usize| {
            let Claimed::Taken(claim) = client.claim(&entries[number].0)? else {
                panic!("missing")
            };
            Ok::<_, GazelleError>((claim, entries[number].1.clone()))
        };
        // The server cannot read the first; the client loads no second, and reads half of the third.
        let (first, bytes) = claim(client, 0)?;
        assert!(matches!(client.load(first, &mut &bytes[..]), Err(GazelleError::Kept(_))));
        claim(client, 1)?;
        let (third, bytes) = claim(client, 2)?;
        assert!(matches!(client.load(third, &mut &bytes[..99]), Err(GazelleError::Kept(_))));
        let (fourth, bytes) = claim(client, 3)?;
        let prepared = client.load(fourth, &mut &bytes[..])?;
        let stored = client.infer(prepared, &input)?.values;
        // And without any.
        client.set_up(None, &mut test_rng(5))?;
        let prepared = client.prepare(&mut test_rng(6))?;
        Ok([stored, client.infer(prepared, &input)?.values])
    });
    served.unwrap();
    assert_eq!(values.unwrap(), [expected.clone(), expected]);
}

#[test]
fn halves_without_a_partner_are_dropped_when_the_parties_compare() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let shelf = Shelf::default();
    prepared(&service, &suite, &shelf, 3);
    let (there, served) =
        session(&service, &suite, &shelf, |client| client.compare(&HOLDER, &[[1; 32], [9; 32]]));
    served.unwrap();
    assert_eq!(there.unwrap(), (vec![true, false], REPLICA));
    assert_eq!(shelf.0.lock().unwrap().len(), 1);
}

#[test]
fn adversarial_halves_of_two_sessions_under_one_name_never_meet() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let (one, two) = (Shelf::default(), Shelf::default());
    // Both sessions name their first entry alike: a store that was copied, or a client without luck.
    let entries = prepared(&service, &suite, &one, 1);
    prepared(&service, &suite, &two, 1);
    let input = inputs(&network, 1).remove(0);
    let error = infer(&service, &suite, &two, entries[0].clone(), &input).unwrap_err();
    assert!(error.to_string().contains("another session"), "{error}");
    // It is spent at the server; the right half still has its partner.
    assert!(two.0.lock().unwrap().is_empty());
    assert!(infer(&service, &suite, &one, entries[0].clone(), &input).unwrap().is_some());
}

#[test]
fn a_server_without_room_says_so_before_anything_is_made() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let mut channels = run_two(
        {
            let suite = suite.clone();
            move |channel| {
                let offer = Offer::receive(channel, Limits::default(), None, &mut test_rng(6))?;
                let mut client = offer.accept_unprepared(suite)?;
                client.set_up(None, &mut test_rng(5))?;
                let mut keep = |_: &Bytes32, _: &mut WriteInto<'_>| panic!("nothing is made");
                let kept = client.prepare_to_keep((&[1; 32], &HOLDER), &mut keep, &mut test_rng(5));
                client.close()?;
                kept
            }
        },
        move |channel| service.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    assert_eq!(channels.0.unwrap(), EntryKept::NoRoom);
    assert!(channels.1.as_mut().unwrap().inferences.is_empty());
}

#[test]
fn adversarial_preparing_without_a_setup_is_refused() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, StepProtocol::Gmw);
    let service = compile(suite.clone(), network.clone());
    let shelf = Shelf::default();
    let (result, _) =
        session(&service, &suite, &shelf, |client| client.prepare(&mut test_rng(1)).map(drop));
    assert!(result.is_err());
}
