//! Interval bounds: ranges that no input within the input range can leave.
//!
//! Each tensor has a centre c and a radius r per element; a linear operator gives `W c + bias` and
//! `|W| r`. Safe and wide: every layer loses bits compared with ranges seen on real inputs.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LocalMap, TensorShape, plain};

use crate::float::{add_bias, each_channel};
use crate::graph::{Graph, GraphNode, GraphTensor, Op};
use crate::range::InputRange;

/// Lower and upper ends per element.
#[derive(Clone, Default)]
struct Interval {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Interval {
    fn map(&self, act: impl Fn(f32) -> f32) -> Self {
        let low = self.low.iter().map(|x| act(*x)).collect();
        Self { low, high: self.high.iter().map(|x| act(*x)).collect() }
    }
}

/// Widens the range of a sum that is much smaller than its addends: values that cancel leave the
/// addends' rounding errors behind, which must fit as well.
pub(super) fn hold_errors_of_addends(graph: &Graph, ranges: &mut [f64]) {
    /// Of the largest addend: more than what values of 8 bits with a margin are rounded by.
    const SHARE: f64 = 1.0 / 32.0;
    for node in &graph.nodes {
        if !matches!(node.op, Op::Local(LocalMap::Add { .. })) {
            continue;
        }
        let addends = node.inputs.iter().filter_map(|id| ranges.get(*id)).copied();
        let largest = addends.fold(0.0, f64::max);
        if let Some(range) = ranges.get_mut(node.output) {
            *range = range.max(largest * SHARE);
        }
    }
}

/// Largest absolute value of each channel of each tensor, for all inputs of a range.
pub(super) fn ranges(graph: &Graph, inputs: &InputRange) -> Vec<Vec<f64>> {
    let mut tensors: Vec<Interval> = vec![Interval::default(); graph.tensors.len()];
    let shape = graph.input_shape();
    let plane = (shape.height * shape.width).max(1);
    let ends = || (0..shape.len()).map(|at| inputs.of(at / plane));
    tensors[0] = Interval {
        low: ends().map(|(low, _)| low).collect(),
        high: ends().map(|(_, high)| high).collect(),
    };
    for node in &graph.nodes {
        tensors[node.output] = evaluate(graph, node, &tensors);
    }
    let largest = |(x, tensor): (&Interval, &GraphTensor)| {
        let plane = tensor.shape.height * tensor.shape.width;
        let channels = x.low.chunks(plane).zip(x.high.chunks(plane));
        channels
            .map(|(low, high)| low.iter().chain(high).fold(0.0, |m, x| f64::from(x.abs()).max(m)))
            .collect()
    };
    let mut ranges: Vec<Vec<f64>> = tensors.iter().zip(&graph.tensors).map(largest).collect();
    // Values and weights are rounded, and so are these bounds.
    ranges.iter_mut().skip(1).flatten().for_each(|range| *range *= ROUNDED);
    ranges
}

/// How much further rounded values may reach.
const ROUNDED: f64 = 1.0 + 1.0 / 32.0;

fn evaluate(graph: &Graph, node: &GraphNode, tensors: &[Interval]) -> Interval {
    let at = |index: usize| {
        let id = node.inputs[index];
        (&tensors[id], graph.shape(id))
    };
    let (x, shape) = at(0);
    let output = graph.shape(node.output);
    match &node.op {
        Op::Linear { op, weights, bias } => {
            let half = |act: fn(f32, f32) -> f32| -> Vec<f32> {
                x.low.iter().zip(&x.high).map(|(low, high)| act(*low, *high)).collect()
            };
            let centre = half(f32::midpoint);
            let radius = half(|low, high| (high - low) / 2.0);
            let absolute: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
            let centre = plain::affine(op, weights, bias, &centre);
            let radius = plain::linear(op, &absolute, &radius);
            let ends = |sign: f32| centre.iter().zip(&radius).map(|(c, r)| c + sign * r).collect();
            Interval { low: ends(-1.0), high: ends(1.0) }
        }
        Op::Affine { scale, shift } => {
            let mut ends = [x.low.clone(), x.high.clone()];
            for end in &mut ends {
                each_channel(end, shape, scale, |x, scale| *x *= scale);
                add_bias(end, shape, shift);
            }
            let [a, b] = ends;
            let low = a.iter().zip(&b).map(|(a, b)| a.min(*b)).collect();
            Interval { low, high: a.iter().zip(&b).map(|(a, b)| a.max(*b)).collect() }
        }
        Op::Relu => x.map(|x| x.max(0.0)),
        Op::Clip { low, high } => x.map(|x| x.max(*low).min(*high)),
        Op::MaxPool { window, relu } => {
            let pool = |values: &[f32]| -> Vec<f32> {
                let maxima = window.fold_in_any_order(shape, values, |a, b| a.max(*b));
                maxima.iter().map(|x| if *relu { x.max(0.0) } else { *x }).collect()
            };
            Interval { low: pool(&x.low), high: pool(&x.high) }
        }
        Op::AveragePool { window, divisor } => {
            let pool = |values: &[f32]| -> Vec<f32> {
                let sums = window.fold(shape, values, |a, b| a + b);
                sums.iter().map(|sum| sum / divisor).collect()
            };
            Interval { low: pool(&x.low), high: pool(&x.high) }
        }
        Op::Square => {
            let high = x.low.iter().zip(&x.high).map(|(a, b)| (a * a).max(b * b)).collect();
            Interval { low: vec![0.0; x.low.len()], high }
        }
        Op::LeakyRelu { .. } | Op::Multiply => x.clone(),
        Op::Local(map) => {
            let inputs: Vec<(&Interval, TensorShape)> = (0..node.inputs.len()).map(at).collect();
            Interval {
                low: local(map, &inputs, output, |x| &x.low),
                high: local(map, &inputs, output, |x| &x.high),
            }
        }
    }
}

fn local(
    map: &LocalMap,
    inputs: &[(&Interval, TensorShape)],
    output: TensorShape,
    end: impl Fn(&Interval) -> &[f32],
) -> Vec<f32> {
    let inputs: Vec<(&[f32], TensorShape)> =
        inputs.iter().map(|(interval, shape)| (end(interval), *shape)).collect();
    map.apply_with(&inputs, output, |sum, x, shift| sum + x * 2f32.powi(shift as i32))
}
