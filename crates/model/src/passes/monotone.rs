//! Pools first: a maximum taken before a monotone function is the function of the maximum.
//!
//! `max(f(a), f(b)) = f(max(a, b))` for f that never falls: the function then acts on the pool's
//! outputs alone, and the pool on a linear operator's output, of which the client knows its share
//! beforehand. Padding stays out of windows, so it holds at the border too. What acts on each
//! channel alone goes through a concatenation: `g(concat(a, b)) = concat(g(a), g(b))`.

use gazelle_share::{LocalMap, TensorShape};

use super::producers;
use crate::graph::{Graph, GraphNode, GraphTensor, Op};

/// Moves max-pools through concatenations and in front of monotone functions, and activations in
/// front of concatenations, wherever no other reader needs what lies between.
pub(super) fn pools_first(graph: &mut Graph) {
    let limit = 2 * super::MAX_NODES;
    while graph.nodes.len() < limit && (through_concat(graph) || exchange(graph)) {}
}

/// `MaxPool(f(x))` becomes `f(MaxPool(x))`; a ReLU stays for the pass that lets the pool take it.
fn exchange(graph: &mut Graph) -> bool {
    let (producers, readers) = (producers(graph), graph.readers());
    let found = graph.nodes.iter().enumerate().find_map(|(pool, node)| {
        let Op::MaxPool { relu: false, .. } = node.op else { return None };
        let middle = *node.inputs.first()?;
        let before = (*producers.get(middle)?)?;
        let alone = readers.get(middle)?.len() == 1;
        let channels = graph.shape(middle).channels;
        let monotone = match &graph.nodes.get(before)?.op {
            Op::Clip { .. } => true,
            Op::Affine { scale, shift } => {
                let each = scale.len() == channels && shift.len() == channels;
                each && scale.iter().all(|factor| *factor > 0.0)
            }
            _ => false,
        };
        (alone && monotone).then_some((before, pool, graph.shape(node.output)))
    });
    let Some((before, pool, shape)) = found else { return false };
    let (Some(first), Some(second)) = (graph.nodes.get(before), graph.nodes.get(pool)) else {
        return false;
    };
    let (first, second, middle) = (first.clone(), second.clone(), first.output);
    if let Some(tensor) = graph.tensors.get_mut(middle) {
        tensor.shape = shape;
    }
    if let Some(node) = graph.nodes.get_mut(before) {
        (node.op, node.name) = (second.op, second.name);
    }
    if let Some(node) = graph.nodes.get_mut(pool) {
        (node.op, node.name) = (first.op, first.name);
    }
    true
}

/// The part of an operation that acts on channels `from..` of a concatenation, as many as `part`
/// has; `None` if it does not act on each channel alone.
fn part_of(op: &Op, whole: TensorShape, from: usize, part: TensorShape) -> Option<Op> {
    match op {
        Op::MaxPool { .. } | Op::Relu | Op::Clip { .. } => Some(op.clone()),
        Op::LeakyRelu { slopes } if slopes.len() == 1 => Some(op.clone()),
        Op::LeakyRelu { slopes } if slopes.len() == whole.channels => {
            let slopes = slopes.get(from..from + part.channels)?.to_vec();
            Some(Op::LeakyRelu { slopes })
        }
        _ => None,
    }
}

/// Whether a node's output still needs a step, or had one that can go behind a pool.
fn gains(op: &Op) -> bool {
    matches!(
        op,
        Op::Linear { .. }
            | Op::Affine { .. }
            | Op::Relu
            | Op::Clip { .. }
            | Op::LeakyRelu { .. }
            | Op::Local(LocalMap::Add { .. })
    )
}

/// A pool or an activation that alone reads a concatenation goes in front of it, if that spares a
/// part of it work.
fn through_concat(graph: &mut Graph) -> bool {
    let (producers, readers) = (producers(graph), graph.readers());
    let found = graph.nodes.iter().enumerate().find_map(|(reader, node)| {
        let joined = *node.inputs.first()?;
        let concat = (*producers.get(joined)?)?;
        let is_concat = graph.nodes.get(concat)?.op == Op::Local(LocalMap::Concat);
        let alone = readers.get(joined)?.len() == 1;
        part_of(&node.op, graph.shape(joined), 0, graph.shape(joined))?;
        let spares = graph.nodes.get(concat)?.inputs.iter().any(|id| {
            let single = readers.get(*id).is_some_and(|readers| readers.len() == 1);
            let before = producers.get(*id).copied().flatten();
            single && before.and_then(|i| graph.nodes.get(i)).is_some_and(|node| gains(&node.op))
        });
        (is_concat && alone && spares).then_some((concat, reader))
    });
    let Some((concat, reader)) = found else { return false };
    let (Some(joined), Some(node)) = (graph.nodes.get(concat), graph.nodes.get(reader)) else {
        return false;
    };
    let (joined, node) = (joined.clone(), node.clone());
    let (whole, output) = (graph.shape(joined.output), graph.shape(node.output));
    let mut moved = Vec::with_capacity(joined.inputs.len() + 1);
    let mut parts = Vec::with_capacity(joined.inputs.len());
    let mut from = 0;
    for (i, id) in joined.inputs.iter().enumerate() {
        let part = graph.shape(*id);
        let Some(op) = part_of(&node.op, whole, from, part) else { return false };
        from += part.channels;
        let shape = TensorShape { channels: part.channels, ..output };
        let name = format!("{}/{i}", node.name);
        let to = graph.tensors.len();
        graph.tensors.push(GraphTensor { name: name.clone(), shape });
        parts.push(to);
        moved.push(GraphNode { name, op, inputs: vec![*id], output: to });
    }
    moved.push(GraphNode { inputs: parts, output: node.output, ..joined });
    graph.nodes.splice(reader..=reader, moved);
    graph.nodes.remove(concat);
    true
}

#[cfg(test)]
mod tests {
    use gazelle_share::{Conv2d, LinearOp, Pads, Window};

    use super::*;
    use crate::float;

    fn wave(len: usize, f: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * f + f).sin()).collect()
    }

    fn conv(graph: &mut Graph, name: &str, input: usize, maps: usize, seed: f32) -> usize {
        let shape = graph.shape(input);
        let conv = Conv2d {
            input: shape,
            maps,
            kernel: [1, 1],
            stride: [1, 1],
            pads: Pads::default(),
            dilation: [1, 1],
            groups: 1,
        };
        let op = LinearOp::Conv(conv);
        let op =
            Op::Linear { weights: wave(op.weight_len(), seed), bias: wave(maps, 2.0 * seed), op };
        graph.push(name, op, vec![input], TensorShape { channels: maps, ..shape })
    }

    /// Two convolutions, their activations side by side, a padded max-pool over both.
    fn fire(activation: &Op) -> Graph {
        let shape = TensorShape::new(2, 9, 9);
        let mut graph = Graph::new("x", shape, vec![1, 2, 9, 9]);
        let mut parts = Vec::new();
        for (maps, seed) in [(3, 0.7), (2, 1.3)] {
            let linear = conv(&mut graph, "conv", 0, maps, seed);
            let shape = graph.shape(linear);
            parts.push(graph.push("act", activation.clone(), vec![linear], shape));
        }
        let joined = TensorShape { channels: 5, ..shape };
        let joined = graph.push("concat", Op::Local(LocalMap::Concat), parts, joined);
        let window = Window { kernel: [3, 3], stride: [2, 2], pads: Pads::all(1) };
        let pooled = window.output(graph.shape(joined));
        let pool = Op::MaxPool { window, relu: false };
        let pooled = graph.push("pool", pool, vec![joined], pooled);
        graph.output = conv(&mut graph, "last", pooled, 3, 0.4);
        graph
    }

    fn agree(before: &Graph, after: &Graph) {
        let x = wave(before.input_shape().len(), 0.37);
        let (a, b) = (float::run(before, &x).unwrap(), float::run(after, &x).unwrap());
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs())));
    }

    #[test]
    fn known_answer_pools_come_before_the_activations_of_concatenated_parts() {
        let slopes = |slopes: &[f32]| Op::LeakyRelu { slopes: slopes.to_vec() };
        for activation in [Op::Relu, Op::Clip { low: 0.0, high: 0.4 }, slopes(&[0.25])] {
            let graph = fire(&activation);
            let lowered = crate::passes::lower(&graph).unwrap();
            agree(&graph, &lowered);
            let pool = |node: &&GraphNode| matches!(node.op, Op::MaxPool { .. });
            assert_eq!(lowered.nodes.iter().filter(pool).count(), 2, "{activation:?}");
            // All that is not a pool acts on pooled values.
            for node in &lowered.nodes {
                let input = lowered.shape(node.inputs[0]);
                match &node.op {
                    Op::MaxPool { relu, .. } => assert_eq!(*relu, activation == Op::Relu),
                    Op::Relu | Op::Clip { .. } => assert_eq!((input.height, input.width), (5, 5)),
                    _ => {}
                }
            }
            let behind = lowered.nodes.iter().any(|node| node.op == Op::Relu);
            assert!(!(behind && activation == Op::Relu), "the pools take the ReLUs with them");
        }
    }

    #[test]
    fn known_answer_a_relu_over_a_concatenation_acts_on_its_parts() {
        let shape = TensorShape::new(2, 4, 4);
        let mut graph = Graph::new("x", shape, vec![1, 2, 4, 4]);
        let parts = vec![conv(&mut graph, "a", 0, 3, 0.7), conv(&mut graph, "b", 0, 4, 1.1)];
        let joined = TensorShape { channels: 7, ..shape };
        let concat = graph.push("concat", Op::Local(LocalMap::Concat), parts, joined);
        let relu = graph.push("relu", Op::Relu, vec![concat], joined);
        graph.output = conv(&mut graph, "last", relu, 2, 0.4);
        let lowered = crate::passes::lower(&graph).unwrap();
        agree(&graph, &lowered);
        let relus: Vec<usize> = lowered
            .nodes
            .iter()
            .filter(|node| node.op == Op::Relu)
            .map(|node| lowered.shape(node.output).channels)
            .collect();
        assert_eq!(relus, [3, 4]);
    }

    #[test]
    fn known_answer_what_others_read_too_stays_where_it_is() {
        let mut graph = fire(&Op::Relu);
        let (first, joined) = (graph.nodes[1].output, graph.nodes[4].output);
        // A second reader of the concatenation: the pool must not go through it.
        let mut both = graph.clone();
        let side = conv(&mut both, "side", joined, 3, 0.9);
        let shape = both.shape(side);
        let window = Window { kernel: [9, 9], stride: [1, 1], pads: Pads::default() };
        let small = Op::MaxPool { window, relu: false };
        let side =
            both.push("small", small, vec![side], TensorShape { height: 1, width: 1, ..shape });
        let last = both.push("flat", Op::Local(LocalMap::Concat), vec![side], both.shape(side));
        both.output = last;
        let pools = |graph: &Graph| {
            let lowered = crate::passes::lower(graph).unwrap();
            agree(graph, &lowered);
            lowered.nodes.iter().filter(|node| matches!(node.op, Op::MaxPool { .. })).count()
        };
        assert_eq!(pools(&both), 1);
        // A second reader of one activation: that one stays in front of its pool.
        let shape = graph.shape(first);
        let window = Window { kernel: [5, 5], stride: [4, 4], pads: Pads::default() };
        let own = window.output(shape);
        let op = Op::MaxPool { window, relu: false };
        let other = graph.push("other", op, vec![first], own);
        let a = conv(&mut graph, "a", other, 2, 0.3);
        let flat = |graph: &mut Graph, id: usize| {
            let shape = TensorShape::vector(graph.shape(id).len());
            graph.push("flat", Op::Local(LocalMap::Reshape), vec![id], shape)
        };
        let output = graph.output;
        let parts = vec![flat(&mut graph, a), flat(&mut graph, output)];
        let len = parts.iter().map(|id| graph.shape(*id).len()).sum();
        graph.output =
            graph.push("all", Op::Local(LocalMap::Concat), parts, TensorShape::vector(len));
        let lowered = crate::passes::lower(&graph).unwrap();
        agree(&graph, &lowered);
        assert!(lowered.nodes.iter().any(|node| node.op == Op::Relu));
    }
}
