//! The trait of non-linear protocols: shares of x in, shares of f(x) under the next mask out.
//!
//! | client | server |
//! |---|---|
//! | `client`: setup (base OT) | `server`: setup |
//! | per step: `offline(x_C, r)` | `offline` |
//! | per step: `online` | `online(x_S)` -> f(x) - r |

use std::sync::Arc;

use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

use crate::error::ProtocolError;
use crate::shares::Shares;
use crate::step::Step;

/// Where the client's part of a result comes from or goes to; matches the step's `output`.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// The next mask r, over the output ring: the client's share of the result.
    Masked(&'a Shares),
    /// The client learns the result.
    Reveal,
}

/// Exact bytes of one inference over all steps in order, headers included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NonlinearTraffic {
    /// Once per session.
    pub setup: Cost,
    /// By step.
    pub offline: Vec<Cost>,
    /// By step.
    pub online: Vec<Cost>,
}

/// A way to compute non-linear steps. The value is its configuration.
pub trait NonlinearProtocol: Send + Sync {
    /// Circuits or tables, shared by all sessions.
    type Compiled: Send + Sync;
    /// The client's session.
    type Client: NonlinearClient;
    /// The server's session.
    type Server: NonlinearServer;

    /// Which protocol computes this step, for reports: `garbled`, `gmw`, `ideal`, ..
    fn name(&self, compiled: &Self::Compiled, step: usize) -> &'static str;

    /// Names and parameters of the primitives: both parties' suites must agree in them (the
    /// handshake compares).
    fn primitives(&self) -> String;

    /// Checks all steps of a network and prepares what sessions share.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a step's ring conditions do not hold or it is not supported.
    fn compile(&self, steps: Arc<[Step]>) -> Result<Self::Compiled, ProtocolError>;

    /// Returns the exact traffic of the first inference of a session.
    fn traffic(&self, compiled: &Self::Compiled) -> NonlinearTraffic;

    /// Setup at the client.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn client(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError>;

    /// Setup at the server.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn server(
        &self,
        compiled: Arc<Self::Compiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError>;
}

/// The client's session.
pub trait NonlinearClient: Send {
    /// Single-use material of one step of one inference; refers to no session.
    type Prepared: Send;

    /// Makes the material of `step`. `input` is the client's share of x, known offline.
    ///
    /// # Errors
    /// The link's, a primitive's, or [`ProtocolError::Caller`] if a shape does not fit.
    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError>;

    /// Computes `step`; the revealed values if it reveals.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError>;
}

/// The server's session.
pub trait NonlinearServer: Send {
    /// Single-use material of one step of one inference; refers to no session.
    type Prepared: Send;

    /// Makes the material of `step`.
    ///
    /// # Errors
    /// The link's, or a primitive's.
    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError>;

    /// Computes `step` on the server's share of x; gives `f(x) - r`, or nothing if it reveals.
    ///
    /// # Errors
    /// The link's, or [`ProtocolError::Peer`].
    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError>;
}
