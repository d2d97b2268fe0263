//! The trait of linear-layer protocols: correlations `u + v = W r` made before the input is known.
//!
//! | client | server |
//! |---|---|
//! | `client`: setup | `server`: setup |
//! | per group: `request` -> r | `receive` |
//! | `collect` | |
//! | `finish` -> u per operator | `finish` -> v per operator |
//!
//! `request`, `collect` and `receive` talk and compute little; both `finish` compute without
//! talking, in any order, on any thread.
//!
//! Online, C sends `x - r`; S computes `W (x - r) + v` in the clear; C holds u.

use std::io::{self, Read, Write};
use std::sync::Arc;

use gazelle_wire::{Channel, Cost, RecvHalf, SendHalf};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::error::{Misuse, ProtocolError};
use crate::op::{LinearOp, LinearWeights};
use crate::plain;
use crate::shares::Shares;

/// The linear operators that read one masked tensor with one request: one mask r, one u and v per
/// operator. Public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearGroup {
    /// For messages and reports.
    pub name: String,
    /// Ring width of the mask and of every u and v.
    pub ring_bits: u32,
    /// All with the same input.
    pub ops: Vec<LinearOp>,
    /// Per operator: bits that are dropped after it (sets the error budget).
    pub truncate_bits: Vec<u32>,
    /// Who chooses the mask.
    pub mask: MaskKind,
    /// The client learns (a rounding of) the output with its error: no material is reused for this
    /// group. Never with guard bits.
    pub revealed: bool,
    /// What the shares of the outputs carry below the value. With guard bits every step that an
    /// output reaches must drop them exactly: nothing hides the error then.
    pub guard: Guard,
}

impl LinearGroup {
    /// l + g: ring width of every u and v.
    pub fn output_bits(&self) -> u32 {
        self.ring_bits + self.guard.bits
    }

    /// Elements of the tensor that all operators read; 0 where there are none, which no plan has.
    pub fn input_len(&self) -> usize {
        match self.ops.first() {
            Some(op) => op.input_len(),
            None => 0,
        }
    }

    /// The sum of [`LinearServer::online`] for operator `op` from its product `W x`, of which the
    /// lowest `ring_bits` count: `2^g (product + bias) + v` in the ring of v.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] if there is no such operator, or the lengths differ.
    pub fn add_share(
        &self,
        op: usize,
        weights: &LinearWeights,
        mut product: Vec<u64>,
        v: &Shares,
    ) -> Result<Shares, ProtocolError> {
        let op = self.ops.get(op).ok_or(Misuse::Unplanned("operator"))?;
        let (expected, got) = ((product.len(), self.output_bits()), (v.len(), v.bits()));
        if expected != got {
            return Err(Misuse::Shares { what: "v", expected, got }.into());
        }
        plain::add_bias(op, weights, &mut product, self.ring_bits);
        for (word, v) in product.iter_mut().zip(v.words()) {
            *word = (*word << self.guard.bits).wrapping_add(*v);
        }
        Ok(Shares::new(v.bits(), product))
    }
}

/// Guard bits: g bits below the value that take up the error of ciphertexts, so that a truncation
/// which drops them, `2^(g-1)` added, gives the value exactly: `u + v = 2^g W r + E`.
///
/// Source: docs/protocol.md, section 3.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// g; 0 for none: `u + v = W r + E` and the truncation is off by one or so.
    pub bits: u32,
    /// Errors that add up before the guard bits are dropped: 1 for an output that is truncated as it
    /// is, 2 for a sum of two outputs.
    pub addends: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self::NONE
    }
}

impl Guard {
    /// No guard bits.
    pub const NONE: Self = Self { bits: 0, addends: 1 };
    /// More guard bits than this are refused.
    pub const MAX_BITS: u32 = 8;

    /// The largest |E| of one output: as many as [`addends`](Self::addends) of them stay below
    /// `2^(g-1)` together. 0 if there is no room for any error.
    pub fn error_limit(self) -> u64 {
        ((1u64 << self.bits >> 1).saturating_sub(1)) / u64::from(self.addends.max(1))
    }
}

/// Who chooses a group's mask; public, part of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaskKind {
    /// The request itself gives a uniformly random mask.
    Fresh,
    /// The client brings one.
    Given,
}

/// The mask of one inference.
#[derive(Debug, Clone, Copy)]
pub enum Mask<'a> {
    /// See [`MaskKind::Fresh`].
    Fresh,
    /// See [`MaskKind::Given`].
    Given(&'a Shares),
}

/// Exact bytes of a compiled plan, headers included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinearTraffic {
    /// Once per session.
    pub setup: Cost,
    /// Per inference, by group.
    pub offline: Vec<Cost>,
}

/// A way to make the correlations. The value is its configuration.
pub trait LinearProtocol: Send + Sync {
    /// The public plan of all groups of a network.
    type Plan: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync;
    /// Plan, weights and what follows from them; shared by all of a server's sessions.
    type Compiled: Send + Sync;
    /// The client's session with one server.
    type Client: LinearClient;
    /// The server's session with one client.
    type Server: LinearServer;

    /// For reports: `public-coin`, `ideal`, ..
    fn name(&self) -> &'static str;

    /// Chooses parameters and tilings. `weights[group][op]`.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a group cannot be computed within the error budget.
    fn plan(
        &self,
        groups: &[LinearGroup],
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Self::Plan, ProtocolError>;

    /// Checks, at the client, a plan that came from the server: security, widths, shapes, error
    /// bound. Must hold memory and time bounded for any plan that decodes.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] says what does not hold.
    fn validate(&self, groups: &[LinearGroup], plan: &Self::Plan) -> Result<(), ProtocolError>;

    /// Returns the exact traffic of a valid plan.
    fn traffic(&self, groups: &[LinearGroup], plan: &Self::Plan) -> LinearTraffic;

    /// Once per model, at the server.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] or [`ProtocolError::Caller`] if plan and weights do not fit.
    fn compile(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<Self::Plan>,
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Self::Compiled, ProtocolError>;

    /// Setup at the client. `context` binds the session (a digest of the handshake's joint coin, suite and
    /// description), and neither party chose it alone.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn client(
        &self,
        groups: Arc<[LinearGroup]>,
        plan: Arc<Self::Plan>,
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError>;

    /// Setup at the server.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn server(
        &self,
        compiled: Arc<Self::Compiled>,
        context: &[u8; 32],
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError>;

    /// Whether what the server says once per setup (its *hints*) may come later than the session is there:
    /// [`client_before_hints`](Self::client_before_hints), then [`LinearClient::hear_hints`] beside whatever else.
    fn has_late_hints(&self) -> bool {
        false
    }

    /// As [`client`](Self::client), whose hints are still to come: no message moves.
    ///
    /// # Errors
    /// As [`client`](Self::client); [`ProtocolError::Caller`] from protocols without
    /// [late hints](Self::has_late_hints).
    fn client_before_hints(
        &self,
        _groups: Arc<[LinearGroup]>,
        _plan: Arc<Self::Plan>,
        _context: &[u8; 32],
    ) -> Result<Self::Client, ProtocolError> {
        Err(Misuse::Unplanned("late hint").into())
    }

    /// As [`server`](Self::server), whose hints are still to be said: no message moves.
    ///
    /// # Errors
    /// As [`client_before_hints`](Self::client_before_hints).
    fn server_before_hints(
        &self,
        _compiled: Arc<Self::Compiled>,
        _context: &[u8; 32],
        _rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        Err(Misuse::Unplanned("late hint").into())
    }

    /// A session at the client that goes on with a setup that was kept ([`LinearClient::keep`]) and has
    /// served `used` inferences: no message moves. What `kept` holds is read to its end.
    ///
    /// # Errors
    /// [`ProtocolError::Peer`] if it does not fit the plan, [`ProtocolError::Caller`] from protocols that
    /// keep nothing.
    fn resume_client(
        &self,
        _groups: Arc<[LinearGroup]>,
        _plan: Arc<Self::Plan>,
        _used: u64,
        _kept: &mut dyn Read,
    ) -> Result<Self::Client, ProtocolError> {
        Err(Misuse::Unplanned("kept setup").into())
    }

    /// The same at the server ([`LinearServer::keep`]).
    ///
    /// # Errors
    /// [`ProtocolError::Peer`] if it was made for other weights or another plan,
    /// [`ProtocolError::Caller`] from protocols that keep nothing.
    fn resume_server(
        &self,
        _compiled: Arc<Self::Compiled>,
        _used: u64,
        _kept: &KeptSetup,
    ) -> Result<Self::Server, ProtocolError> {
        Err(Misuse::Unplanned("kept setup").into())
    }

    /// A session at the server that only computes [online](LinearServer::online), with stored material; and the
    /// digest of plan and weights that such material is good for.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] from protocols whose material cannot be stored.
    fn server_of_stored(
        &self,
        _compiled: Arc<Self::Compiled>,
    ) -> Result<(Self::Server, [u8; 32]), ProtocolError> {
        Err(Misuse::Unplanned("stored material").into())
    }
}

/// What a server keeps of a setup beyond its session.
#[derive(Clone)]
pub struct KeptSetup {
    /// Of all that both parties hold of this setup: the client's [`LinearClient::kept_digest`] is the same.
    pub digest: [u8; 32],
    /// What [`LinearProtocol::resume_server`] needs.
    pub secret: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for KeptSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSetup").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// The client's session. All methods take `&self`, so that one thread sends requests while others
/// collect and finish earlier groups. Groups of one inference are requested in plan order and
/// collected in the same order; they may be finished in any.
pub trait LinearClient: Send + Sync {
    /// What `collect` needs; single use.
    type Pending: Send;
    /// What `finish` needs; single use.
    type Collected: Send;

    /// Hears the hints of a session that was made before them, once; `heard` is told of each group, in plan order,
    /// whose answers may be [finished](Self::finish) from then on.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`]; [`ProtocolError::Caller`] where none are to come.
    fn hear_hints(
        &self,
        _channel: &mut RecvHalf,
        _heard: &mut dyn FnMut(usize),
    ) -> Result<(), ProtocolError> {
        Err(Misuse::Unplanned("late hint").into())
    }

    /// Sends the request for `group`; gives r.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Caller`] if `mask` is not of the planned kind or size.
    fn request(
        &self,
        group: usize,
        mask: Mask<'_>,
        channel: &mut SendHalf,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Shares, Self::Pending), ProtocolError>;

    /// As [`request`](Self::request), with all coins from `coins`, so that the server can
    /// [replay](LinearServer::replay) it; `finish` then computes the same u on every machine.
    ///
    /// - `coins`: uniform, of this group and inference alone.
    ///
    /// # Errors
    /// As [`request`](Self::request); [`ProtocolError::Caller`] from protocols that cannot be audited.
    fn request_from(
        &self,
        _group: usize,
        _mask: Mask<'_>,
        _channel: &mut SendHalf,
        _coins: &[u8; 32],
    ) -> Result<(Shares, Self::Pending), ProtocolError> {
        Err(Misuse::Unplanned("audited request").into())
    }

    /// Receives what the server answers (if anything). No heavy computing.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn collect(
        &self,
        group: usize,
        pending: Self::Pending,
        channel: &mut RecvHalf,
    ) -> Result<Self::Collected, ProtocolError>;

    /// Gives u per operator. Computes and nothing else, on all threads of the current pool.
    ///
    /// # Errors
    /// [`ProtocolError::Peer`] if what was collected makes no sense.
    fn finish(
        &self,
        group: usize,
        collected: Self::Collected,
    ) -> Result<Vec<Shares>, ProtocolError>;

    /// The digest of what [`keep`](Self::keep) writes and of what the server keeps; `None` from protocols
    /// that keep nothing.
    fn kept_digest(&self) -> Option<[u8; 32]> {
        None
    }

    /// Writes what later sessions need of this setup; nothing of it is secret from the server.
    ///
    /// # Errors
    /// The writer's.
    fn keep(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// What a server remembers of a request until it is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTrace {
    /// Of the request's bytes.
    pub digest: [u8; 32],
    /// The server's nonce.
    pub nonce: [u8; 32],
    /// The inference's number within the setup.
    pub inference: u64,
}

/// The server's session. All methods take `&self`, so that one thread receives requests while others
/// finish earlier groups. Groups of one inference are received in plan order; they may be finished
/// in any.
pub trait LinearServer: Send + Sync {
    /// What `finish` needs; single use. Small: all groups of an inference may wait at once.
    type Received: Send;

    /// Says the hints of a session that was made before them, and flushes; beside requests and all else.
    ///
    /// # Errors
    /// The link's; [`ProtocolError::Caller`] where none are to be said.
    fn say_hints(&self, _channel: &mut SendHalf) -> Result<(), ProtocolError> {
        Err(Misuse::Unplanned("late hint").into())
    }

    /// Reads the client's request for `group` and answers; flushes what it sends. No heavy
    /// computing, except for a revealed group's fresh material.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn receive(
        &self,
        group: usize,
        channel: (&mut SendHalf, &mut RecvHalf),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Received, ProtocolError>;

    /// Gives v per operator. Computes and nothing else, on all threads of the current pool.
    ///
    /// # Errors
    /// [`ProtocolError::Peer`] if the request makes no sense.
    fn finish(&self, group: usize, received: Self::Received) -> Result<Vec<Shares>, ProtocolError>;

    /// The plaintext half, once the client's input is there: the server's share of operator `op`'s
    /// output, `2^g (W x + b) + v` in the ring of v, for the server's share x of the input. The
    /// client's share is u.
    ///
    /// - `weights`: those that the operator was compiled with.
    /// - `v`: of this operator, from [`finish`](Self::finish).
    ///
    /// Cost: [`LinearOp::macs`] multiply-adds, on all threads of the current pool.
    ///
    /// # Errors
    /// [`ProtocolError::Caller`] if the lengths do not fit the operator.
    fn online(
        &self,
        group: usize,
        op: usize,
        weights: &LinearWeights,
        x: &Shares,
        v: &Shares,
    ) -> Result<Shares, ProtocolError>;

    /// What [`replay`](Self::replay) needs of a request; `None` from protocols that cannot be audited.
    fn trace(&self, _received: &Self::Received) -> Option<RequestTrace> {
        None
    }

    /// Does as the client of [`LinearClient::request_from`] should have done: gives r and u per operator.
    ///
    /// # Errors
    /// [`ProtocolError::Cheating`] if the request was another one; [`ProtocolError::Caller`] from protocols
    /// that cannot be audited.
    fn replay(
        &self,
        _group: usize,
        _mask: Mask<'_>,
        _coins: &[u8; 32],
        _trace: &RequestTrace,
    ) -> Result<(Shares, Vec<Shares>), ProtocolError> {
        Err(Misuse::Unplanned("audit").into())
    }

    /// What later sessions need of this setup; `None` from protocols that keep nothing.
    fn keep(&self) -> Option<KeptSetup> {
        None
    }
}
