//! The exact fixed-point reference: what the private computation gives, up to rounding.

mod intervals;

pub use intervals::unproven;

use std::ops::Range;

use gazelle_share::{
    Architecture, LinearWeights, LocalMap, Network, Node, NodeKind, Step, StepFunction, TensorId,
    TensorMap, TensorShape, plain,
};
use rayon::prelude::*;

use crate::error::ModelError;

/// How values are rounded by steps that round locally; exact ones always round to the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves up.
    Nearest,
    /// Up or down with the right probability, as the protocol does; reproducible from a seed.
    Random(u64),
}

/// Values of all tensors and how often one did not fit its width.
#[derive(Debug, Clone)]
pub struct Trace {
    /// By tensor; without guard bits.
    pub tensors: TensorMap<Vec<i64>>,
    /// Values that left their range (the protocol would wrap them).
    pub overflows: usize,
}

/// Encodes an input tensor: `round(x 2^s)`, s the scale of the channel.
///
/// # Errors
/// [`ModelError::Input`] if the number of elements is wrong, or one is not finite or does not fit
/// the input's width.
pub fn encode(architecture: &Architecture, input: &[f32]) -> Result<Vec<i64>, ModelError> {
    let tensor = architecture.input();
    if input.len() != tensor.shape.len() {
        let (expected, got) = (tensor.shape.len(), input.len());
        return Err(ModelError::Input(format!("expected {expected} elements, got {got}")));
    }
    if let Some(at) = input.iter().position(|x| !x.is_finite()) {
        return Err(ModelError::Input(format!("element {at} is not a finite number")));
    }
    let limit = f64::from(tensor.value_bits - 1).exp2();
    let plane = (tensor.shape.height * tensor.shape.width).max(1);
    let mut codes = Vec::with_capacity(input.len());
    for (channel, values) in input.chunks(plane).enumerate() {
        let factor = f64::from(architecture.input_scale(channel)).exp2();
        for x in values {
            let code = (f64::from(*x) * factor).round();
            if !(-limit..limit).contains(&code) {
                let (at, end) = (codes.len(), limit / factor);
                let why =
                    format!("element {at} lies outside what the network holds, {end} in size");
                return Err(ModelError::Input(why));
            }
            codes.push(code as i64);
        }
    }
    Ok(codes)
}

/// Decodes revealed values: `v / 2^scale` of the output tensor.
pub fn decode(architecture: &Architecture, values: &[i64]) -> Vec<f64> {
    let scale = architecture.tensor(architecture.output()).scale;
    values.iter().map(|value| *value as f64 * f64::from(-scale).exp2()).collect()
}

/// The revealed integers for one encoded input. A tensor is held until its last reader has run.
///
/// # Errors
/// [`ModelError::Input`] if the number of elements is wrong.
pub fn run(network: &Network, input: &[i64], rounding: Rounding) -> Result<Vec<i64>, ModelError> {
    let output = network.architecture().output();
    let mut trace = walk(network, input, rounding, &|id| id == output)?;
    Ok(std::mem::take(&mut trace.tensors[output]))
}

/// For one encoded input, what the last step reads: the values that are revealed, before it rounds them;
/// and how often a value did not fit its width. In as much memory as [`run`].
///
/// # Errors
/// As [`run`].
pub fn unrounded(
    network: &Network,
    input: &[i64],
    rounding: Rounding,
) -> Result<(Vec<i64>, usize), ModelError> {
    let read = network.architecture().last().input();
    let mut trace = walk(network, input, rounding, &|id| id == read)?;
    Ok((std::mem::take(&mut trace.tensors[read]), trace.overflows))
}

/// All tensors for one encoded input.
///
/// # Errors
/// As [`run`].
pub fn trace(network: &Network, input: &[i64], rounding: Rounding) -> Result<Trace, ModelError> {
    walk(network, input, rounding, &|_| true)
}

/// Evaluates node by node; of the tensors that are not to be kept only those that are still read stay.
fn walk(
    network: &Network,
    input: &[i64],
    rounding: Rounding,
    keep: &dyn Fn(TensorId) -> bool,
) -> Result<Trace, ModelError> {
    let architecture = network.architecture();
    let expected = architecture.input().shape.len();
    if input.len() != expected {
        let got = input.len();
        return Err(ModelError::Input(format!("expected {expected} elements, got {got}")));
    }
    let mut trace = Trace { tensors: architecture.per_tensor(Vec::new()), overflows: 0 };
    trace.tensors[TensorId::INPUT] = input.to_vec();
    let mut coins = Coins::new(rounding);
    let mut last_reader = architecture.per_tensor(0);
    for (index, node) in architecture.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|id| last_reader[*id] = index);
    }
    for (index, (node, weights)) in network.layers().enumerate() {
        let last = |id: &TensorId| last_reader[*id] == index && !keep(*id);
        let x = &trace.tensors[node.input()];
        let value = match &node.kind {
            NodeKind::Linear(op) => plain::apply_signed(op, weights, x),
            NodeKind::Step(step) => {
                let (value, overflows) = if coins.rounds(step) {
                    at_random(step, x, &mut coins)
                } else if last(&node.input()) {
                    nearest(step, std::mem::take(&mut trace.tensors[node.input()]))
                } else {
                    nearest(step, x.clone())
                };
                trace.overflows += overflows;
                value
            }
            NodeKind::Local(_) => moved(architecture, node, weights, &|id| &trace.tensors[id]),
        };
        trace.tensors[node.output] = value;
        for id in node.inputs.iter().filter(|id| last(id)) {
            trace.tensors[*id] = Vec::new();
        }
    }
    Ok(trace)
}

/// A local map on values, which have no guard bits below them as shares do.
fn moved<'a>(
    architecture: &Architecture,
    node: &Node,
    weights: &LinearWeights,
    of: &dyn Fn(TensorId) -> &'a [i64],
) -> Vec<i64> {
    let output = architecture.tensor(node.output);
    match &node.kind {
        NodeKind::Local(LocalMap::AddBias) => {
            let mut words = to_words(of(node.input()));
            let bias: Vec<i64> = weights.bias.iter().map(|b| b >> output.guard_bits).collect();
            gazelle_share::local::add_bias(output.shape, &bias, &mut words, 64);
            from_words(words)
        }
        NodeKind::Local(map) => {
            let shaped = |id: &TensorId| (of(*id), architecture.tensor(*id).shape);
            let inputs: Vec<(&[i64], TensorShape)> = node.inputs.iter().map(shaped).collect();
            let map = match map {
                LocalMap::Add { shifts } => {
                    let own = |(shift, id): (&u32, &TensorId)| {
                        shift + architecture.tensor(*id).guard_bits - output.guard_bits
                    };
                    &LocalMap::Add { shifts: shifts.iter().zip(&node.inputs).map(own).collect() }
                }
                map => map,
            };
            let add = |sum: i64, x: i64, shift: u32| sum.wrapping_add(x << (shift & 63));
            map.apply_with(&inputs, output.shape, add)
        }
        _ => Vec::new(),
    }
}

/// Values of a block.
const BLOCK: usize = 1 << 12;
/// Blocks that one task takes at least: less is done before another thread has woken up.
const FEWEST: usize = 16;

/// A step that rounds to the nearest, and how many values did not fit its width; in the values' own memory
/// where it can.
fn nearest(step: &Step, mut values: Vec<i64>) -> (Vec<i64>, usize) {
    let t = step.truncate_bits;
    let half = (1i64 << t) >> 1;
    let fits = fitting(step);
    let bounds = step.bounds();
    // optional: what the step does is done behind the rounding
    let (low, high) = bounds.unwrap_or((i64::MIN, i64::MAX));
    let some = |values: &mut [i64]| {
        plain::widest(|| {
            let mut overflows = 0;
            for v in values {
                let rounded = (*v + half) >> t;
                overflows += u64::from(rounded < fits.start) + u64::from(rounded >= fits.end);
                *v = rounded.max(low).min(high);
            }
            overflows
        })
    };
    let overflows: u64 = values.par_chunks_mut(BLOCK).with_min_len(FEWEST).map(some).sum();
    (if bounds.is_some() { values } else { step.apply(&values) }, overflows as usize)
}

/// The values that a step's width holds.
fn fitting(step: &Step) -> Range<i64> {
    let limit = 1i64 << (step.value_bits - 1);
    lost(step) - limit..limit
}

/// Values of a comparison without the lowest bits lie so far higher.
fn lost(step: &Step) -> i64 {
    match step.function {
        StepFunction::CoarseRelu { drop_bits } => 1i64 << drop_bits,
        _ => 0,
    }
}

/// The same, rounding up or down with the right probability.
fn at_random(step: &Step, x: &[i64], coins: &mut Coins) -> (Vec<i64>, usize) {
    let t = step.truncate_bits;
    let half = (1i64 << t) >> 1;
    let mask = (1i64 << t) - 1;
    let below = |coins: &mut Coins| match step.function {
        StepFunction::Round => half,
        _ if t == 0 => 0,
        _ => coins.next() as i64 & mask,
    };
    let v: Vec<i64> = x.iter().map(|x| (x + below(coins)) >> t).collect();
    let fits = fitting(step);
    let overflows = v.iter().filter(|v| !fits.contains(v)).count();
    let y = match step.function {
        StepFunction::CoarseRelu { .. } => step.apply(&coarse(&v, lost(step), coins)),
        StepFunction::Square { drop_bits } => {
            let mask = (1i64 << drop_bits) - 1;
            step.apply_rounded(&v, || coins.next() as i64 & mask)
        }
        _ => step.apply(&v),
    };
    (y, overflows)
}

/// What a comparison without the lowest bits keeps: v in `[0, lost)` with probability
/// `(v + 1) / lost`, which is whether the shares' dropped bits carry.
fn coarse(values: &[i64], lost: i64, coins: &mut Coins) -> Vec<i64> {
    let keep = |v: &i64| {
        let small = (0..lost).contains(v);
        if small && coins.next() as i64 & (lost - 1) > *v { 0 } else { *v }
    };
    values.iter().map(keep).collect()
}

fn to_words(values: &[i64]) -> Vec<u64> {
    values.iter().map(|value| *value as u64).collect()
}

fn from_words(words: Vec<u64>) -> Vec<i64> {
    words.into_iter().map(|word| word as i64).collect()
}

/// `SplitMix64`: rounding for a reference needs no cryptography.
struct Coins {
    state: Option<u64>,
}

impl Coins {
    fn new(rounding: Rounding) -> Self {
        match rounding {
            Rounding::Nearest => Self { state: None },
            Rounding::Random(seed) => {
                Self { state: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) }
            }
        }
    }

    /// Whether the step rounds at random.
    fn rounds(&self, step: &Step) -> bool {
        step.rounding.is_local() && self.state.is_some()
    }

    fn next(&mut self) -> u64 {
        let state = self.state.get_or_insert(0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_a_coarse_comparison_keeps_small_values_as_often_as_it_should() {
        let mut coins = Coins::new(Rounding::Random(3));
        for v in -3i64..12 {
            let runs = 20_000;
            let kept =
                coarse(&vec![v; runs], 8, &mut coins).into_iter().filter(|z| *z == v).count();
            let share = kept as f64 / runs as f64;
            let expected = if (0..8).contains(&v) { (v + 1) as f64 / 8.0 } else { 1.0 };
            // Zero stays zero either way.
            let expected = if v == 0 { 1.0 } else { expected };
            assert!((share - expected).abs() < 0.02, "{v}: {share}");
        }
    }
}
