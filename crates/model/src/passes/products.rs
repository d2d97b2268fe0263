//! Products of two tensors from squares: `x y = ((x + y)^2 - (x - y)^2) / 4`, element by element.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::LocalMap;

use super::leaky::{takes, widen};
use crate::graph::{Graph, GraphNode, GraphTensor, Op};

/// Rewrites every product. If only linear operators read it, these read both squares side by side,
/// the quarters in their weights; else a difference is formed.
pub(super) fn to_squares(graph: &mut Graph) {
    while let Some(index) = graph.nodes.iter().position(|node| node.op == Op::Multiply) {
        replace(graph, index);
    }
}

fn replace(graph: &mut Graph, index: usize) {
    let readers = graph.readers();
    let Some(node) = graph.nodes.get(index).cloned() else { return };
    let [x, y] = *node.inputs.as_slice() else { return };
    let shape = graph.shape(node.output);
    let mut nodes: Vec<GraphNode> = Vec::new();
    let mut push = |graph: &mut Graph, suffix: &str, op: Op, inputs: Vec<usize>| {
        let name = format!("{}/{suffix}", node.name);
        graph.tensors.push(GraphTensor { name: name.clone(), shape });
        let output = graph.tensors.len() - 1;
        nodes.push(GraphNode { name, op, inputs, output });
        output
    };
    let scaled = |factor: f32| Op::Affine {
        scale: vec![factor; shape.channels],
        shift: vec![0.0; shape.channels],
    };
    let add = || Op::Local(LocalMap::Add { shifts: vec![0, 0] });
    let minus = push(graph, "minus", scaled(-1.0), vec![y]);
    let sum = push(graph, "sum", add(), vec![x, y]);
    let difference = push(graph, "difference", add(), vec![x, minus]);
    let high = push(graph, "sum^2", Op::Square, vec![sum]);
    let low = push(graph, "difference^2", Op::Square, vec![difference]);
    let behind = readers[node.output].clone();
    let (op, inputs) = if !behind.is_empty() && behind.iter().all(|reader| takes(graph, *reader)) {
        let quarters = |sign: f32| vec![0.25 * sign; shape.channels];
        for reader in behind {
            widen(graph, reader, shape, &quarters(1.0), &quarters(-1.0));
        }
        if let Some(tensor) = graph.tensors.get_mut(node.output) {
            tensor.shape.channels *= 2;
        }
        (Op::Local(LocalMap::Concat), vec![high, low])
    } else {
        let high = push(graph, "high", scaled(0.25), vec![high]);
        let low = push(graph, "low", scaled(-0.25), vec![low]);
        (add(), vec![high, low])
    };
    nodes.push(GraphNode { op, inputs, ..node });
    graph.nodes.splice(index..=index, nodes);
}

#[cfg(test)]
mod tests {
    use gazelle_share::{LinearOp, TensorShape};

    use super::*;
    use crate::fixed::Rounding;
    use crate::{Options, fixed, float, quantise};

    fn wave(len: usize, f: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * f + f).sin()).collect()
    }

    fn dense(graph: &mut Graph, name: &str, input: usize, outputs: usize, f: f32) -> usize {
        let inputs = graph.shape(input).len();
        let weights = wave(inputs * outputs, f);
        let op = LinearOp::FullyConnected { inputs, outputs };
        let op = Op::Linear { op, weights, bias: wave(outputs, 0.5) };
        graph.push(name, op, vec![input], TensorShape::vector(outputs))
    }

    /// A gate: two linear layers multiplied; behind it a linear layer, or a sum with one of them.
    fn gate(summed: bool) -> Graph {
        let mut graph = Graph::new("x", TensorShape::vector(6), vec![1, 6]);
        let (a, b) = (dense(&mut graph, "a", 0, 5, 0.7), dense(&mut graph, "b", 0, 5, 1.3));
        let shape = TensorShape::vector(5);
        let product = graph.push("mul", Op::Multiply, vec![a, b], shape);
        let read = if summed {
            let add = Op::Local(LocalMap::Add { shifts: vec![0, 0] });
            let sum = graph.push("add", add, vec![product, a], shape);
            graph.push("relu", Op::Relu, vec![sum], shape)
        } else {
            product
        };
        graph.output = dense(&mut graph, "c", read, 3, 0.4);
        graph
    }

    #[test]
    fn known_answer_a_product_is_a_difference_of_squares() {
        for summed in [false, true] {
            let graph = gate(summed);
            let lowered = crate::passes::lower(&graph).unwrap();
            let count = |op: &Op| lowered.nodes.iter().filter(|node| node.op == *op).count();
            assert_eq!((count(&Op::Multiply), count(&Op::Square)), (0, 2));
            let x = wave(6, 0.37);
            let (a, b) = (float::run(&graph, &x).unwrap(), float::run(&lowered, &x).unwrap());
            assert_eq!(a.len(), b.len());
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + a.abs())));
        }
    }

    #[test]
    fn known_answer_a_quantised_product_is_within_its_tolerance() {
        for summed in [false, true] {
            let graph = gate(summed);
            let inputs: Vec<Vec<f32>> = (1..5).map(|i| wave(6, 0.3 * i as f32)).collect();
            let options = Options { calibration: inputs.clone(), ..Options::default() };
            let quantised = quantise(&graph, &options).unwrap();
            for input in &inputs {
                let expected = float::run(&graph, input).unwrap();
                let architecture = quantised.network.architecture();
                let words = fixed::encode(architecture, input).unwrap();
                let values = fixed::run(&quantised.network, &words, Rounding::Random(1)).unwrap();
                let values = fixed::decode(architecture, &values);
                let scale = expected.iter().fold(1f32, |m, x| m.max(x.abs()));
                for (got, expected) in values.iter().zip(&expected) {
                    let error = (got - f64::from(*expected)).abs();
                    assert!(error <= f64::from(0.02 * scale + 1.0 / 32.0), "{got}, not {expected}");
                }
            }
        }
    }
}
