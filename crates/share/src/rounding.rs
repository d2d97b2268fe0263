//! How bits are dropped between two layers.

use serde::{Deserialize, Serialize};

/// How a [`Step`](crate::Step) drops bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Up or down, stochastically, by local shifts of the shares: S adds `2^t - 1`, both shift right as
    /// unsigned. Free, but v depends on the client's share, which the client knows.
    /// [`StepFunction::Round`](crate::step::StepFunction::Round) alone rounds exactly to the nearest, halves up.
    #[default]
    Local,
    /// Exactly to the nearest, halves up, whatever the shares are. The shares carry `guard_bits` g below
    /// the value's own bits: they are of `2^g y + E` with `|E| < 2^(g-1)` (E = 0 if g is 0), and
    /// `v = floor((y + 2^(t-1)) / 2^t)`, y if t is 0. See [`Step::rounded`](crate::Step::rounded).
    Exact {
        /// g, at most 8.
        guard_bits: u32,
    },
}

impl Rounding {
    /// Whether it is [`Local`](Self::Local).
    pub fn is_local(&self) -> bool {
        *self == Self::Local
    }

    /// Bits below the value's own.
    pub(crate) fn guard_bits(self) -> u32 {
        match self {
            Self::Local => 0,
            Self::Exact { guard_bits } => guard_bits,
        }
    }
}
