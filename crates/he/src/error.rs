//! What can go wrong, sorted by whose fault it is.

use gazelle_wire::{ChannelError, DecodeError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeError {
    /// The link's.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The peer's message does not decode.
    #[error("malformed {what}: {source}")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// Parameters that are not 128-bit secure or do not fit together.
    #[error("parameters refused: {0}")]
    Parameters(String),
    /// The caller's arguments do not fit together.
    #[error("{what}: expected {expected}, got {got}")]
    Caller {
        /// Which quantity.
        what: &'static str,
        /// What fits.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The hints have served as many inferences as their noise allows; a new setup is due.
    #[error("the hints have served {limit} inferences: a new setup is due")]
    Exhausted {
        /// Inferences per setup.
        limit: u64,
    },
    /// The caller's polynomials do not fit.
    #[error(transparent)]
    Ring(#[from] gazelle_ring::RingError),
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] gazelle_prg::PrgError),
}
