//! What a client checks of a plan before it follows it: security, widths, error bound, shapes, and
//! the memory that it asks for.

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::noise::WeightNorm;
use gazelle_share::LinearGroup;

use crate::error::LinearError;
use crate::layout::GroupLayout;
use crate::operator::as_conv;
use crate::packing::PackingScheme;
use crate::plan::{GroupPlan, LinearPlan};

/// Caps on what a plan may ask of a party: hints kept, and words of all polynomials of an
/// inference.
const MAX_HINT_BYTES: u64 = 4 << 30;
const MAX_WORDS: usize = 1 << 30;

impl LinearPlan {
    /// Checks everything that a client can check; gives the layouts.
    ///
    /// # Errors
    /// [`LinearError`] says what does not hold.
    pub(crate) fn check(
        &self,
        scheme: &dyn PackingScheme,
        groups: &[LinearGroup],
    ) -> Result<Vec<GroupLayout>, LinearError> {
        if groups.len() != self.groups.len() {
            let (expected, got) = (groups.len(), self.groups.len());
            return Err(LinearError::Plan(format!("{got} groups planned, {expected} needed")));
        }
        let (mut hint_bytes, mut words) = (0u64, 0usize);
        let mut layouts = Vec::with_capacity(groups.len());
        for (group, plan) in groups.iter().zip(&self.groups) {
            let layout = plan.check(scheme, group)?;
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
    pub(crate) fn check(
        &self,
        scheme: &dyn PackingScheme,
        group: &LinearGroup,
    ) -> Result<GroupLayout, LinearError> {
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
        GroupLayout::new(scheme, group, self)
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
