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
    /// The peer fails a check that no honest party fails; which one.
    #[error("the peer fails {0}")]
    Cheating(&'static str),
    /// The caller asked for something that does not fit the plan.
    #[error(transparent)]
    Caller(#[from] Misuse),
    /// A plan that this party does not accept, or that cannot be made.
    #[error("plan refused: {0}")]
    Plan(String),
    /// A primitive failed.
    #[error(transparent)]
    Backend(Box<dyn std::error::Error + Send + Sync>),
    /// A thread of this party panicked: a defect of this program, nobody's message.
    #[error("a thread of this party panicked")]
    Panicked,
    /// What this party compiled does not fit together: a defect of this program.
    #[error("a defect of this program: {0}")]
    Defect(&'static str),
}

/// What a caller asked for that does not fit the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// A step beyond the last.
    #[error("there is no non-linear step {0}")]
    Step(usize),
    /// A group beyond the last.
    #[error("there is no linear group {0}")]
    Group(usize),
    /// Prepared material with a step that it was not made for.
    #[error("the material belongs to another step")]
    Material,
    /// Shares of another length or ring.
    #[error("{what}: expected {} words of {} bits, got {} of {}", expected.0, expected.1, got.0, got.1)]
    Shares {
        /// Which ones.
        what: &'static str,
        /// Words and bits that fit.
        expected: (usize, u32),
        /// Words and bits that were given.
        got: (usize, u32),
    },
    /// A mask or an output of another kind than planned, or weights of another shape.
    #[error("the {0} does not fit the plan")]
    Unplanned(&'static str),
    /// A setup has served as many inferences as its noise allows.
    #[error("group {group}: {most} inferences were made with this setup; a new session is needed")]
    Exhausted {
        /// The group's name.
        group: String,
        /// Inferences of one setup.
        most: u64,
    },
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
