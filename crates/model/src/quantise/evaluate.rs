//! How far a fixed-point network is from the f32 reference, and how much rounding moves it.

use gazelle_share::{Network, NodeKind};
use rayon::prelude::*;

use crate::error::ModelError;
use crate::fixed::{self, Rounding};

/// What was measured over the inputs checked.
pub(super) struct Checked {
    pub(super) inputs: usize,
    pub(super) relative_error: f64,
    pub(super) largest_logit: f64,
    pub(super) agreement: f64,
    sigma: f64,
    /// Least `max(1, max |logit|)` over all calibration inputs.
    least_scale: f64,
    half_resolution: f64,
    overflows: usize,
}

/// What one input showed.
#[derive(Default)]
struct Seen {
    squares: Vec<f64>,
    relative_error: f64,
    overflows: usize,
    /// Class and lead, in fixed point and in f32.
    classes: ((usize, f64), (usize, f64)),
}

/// What to change.
pub(super) struct Verdict {
    /// On the variance that rounding may cause.
    pub(super) variance_factor: f64,
    pub(super) more_weight_bits: u32,
    pub(super) more_margin: u32,
    /// The variance allowed over the variance measured, a little less where it is above 1.
    pub(super) slack: f64,
    /// What it would be if the deterministic reference had no error of its own.
    pub(super) slack_of_rounding: f64,
}

impl Verdict {
    pub(super) fn good(&self) -> bool {
        self.variance_factor >= 1.0 && self.more_weight_bits + self.more_margin == 0
    }
}

/// Least `max(1, max |logit|)` over all calibration inputs.
fn least_scale(logits: &[Vec<f32>]) -> f64 {
    let largest = |logits: &Vec<f32>| logits.iter().fold(1.0, |m, x| f64::from(x.abs()).max(m));
    logits.iter().map(largest).fold(f64::INFINITY, f64::min)
}

/// The variance of a logit that rounding may cause; a little less than allowed, since it is met
/// for the logits' mean.
pub(super) fn budget(logits: &[Vec<f32>]) -> f64 {
    (0.92 * ROUNDING_SHARE * least_scale(logits) / 6.0).powi(2)
}

/// `6 sigma` may be this fraction of the least logit scale.
const ROUNDING_SHARE: f64 = 0.0095;
/// Error of the deterministic reference and 4 sigma may be this fraction.
const TOTAL_SHARE: f64 = 0.016;

impl Checked {
    pub(super) fn tolerance(&self) -> f64 {
        6.0 * self.sigma + self.half_resolution
    }

    pub(super) fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            variance_factor: 1.0,
            more_weight_bits: 0,
            more_margin: 0,
            slack: 1.0,
            slack_of_rounding: 1.0,
        };
        if self.overflows > 0 {
            verdict.more_margin = 1;
        }
        let rounding = 6.0 * self.sigma / (ROUNDING_SHARE * self.least_scale);
        let total = self.relative_error + 4.0 * self.sigma / self.least_scale;
        if rounding > 1.0 {
            verdict.variance_factor = 0.9 / (rounding * rounding);
        } else if total > TOTAL_SHARE || self.agreement < 0.99 {
            verdict.more_weight_bits = 1;
            verdict.variance_factor = 0.5;
        }
        let room = (TOTAL_SHARE - self.relative_error) / (4.0 * self.sigma / self.least_scale);
        let slack = |room: f64| 0.95 * (1.0 / rounding).min(room).min(4.0).powi(2);
        (verdict.slack, verdict.slack_of_rounding) = (slack(room), slack(f64::INFINITY));
        verdict
    }
}

/// Runs of the randomised reference per input at most, and inputs at most.
const MAX_RUNS: u64 = 8;
const MAX_INPUTS: u64 = 32;

pub(super) fn evaluate(
    network: &Network,
    inputs: &[Vec<f32>],
    expected: &[Vec<f32>],
    effort: u64,
) -> Result<Checked, ModelError> {
    let architecture = network.architecture();
    let macs: u64 = architecture.nodes().iter().map(node_macs).sum();
    let passes = (effort / macs.max(1)).clamp(4, MAX_INPUTS * (MAX_RUNS + 1));
    let count = (passes / 4).clamp(1, MAX_INPUTS).min(inputs.len() as u64);
    let runs = (passes / count.max(1)).saturating_sub(1).clamp(2, MAX_RUNS);
    let before = architecture.last().input();
    let unit = f64::from(-architecture.tensor(before).scale).exp2();
    let resolution = architecture.tensor(architecture.output()).scale;
    let mut checked = Checked {
        inputs: count as usize,
        relative_error: 0.0,
        largest_logit: 0.0,
        agreement: 0.0,
        sigma: 0.0,
        least_scale: least_scale(expected),
        half_resolution: f64::from(-resolution - 1).exp2(),
        overflows: 0,
    };
    for logits in expected {
        let largest = logits.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
        checked.largest_logit = checked.largest_logit.max(largest);
    }
    let outputs = expected.first().map_or(0, Vec::len);
    let mut squares = vec![0.0f64; outputs];
    let stride = (inputs.len() / count.max(1) as usize).max(1);
    let chosen: Vec<(&Vec<f32>, &Vec<f32>)> =
        inputs.iter().zip(expected).step_by(stride).take(count as usize).collect();
    let one = |(index, (input, expected)): (usize, &(&Vec<f32>, &Vec<f32>))| {
        let encoded = fixed::encode(architecture, input)?;
        let mut seen = Seen::default();
        let mut run = |rounding| -> Result<Vec<f64>, ModelError> {
            let mut trace = fixed::trace(network, &encoded, rounding)?;
            seen.overflows += trace.overflows;
            let logits = std::mem::take(&mut trace.tensors[before]);
            Ok(logits.into_iter().map(|v| v as f64 * unit).collect())
        };
        let nearest = run(Rounding::Nearest)?;
        let mut squares = vec![0.0f64; outputs];
        for seed in 0..runs {
            let random = run(Rounding::Random(index as u64 * MAX_RUNS + seed + 1))?;
            for ((square, a), b) in squares.iter_mut().zip(&random).zip(&nearest) {
                *square += (a - b) * (a - b);
            }
        }
        let scale = expected.iter().fold(1.0f64, |m, x| m.max(f64::from(x.abs())));
        let error = nearest.iter().zip(*expected).map(|(a, b)| (a - f64::from(*b)).abs());
        seen.relative_error = error.fold(0.0, f64::max) / scale;
        seen.classes = (top_two(&nearest), top_two_f32(expected));
        seen.squares = squares;
        Ok(seen)
    };
    // Many small networks at once, or the layers of a large one.
    let seen: Vec<Seen> =
        chosen.par_iter().enumerate().map(one).collect::<Result<_, ModelError>>()?;
    let mut classes = Vec::with_capacity(seen.len());
    for seen in seen {
        checked.overflows += seen.overflows;
        checked.relative_error = checked.relative_error.max(seen.relative_error);
        squares.iter_mut().zip(&seen.squares).for_each(|(sum, square)| *sum += square);
        classes.push(seen.classes);
    }
    checked.sigma = pooled(&squares, count * runs);
    let clear = |margin: f64| margin > checked.tolerance();
    let compared = classes.iter().filter(|(_, (_, margin))| clear(*margin));
    let (same, all) = compared
        .fold((0u32, 0u32), |(same, all), ((a, _), (b, _))| (same + u32::from(a == b), all + 1));
    checked.agreement = if all == 0 { 1.0 } else { f64::from(same) / f64::from(all) };
    Ok(checked)
}

/// The largest deviation over the outputs; with few samples each is drawn towards the mean.
fn pooled(squares: &[f64], samples: u64) -> f64 {
    const PRIOR: f64 = 32.0;
    let samples = samples.max(1) as f64;
    let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64 / samples;
    let drawn = |square: &f64| (square + PRIOR * mean) / (samples + PRIOR);
    squares.iter().map(drawn).fold(0.0, f64::max).sqrt()
}

fn node_macs(node: &gazelle_share::Node) -> u64 {
    match &node.kind {
        NodeKind::Linear(op) => op.macs(),
        _ => 0,
    }
}

/// The class and its lead over the next.
fn top_two(logits: &[f64]) -> (usize, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    let mut second = f64::NEG_INFINITY;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            second = best.1;
            best = (class, *logit);
        } else {
            second = second.max(*logit);
        }
    }
    (best.0, best.1 - second)
}

fn top_two_f32(logits: &[f32]) -> (usize, f64) {
    top_two(&logits.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())
}
