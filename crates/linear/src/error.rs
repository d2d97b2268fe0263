//! The error of this crate.

use gazelle_share::ProtocolError;

/// What can go wrong before any message moves; all of it is the caller's or the plan's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinearError {
    /// An operator that makes no sense or is too large.
    #[error("operator cannot be computed: {0}")]
    Operator(&'static str),
    /// A packing whose tiles, channels and maps do not fit a polynomial.
    #[error("packing does not fit: {what} needs {needed}, there is room for {room}")]
    Packing {
        /// What is too large.
        what: &'static str,
        /// Its size.
        needed: usize,
        /// The limit.
        room: usize,
    },
    /// No parameters keep the error small enough.
    #[error(
        "layer {name}: no parameters keep its error small enough ({ring_bits} bits, {truncate_bits} dropped): its \
         weights are too large beside what is told apart of its output; serve with --rounding local, which allows more"
    )]
    NoParameters {
        /// The layer, or the first of those that read one tensor.
        name: String,
        /// Ring width.
        ring_bits: u32,
        /// Bits dropped after the layer.
        truncate_bits: u32,
    },
    /// A plan that does not hold what it must.
    #[error("{0}")]
    Plan(String),
}

impl From<LinearError> for ProtocolError {
    fn from(error: LinearError) -> Self {
        Self::Plan(error.to_string())
    }
}
