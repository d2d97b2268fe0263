//! Steps of several pieces: each goes through the trips on its own, and both directions say what they say
//! when whole trips alternate.

#![expect(clippy::unwrap_used, reason = "a test: failing loudly is its job")]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, StepChoice};
use gazelle_ot::IdealOt;
use gazelle_share::shares::to_signed;
use gazelle_share::step::StepFunction;
use gazelle_share::testing::test_rng;
use gazelle_share::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, Output, Rounding, Shares, Step,
};
use gazelle_wire::Channel;
use gazelle_wire::recording::{frames, pair_for_one_thread};
use gazelle_wire::testing::{run_two_over, run_two_recorded};

use super::common::{Case, step};

/// Elements of five chunks: two pieces.
const ELEMENTS: usize = 5 * 4096;
/// The kind of a message of halves.
const HALVES: u16 = 0x0610;

fn protocol(choice: StepChoice) -> PerLayer<IdealOt, HalfGates> {
    PerLayer { ot: IdealOt, scheme: HalfGates::default(), choices: vec![choice].into() }
}

/// A step of random values, and what has to come out of it if it rounds exactly.
fn relus(rounding: Rounding, elements: usize) -> (Case, Vec<i64>) {
    let relu = step(StepFunction::Relu, [elements, 1, 1], [6, 4, 10, 12]);
    let (case, exact) = Case::random(Step { rounding, ..relu }, 21);
    let rounded = |x: &i64| ((x + 8) >> 4).max(0);
    (case, exact.iter().map(rounded).collect())
}

const EXACT: Rounding = Rounding::Exact { guard_bits: 0 };

#[test]
fn transcript_pieces_that_advance_alone_say_what_whole_trips_say() {
    for choice in [StepChoice::Gmw, StepChoice::GmwFewTrips] {
        let (case, expected) = relus(EXACT, ELEMENTS);
        let (a, b) = (case.clone(), case.clone());
        let (threads, share, said) = run_two_recorded(
            move |channel| a.run_client(&protocol(choice), channel).unwrap().0,
            move |channel| b.run_server(&protocol(choice), channel).unwrap().0,
        );
        let (client, server, in_turn) = pair_for_one_thread();
        let (a, b) = (case.clone(), case.clone());
        let (alone, alone_share) = run_two_over(
            (client, server),
            move |channel| a.run_client(&protocol(choice), channel).unwrap().0,
            move |channel| b.run_server(&protocol(choice), channel).unwrap().0,
        );
        let of = |bytes: &[u8]| {
            let halves = |frame: &gazelle_wire::recording::Frame| frame.header.kind == HALVES;
            frames(bytes).into_iter().filter(halves).map(|frame| frame.payload).collect::<Vec<_>>()
        };
        let (ours, theirs) = (of(&said.sent()), of(&said.received()));
        assert!(ours.len().is_multiple_of(2) && ours.len() >= 4 && theirs.len() >= 4);
        assert_eq!((&ours, &theirs), (&of(&in_turn.sent()), &of(&in_turn.received())));
        assert_eq!(share, alone_share);
        assert_eq!(case.results(threads, share), expected, "{choice:?}");
        assert_eq!(case.results(alone, alone_share), expected);
    }
}

#[test]
fn conformance_steps_of_many_pieces_are_right_under_both_roundings() {
    // 40 chunks: 8 pieces of 5; the last chunk is not full.
    let elements = 39 * 4096 + 1;
    let (case, expected) = relus(EXACT, elements);
    assert_eq!(case.run(&protocol(StepChoice::GmwFewTrips)), expected);
    let (case, _) = relus(Rounding::Local, elements);
    let exact = case.client.clone().add(&case.server);
    let exact = exact.words().iter().map(|word| to_signed(*word, 10));
    for (got, x) in case.run(&protocol(StepChoice::Gmw)).into_iter().zip(exact) {
        assert!((got - (x >> 4).max(0)).abs() <= 1, "{got} for {x}");
    }
}

/// What a client's link lets through: of the server's messages of halves one, until the client has said one.
#[derive(Default)]
struct Held {
    said: Mutex<bool>,
    changed: Condvar,
}

struct HeldReader {
    inner: UnixStream,
    held: Arc<Held>,
    /// Bytes of the frame that is on, and of the frames let through.
    left: usize,
    header: Vec<u8>,
    halves: usize,
}

impl Read for HeldReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut header = [0; 8];
            self.inner.read_exact(&mut header)?;
            let kind = u16::from_le_bytes([header[0], header[1]]);
            self.left = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            self.header = header.to_vec();
            if kind == HALVES {
                self.halves += 1;
                if self.halves > 1 {
                    let said = self.held.said.lock().unwrap();
                    let wait = Duration::from_mins(1);
                    let (said, _) =
                        self.held.changed.wait_timeout_while(said, wait, |said| !*said).unwrap();
                    if !*said {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
        }
        if !self.header.is_empty() {
            let count = self.header.as_slice().read(bytes)?;
            self.header.drain(..count);
            return Ok(count);
        }
        let count = (&mut self.inner as &mut dyn Read).take(self.left as u64).read(bytes)?;
        self.left -= count;
        Ok(count)
    }
}

struct WatchedWriter {
    inner: UnixStream,
    held: Arc<Held>,
}

impl Write for WatchedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A message of pieces leaves by itself: its header comes first.
        if bytes.starts_with(&HALVES.to_le_bytes()) {
            *self.held.said.lock().unwrap() = true;
            self.held.changed.notify_all();
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[test]
fn a_piece_is_answered_before_the_next_one_has_come() {
    let (a, b) = UnixStream::pair().unwrap();
    let held = Arc::new(Held::default());
    let reader = HeldReader {
        inner: a.try_clone().unwrap(),
        held: Arc::clone(&held),
        left: 0,
        header: Vec::new(),
        halves: 0,
    };
    let writer = WatchedWriter { inner: a, held };
    let client = Channel::new(Box::new(reader), Box::new(writer));
    let server = Channel::new(Box::new(b.try_clone().unwrap()), Box::new(b));
    let (case, expected) = relus(EXACT, ELEMENTS);
    let (one, two) = (case.clone(), case.clone());
    let choice = StepChoice::GmwFewTrips;
    let (values, share) = run_two_over(
        (client, server),
        move |channel| one.run_client(&protocol(choice), channel).unwrap().0,
        move |channel| two.run_server(&protocol(choice), channel).unwrap().0,
    );
    assert_eq!(case.results(values, share), expected);
}

#[test]
fn turns_of_a_step_of_pieces_are_those_of_a_small_one() {
    let turns = |elements: usize| {
        let (case, _) = relus(EXACT, elements);
        let other = case.clone();
        let party = |protocol: PerLayer<IdealOt, HalfGates>, case: &Case| {
            (protocol.compile(Arc::new([case.step.clone()])).unwrap(), protocol)
        };
        gazelle_wire::testing::run_two(
            move |mut channel| {
                let mut rng = test_rng(1);
                let (compiled, protocol) = party(protocol(StepChoice::GmwFewTrips), &case);
                let mut session =
                    protocol.client(Arc::new(compiled), &mut channel, &mut rng).unwrap();
                let mask: &Shares = case.mask.as_ref().unwrap();
                let output = Output::Masked(mask);
                let material =
                    session.offline(0, &case.client, output, &mut channel, &mut rng).unwrap();
                let before = channel.traffic().turns;
                session.online(0, material, &mut channel).unwrap();
                channel.traffic().turns - before
            },
            move |mut channel| {
                let mut rng = test_rng(2);
                let (compiled, protocol) = party(protocol(StepChoice::GmwFewTrips), &other);
                let mut session =
                    protocol.server(Arc::new(compiled), &mut channel, &mut rng).unwrap();
                let material = session.offline(0, &mut channel, &mut rng).unwrap();
                let before = channel.traffic().turns;
                session.online(0, material, other.server.clone(), &mut channel).unwrap();
                channel.traffic().turns - before
            },
        )
    };
    assert_eq!(turns(ELEMENTS), turns(100));
}
