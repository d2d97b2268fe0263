//! Fraction bits of each linear layer's weights, relative to the other layers'.
//!
//! Weights rounded at `2^-f` put a variance of `4^-f / 12 sum_m G_m |x_m|^2` into a logit, to first order
//! and without what the errors at different positions have in common: `G_m` is the squared gradient at
//! the outputs of map m, `|x_m|^2` that of the inputs which one of them reads. Another bit divides it by 4
//! and costs traffic in proportion to the layer's outputs, which have a bit more to drop. For a given sum
//! of variances the cost is least where each variance is in proportion to its cost:
//! `f = constant + 1/2 log2(variance at f = 0 / cost)`. The search finds the constant.

#![expect(clippy::indexing_slicing, reason = "shapes were checked when the graph was made")]

use gazelle_share::LinearOp;

use super::sensitivity::Sensitivity;
use crate::graph::{Graph, Op};

/// A layer is at most so many bits away from the mean: the model is one of first order.
const MOST: f64 = 3.0;

/// Where the search for weights' fraction bits begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fractions<'a> {
    /// Of weights of about 0.3, or on the mean over the layers.
    pub(super) bits: u32,
    /// What layers get beyond; by each layer's norm if there is nothing.
    pub(super) offsets: Option<&'a [i32]>,
    /// Of a logit, that the values' rounding was allowed where another search ended: this one goes on
    /// from there, and ends where that is too much.
    pub(super) variance: Option<f64>,
}

impl Fractions<'_> {
    pub(super) fn by_norm(bits: u32) -> Self {
        Self { bits, offsets: None, variance: None }
    }
}

/// Per tensor that a linear layer writes, how many bits its weights get beyond the mean over all outputs
/// of all layers; 0 for all other tensors.
pub(super) fn offsets(graph: &Graph, sensitivity: &Sensitivity) -> Vec<i32> {
    let mut wanted = vec![None; graph.tensors.len()];
    let (mut sum, mut weight) = (0.0, 0.0);
    for node in &graph.nodes {
        let (Op::Linear { op, .. }, Some(input)) = (&node.op, node.inputs.first()) else {
            continue;
        };
        let cost = op.output_shape().len() as f64;
        let variance = variance(op, *input, node.output, sensitivity);
        if variance <= 0.0 || !variance.is_finite() {
            continue;
        }
        let bits = 0.5 * (variance / cost).log2();
        sum += cost * bits;
        weight += cost;
        if let Some(slot) = wanted.get_mut(node.output) {
            *slot = Some(bits);
        }
    }
    let offset = |bits: Option<f64>| match bits {
        Some(bits) if weight > 0.0 => (bits - sum / weight).clamp(-MOST, MOST).round() as i32,
        _ => 0,
    };
    wanted.into_iter().map(offset).collect()
}

/// What layers were found to get beyond `bits`, by tensor that a layer writes.
pub(super) fn found(graph: &Graph, weight_bits: &[(String, i32)], bits: u32) -> Vec<i32> {
    let mut offsets = vec![0; graph.tensors.len()];
    for node in &graph.nodes {
        let found = weight_bits.iter().find(|(name, _)| *name == node.name);
        if let (Op::Linear { .. }, Some((_, found))) = (&node.op, found) {
            offsets[node.output] = found - bits as i32;
        }
    }
    offsets
}

/// The tensors that layers write, those with the most elements first.
pub(super) fn by_cost(graph: &Graph) -> Vec<usize> {
    let layers = graph.nodes.iter().filter(|node| matches!(node.op, Op::Linear { .. }));
    let mut written: Vec<usize> = layers.map(|node| node.output).collect();
    written.sort_by_key(|tensor| std::cmp::Reverse(graph.shape(*tensor).len()));
    written
}

/// `sum_m G_m |x_m|^2`.
fn variance(op: &LinearOp, input: usize, output: usize, sensitivity: &Sensitivity) -> f64 {
    let (gains, squares) = (sensitivity.gains(output), sensitivity.squares(input));
    match op {
        LinearOp::FullyConnected { .. } => gains.iter().sum::<f64>() * squares.iter().sum::<f64>(),
        LinearOp::Conv(conv) => {
            let plane = (conv.input.height * conv.input.width).max(1) as f64;
            let taps = (conv.kernel[0] * conv.kernel[1]) as f64;
            let groups = conv.groups.max(1);
            let of_group = squares.chunks((squares.len() / groups).max(1));
            let read = of_group.map(|squares| squares.iter().sum::<f64>() * taps / plane);
            let maps = gains.chunks((gains.len() / groups).max(1));
            maps.zip(read).map(|(gains, read)| gains.iter().sum::<f64>() * read).sum()
        }
    }
}
