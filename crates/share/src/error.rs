//! The error of every layer protocol.

use gazelle_wire::{ChannelError, DecodeError};

/// What can go wrong in a layer protocol; after one, the session is dead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The link failed, or the peer sent a frame that does not fit.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The peer's message does not make sense.
    #[error("the peer's message is malformed: {0}")]
    Peer(String),
    /// The caller asked for something that does not fit the plan.
    #[error("{0}")]
    Caller(String),
    /// A plan that this party does not accept, or that cannot be made.
    #[error("plan refused: {0}")]
    Plan(String),
    /// A primitive failed.
    #[error(transparent)]
    Backend(Box<dyn std::error::Error + Send + Sync>),
}

impl ProtocolError {
    /// Wraps a primitive's error.
    pub fn backend(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Backend(Box::new(error))
    }
}

impl From<DecodeError> for ProtocolError {
    fn from(error: DecodeError) -> Self {
        Self::Peer(error.to_string())
    }
}
