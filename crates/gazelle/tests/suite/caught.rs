//! How often a client that lies in every inference is caught: with the audit rate, wherever it lies.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};

use gazelle::{AuditRate, Client, GazelleError, Limits, Offer, Service, Suite};
use gazelle_share::{LinearProtocol, Network};
use gazelle_wire::Channel;

use crate::audit::{Checked, TRUNCATE, serve, suite};
use crate::lying::{Lie, Lying};
use crate::networks::{exactly, tiny};
use crate::parties::compile;

const RATE: AuditRate = AuditRate { audits: 1, of: 8 };

/// A place in a payload: bits from its front, or bytes from its end.
#[derive(Debug, Clone, Copy)]
enum Place {
    Front(usize),
    Back(usize),
}

/// What a client lies about.
#[derive(Debug, Clone)]
enum Falsehood {
    /// What it computes with.
    Words(Lie),
    /// A bit of every frame of a kind.
    Frames(u16, Place),
}

/// A stream of frames, in those of a kind one bit of which is another one.
struct LyingStream {
    stream: TcpStream,
    lie: Option<(u16, Place)>,
    header: Vec<u8>,
    /// Of the payload: where it is at, and its length.
    at: usize,
    length: usize,
    lies: bool,
}

impl LyingStream {
    fn new(stream: TcpStream, lie: Option<(u16, Place)>) -> Self {
        Self { stream, lie, header: Vec::new(), at: 0, length: 0, lies: false }
    }

    /// What is said instead of a payload's next byte.
    fn said(&self, byte: u8) -> u8 {
        let Some((_, place)) = self.lie.filter(|_| self.lies) else { return byte };
        let (at, bit) = match place {
            Place::Front(bit) => (bit / 8, bit % 8),
            Place::Back(bytes) => (self.length - bytes, 0),
        };
        byte ^ (u8::from(at == self.at) << bit)
    }
}

impl Write for LyingStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut said = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if self.at < self.length {
                said.push(self.said(*byte));
                self.at += 1;
                continue;
            }
            said.push(*byte);
            self.header.push(*byte);
            if let [a, b, _, _, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                let kind = u16::from_le_bytes([*a, *b]);
                self.lies = self.lie.is_some_and(|(lied, _)| lied == kind);
                (self.at, self.length) = (0, u32::from_le_bytes(length) as usize);
                self.header.clear();
            }
        }
        self.stream.write_all(&said)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn channel(stream: TcpStream, lie: Option<(u16, Place)>) -> Channel {
    stream.set_nodelay(true).unwrap();
    let reader = stream.try_clone().unwrap();
    Channel::new(Box::new(reader), Box::new(LyingStream::new(stream, lie)))
}

/// One session: inferences that were used, until `most` were or the link broke.
fn visit<L: LinearProtocol>(suite: Suite<L, Checked>, channel: Channel, most: usize) -> usize {
    let mut rng = gazelle::system_rng().unwrap();
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng).unwrap();
    let mut client: Client<L, Checked> = offer.accept(suite, &mut rng).unwrap();
    let input = vec![0; client.plan().architecture().input().shape.len()];
    for used in 0..most {
        let Ok(prepared) = client.prepare(&mut rng) else { return used };
        client.infer(prepared, &input).unwrap();
        assert_eq!(client.opened(), 0, "what is opened is a lie");
    }
    client.close().unwrap();
    most
}

/// How many of `wanted` inferences, in all of which the client lies, it is caught in.
fn caught(server: &Service<Lying, Checked>, lie: &Falsehood, wanted: usize) -> usize {
    let (words, frames) = match lie {
        Falsehood::Words(lie) => (lie.clone(), None),
        Falsehood::Frames(kind, place) => (Lie::None, Some((*kind, *place))),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut made, mut caught) = (0, 0);
    while made < wanted {
        let (used, served) = std::thread::scope(|scope| {
            let serving =
                scope.spawn(|| serve(server, channel(listener.accept().unwrap().0, None)));
            let link = channel(TcpStream::connect(address).unwrap(), frames);
            let used = visit(suite(Lying::with(words.clone()), RATE), link, wanted - made);
            (used, serving.join().unwrap())
        });
        made += used;
        match served {
            (Ok(()), accused) => assert!(accused.is_empty() && made == wanted),
            (ended, accused) => {
                assert!(matches!(ended, Err(GazelleError::Cheating(_))), "{lie:?}: {ended:?}");
                assert_eq!(accused.len(), 1);
                (made, caught) = (made + 1, caught + 1);
            }
        }
    }
    caught
}

/// Chernoff's bound, in nats, on how likely `seen` of `all` is if each has probability `p`.
fn surprise(seen: usize, all: usize, p: f64) -> f64 {
    let share = seen as f64 / all as f64;
    let term = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    all as f64 * (term(share, p) + term(1.0 - share, 1.0 - p))
}

/// 2^-40, and a bit: what a test may fail with by chance.
const NATS: f64 = 28.5;

/// As many inferences as the design asks for where `GAZELLE_SLOW=1`.
#[test]
fn adversarial_who_lies_is_caught_with_the_audit_rate_wherever_it_lies() {
    let slow = std::env::var("GAZELLE_SLOW").is_ok_and(|value| value == "1");
    let network: Network = exactly(&tiny(TRUNCATE));
    let server = compile(suite(Lying::default(), RATE), network);
    let mut one = vec![0; 32];
    one[5] = 1 << TRUNCATE;
    let lies = [
        ("a request's coefficient", Falsehood::Frames(0x0202, Place::Front(128 + 3))),
        ("a pinned value", Falsehood::Frames(0x0202, Place::Back(1))),
        ("a secret out of range", Falsehood::Words(Lie::Secret(0))),
        ("u", Falsehood::Words(Lie::Shares(0, one))),
        ("r", Falsehood::Words(Lie::Mask(1))),
        ("other coins", Falsehood::Words(Lie::Coins(0))),
        ("choices of labels", Falsehood::Frames(0x0604, Place::Front(0))),
    ];
    let each = if slow { 2000 } else { 32 };
    let (mut seen, mut all) = (0, 0);
    for (what, lie) in &lies {
        let found = caught(&server, lie, each);
        let sigma = (each as f64 * (1.0 / 8.0) * (7.0 / 8.0)).sqrt();
        let distance = (found as f64 - each as f64 / 8.0) / sigma;
        eprintln!("{what}: {found} of {each}, {distance:+.1} standard deviations from 1/8");
        // Of few inferences none may be caught by chance: the sum below counts.
        assert!(surprise(found, each, 1.0 / 8.0) < NATS, "{what}: {found}");
        (seen, all) = (seen + found, all + each);
    }
    assert!(surprise(seen, all, 1.0 / 8.0) < NATS, "{seen} of {all}");
}
