//! Errors, by fault: the link, the peer, the caller.

use gazelle_block::BlockError;
use gazelle_prg::PrgError;
use gazelle_wire::ChannelError;

/// An error of this crate. After one, the session is dead and must be dropped: leaf streams and
/// counters of the two parties may have parted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtError {
    /// The link failed, or a message does not have the agreed form.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The peer sent bytes that are not a valid group element, or the identity.
    #[error("the peer sent an invalid group element in pair {index} of base OTs")]
    InvalidPoint {
        /// Which pair of base OTs; 0 if it is the sender's point.
        index: usize,
    },
    /// The peer deviated from the protocol and was caught by a check.
    #[error("{check} failed")]
    Misbehaved {
        /// Which check.
        check: &'static str,
    },
    /// Tweaks or blocks are used up or malformed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// No entropy from the operating system.
    #[error(transparent)]
    Entropy(#[from] PrgError),
    /// The caller's arguments do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// What it should be.
        expected: usize,
        /// What it is.
        got: usize,
    },
    /// A parameter set that this crate does not offer.
    #[error("unsupported parameters: {0}")]
    Parameters(&'static str),
    /// The half of a channel on which this party has nothing to say, or nothing to hear.
    #[error("OTs of this session are made over the other half of the channel")]
    Half,
    /// More OTs than were announced.
    #[error("more OTs are wanted than were announced")]
    Unannounced,
    /// An earlier call on this session failed.
    #[error("the session is dead: an earlier extension failed")]
    Dead,
}
