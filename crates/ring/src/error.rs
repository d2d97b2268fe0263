//! What a caller can get wrong.

/// An error of this crate; always the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A degree that is not a power of two in the supported range.
    #[error("degree {got} is not a power of two between 32 and 16384")]
    Degree {
        /// The degree given.
        got: usize,
    },
    /// A weight's coefficient index beyond the degree, or a request or response beyond the matrix.
    #[error("index {got} is not below {limit}")]
    Index {
        /// The index given.
        got: usize,
        /// Its exclusive limit.
        limit: usize,
    },
    /// Slices whose lengths do not belong together.
    #[error("expected {expected} words, got {got}")]
    Length {
        /// What belongs here.
        expected: usize,
        /// What was given.
        got: usize,
    },
}
