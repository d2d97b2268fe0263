//! How far a fixed-point network is from the f32 reference, and how much rounding moves it.

use gazelle_share::Network;
use rayon::prelude::*;

use super::left_out::LeftOut;
use crate::error::ModelError;
use crate::fixed::{self, Rounding};

/// What was measured over the inputs checked.
pub(super) struct Checked {
    pub(super) inputs: usize,
    pub(super) relative_error: f64,
    pub(super) largest_logit: f64,
    pub(super) agreement: f64,
    /// Largest distance of a logit from the f32 reference when values are rounded to the nearest.
    error: f64,
    sigma: f64,
    /// Largest distance that rounding at random moved a logit.
    moved: f64,
    /// Whether the network has no coins.
    exact: bool,
    /// What errors are measured by: see [`scale`].
    scale: f64,
    /// What rounding for the reveal adds at most.
    reveal_error: f64,
    overflows: usize,
    /// Rounding of the file that the network leaves out.
    pub(super) left_out: LeftOut,
}

/// What one input showed.
#[derive(Default)]
struct Seen {
    squares: Vec<f64>,
    moved: f64,
    error: f64,
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

/// What errors are measured by: `max |logit|` of the calibration input where that is least. But no
/// less than a quarter of the largest, since a value near 0 is an answer like another, and no less
/// than some steps of the resolution, below which nothing is told.
pub(super) fn scale(logits: &[Vec<f32>], resolution: i32) -> f64 {
    let least = logits.iter().map(|logits| largest(logits)).fold(f64::INFINITY, f64::min);
    let most = logits.iter().map(|logits| largest(logits)).fold(0.0, f64::max);
    least.min(most).max(most / 4.0).max(f64::from(STEPS_TOLD - resolution).exp2())
}

/// `max |logit|`.
fn largest(logits: &[f32]) -> f64 {
    logits.iter().fold(0.0, |m, x| f64::from(x.abs()).max(m))
}

/// The variance of a logit that rounding may cause, for logits of a [`scale`]; a little less than
/// allowed, since it is met for the logits' mean.
pub(super) fn budget(scale: f64) -> f64 {
    (0.92 * ROUNDING_SHARE * scale / 6.0).powi(2)
}

/// Log of the steps of the resolution that an error is measured by at least.
const STEPS_TOLD: i32 = 4;

/// `6 sigma` may be this fraction of the logits' scale.
const ROUNDING_SHARE: f64 = 0.0095;
/// Error of the deterministic reference and 4 sigma may be this fraction.
const TOTAL_SHARE: f64 = 0.016;
/// Error of an exact network's reference, which has no coins, may be this fraction.
const EXACT_SHARE: f64 = 0.012;
/// The same of the least logits' scale, for the largest error of all.
const EXACT_LEAST: f64 = 0.012;

impl Checked {
    /// What the private logits may be away from the f32 network's, in two digits, rounded up: 6
    /// sigma of what rounding at random moves them (or twice the largest move seen: a coarse
    /// comparison loses much, but rarely, and coins move the square of a large value further), the largest distance of the fixed-point reference
    /// that the inputs checked showed and half as much again, half the resolution.
    pub(super) fn tolerance(&self) -> f64 {
        let error = self.error + self.left_out.distance;
        let coins = (6.0 * self.sigma).max(2.0 * self.moved);
        round_up(coins + UNSEEN * error + self.reveal_error)
    }

    /// Of a network without coins: all that counts is how far the reference is from f32, for each
    /// input by its own logits, and for all by the least (the tolerance is one for all).
    fn exact_verdict(&self, mut verdict: Verdict) -> Verdict {
        let own = self.relative_error / self.left_out.rest(EXACT_SHARE);
        let share = own.max(self.error / self.scale / self.left_out.rest(EXACT_LEAST));
        if share > 1.0 || self.agreement < 0.99 {
            // Half by values, half by weights.
            verdict.more_weight_bits = share.log2().ceil().clamp(1.0, 4.0) as u32;
            verdict.variance_factor = 0.5;
        }
        verdict.slack = (0.85 / share).min(3.0).powi(2);
        verdict.slack_of_rounding = verdict.slack;
        verdict
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
        if self.exact {
            return self.exact_verdict(verdict);
        }
        let rounding = 6.0 * self.sigma / (ROUNDING_SHARE * self.scale);
        let total = self.relative_error + 4.0 * self.sigma / self.scale;
        if rounding > 1.0 {
            verdict.variance_factor = 0.9 / (rounding * rounding);
        } else if total > self.left_out.rest(TOTAL_SHARE) || self.agreement < 0.99 {
            // Each bit halves what the weights add.
            let excess = self.relative_error / (TOTAL_SHARE / 2.0);
            verdict.more_weight_bits = excess.log2().ceil().clamp(1.0, 4.0) as u32;
            verdict.variance_factor = 0.5;
        }
        let room = (TOTAL_SHARE - self.relative_error) / (4.0 * self.sigma / self.scale);
        let slack = |room: f64| 0.95 * (1.0 / rounding).min(room).min(4.0).powi(2);
        (verdict.slack, verdict.slack_of_rounding) = (slack(room), slack(f64::INFINITY));
        verdict
    }
}

/// Inputs that were not checked may lie so much further from the f32 network.
const UNSEEN: f64 = 1.5;

/// To two significant digits, upwards.
fn round_up(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return x;
    }
    let digits = 1 - x.log10().floor() as i32;
    // Powers of ten that are whole, so that the result prints as two digits.
    let unit = 10f64.powi(digits.abs());
    if digits < 0 { (x / unit - 1e-9).ceil() * unit } else { (x * unit - 1e-9).ceil() / unit }
}

/// Runs of the randomised reference per input at most, and inputs at most.
const MAX_RUNS: u64 = 8;
const MAX_INPUTS: u64 = 32;

/// What a network is checked on.
pub(super) struct CheckedInputs {
    /// Numbers of the inputs, spread over all.
    pub(super) inputs: Vec<usize>,
    /// Runs of the network that are affordable.
    passes: u64,
}

impl CheckedInputs {
    /// - `macs`: of one run;
    /// - `effort`: multiply-adds altogether;
    /// - `inputs`: how many there are.
    pub(super) fn new(macs: u64, effort: u64, inputs: usize) -> Self {
        let passes = (effort / macs.max(1)).clamp(4, MAX_INPUTS * (MAX_RUNS + 1));
        let count = (passes / 4).clamp(1, MAX_INPUTS).min(inputs as u64) as usize;
        let stride = (inputs / count.max(1)).max(1);
        Self { inputs: (0..inputs).step_by(stride).take(count).collect(), passes }
    }
}

/// Runs a network on the inputs that it is checked on.
///
/// - `expected`: the logits of all inputs.
pub(super) fn evaluate(
    network: &Network,
    inputs: &[Vec<f32>],
    expected: &[Vec<f32>],
    scale: f64,
    checks: &CheckedInputs,
) -> Result<Checked, ModelError> {
    let architecture = network.architecture();
    let count = checks.inputs.len() as u64;
    let coins = u64::from(!architecture.is_exact());
    let runs = coins * (checks.passes / count.max(1)).saturating_sub(1).clamp(2, MAX_RUNS);
    let before = architecture.last().input();
    let unit = f64::from(-architecture.tensor(before).scale).exp2();
    let resolution = architecture.tensor(architecture.output()).scale;
    let mut checked = Checked {
        inputs: count as usize,
        relative_error: 0.0,
        largest_logit: 0.0,
        agreement: 0.0,
        error: 0.0,
        sigma: 0.0,
        moved: 0.0,
        exact: architecture.is_exact(),
        scale,
        // The server rounds up or down at random where the network rounds locally.
        reveal_error: f64::from(-resolution - i32::from(architecture.is_exact())).exp2(),
        overflows: 0,
        left_out: LeftOut::default(),
    };
    checked.largest_logit = expected.iter().map(|logits| largest(logits)).fold(0.0, f64::max);
    // optional: without inputs nothing is compared
    let outputs = expected.first().map_or(0, Vec::len);
    let mut squares = vec![0.0f64; outputs];
    let chosen = checks.inputs.iter().filter_map(|at| inputs.get(*at).zip(expected.get(*at)));
    let chosen: Vec<(&Vec<f32>, &Vec<f32>)> = chosen.collect();
    let one = |(index, (input, expected)): (usize, &(&Vec<f32>, &Vec<f32>))| {
        let encoded = fixed::encode(architecture, input)?;
        let mut seen = Seen::default();
        let mut run = |rounding| -> Result<Vec<f64>, ModelError> {
            let (logits, overflows) = fixed::unrounded(network, &encoded, rounding)?;
            seen.overflows += overflows;
            Ok(logits.into_iter().map(|v| v as f64 * unit).collect())
        };
        let nearest = run(Rounding::Nearest)?;
        let (mut squares, mut moved) = (vec![0.0f64; outputs], 0.0f64);
        for seed in 0..runs {
            let random = run(Rounding::Random(index as u64 * MAX_RUNS + seed + 1))?;
            for ((square, a), b) in squares.iter_mut().zip(&random).zip(&nearest) {
                *square += (a - b) * (a - b);
                moved = moved.max((a - b).abs());
            }
        }
        let error = nearest.iter().zip(*expected).map(|(a, b)| (a - f64::from(*b)).abs());
        seen.error = error.fold(0.0, f64::max);
        seen.relative_error = seen.error / largest(expected).max(scale);
        seen.classes = (top_two(&nearest), top_two_f32(expected));
        (seen.squares, seen.moved) = (squares, moved);
        Ok(seen)
    };
    // Many small networks at once, or the layers of a large one.
    let seen: Vec<Seen> =
        chosen.par_iter().enumerate().map(one).collect::<Result<_, ModelError>>()?;
    let mut classes = Vec::with_capacity(seen.len());
    for seen in seen {
        checked.overflows += seen.overflows;
        checked.error = checked.error.max(seen.error);
        checked.moved = checked.moved.max(seen.moved);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_two_digits_upwards() {
        for (x, rounded) in
            [(0.1231, 0.13), (0.12, 0.12), (99.1, 100.0), (1234.0, 1300.0), (0.0, 0.0)]
        {
            assert_eq!(round_up(x).to_string(), f64::to_string(&rounded));
        }
        assert!((round_up(3.41e-7) - 3.5e-7).abs() < 1e-15);
    }

    #[test]
    fn properties_errors_are_measured_by_logits_of_any_size() {
        let logits = |size: f32| vec![vec![size, 0.0], vec![-size / 2.0, 0.0], vec![0.0, 0.0]];
        assert!((scale(&logits(1e-4), 40) - 2.5e-5).abs() < 1e-9);
        assert!((scale(&logits(4e6), 0) - 1e6).abs() < 1.0);
        // Nothing but zeros: what counts is the resolution.
        assert!((scale(&logits(0.0), 10) - 1.0 / 64.0).abs() < 1e-9);
    }
}
