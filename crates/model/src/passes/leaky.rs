//! Leaky ReLU from ReLU: `leaky(x) = slope x + (1 - slope) max(x, 0)`. The slopes go into the next
//! weights and stay as private as these.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LinearOp, LocalMap, TensorShape};

use crate::float::each_channel;
use crate::graph::{Graph, GraphNode, GraphTensor, Op};

/// Rewrites every leaky ReLU: behind max-pools and relabellings where it has one reader; then, if
/// only linear operators read it, these read x and its ReLU side by side; else a sum is formed.
pub(super) fn rewrite(graph: &mut Graph) {
    while sink(graph) {}
    while let Some(index) =
        graph.nodes.iter().position(|node| matches!(node.op, Op::LeakyRelu { .. }))
    {
        replace(graph, index);
    }
}

/// One entry per channel.
fn per_channel(slopes: &[f32], shape: TensorShape) -> Vec<f32> {
    match slopes {
        [single] => vec![*single; shape.channels],
        _ => slopes.to_vec(),
    }
}

/// Exchanges a leaky ReLU with its only reader, if that is a max-pool (for slopes of at least 0) or
/// a relabelling.
fn sink(graph: &mut Graph) -> bool {
    let readers = graph.readers();
    let found = graph.nodes.iter().enumerate().find_map(|(index, node)| {
        let Op::LeakyRelu { slopes } = &node.op else { return None };
        let [reader] = readers.get(node.output)?.as_slice() else { return None };
        let (from, to) = (graph.shape(node.output), graph.shape(graph.nodes.get(*reader)?.output));
        let slopes = per_channel(slopes, from);
        let moved = match &graph.nodes.get(*reader)?.op {
            Op::MaxPool { relu: false, .. } => {
                slopes.iter().all(|s| *s >= 0.0).then_some(slopes)?
            }
            Op::Local(map @ (LocalMap::Reshape | LocalMap::Permute { .. })) => {
                let mut full = vec![0.0; from.len()];
                each_channel(&mut full, from, &slopes, |value, slope| *value = slope);
                let full = map.apply_with(&[(&full, from)], to, |sum, x, _| sum + x);
                let plane = to.height * to.width;
                let uniform = |chunk: &[f32]| chunk.iter().all(|v| Some(v) == chunk.first());
                if !full.chunks(plane).all(uniform) {
                    return None;
                }
                full.into_iter().step_by(plane).collect()
            }
            _ => return None,
        };
        Some((index, *reader, moved, to))
    });
    let Some((index, reader, slopes, shape)) = found else { return false };
    let leaky = Op::LeakyRelu { slopes };
    let other = graph.nodes.get_mut(reader).map(|node| std::mem::replace(&mut node.op, leaky));
    if let (Some(other), Some(node)) = (other, graph.nodes.get_mut(index)) {
        node.op = other;
        let middle = node.output;
        if let Some(tensor) = graph.tensors.get_mut(middle) {
            tensor.shape = shape;
        }
    }
    true
}

fn replace(graph: &mut Graph, index: usize) {
    let readers = graph.readers();
    let Some(node) = graph.nodes.get(index).cloned() else { return };
    let Op::LeakyRelu { slopes } = &node.op else { return };
    let input = node.input();
    let shape = graph.shape(input);
    let slopes = per_channel(slopes, shape);
    let rest: Vec<f32> = slopes.iter().map(|slope| 1.0 - slope).collect();
    let behind = readers[node.output].clone();
    let side_by_side = !behind.is_empty() && behind.iter().all(|reader| takes(graph, *reader));
    let add = |graph: &mut Graph, suffix: &str, shape: TensorShape| {
        graph.tensors.push(GraphTensor { name: format!("{}/{suffix}", node.name), shape });
        graph.tensors.len() - 1
    };
    let relu = add(graph, "relu", shape);
    let new = |suffix: &str, op: Op, inputs: Vec<usize>, output: usize| GraphNode {
        name: format!("{}/{suffix}", node.name),
        op,
        inputs,
        output,
    };
    let mut nodes = vec![new("relu", Op::Relu, vec![input], relu)];
    if side_by_side {
        for reader in behind {
            widen(graph, reader, shape, &slopes, &rest);
        }
        if let Some(tensor) = graph.tensors.get_mut(node.output) {
            tensor.shape.channels *= 2;
        }
        nodes.push(new("both", Op::Local(LocalMap::Concat), vec![input, relu], node.output));
    } else {
        let (low, high) = (add(graph, "low", shape), add(graph, "high", shape));
        let scaled = |list: Vec<f32>| Op::Affine { shift: vec![0.0; list.len()], scale: list };
        nodes.push(new("low", scaled(slopes), vec![input], low));
        nodes.push(new("high", scaled(rest), vec![relu], high));
        let sum = Op::Local(LocalMap::Add { shifts: vec![0, 0] });
        nodes.push(new("sum", sum, vec![low, high], node.output));
    }
    graph.nodes.splice(index..=index, nodes);
}

/// Whether [`widen`] can let the reader read two tensors of one shape instead of one.
pub(super) fn takes(graph: &Graph, reader: usize) -> bool {
    match graph.nodes.get(reader).map(|node| &node.op) {
        Some(Op::Linear { op: LinearOp::Conv(conv), .. }) => conv.groups == 1,
        Some(Op::Linear { op: LinearOp::FullyConnected { .. }, .. }) => true,
        _ => false,
    }
}

/// Lets a linear operator that read `low a + high b`, factors per channel, read a and b stacked
/// along the channels.
pub(super) fn widen(
    graph: &mut Graph,
    reader: usize,
    shape: TensorShape,
    low: &[f32],
    high: &[f32],
) {
    let Some(GraphNode { op: Op::Linear { op, weights, .. }, .. }) = graph.nodes.get_mut(reader)
    else {
        return;
    };
    let taps = match op {
        LinearOp::Conv(conv) => {
            conv.input.channels *= 2;
            conv.kernel[0] * conv.kernel[1]
        }
        LinearOp::FullyConnected { inputs, .. } => {
            *inputs *= 2;
            shape.height * shape.width
        }
    };
    let mut wide = Vec::with_capacity(2 * weights.len());
    for row in weights.chunks(shape.channels * taps) {
        for factors in [low, high] {
            for (kernel, factor) in row.chunks(taps).zip(factors) {
                wide.extend(kernel.iter().map(|w| w * factor));
            }
        }
    }
    *weights = wide;
}
