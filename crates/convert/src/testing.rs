//! An ideal dealer of correlated OTs for one chunk, and both parties of an operation in one place.
//! Insecure: one place sees everything.

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block, Delta};
use gazelle_prg::{Prg, Seed};

use crate::operation::{ClientShare, Execution, Known, Operation, Rots};
use crate::planes::Planes;
use crate::rot::{RotRecv, RotSend};

/// Correlated OTs in one direction, from a dealer.
pub(crate) struct Dealt {
    hash: HashSeed,
    y: Vec<Block>,
    z: Vec<Block>,
    choices: BitVec,
    delta: Delta,
}

impl Dealt {
    /// `count` OTs from `seed`.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut bytes = [0x5a; 16];
        bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(b, s)| *b = s);
        let mut rng = Prg::new(&Seed::from_bytes(bytes), 1);
        let hash = HashSeed::new(&Seed::random(&mut rng));
        let delta = Delta::random(&mut rng);
        let mut y = vec![Block::ZERO; count];
        Block::fill_random(&mut y, &mut rng);
        for y in &mut y {
            *y = y.without_lsb();
        }
        let choices = BitVec::random(count, &mut rng);
        let z = y
            .iter()
            .zip(choices.iter())
            .map(|(y, choice)| *y ^ delta.block().select(choice))
            .collect();
        Self { hash, y, z, choices, delta }
    }

    /// The client's and the server's random OTs, from those S to C and C to S.
    pub(crate) fn both<'a>(down: &'a Self, up: &'a Self, lanes: usize) -> (Rots<'a>, Rots<'a>) {
        let client = Rots { send: up.send(lanes), recv: down.recv(lanes), lanes };
        let server = Rots { send: down.send(lanes), recv: up.recv(lanes), lanes };
        (client, server)
    }

    /// The sender's view.
    pub(crate) fn send(&self, lanes: usize) -> RotSend<'_> {
        let mut send = RotSend::new(&self.hash, 0, &self.y, self.delta.block());
        send.set_lanes(lanes);
        send
    }

    /// The receiver's view.
    pub(crate) fn recv(&self, lanes: usize) -> RotRecv<'_> {
        let mut recv = RotRecv::new(&self.hash, 0, &self.z, &self.choices);
        recv.set_lanes(lanes);
        recv
    }
}

/// What both parties of an operation end with.
pub(crate) struct Run {
    pub(crate) server: Vec<u64>,
    pub(crate) client: Vec<u64>,
    /// Everything that the server sent, and the client: corrections, then halves.
    pub(crate) sent: (Vec<Planes>, Vec<Planes>),
}

/// Runs an operation on these shares `(server's, client's)` under coins from `seed`, and holds it to
/// the counts that it states.
pub(crate) fn execute(
    operation: &dyn Operation,
    seed: u64,
    (xs, xc): (&[u64], &[u64]),
    mask: &[u64],
) -> Run {
    let lanes = xs.len();
    let (down, up) = operation.rots();
    let (down, up) = (Dealt::new(2 * seed, down * lanes), Dealt::new(2 * seed + 1, up * lanes));
    let (mut client_rots, mut server_rots) = Dealt::both(&down, &up, lanes);
    let operand = if operation.client_share() == ClientShare::Offline { xc } else { &[] };
    let client = operation.client(&mut client_rots, Known { operand, mask });
    let mut coins = Prg::new(&Seed::from_bytes([seed as u8; 16]), 9);
    let server = operation.server(&mut server_rots, &mut coins);
    assert!(client_rots.recv.is_spent() && server_rots.recv.is_spent(), "as many OTs as stated");
    let count = |server: &Planes, client: &Planes| (server.count(), client.count());
    let corrections = (server.corrections, client.corrections);
    assert_eq!(count(&corrections.0, &corrections.1), operation.offline_planes());
    let (mut server, mut client) = (server.execution, client.execution);
    server.correct(&corrections.1);
    client.correct(&corrections.0);
    server.start(xs.to_vec());
    client.start(xc.to_vec());
    let mut sent = (vec![corrections.0], vec![corrections.1]);
    for opening in 0..operation.openings() {
        let planes = operation.planes(opening);
        let half = |party: &mut Box<dyn Execution>, count: usize| {
            if count > 0 { party.half(opening) } else { Planes::default() }
        };
        let (s, c) = (half(&mut server, planes.0), half(&mut client, planes.1));
        assert_eq!(count(&s, &c), planes, "opening {opening}");
        client.complete(opening, &s);
        server.complete(opening, &c);
        sent.0.push(s);
        sent.1.push(c);
    }
    Run { server: server.result(), client: client.result(), sent }
}

/// All pairs of words of `bits` bits, padded to whole words of lanes by repetition.
pub(crate) fn all_pairs(bits: u32) -> (Vec<u64>, Vec<u64>) {
    let count = 1u64 << (2 * bits);
    (0..count.max(64)).map(|i| (i >> bits & ((1 << bits) - 1), i & ((1 << bits) - 1))).unzip()
}

/// Asserts that every plane sent is balanced: for 4096 lanes or so, 6 standard deviations.
pub(crate) fn assert_balanced(messages: &[Planes]) {
    for message in messages {
        for plane in 0..message.count() {
            let ones: u32 = message.plane(plane).iter().map(|w| w.count_ones()).sum();
            let lanes = message.lanes() as f64;
            assert!((f64::from(ones) - lanes / 2.0).abs() < 3.0 * lanes.sqrt(), "{ones}");
        }
    }
}
