//! A suite is a value: one linear protocol and one non-linear protocol.

use gazelle_ot::{BaseOt, BaseReceiver, BaseSender, OtError};
use gazelle_prg::Seed;
use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

use crate::error::GazelleError;

/// Whether the setup of the linear protocol serves a session or one inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hints {
    /// One setup per session: hints are used again by every inference (docs/protocol.md, 3.9).
    #[default]
    Reused,
    /// One setup per inference, for those who do not trust that argument: every public polynomial
    /// meets one secret. An inference costs what a first one does.
    Fresh,
}

/// How many of a client's prepared inferences are opened, by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRate {
    /// So many ..
    pub audits: u32,
    /// .. of so many.
    pub of: u32,
}

impl Default for AuditRate {
    /// One of eight.
    fn default() -> Self {
        Self { audits: 1, of: 8 }
    }
}

impl AuditRate {
    /// At least one in 2^20 and at most every other one: a client goes on after 64 openings in a row at most.
    pub fn is_sensible(self) -> bool {
        (1..=1 << 20).contains(&self.of) && self.audits > 0 && self.audits <= self.of / 2
    }

    /// Whether this one is.
    pub(crate) fn toss(self, rng: &mut (dyn CryptoRng + Send)) -> bool {
        // Off by 2^-32 at most.
        rng.next_u64() % u64::from(self.of.max(1)) < u64::from(self.audits)
    }
}

impl std::fmt::Display for AuditRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.audits, self.of)
    }
}

/// Of a fraction of whole numbers, such as `1/8`.
impl std::str::FromStr for AuditRate {
    type Err = AuditRateParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse().ok();
        let rate = text
            .split_once('/')
            .and_then(|(audits, of)| Some(Self { audits: number(audits)?, of: number(of)? }));
        rate.filter(|rate| rate.is_sensible()).ok_or(AuditRateParseError)
    }
}

/// A text that is no rate of audits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fraction such as 1/8, at most 1/2 and with at most 2^20 below")]
pub struct AuditRateParseError;

/// Whether the server takes clients for such as follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clients {
    /// It does.
    #[default]
    Trusted,
    /// It does not: what they prepare is opened by chance before it is used, and what they return is authenticated
    /// (docs/protocol.md, 10). The base OTs hide which is opened; the rate is the server's alone.
    Untrusted(BaseOt, AuditRate),
}

impl Clients {
    /// What hides which inferences are opened.
    pub(crate) fn opening_ot(self) -> Option<OpeningOt> {
        match self {
            Self::Trusted => None,
            Self::Untrusted(base, _) => Some(OpeningOt(base)),
        }
    }

    /// What hides which inferences are opened, and how many are.
    pub(crate) fn audits(self) -> Option<(OpeningOt, AuditRate)> {
        match self {
            Self::Trusted => None,
            Self::Untrusted(base, rate) => Some((OpeningOt(base), rate)),
        }
    }
}

/// One base OT, in which the client is the sender: of what it says either to have an inference opened or to have
/// it used, the server gets one, and the client does not learn which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpeningOt(BaseOt);

impl OpeningOt {
    /// At the client: the keys of both strings; that of the one to be used first.
    pub(crate) fn send(
        mut self,
        purpose: &str,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<[Seed; 2], GazelleError> {
        let keys = self.0.send(1, purpose, channel, rng).map_err(ot_error)?;
        keys.into_iter().next().ok_or_else(none)
    }

    /// At the server: the key of one.
    pub(crate) fn receive(
        mut self,
        opens: bool,
        purpose: &str,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Seed, GazelleError> {
        let keys = self.0.receive(&[opens], purpose, channel, rng).map_err(ot_error)?;
        keys.into_iter().next().ok_or_else(none)
    }

    /// Its bytes.
    pub(crate) fn traffic(self) -> Cost {
        let ot = self.0.traffic(1);
        Cost { client_to_server: ot.sender_to_receiver, server_to_client: ot.receiver_to_sender }
    }
}

/// A base OT's error, in the terms of sessions.
fn ot_error(error: OtError) -> GazelleError {
    match error {
        OtError::Channel(error) => GazelleError::Channel(error),
        other => GazelleError::Peer(other.to_string()),
    }
}

fn none() -> GazelleError {
    GazelleError::Defect("the base OT of an opening".into())
}

/// The two protocols of a session. An experiment is one changed part:
/// `suite.with_nonlinear(MyProtocol::new())`.
#[derive(Debug, Clone, Default)]
pub struct Suite<L, N> {
    linear: L,
    nonlinear: N,
    hints: Hints,
    clients: Clients,
}

impl<L, N> Suite<L, N> {
    /// Any two protocols fit together: they meet as additive shares.
    pub fn new(linear: L, nonlinear: N) -> Self {
        Self { linear, nonlinear, hints: Hints::Reused, clients: Clients::Trusted }
    }

    /// The same suite with another non-linear protocol.
    #[must_use]
    pub fn with_nonlinear<M>(self, nonlinear: M) -> Suite<L, M> {
        let Self { linear, hints, clients, .. } = self;
        Suite { linear, nonlinear, hints, clients }
    }

    /// The same suite with one linear setup per session, or per inference; both parties must agree.
    #[must_use]
    pub fn with_hints(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// The same suite for clients that are trusted, or not; both parties must agree.
    #[must_use]
    pub fn with_clients(self, clients: Clients) -> Self {
        Self { clients, ..self }
    }

    /// Returns the linear protocol.
    pub fn linear(&self) -> &L {
        &self.linear
    }

    /// Returns the non-linear protocol.
    pub fn nonlinear(&self) -> &N {
        &self.nonlinear
    }

    /// Returns whether clients are trusted.
    pub fn clients(&self) -> Clients {
        self.clients
    }

    /// Returns how long a linear setup serves.
    pub fn hints(&self) -> Hints {
        self.hints
    }
}
