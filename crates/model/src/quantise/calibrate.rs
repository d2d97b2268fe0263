//! Calibration inputs and the ranges they give.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Options;
use super::sensitivity::{Sensitivity, Squares};
use crate::error::ModelError;
use crate::float;
use crate::graph::Graph;
use crate::range::InputRange;

/// Where the calibration inputs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CalibrationSource {
    /// The caller gave real inputs.
    Given,
    /// Smoothed random images over the input's range: ranges get two more spare bits.
    Synthetic,
    /// Interval bounds over the input's range: nothing to spare is needed.
    Bounds,
}

impl CalibrationSource {
    /// Spare bits above the largest value seen.
    pub(super) fn margin(self, inputs: usize, varied: usize) -> u32 {
        match self {
            Self::Bounds => 0,
            Self::Given if inputs >= FEW || inputs + varied >= VARIED => 1,
            Self::Given => 2,
            Self::Synthetic => 3,
        }
    }
}

/// Fewer inputs than these leave one bit more to spare, unless variants of them fill in.
const FEW: usize = 8;
/// Inputs and their variants that serve as well as that many inputs do alone.
const VARIED: usize = 16;
/// Inputs made up where none are given.
const SYNTHETIC: usize = 32;
/// Multiply-adds spent on made-up inputs at most.
const SYNTHETIC_MACS: u64 = 20_000_000_000;
/// The same of given inputs and their variants, which save a bit of every value: enough for 16 passes over
/// networks such as ResNet-50.
const VARIANT_MACS: u64 = 70_000_000_000;

/// The caller's inputs, or made-up ones.
pub(super) fn inputs(graph: &Graph, options: &Options) -> (Vec<Vec<f32>>, CalibrationSource) {
    if !options.calibration.is_empty() {
        return (options.calibration.clone(), CalibrationSource::Given);
    }
    let affordable = SYNTHETIC_MACS / graph.macs().max(1);
    let count = affordable.clamp(4, SYNTHETIC as u64) as usize;
    let one = |index| synthetic(graph, &options.input_range, index as u64);
    ((0..count).into_par_iter().map(one).collect(), CalibrationSource::Synthetic)
}

/// A random image, smoothed over squares whose size differs from image to image, stretched over
/// the whole range; every fourth is noise alone.
fn synthetic(graph: &Graph, range: &InputRange, seed: u64) -> Vec<f32> {
    let shape = graph.input_shape();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let cell = match seed % 4 {
        0 => 1,
        1 => 3,
        2 => (shape.height / 4).max(1),
        _ => (shape.height / 2).max(1),
    };
    let (rows, columns) = (shape.height / cell + 2, shape.width / cell + 2);
    let mut values = Vec::with_capacity(shape.len());
    for channel in 0..shape.channels {
        let (low, high) = range.of(channel);
        let grid: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
        let at = |y: usize, x: usize| grid[y * columns + x];
        for y in 0..shape.height {
            for x in 0..shape.width {
                let (gy, gx) = (y / cell, x / cell);
                let (fy, fx) = ((y % cell) as f32 / cell as f32, (x % cell) as f32 / cell as f32);
                let top = at(gy, gx) * (1.0 - fx) + at(gy, gx + 1) * fx;
                let bottom = at(gy + 1, gx) * (1.0 - fx) + at(gy + 1, gx + 1) * fx;
                values.push(low + (high - low) * (top * (1.0 - fy) + bottom * fy));
            }
        }
    }
    values
}

/// Variants of few given images, for ranges alone: mirrored, negative, and of twice the contrast
/// (clipped to the range).
pub(super) fn variants(
    graph: &Graph,
    inputs: &[Vec<f32>],
    declared: &InputRange,
    options: &Options,
) -> Vec<Vec<f32>> {
    let shape = graph.input_shape();
    let affordable = VARIANT_MACS / graph.macs().max(1);
    let given = !options.calibration.is_empty() && !options.guaranteed;
    if !given || inputs.len() >= FEW || affordable < 4 * inputs.len() as u64 || shape.width < 2 {
        return Vec::new();
    }
    let (low, high) = declared.widest();
    let middle = f32::midpoint(low, high);
    let mut variants = Vec::with_capacity(3 * inputs.len());
    for input in inputs {
        let rows = input.chunks(shape.width);
        variants.push(rows.flat_map(|row| row.iter().rev().copied()).collect());
        variants.push(input.iter().map(|x| (low + high - x).clamp(low, high)).collect());
        let stretched = |x: &f32| (middle + 2.0 * (x - middle)).clamp(low, high);
        variants.push(input.iter().map(stretched).collect());
    }
    variants
}

/// Given inputs, stretched channel by channel to fill a declared range that is wider by more than
/// what ranges have to spare anyhow: for ranges alone.
pub(super) fn stretched(
    graph: &Graph,
    inputs: &[Vec<f32>],
    declared: &InputRange,
    options: &Options,
) -> Vec<Vec<f32>> {
    let shape = graph.input_shape();
    let plane = (shape.height * shape.width).max(1);
    let Some(seen) = InputRange::observed(inputs, shape) else { return Vec::new() };
    // By channel: `x -> start + factor (x - from)`.
    let stretch = |channel: usize| {
        let ((low, high), (from, to)) = (declared.of(channel), seen.of(channel));
        let factor = (high - low) / (to - from);
        (low, if factor.is_finite() { factor } else { 1.0 }, from)
    };
    let wider = (0..shape.channels).any(|channel| stretch(channel).1 > STRETCHED);
    if options.calibration.is_empty() || options.guaranteed || !wider {
        return Vec::new();
    }
    let stretched = |input: &Vec<f32>| {
        let values = input.iter().enumerate();
        let values = values.map(|(at, x)| {
            let (low, factor, from) = stretch(at / plane);
            low + factor * (x - from)
        });
        values.collect()
    };
    inputs.iter().map(stretched).collect()
}

/// A declared range is wider than what was seen from this factor on.
const STRETCHED: f32 = 1.5;

/// What the calibration inputs tell.
pub(super) struct Calibration {
    /// Largest absolute value of each channel of each tensor of the lowered graph.
    pub(super) ranges: Vec<Vec<f64>>,
    /// Per input: the file's of those that something is compared on, else the graph's.
    pub(super) logits: Vec<Vec<f32>>,
    pub(super) sensitivity: Sensitivity,
}

impl Calibration {
    /// Widens the ranges by what more inputs show.
    pub(super) fn widen(&mut self, graph: &Graph, inputs: &[Vec<f32>]) -> Result<(), ModelError> {
        let seen = each(graph, inputs, |input| {
            let mut ranges = Ranges::new(graph);
            float::visit(graph, input, |id, values| ranges.see(id, values))?;
            Ok(ranges)
        })?;
        for seen in seen {
            seen.widen(&mut self.ranges);
        }
        Ok(())
    }
}

/// What each input gives, some inputs at the same time.
///
/// # Errors
/// The first input's that fails.
pub(super) fn each<I: Sync, T: Send>(
    graph: &Graph,
    inputs: &[I],
    give: impl Fn(&I) -> Result<T, ModelError> + Sync,
) -> Result<Vec<T>, ModelError> {
    let mut given = Vec::with_capacity(inputs.len());
    for inputs in inputs.chunks(float::together(graph)) {
        let some: Vec<Result<T, ModelError>> = inputs.par_iter().map(&give).collect();
        for one in some {
            given.push(one?);
        }
    }
    Ok(given)
}

/// What one input showed.
struct Shown {
    ranges: Ranges,
    squares: Vec<Squares>,
    logits: Vec<f32>,
}

/// Runs the lowered graph on all inputs, forwards, and backwards on as many as `effort` allows.
pub(super) fn run(
    graph: &Graph,
    inputs: &[Vec<f32>],
    effort: u64,
) -> Result<Calibration, ModelError> {
    let Ranges(mut widest) = Ranges::new(graph);
    let mut logits = Vec::with_capacity(inputs.len());
    let mut sensitivity = Sensitivity::new(graph);
    let count = (effort / (2 * graph.macs().max(1))).clamp(2, 32) as usize;
    let per_input = count.div_ceil(inputs.len().max(1));
    let one = |(input, probes): &(&Vec<f32>, Vec<Vec<f32>>)| {
        let mut ranges = Ranges::new(graph);
        let (logits, trace) = if probes.is_empty() {
            let logits = float::visit(graph, input, |id, values| ranges.see(id, values))?;
            (logits, Vec::new())
        } else {
            // What walks back needs all tensors.
            let trace = float::trace(graph, input)?;
            trace.iter().enumerate().for_each(|(id, values)| ranges.see(id, values));
            (trace[graph.output].clone(), trace)
        };
        let infinite = |ranges: &Vec<f64>| ranges.iter().any(|range| !range.is_finite());
        if let Some(at) = ranges.0.iter().position(infinite) {
            let name = &graph.tensors[at].name;
            return Err(ModelError::Quantise(format!("tensor {name:?} is not finite")));
        }
        let squares = probes.iter().map(|probe| Squares::of(graph, &trace, probe)).collect();
        Ok(Shown { ranges, squares, logits })
    };
    let together = float::together(graph);
    for (chunk, inputs) in inputs.chunks(together).enumerate() {
        // With probes for the first ones.
        let mut probed = Vec::with_capacity(inputs.len());
        for (index, input) in (chunk * together..).zip(inputs) {
            let own = if index * per_input < count { per_input } else { 0 };
            let probes: Vec<Vec<f32>> = (0..own).map(|_| sensitivity.probe(graph)).collect();
            probed.push((input, probes));
        }
        for seen in each(graph, &probed, one)? {
            seen.ranges.widen(&mut widest);
            seen.squares.iter().for_each(|squares| sensitivity.add(squares));
            logits.push(seen.logits);
        }
    }
    Ok(Calibration { ranges: widest, logits, sensitivity })
}

/// The largest absolute value of each channel of each tensor, for one input.
struct Ranges(Vec<Vec<f64>>);

impl Ranges {
    fn new(graph: &Graph) -> Self {
        Self(graph.tensors.iter().map(|tensor| vec![0.0; tensor.shape.channels]).collect())
    }

    fn see(&mut self, id: usize, values: &[f32]) {
        let ranges = &mut self.0[id];
        let plane = (values.len() / ranges.len().max(1)).max(1);
        for (range, values) in ranges.iter_mut().zip(values.chunks(plane)) {
            *range = f64::from(float::largest(values));
        }
    }

    fn widen(&self, widest: &mut [Vec<f64>]) {
        let channels = widest.iter_mut().flatten().zip(self.0.iter().flatten());
        channels.for_each(|(range, seen)| *range = range.max(*seen));
    }
}
