//! One search for widths: attempts that are built, checked on inputs and corrected.

use super::fractions::Fractions;
use super::{
    CalibratedGraph, Candidate, Options, Quantised, Report, RoundingMode, build, evaluate, price,
    widths,
};
use crate::error::ModelError;

/// Attempts before giving up.
const ATTEMPTS: usize = 8;
/// The budget's variance over what was measured, from which another attempt pays: a fifth of a bit.
const WORTHWHILE: f64 = 1.3;

/// What a search found: how to build the network, which is large, and what it is worth.
pub(super) struct Searched {
    candidate: Candidate,
    widths: Vec<u32>,
    offsets: Option<Vec<i32>>,
    pub(super) report: Report,
    /// About what it costs in traffic.
    pub(super) price: f64,
    /// Of a logit, that the values' rounding was allowed.
    pub(super) variance: f64,
}

impl Searched {
    /// Builds the network again.
    pub(super) fn quantised(self, prepared: &CalibratedGraph) -> Result<Quantised, ModelError> {
        let choices = (&self.widths[..], self.offsets.as_deref());
        let built = prepared.build(self.candidate, choices)?;
        Ok(Quantised { network: built.network, report: self.report })
    }
}

/// Chooses widths for weights of at least so many fraction bits, or takes one for all values
/// (then whatever it is worth).
pub(super) fn search(
    prepared: &CalibratedGraph,
    options: &Options,
    fractions: Fractions<'_>,
    fixed: Option<u32>,
) -> Result<Searched, ModelError> {
    let CalibratedGraph { lowered, inputs, varied, source, calibration, .. } = prepared;
    let CalibratedGraph { resolution, scale, checks, .. } = prepared;
    let mut candidate = Candidate {
        // optional: the caller may fix a width
        value_bits: fixed.unwrap_or(*widths::WIDTHS.start()),
        margin: source.margin(inputs.len(), *varied),
        weight_bits: fractions.bits,
        resolution: *resolution,
        coarse: fixed.is_none(),
        exact: options.rounding == RoundingMode::Exact,
        narrow: options.narrow_weights,
    };
    // optional: only a search that goes on from another one's result says it
    let mut variance = fractions.variance.unwrap_or_else(|| evaluate::budget(*scale));
    let (mut last, mut best) = (None, None);
    // Widths checked last, and a budget that was too large.
    let (mut tried, mut refused) = (Vec::new(), None);
    for _ in 0..ATTEMPTS {
        let widths = match fixed {
            Some(bits) => Some(vec![bits; lowered.tensors.len()]),
            None if best.is_some() => prepared.widths(candidate, &mut variance, &tried, 1),
            None => prepared.widths(candidate, &mut variance, &tried, 32),
        };
        let Some(widths) = widths else { break };
        tried.clone_from(&widths);
        let build::Built { network, step_bits, weight_bits } =
            prepared.build(candidate, (&widths, fractions.offsets))?;
        let mut checked =
            evaluate::evaluate(&network, inputs, &calibration.logits, *scale, checks)?;
        checked.left_out = prepared.left_out;
        let verdict = checked.verdict();
        let report = Report {
            value_bits: step_bits.iter().map(|(_, bits)| *bits).fold(0, u32::max),
            step_bits,
            margin: candidate.margin,
            weight_bits,
            resolution: *resolution,
            tolerance: checked.tolerance(),
            relative_error: checked.relative_error,
            largest_logit: checked.largest_logit,
            agreement: checked.agreement,
            good: verdict.good(),
            calibration: *source,
            calibration_inputs: inputs.len(),
            checked_inputs: checked.inputs,
            unproven: None,
        };
        let good = verdict.good();
        if good || fixed.is_some() {
            let offsets = fractions.offsets.map(<[i32]>::to_vec);
            let price = price::price(&network);
            best = Some(Searched { candidate, widths, offsets, report, price, variance });
            // What is left of the budget buys narrower values. Where the weights' own errors use it
            // up, another bit of theirs is the cheaper one.
            let weights = verdict.slack_of_rounding > WORTHWHILE * verdict.slack;
            let slack = if weights { verdict.slack_of_rounding } else { verdict.slack };
            if fixed.is_some() || slack < WORTHWHILE || candidate.weight_bits >= 20 {
                break;
            }
            if weights {
                candidate.weight_bits += 1;
                tried.clear();
                refused = None;
            }
            // Between what was good and what was not.
            // optional: no budget was too large so far
            let most = refused.map_or(slack, |bad: f64| (bad / variance).sqrt());
            if most < 1.1 {
                break;
            }
            variance *= slack.min(most);
            continue;
        }
        last = Some(report);
        if best.is_some() || fractions.variance.is_some() {
            break;
        }
        refused = Some(variance);
        variance *= verdict.variance_factor;
        candidate.weight_bits += verdict.more_weight_bits;
        candidate.margin += verdict.more_margin;
        if verdict.more_weight_bits + verdict.more_margin > 0 {
            tried.clear();
            refused = None;
        }
        if candidate.weight_bits > 20 {
            break;
        }
    }
    if let Some(best) = best {
        return Ok(best);
    }
    let why = match last {
        Some(r) => format!(
            "no widths meet the error bounds: the relative error is {:.4}, the tolerance {:.4} \
             with logits up to {:.2}",
            r.relative_error, r.tolerance, r.largest_logit
        ),
        None => "no widths meet the error bounds".into(),
    };
    Err(ModelError::Quantise(why))
}
