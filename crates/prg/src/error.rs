//! What can go wrong: only the operating system's entropy source.

/// An error of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrgError {
    /// The operating system gave no entropy.
    #[error("no entropy from the operating system: {0}")]
    Entropy(#[from] getrandom::Error),
}
