//! What can go wrong here: only misuse by the caller.

/// An error of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// 2^56 tweaks were reserved under one Delta: a fresh Delta is needed.
    #[error("all tweaks of this Delta are used up")]
    TweaksExhausted,
    /// A Delta whose lowest bit is 0.
    #[error("the lowest bit of a Delta must be 1")]
    EvenDelta,
}
