//! The public plan of a network's linear layers, its check at the client, its exact traffic.

use gazelle_he::public_coin::noise::WeightNorm;
use gazelle_he::public_coin::{HintMessage, HintShape, Parameters, RequestMessage, RequestShape};
use gazelle_share::{LinearGroup, LinearTraffic};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Cost, Message};
use serde::{Deserialize, Serialize};

use crate::error::LinearError;
use crate::layout::GroupLayout;
use crate::stride_one::as_conv;

/// Everything that both parties must agree on, and nothing that follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
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

/// See [`Shape`](crate::packing::Shape).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Caps on what a plan may ask of a party: hints kept, and words of all polynomials of an
/// inference.
pub(crate) const MAX_HINT_BYTES: u64 = 4 << 30;
pub(crate) const MAX_WORDS: usize = 1 << 30;
/// Hint rows that travel in one message.
pub(crate) const HINT_ROWS: usize = 256;

impl Plan {
    /// Checks everything that a client can check; gives the layouts.
    ///
    /// # Errors
    /// [`LinearError`] says what does not hold.
    pub(crate) fn check(&self, groups: &[LinearGroup]) -> Result<Vec<GroupLayout>, LinearError> {
        if groups.len() != self.groups.len() {
            let (expected, got) = (groups.len(), self.groups.len());
            return Err(LinearError::Plan(format!("{got} groups planned, {expected} needed")));
        }
        let (mut hint_bytes, mut words) = (0u64, 0usize);
        let mut layouts = Vec::with_capacity(groups.len());
        for (group, plan) in groups.iter().zip(&self.groups) {
            let layout = plan.check(group)?;
            hint_bytes += (layout.responses * layout.degree) as u64
                * u64::from(plan.parameters.hint_bits())
                / 8;
            words += (layout.requests + layout.responses) * layout.degree;
            if hint_bytes > MAX_HINT_BYTES || words > MAX_WORDS {
                return Err(LinearError::Plan("hints or polynomials take too much memory".into()));
            }
            layouts.push(layout);
        }
        Ok(layouts)
    }
}

impl GroupPlan {
    /// Parameters, error bound and packings of one group.
    pub(crate) fn check(&self, group: &LinearGroup) -> Result<GroupLayout, LinearError> {
        let bad = |what: &str| Err(LinearError::Plan(format!("group {}: {what}", group.name)));
        if self.parameters.ring_bits() != group.ring_bits {
            return bad("the ring widths differ");
        }
        if self.parameters.guard_bits() != group.guard.bits {
            return bad("the guard bits differ");
        }
        if group.ops.is_empty()
            || self.norm_quarter_bits.len() != group.ops.len()
            || group.truncate_bits.len() != group.ops.len()
        {
            return bad("counts of operators differ");
        }
        if group.revealed && self.parameters.kept_quarters() != 4 * self.parameters.noise_bits() {
            return bad("a revealed layer needs h = k");
        }
        // Sizes make sense before anything is multiplied.
        for op in &group.ops {
            as_conv(op)?;
        }
        for (&quarters, &truncate_bits) in self.norm_quarter_bits.iter().zip(&group.truncate_bits) {
            if !tolerates(
                group,
                truncate_bits,
                self.parameters,
                weight_norm(quarters, self.fourier),
            ) {
                return bad("the error bound is not met");
            }
        }
        GroupLayout::new(group, self)
    }
}

/// Whether the error of an output that is truncated by `truncate_bits` stays within what the group
/// allows: with guard bits the value is exact, without them it is off by a fraction of a unit in the
/// last place that is kept.
pub(crate) fn tolerates(
    group: &LinearGroup,
    truncate_bits: u32,
    parameters: Parameters,
    norm: WeightNorm,
) -> bool {
    if group.guard.bits > 0 {
        parameters.holds_exactly(group.guard.error_limit(), norm)
    } else {
        parameters.holds(truncate_bits, norm)
    }
}

/// The public bound of an operator's weights as the error model takes it.
pub(crate) fn weight_norm(quarter_bits: u8, fourier: bool) -> WeightNorm {
    WeightNorm { squared: (f64::from(quarter_bits) / 4.0).exp2(), fft: fourier }
}

/// Bytes of every message of a checked group.
pub(crate) struct GroupTraffic {
    pub(crate) request: u64,
    pub(crate) hints: u64,
    pub(crate) nonce: u64,
}

pub(crate) fn request_shape(parameters: Parameters, layout: &GroupLayout) -> RequestShape {
    RequestShape { parameters, requests: layout.requests, pinned: layout.pinned() }
}

/// Row counts of the hint messages.
pub(crate) fn hint_runs(responses: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..responses).step_by(HINT_ROWS).map(move |row| row..(row + HINT_ROWS).min(responses))
}

pub(crate) fn group_traffic(plan: &GroupPlan, layout: &GroupLayout) -> GroupTraffic {
    let parameters = plan.parameters;
    let request = RequestMessage::encoded_len(&request_shape(parameters, layout));
    let hints = hint_runs(layout.responses)
        .map(|run| {
            framed_len(HintMessage::encoded_len(&HintShape { parameters, responses: run.len() }))
        })
        .sum();
    GroupTraffic { request: framed_len(request), hints, nonce: framed_len(32) }
}

/// Exact traffic of a checked plan.
pub(crate) fn traffic(
    groups: &[LinearGroup],
    plan: &Plan,
    layouts: &[GroupLayout],
) -> LinearTraffic {
    let mut traffic = LinearTraffic {
        // Commitment and opening against the server's nonce.
        setup: Cost { client_to_server: 2 * framed_len(32), server_to_client: framed_len(32) },
        offline: Vec::with_capacity(groups.len()),
    };
    for ((group, plan), layout) in groups.iter().zip(&plan.groups).zip(layouts) {
        let bytes = group_traffic(plan, layout);
        let mut offline = Cost { client_to_server: bytes.request, server_to_client: bytes.nonce };
        if group.revealed {
            offline.server_to_client += bytes.hints;
        } else {
            traffic.setup.server_to_client += bytes.hints;
        }
        traffic.offline.push(offline);
    }
    traffic
}
