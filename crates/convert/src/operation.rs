//! What an operation on shares is: one file implements [`Operation`], and chains are made of them.
//!
//! Both parties hold a share of each word of a chunk, and end with shares of each result. Messages
//! are bit planes ([`Planes`]: one bit of every lane); an *opening* is a message that the parties
//! halve between them: each sends its *half*, and both know the XOR or what else follows from the two.
//!
//! | | client | server |
//! |---|---|---|
//! | offline | [`Operation::client`]: takes random OTs, gives its corrections | [`Operation::server`] |
//! | | [`Execution::correct`] with the server's corrections | with the client's |
//! | online | [`Execution::start`] with its share | the same |
//! | per opening | [`Execution::half`] to the server, [`Execution::complete`] | the same |
//! | | [`Execution::result`] | the same |
//!
//! An operation knows no channel, no chunk boundaries and no other operation of its chain; who sends
//! which half when is decided outside, from [`Operation::planes`].

use std::fmt::Debug;

use gazelle_block::hash::HashSeed;
use gazelle_block::{BitVec, Block};
use gazelle_prg::Prg;

use crate::planes::Planes;
use crate::rot::{Kept, RotLog, RotRecv, RotSend};

/// When the client knows its share of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientShare {
    /// In the offline phase: it is an output of a linear layer.
    Offline,
    /// Only online: it came out of an interactive operation.
    Online,
}

/// An operation on all lanes of a chunk: its cost, and the beginning of both parties.
///
/// Pairs of counts are `(server's, client's)`, per lane; those of random OTs `(S to C, C to S)`.
pub trait Operation: Debug + Send + Sync {
    /// Width of the operand's words: shares modulo `2^bits`, unless the operation says otherwise.
    fn operand_bits(&self) -> u32;

    /// Width of the results' words.
    fn result_bits(&self) -> u32;

    /// Results for so many lanes.
    fn results(&self, lanes: usize) -> usize {
        lanes
    }

    /// Whether [`client`](Self::client) needs the client's share of the operand.
    fn client_share(&self) -> ClientShare {
        ClientShare::Online
    }

    /// Number of openings, at least 1.
    fn openings(&self) -> usize {
        1
    }

    /// Planes of the halves of an opening, `(server, client)`, not both 0.
    fn planes(&self, opening: usize) -> (usize, usize);

    /// Planes of the offline corrections, `(server, client)`.
    fn offline_planes(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Random OTs per lane, `(S to C, C to S)`.
    fn rots(&self) -> (usize, usize) {
        (0, 0)
    }

    /// Begins at the client: takes its random OTs and gives its corrections.
    fn client(&self, rots: &mut Rots<'_>, known: Known<'_>) -> Begun;

    /// Begins at the server; `coins` are its own, and nobody else's.
    fn server(&self, rots: &mut Rots<'_>, coins: &mut Prg) -> Begun;
}

/// What the client knows offline.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Its share of the operand if [`Operation::client_share`] is [`ClientShare::Offline`], else
    /// empty.
    pub operand: &'a [u64],
    /// The mask under which the chain's result is shared anew; empty if it is revealed.
    pub mask: &'a [u64],
}

/// An operation that has begun, and the corrections for the other party.
pub struct Begun {
    /// This party's execution.
    pub execution: Box<dyn Execution>,
    /// As many planes as [`Operation::offline_planes`] says.
    pub corrections: Planes,
}

impl Begun {
    /// An execution that corrects nothing.
    pub(crate) fn silent(execution: impl Execution + 'static) -> Self {
        Self::new(execution, Planes::default())
    }

    /// An execution and its corrections.
    pub fn new(execution: impl Execution + 'static, corrections: Planes) -> Self {
        Self { execution: Box::new(execution), corrections }
    }
}

/// One party's execution of an operation on one chunk, single use. Openings come in order: `half`,
/// then `complete`.
pub trait Execution: Send {
    /// Offline: takes the other party's corrections (no planes if it has none).
    fn correct(&mut self, _corrections: &Planes) {}

    /// Takes this party's share of the operand, modulo `2^operand_bits`.
    fn start(&mut self, x: Vec<u64>);

    /// This party's half of an opening; not called where it has none.
    fn half(&mut self, _opening: usize) -> Planes {
        Planes::default()
    }

    /// Takes the other party's half (no planes if it has none).
    fn complete(&mut self, _opening: usize, _peer: &Planes) {}

    /// This party's share of the results, after all openings.
    fn result(&mut self) -> Vec<u64>;
}

/// One direction's correlated OTs of one chunk, at one party.
#[derive(Clone, Copy)]
pub struct Correlated<'a> {
    /// y or z, position by position.
    pub blocks: &'a [Block],
    /// The tweak of the first one.
    pub tweak: u64,
}

/// One party's random OTs of a chunk, both directions, position by position: each operation takes as
/// many as it says in [`Operation::rots`].
pub struct Rots<'a> {
    pub(crate) send: RotSend<'a>,
    pub(crate) recv: RotRecv<'a>,
    pub(crate) lanes: usize,
}

impl<'a> Rots<'a> {
    /// From the OTs in which this party is the sender, with their Delta, and those in which it is
    /// the receiver, with its choices; `hashes` are those of the former and of the latter.
    pub fn new(
        hashes: [&'a HashSeed; 2],
        (sent, delta): (Correlated<'a>, Block),
        (received, choices): (Correlated<'a>, &'a BitVec),
    ) -> Self {
        Self {
            send: RotSend::new(hashes[0], sent.tweak, sent.blocks, delta),
            recv: RotRecv::new(hashes[1], received.tweak, received.blocks, choices),
            lanes: 0,
        }
    }

    /// What was put down before, in place of OTs.
    pub fn kept(log: &'a RotLog) -> Self {
        let [sent, received] = log.parts();
        let (send, recv) = (RotSend::kept(Kept::new(sent)), RotRecv::kept(Kept::new(received)));
        Self { send, recv, lanes: 0 }
    }

    /// Puts down what is taken from now on.
    pub fn record(&mut self) {
        self.send.record();
        self.recv.record();
    }

    /// What was put down, if anything was.
    pub fn into_log(self) -> Option<RotLog> {
        Some(RotLog::new([self.send.into_log()?, self.recv.into_log()?]))
    }

    /// Whether a log was taken to its end, and no further.
    pub fn is_spent(&self) -> bool {
        self.send.is_spent() && self.recv.is_spent()
    }

    /// Sets the number of lanes of the operation that follows.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
        self.send.set_lanes(lanes);
        self.recv.set_lanes(lanes);
    }

    /// Lanes of the operation that takes its OTs.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }
}
