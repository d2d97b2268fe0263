//! The replay attack: an honest-but-curious client asks for one image again and again and regresses
//! the last layer's weights from its own shares and the logits that it learns.
//!
//! After a hidden layer with stochastic truncation the value is `floor(y / 2^t) + [c < theta]`, where c is
//! the low t bits of the client's own share: uniform, fresh in every inference and known to it. So every
//! logit is a linear function of coins that the client knows, and least squares finds the weights.

use std::path::Path;

use gazelle::backend::{Choice, StepProtocol};
use gazelle_model::RoundingMode;
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Options, Quantised, import, quantise, samples};
use gazelle_share::{NodeKind, Step};

use crate::parties::run;
use crate::recorded::Recorded;

/// What the client holds after its replays: the dropped bits of its share of each unit before the last
/// activation, by inference, and the revealed logits, by inference.
struct View {
    dropped: Vec<Vec<u64>>,
    truncate_bits: u32,
    logits: Vec<Vec<f64>>,
}

impl View {
    /// What it was after so many replays.
    fn first(&self, count: usize) -> Self {
        Self {
            dropped: self.dropped[..count].to_vec(),
            truncate_bits: self.truncate_bits,
            logits: self.logits[..count].to_vec(),
        }
    }
}

/// The network MNIST-C, quantised.
fn network(rounding: RoundingMode) -> (Quantised, Vec<i64>) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mnist_c_chameleon/model.onnx");
    let graph = import(&std::fs::read(&path).unwrap()).unwrap();
    let calibration = samples::beside(&path, &graph, 32);
    let image = calibration[5].clone();
    let quantised = quantise(
        &graph,
        &Options { calibration, rounding, resolution: Some(10), ..Options::default() },
    )
    .unwrap();
    let input = fixed::encode(quantised.network.architecture(), &image).unwrap();
    (quantised, input)
}

/// What an honest client sees of `count` inferences of one image.
fn replays(quantised: &Quantised, input: &[i64], count: usize) -> View {
    let network = &quantised.network;
    let choice = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
    let suite = choice.suite(network.architecture().nodes().len());
    let recorded = Recorded::new(suite.nonlinear().clone());
    let run = run(&suite.with_nonlinear(recorded.clone()), network, &vec![input.to_vec(); count]);
    let steps: Vec<&Step> = network
        .architecture()
        .nodes()
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Step(step) => Some(step),
            _ => None,
        })
        .collect();
    let hidden = steps.len() - 2;
    let truncate_bits = steps[hidden].dropped_bits();
    let (client, _) = recorded.seen();
    let mask = (1 << truncate_bits) - 1;
    let dropped =
        client[hidden].iter().map(|seen| seen.input.words().iter().map(|c| c & mask).collect());
    View {
        dropped: dropped.collect(),
        truncate_bits,
        logits: run.inferences.iter().map(gazelle::Inference::logits).collect(),
    }
}

/// Estimates how each unit moves a logit, by its coin `[c < theta]`: theta is the threshold at which the
/// logit differs most, and the effect is that of least squares over all units.
fn regress(view: &View, logit: &[f64]) -> Vec<f64> {
    const BINS: usize = 64;
    let count = logit.len() as f64;
    let mean = logit.iter().sum::<f64>() / count;
    let units = view.dropped[0].len();
    let shift = view.truncate_bits.saturating_sub(6);
    let bin = |inference: usize, unit: usize| (view.dropped[inference][unit] >> shift) as usize;
    let mut columns = Vec::with_capacity(units);
    for unit in 0..units {
        let (mut sums, mut numbers) = ([0.0f64; BINS], [0.0f64; BINS]);
        for (inference, value) in logit.iter().enumerate() {
            sums[bin(inference, unit)] += value - mean;
            numbers[bin(inference, unit)] += 1.0;
        }
        let (mut best, mut threshold, mut sum, mut below) = (0.0f64, 1, 0.0, 0.0);
        for at in 0..BINS - 1 {
            sum += sums[at];
            below += numbers[at] / count;
            let score = sum.abs() / (count * below * (1.0 - below) + 1e-9).sqrt();
            if score > best {
                (best, threshold) = (score, at + 1);
            }
        }
        let coins = (0..logit.len()).map(|i| f64::from(u8::from(bin(i, unit) < threshold)));
        let coins: Vec<f64> = coins.collect();
        let share = coins.iter().sum::<f64>() / count;
        columns.push(coins.iter().map(|coin| coin - share).collect::<Vec<f64>>());
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let centred: Vec<f64> = logit.iter().map(|value| value - mean).collect();
    let right: Vec<f64> = columns.iter().map(|column| product(column, &centred)).collect();
    let normal = columns.iter().map(|a| columns.iter().map(|b| product(a, b)).collect()).collect();
    solve(normal, right)
}

/// Gaussian elimination of a positive definite system (a small ridge keeps it so).
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += 1e-6;
    }
    for i in 0..size {
        let pivot = matrix[i].clone();
        for j in i + 1..size {
            let factor = matrix[j][i] / pivot[i];
            matrix[j].iter_mut().zip(&pivot).for_each(|(a, b)| *a -= factor * b);
            right[j] -= factor * right[i];
        }
    }
    for i in (0..size).rev() {
        let known: f64 = (i + 1..size).map(|j| matrix[i][j] * right[j]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |x: &[f64], mx: f64, y: &[f64], my: f64| {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
    };
    let scale = (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt();
    if scale == 0.0 { 0.0 } else { product(a, ma, b, mb) / scale }
}

/// The best of [`correlations`].
fn recovered(quantised: &Quantised, input: &[i64], view: &View) -> f64 {
    correlations(quantised, input, view).into_iter().map(f64::abs).fold(0.0, f64::max)
}

/// By logit, the correlation of what the client estimates with the last layer's true row, over the units
/// that are active on this image (known here only to score).
fn correlations(quantised: &Quantised, input: &[i64], view: &View) -> Vec<f64> {
    let network = &quantised.network;
    let trace = fixed::trace(network, input, Rounding::Nearest).unwrap();
    let mut layers = network.layers().rev();
    let (last, weights) =
        layers.find(|(node, _)| matches!(node.kind, NodeKind::Linear(_))).unwrap();
    let units = &trace.tensors[last.input()];
    let active: Vec<usize> = (0..units.len()).filter(|unit| units[*unit] > 1).collect();
    let weights = &weights.weights;
    let mut all = Vec::new();
    for class in 0..view.logits[0].len() {
        let logit: Vec<f64> = view.logits.iter().map(|logits| logits[class]).collect();
        let estimate = regress(view, &logit);
        let estimate: Vec<f64> = active.iter().map(|unit| estimate[*unit]).collect();
        let row = &weights[class * units.len()..][..units.len()];
        let truth: Vec<f64> = active.iter().map(|unit| f64::from(row[*unit])).collect();
        let found = correlation(&estimate, &truth);
        println!("logit {class}: correlation {found:.3} over {} active units", active.len());
        all.push(found);
    }
    all
}

#[test]
fn replays_of_one_image_give_the_last_layer_under_local_rounding() {
    let (quantised, input) = network(RoundingMode::Local);
    let view = replays(&quantised, &input, 3000);
    let best = recovered(&quantised, &input, &view);
    assert!(best > 0.5, "the attack lost its grip: {best}");
    // The cap of `gazelle serve` under local rounding: single logits scatter by 0.13.
    println!("after 256 replays:");
    let capped = correlations(&quantised, &input, &view.first(256));
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (all, capped) = (mean(&correlations(&quantised, &input, &view)), mean(&capped));
    assert!(capped < 0.65 * all, "the cap lost its grip: {capped} of {all}");
}

#[test]
fn replays_of_one_image_give_nothing_under_exact_rounding() {
    let (quantised, input) = network(RoundingMode::Exact);
    let view = replays(&quantised, &input, 3000);
    let expected = fixed::run(&quantised.network, &input, Rounding::Nearest).unwrap();
    let expected = fixed::decode(quantised.network.architecture(), &expected);
    for (number, logits) in view.logits.iter().enumerate() {
        assert_eq!(*logits, expected, "replay {number}");
    }
    let best = recovered(&quantised, &input, &view);
    assert!(best < 0.1, "a client learns weights: {best}");
}
