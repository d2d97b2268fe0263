//! Setups that outlive their session.

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use gazelle::backend::{Choice, DefaultService, DefaultSuite, StepProtocol};
use gazelle::{
    AuditRate, Client, ClientShelf, GazelleError, Guest, Hints, Limits, Offer, Phase, ServerLimits,
    ServerShelf, SessionStage, SessionWatcher, SetupName,
};
use gazelle_share::testing::test_rng;
use gazelle_share::{KeptSetup, LinearWeights, Network};
use gazelle_wire::testing::run_two;

use crate::networks::{evaluate, exactly, inputs, tiny};
use crate::parties::{Way, compile};

type Bound = [u8; 32];
/// A binding and an id.
type Key = (Bound, [u8; 32]);

/// What it is good for, its name, its content.
type Kept = (Bound, SetupName, Vec<u8>);

/// A client's shelf in memory, the newest setup last.
#[derive(Default)]
struct Shelf(Mutex<Vec<Kept>>);

impl ClientShelf for Shelf {
    fn names(&self, bound: &Bound) -> Vec<SetupName> {
        let all = self.0.lock().unwrap();
        all.iter().rev().filter(|(b, ..)| b == bound).map(|(_, name, _)| *name).collect()
    }
    fn open(&self, bound: &Bound, name: &SetupName) -> io::Result<Box<dyn Read>> {
        let all = self.0.lock().unwrap();
        let found = all.iter().find(|(b, n, _)| (b, n) == (bound, name));
        let bytes = found.ok_or(io::ErrorKind::NotFound)?.2.clone();
        Ok(Box::new(Cursor::new(bytes)))
    }
    fn keep(
        &self,
        bound: &Bound,
        name: &SetupName,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        self.0.lock().unwrap().push((*bound, *name, bytes));
        Ok(())
    }
    fn forget(&self, bound: &Bound, name: &SetupName) {
        self.0.lock().unwrap().retain(|(b, n, _)| (b, n) != (bound, name));
    }
}

/// A server's, with the inferences that were counted; `full`: it cannot count; `crowd`: that many count a block
/// each after every `find`, as other sessions on the same setup would.
#[derive(Default)]
struct Served {
    known: Mutex<HashMap<Key, (KeptSetup, u64)>>,
    full: bool,
    crowd: u64,
}

impl ServerShelf for Served {
    fn find(&self, bound: &Bound, name: &SetupName) -> Option<(KeptSetup, u64)> {
        let mut known = self.known.lock().unwrap();
        let entry = known.get_mut(&(*bound, name.id))?;
        let found = (entry.0.digest == name.digest).then(|| entry.clone());
        entry.1 += 64 * self.crowd;
        found
    }
    fn keep(&self, bound: &Bound, id: &[u8; 32], setup: &KeptSetup) -> bool {
        self.known.lock().unwrap().insert((*bound, *id), (setup.clone(), 0)).is_none()
    }
    fn count(&self, bound: &Bound, id: &[u8; 32], inferences: u64) -> Option<u64> {
        let mut known = self.known.lock().unwrap();
        let counted = &mut known.get_mut(&(*bound, *id))?.1;
        *counted += inferences;
        (!self.full).then_some(*counted)
    }
}

/// Answers for a session whose setups are kept.
struct Watch(Arc<Served>);

impl SessionWatcher for Watch {
    fn shelf(&self) -> Option<&dyn ServerShelf> {
        Some(&*self.0)
    }
}

/// What a client saw of one session of two inferences.
struct Seen {
    resumed: bool,
    setup: Phase,
    values: Vec<Vec<i64>>,
}

fn suite(network: &Network, hints: Hints) -> DefaultSuite {
    let choice = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    Choice { hints, ..choice }.suite(network.architecture().nodes().len())
}

fn session(
    service: &Arc<DefaultService>,
    suite: &DefaultSuite,
    (shelf, served): (&Arc<Shelf>, &Arc<Served>),
    inputs: &[Vec<i64>],
    seed: u64,
) -> Result<Seen, GazelleError> {
    session_by(Way::Apart, service, suite, (shelf, served), inputs, seed)
}

fn session_by(
    way: Way,
    service: &Arc<DefaultService>,
    suite: &DefaultSuite,
    (shelf, served): (&Arc<Shelf>, &Arc<Served>),
    inputs: &[Vec<i64>],
    seed: u64,
) -> Result<Seen, GazelleError> {
    let (suite, shelf, inputs) = (suite.clone(), Arc::clone(shelf), inputs.to_vec());
    let (service, served) = (Arc::clone(service), Arc::clone(served));
    let (client, server) = run_two(
        move |channel| {
            // The same coins in every session, as after a restored snapshot.
            let mut rng = test_rng(seed);
            let offer = Offer::receive(channel, Limits::default(), None, &mut test_rng(8))?;
            let shelf: Option<&dyn ClientShelf> = Some(&*shelf);
            let mut client: Client<_, _> = way.begin(offer, suite, shelf, &mut rng)?;
            let mut values = Vec::new();
            for input in &inputs {
                values.push(way.infer(&mut client, shelf, input, &mut rng)?.values);
            }
            let (resumed, setup) = (client.resumed(), client.setup());
            client.close()?;
            Ok::<_, GazelleError>(Seen { resumed, setup, values })
        },
        move |channel| -> Result<(), GazelleError> {
            let mut guest = Guest::greet(channel)?;
            service.welcome(&mut guest, u64::MAX, &mut test_rng(7))?;
            let (stage, watch) = (SessionStage::default(), Watch(served));
            service.attend(guest, &ServerLimits::default(), &stage, &watch, &mut test_rng(2))
        },
    );
    let seen = client?;
    server?;
    Ok(seen)
}

fn expected(network: &Network, inputs: &[Vec<i64>]) -> Vec<Vec<i64>> {
    inputs.iter().map(|input| evaluate(network, input)).collect()
}

#[test]
fn transcript_a_second_session_sends_no_hints_and_gives_the_same_answers() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Reused);
    let service = compile(suite.clone(), network.clone());
    let (shelf, served) = (Arc::default(), Arc::default());
    let inputs = inputs(&network, 2);
    let first = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
    assert!(!first.resumed);
    assert_eq!(first.values, expected(&network, &inputs));
    let planned = service.traffic();
    let sides = |phase: Phase| (phase.bytes_sent, phase.bytes_received);
    assert_eq!(
        sides(first.setup),
        (planned.setup.client_to_server, planned.setup.server_to_client)
    );
    for used in [64, 128, 192] {
        let again = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert!(again.resumed);
        assert_eq!(again.values, expected(&network, &inputs));
        // A name, the answer and the verdict instead of the joint seed and the hints.
        let hints = planned.linear.setup;
        let sent = first.setup.bytes_sent - hints.client_to_server + 64 + 9;
        let received = first.setup.bytes_received - hints.server_to_client + 17;
        assert_eq!(sides(again.setup), (sent, received));
        // Hello; confirmation and names; OTs: the verdict rides behind them.
        assert_eq!((first.setup.turns, again.setup.turns), (3, 3));
        let counted =
            served.known.lock().unwrap().values().map(|(_, counted)| *counted).sum::<u64>();
        assert_eq!(counted, 64 + used);
    }
    assert_eq!(served.known.lock().unwrap().len(), 1);
}

#[test]
fn transcript_a_setup_whose_hints_came_late_is_kept_and_counted_as_any_other() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Reused);
    let service = compile(suite.clone(), network.clone());
    let (shelf, served): (Arc<Shelf>, Arc<Served>) = (Arc::default(), Arc::default());
    let inputs = inputs(&network, 2);
    let run = |seed| session_by(Way::Cold, &service, &suite, (&shelf, &served), &inputs, seed);
    let counted =
        || served.known.lock().unwrap().values().map(|(_, counted)| *counted).sum::<u64>();
    let first = run(1).unwrap();
    assert!(!first.resumed);
    assert_eq!(first.values, expected(&network, &inputs));
    assert_eq!(counted(), 64);
    let planned = service.traffic().setup;
    let sides = (first.setup.bytes_sent, first.setup.bytes_received);
    assert_eq!(sides, (planned.client_to_server, planned.server_to_client));
    let again = run(1).unwrap();
    assert!(again.resumed);
    assert_eq!(again.values, expected(&network, &inputs));
    assert_eq!(counted(), 128);
    // The client cannot read what it kept: a new one, whose hints come late again.
    shelf.0.lock().unwrap().last_mut().unwrap().2.pop();
    let third = run(2).unwrap();
    assert!(!third.resumed);
    assert_eq!(third.values, expected(&network, &inputs));
}

#[test]
fn either_party_may_lose_a_setup_and_a_new_one_is_made() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Reused);
    let service = compile(suite.clone(), network.clone());
    let inputs = inputs(&network, 1);
    let (shelf, served): (Arc<Shelf>, Arc<Served>) = (Arc::default(), Arc::default());
    let run = |resumed| {
        let seen = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert_eq!(seen.resumed, resumed);
        assert_eq!(seen.values, expected(&network, &inputs));
    };
    run(false);
    // The server's.
    served.known.lock().unwrap().clear();
    run(false);
    run(true);
    // The client's is cut off, too long, or gone when it is opened.
    let newest = |change: &dyn Fn(&mut Kept)| change(shelf.0.lock().unwrap().last_mut().unwrap());
    newest(&|kept| kept.2.truncate(kept.2.len() - 1));
    run(false);
    newest(&|kept| kept.2.push(0));
    run(false);
    run(true);
    assert_eq!(shelf.0.lock().unwrap().len(), 2, "what cannot be read is forgotten");
    // Both have one, of another digest.
    newest(&|kept| kept.1.digest[0] ^= 1);
    run(false);
    assert_eq!(shelf.0.lock().unwrap().len(), 3, "what another replica may know is not");
    run(true);
    // A server that cannot count its inferences does not go on with it.
    let full = Arc::new(Served { full: true, ..Served::default() });
    *full.known.lock().unwrap() = served.known.lock().unwrap().clone();
    let seen = session(&service, &suite, (&shelf, &full), &inputs, 1);
    assert!(seen.is_err() || !seen.unwrap().resumed);
}

#[test]
fn sessions_that_resume_one_setup_at_once_agree_on_its_count() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Reused);
    let service = compile(suite.clone(), network.clone());
    let inputs = inputs(&network, 2);
    let (shelf, served) = (Arc::default(), Arc::new(Served { crowd: 2, ..Served::default() }));
    for resumed in [false, true, true] {
        let seen = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert_eq!(seen.resumed, resumed);
        assert_eq!(seen.values, expected(&network, &inputs));
    }
}

#[test]
fn a_setup_that_has_served_its_inferences_is_not_resumed() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Reused);
    let service = compile(suite.clone(), network.clone());
    let inputs = inputs(&network, 1);
    let (shelf, served): (Arc<Shelf>, Arc<Served>) = (Arc::default(), Arc::default());
    for (counted, resumed) in [(0, false), ((1 << 16) - 64, true), ((1 << 16) - 63, false)] {
        served.known.lock().unwrap().values_mut().for_each(|(_, all)| *all = counted);
        let seen = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert_eq!(seen.resumed, resumed, "after {counted}");
        assert_eq!(seen.values, expected(&network, &inputs));
    }
}

/// A description does not show the weights, so that the setup of another model may look like this one's. Its
/// hint secrets under other weights would give those away (docs/protocol.md, 3.2).
#[test]
fn adversarial_a_setup_of_other_weights_under_the_same_description_is_not_used() {
    let network = exactly(&tiny(10));
    let negate = |weights: &LinearWeights| LinearWeights {
        weights: weights.weights.iter().map(|w| -w).collect(),
        bias: weights.bias.clone(),
    };
    let negated = network.layers().map(|(_, weights)| negate(weights)).collect();
    let other = Network::new(network.architecture().clone(), negated).unwrap();
    let suite = suite(&network, Hints::Reused);
    let services = [&network, &other].map(|network| compile(suite.clone(), network.clone()));
    assert_eq!(services[0].description(), services[1].description());
    let (shelf, served) = (Arc::default(), Arc::default());
    let inputs = inputs(&network, 1);
    let run = |which: usize, resumed| {
        let service: &Arc<DefaultService> = &services[which];
        let seen = session(service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert_eq!(seen.resumed, resumed);
        assert_eq!(seen.values, expected([&network, &other][which], &inputs));
    };
    run(0, false);
    run(0, true);
    run(1, false);
    run(1, true);
}

#[test]
fn fresh_hints_are_never_kept() {
    let network = exactly(&tiny(10));
    let suite = suite(&network, Hints::Fresh);
    let service = compile(suite.clone(), network.clone());
    let (shelf, served): (Arc<Shelf>, Arc<Served>) = (Arc::default(), Arc::default());
    let inputs = inputs(&network, 2);
    for _ in 0..2 {
        let seen = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert!(!seen.resumed);
        assert_eq!(seen.values, expected(&network, &inputs));
    }
    assert!(shelf.0.lock().unwrap().is_empty() && served.known.lock().unwrap().is_empty());
}

/// An audit makes hints again in floating point, which another processor may round in another way.
#[test]
fn setups_that_audits_refer_to_are_never_kept() {
    let network = exactly(&tiny(10));
    let choice = Choice::all(StepProtocol::Garbled);
    let choice = Choice { steps: vec![StepProtocol::Garbled; 2], ..choice };
    let suite = choice
        .for_untrusted_clients(AuditRate { audits: 1, of: 2 })
        .suite(network.architecture().nodes().len());
    let service = compile(suite.clone(), network.clone());
    let (shelf, served): (Arc<Shelf>, Arc<Served>) = (Arc::default(), Arc::default());
    let inputs = inputs(&network, 2);
    for _ in 0..2 {
        let seen = session(&service, &suite, (&shelf, &served), &inputs, 1).unwrap();
        assert!(!seen.resumed);
        assert_eq!(seen.values, expected(&network, &inputs));
    }
    assert!(shelf.0.lock().unwrap().is_empty() && served.known.lock().unwrap().is_empty());
}
