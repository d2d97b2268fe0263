//! Units of values: every channel of every tensor is scaled by a factor of its own, so that its
//! range fills the width of the step that rounds it.
//!
//! ReLU, pools and local maps are positively homogeneous channel by channel: what they connect
//! shares one factor. Linear operators take the quotient of their output map's and input channel's
//! factor into their weights. The network computes the same function; the output keeps factor 1,
//! and so does the input, but for powers of two by channel where only linear operators read it
//! ([`input_shifts`](super::input::shifts)). Another channel's factor has two parts:
//!
//! - **between channels**, in [1, [`MOST`]]: what a channel's range lacks to the widest of its
//!   tensor, but for [`HEADROOM`], since the range of one channel is known less well than that of
//!   all. A width is chosen for a whole tensor: a channel of half the range is rounded as coarsely
//!   as one twice as wide, and a quarter of its rounding error is spared here;
//! - **between powers of two**, in [1, 2), for all channels of the tensor alike.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LinearOp, LocalMap};

use super::calibrate::Calibration;
use super::places::{Place, places};
use super::scales::{find, log2_ceil, union};
use crate::graph::{Graph, GraphNode, Op};

/// Factors tried between powers of two: `2^(j / STEPS)`.
const STEPS: i32 = 16;
/// Largest factor between channels of one tensor.
const MOST: f64 = 8.0;
/// A scaled channel's range stays this much below the widest's.
const HEADROOM: f64 = 2.0;

/// Scales the graph, and the calibration with it; the input's channels by `2^shift`.
pub(super) fn equalise(graph: &mut Graph, calibration: &mut Calibration, shifts: &[u8]) {
    let mut factors = Factors::new(graph, &calibration.ranges);
    for (factor, shift) in factors.of.iter_mut().take(1).flatten().zip(shifts) {
        *factor = f64::from(*shift).exp2();
    }
    let shapes: Vec<_> = graph.tensors.iter().map(|tensor| tensor.shape).collect();
    for node in &mut graph.nodes {
        let (input, output) = (&factors.of[node.input()], &factors.of[node.output]);
        let plane = |id: usize| (shapes[id].height * shapes[id].width).max(1);
        let planes = (plane(node.input()), plane(node.output));
        match &mut node.op {
            Op::Linear { op, weights, bias } => {
                scale_weights(op, weights, input, planes.0, output);
                let each = if bias.len() == output.len() { 1 } else { planes.1 };
                for (b, factor) in bias.chunks_mut(each).zip(output) {
                    for b in b.iter_mut() {
                        *b *= *factor as f32;
                    }
                }
            }
            Op::Affine { shift, .. } => {
                let each = if shift.len() == output.len() { 1 } else { planes.1 };
                for (shift, factor) in shift.chunks_mut(each).zip(output) {
                    for shift in shift.iter_mut() {
                        *shift *= *factor as f32;
                    }
                }
            }
            Op::Clip { low, high } => {
                let factor = output[0] as f32;
                *low *= factor;
                *high *= factor;
            }
            _ => {}
        }
    }
    for (id, ranges) in calibration.ranges.iter_mut().enumerate() {
        let of = &factors.of[id];
        ranges.iter_mut().zip(of).for_each(|(range, factor)| *range *= factor);
        calibration.sensitivity.rescale(id, of);
    }
}

fn scale_weights(op: &LinearOp, weights: &mut [f32], input: &[f64], plane: usize, output: &[f64]) {
    // Weights per input channel, and input channels that one output map reads.
    let (each, reads, per_group) = match op {
        LinearOp::Conv(conv) => {
            let in_group = conv.input.channels / conv.groups;
            (conv.kernel[0] * conv.kernel[1], in_group, conv.maps / conv.groups)
        }
        LinearOp::FullyConnected { outputs, .. } => (plane, input.len(), *outputs),
    };
    for (map, (row, to)) in weights.chunks_mut((reads * each).max(1)).zip(output).enumerate() {
        let first = map / per_group.max(1) * reads;
        for (kernel, from) in row.chunks_mut(each.max(1)).zip(input.iter().skip(first)) {
            let quotient = (to / from) as f32;
            for w in kernel.iter_mut() {
                *w *= quotient;
            }
        }
    }
}

/// Per tensor and channel.
struct Factors {
    of: Vec<Vec<f64>>,
}

impl Factors {
    fn new(graph: &Graph, ranges: &[Vec<f64>]) -> Self {
        let rounded = places(graph);
        let mut of = between_channels(graph, ranges, &rounded);
        let widest: Vec<f64> = ranges
            .iter()
            .zip(&of)
            .map(|(ranges, of)| ranges.iter().zip(of).fold(0.0, |m, (r, f)| f64::max(m, r * f)))
            .collect();
        for (of, factor) in of.iter_mut().zip(between_powers(graph, &widest, &rounded)) {
            for of in of.iter_mut() {
                *of *= factor;
            }
        }
        Self { of }
    }
}

/// Whether an operation keeps each channel apart and commutes with positive factors on it (an affine
/// map of factor one, all that lowering leaves, with its summands scaled).
fn homogeneous(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu
            | Op::Clip { .. }
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Local(_)
            | Op::Affine { .. }
    )
}

fn between_channels(graph: &Graph, ranges: &[Vec<f64>], rounded: &[Place]) -> Vec<Vec<f64>> {
    let channels: Vec<usize> = graph.tensors.iter().map(|tensor| tensor.shape.channels).collect();
    let bases: Vec<usize> = channels
        .iter()
        .scan(0, |sum, count| {
            let base = *sum;
            *sum += count;
            Some(base)
        })
        .collect();
    let base = |id: usize| bases[id];
    let count = |id: usize| channels[id];
    let total = channels.iter().sum();
    let mut classes: Vec<usize> = (0..total).collect();
    for node in &graph.nodes {
        join_channels(graph, node, &mut classes, &base);
    }
    let mut factors = vec![MOST; total];
    let cap = |factors: &mut Vec<f64>, class: usize, factor: f64| {
        factors[class] = factors[class].min(factor);
    };
    let mut seen = vec![false; total];
    for place in rounded {
        let own = &ranges[place.rounded];
        let widest = own.iter().copied().fold(0.0, f64::max);
        for (channel, range) in own.iter().enumerate().filter(|(_, range)| **range > 0.0) {
            let class = find(&mut classes, base(place.rounded) + channel);
            cap(&mut factors, class, (widest / (HEADROOM * range)).max(1.0));
            seen[class] = true;
        }
    }
    for id in frozen(graph) {
        for channel in 0..count(id) {
            let class = find(&mut classes, base(id) + channel);
            cap(&mut factors, class, 1.0);
        }
    }
    let mut factor = |id: usize| {
        let class = find(&mut classes, id);
        if seen[class] { factors[class] } else { 1.0 }
    };
    (0..channels.len())
        .map(|id| (base(id)..base(id) + count(id)).map(&mut factor).collect())
        .collect()
}

/// Joins the channels that a node connects.
fn join_channels(
    graph: &Graph,
    node: &GraphNode,
    classes: &mut [usize],
    base: &impl Fn(usize) -> usize,
) {
    if !homogeneous(&node.op) {
        return;
    }
    let output = graph.shape(node.output);
    match &node.op {
        Op::Local(LocalMap::Concat) => {
            let mut to = base(node.output);
            for id in &node.inputs {
                for channel in 0..graph.shape(*id).channels {
                    union(classes, base(*id) + channel, to);
                    to += 1;
                }
            }
        }
        Op::Local(map) if !matches!(map, LocalMap::Add { .. } | LocalMap::SumPool(_)) => {
            let input = node.input();
            let shape = graph.shape(input);
            let plane = (shape.height * shape.width).max(1);
            // One more than the channel of each element; 0 is padding.
            let from: Vec<usize> = (0..shape.len()).map(|at| at / plane + 1).collect();
            let from = map.apply_with(&[(&from, shape)], output, |sum, x, _| sum + x);
            let plane = (output.height * output.width).max(1);
            for (at, from) in from.iter().enumerate().filter(|(_, from)| **from > 0) {
                union(classes, base(input) + from - 1, base(node.output) + at / plane);
            }
        }
        op => {
            for id in &node.inputs {
                for channel in 0..output.channels {
                    union(classes, base(*id) + channel, base(node.output) + channel);
                }
            }
            // One upper end for all.
            if matches!(op, Op::Clip { .. }) {
                for channel in 1..output.channels {
                    union(classes, base(node.output), base(node.output) + channel);
                }
            }
        }
    }
}

/// Tensors that keep their units.
fn frozen(graph: &Graph) -> Vec<usize> {
    let mut frozen = vec![0, graph.output];
    for node in &graph.nodes {
        if !homogeneous(&node.op) && !matches!(node.op, Op::Linear { .. }) {
            frozen.push(node.output);
            frozen.extend(&node.inputs);
        }
    }
    frozen
}

/// One factor per tensor; `ranges` per tensor.
fn between_powers(graph: &Graph, ranges: &[f64], places: &[Place]) -> Vec<f64> {
    let mut classes: Vec<usize> = (0..graph.tensors.len()).collect();
    for node in graph.nodes.iter().filter(|node| homogeneous(&node.op)) {
        for id in &node.inputs {
            union(&mut classes, *id, node.output);
        }
    }
    let frozen: Vec<usize> = frozen(graph).into_iter().map(|id| find(&mut classes, id)).collect();
    // Per class: (range, cost of a bit) of the values that are rounded.
    let mut rounded: Vec<Vec<(f64, f64)>> = vec![Vec::new(); graph.tensors.len()];
    for place in places {
        let range = ranges[place.rounded];
        let class = find(&mut classes, place.rounded);
        if range > 0.0 {
            rounded[class].push((range, place.cost));
        }
    }
    (0..graph.tensors.len())
        .map(|id| {
            let class = find(&mut classes, id);
            if frozen.contains(&class) { 1.0 } else { best(&rounded[class]) }
        })
        .collect()
}

/// The factor that wastes the fewest bits.
fn best(rounded: &[(f64, f64)]) -> f64 {
    let waste = |exponent: f64| -> f64 {
        let factor = exponent.exp2();
        let bits = |range: f64| f64::from(log2_ceil(range * factor)) - exponent;
        rounded.iter().map(|(range, cost)| cost * bits(*range)).sum()
    };
    let exponents = (0..STEPS).map(|j| f64::from(j) / f64::from(STEPS));
    let better = |a: f64, b: f64| if waste(b) < waste(a) { b } else { a };
    exponents.fold(0.0, better).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_a_range_just_above_a_power_of_two_is_stretched_to_the_next() {
        // 1.05 needs two bits' worth of range; 1.9 times it needs no more.
        let factor = best(&[(1.05, 10.0)]);
        assert!(factor * 1.05 <= 2.0 && factor * 1.05 > 1.9, "{factor}");
        assert!((best(&[]) - 1.0).abs() < 1e-9);
        // The larger tensor decides.
        let factor = best(&[(1.05, 1.0), (1.9, 1000.0)]);
        assert!(factor * 1.9 <= 2.0, "{factor}");
    }
}
