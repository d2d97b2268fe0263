//! The public plan of a network's linear layers: plain data, as it travels in a description.
//!
//! What a client checks of it is in `accept`, its bytes on the wire in `traffic`, how it is chosen in
//! [`planner`](crate::planner).

use gazelle_he::public_coin::Parameters;
use serde::{Deserialize, Serialize};

/// Everything that both parties must agree on, and nothing that follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearPlan {
    /// Hints are made for this many inferences (what tilings were chosen for).
    pub inferences_per_setup: u32,
    /// By group.
    pub groups: Vec<GroupPlan>,
}

/// One group's parameters and packings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    /// N, l, k, h, d.
    pub parameters: Parameters,
    /// In request order; together they compute every operator once.
    pub packings: Vec<PackingPlan>,
    /// Per operator, in quarters: `sum_i ||w_{m,i}||^2 <= 2^(quarters / 4)` for all its responses m
    /// (a public bound).
    pub norm_quarter_bits: Vec<u8>,
    /// Whether FFT products, which round, are within the error bound.
    pub fourier: bool,
}

/// One packing of a group's tensor; a scheme of one's own may read its numbers in its own way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackingPlan {
    /// Operators of the group that read this packing.
    pub ops: Vec<u32>,
    /// Space-to-depth factors.
    pub phase: [u32; 2],
    /// Virtual output rows and columns per tile.
    pub tile: [u32; 2],
    /// `C_w`.
    pub channels: u32,
    /// `M_w` by operator of the packing.
    pub maps: Vec<u32>,
}
