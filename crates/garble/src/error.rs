//! What can go wrong: misuse by the caller, or a table that ends early.

use gazelle_block::BlockError;
use gazelle_wire::ChannelError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GarbleError {
    /// The link failed while tables were streamed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// No tweaks are left under this Delta.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A slice does not have the length that the circuit and the lanes imply.
    #[error("{what}: expected {expected}, got {got}")]
    Length {
        /// What was measured.
        what: &'static str,
        /// What the circuit and the lanes imply.
        expected: usize,
        /// What the caller gave.
        got: usize,
    },
    /// A circuit file that is not well formed.
    #[error("line {line} of the circuit: {problem}")]
    Circuit {
        /// Line of the file, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl GarbleError {
    /// Fails unless `got` is `expected`.
    pub(crate) fn check(what: &'static str, expected: usize, got: usize) -> Result<(), Self> {
        if expected == got { Ok(()) } else { Err(Self::Length { what, expected, got }) }
    }
}
