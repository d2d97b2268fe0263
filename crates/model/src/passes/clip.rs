//! Clipping between any two ends becomes clipping from zero: `low + clip(x - low, 0, high - low)`.

use crate::graph::{Graph, GraphNode, GraphTensor, Op};

/// Puts affine maps around every clip that does not begin at zero.
pub(super) fn from_zero(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let Some(node) = graph.nodes.get(index).cloned() else { return };
        let Op::Clip { low, high } = node.op else {
            index += 1;
            continue;
        };
        if low == 0.0 {
            index += 1;
            continue;
        }
        let shape = graph.shape(node.output);
        let mut tensor = |suffix: &str| {
            graph.tensors.push(GraphTensor { name: format!("{}/{suffix}", node.name), shape });
            graph.tensors.len() - 1
        };
        let (before, after) = (tensor("before"), tensor("after"));
        let moved = |by: f32| Op::Affine {
            scale: vec![1.0; shape.channels],
            shift: vec![by; shape.channels],
        };
        let new = |suffix: &str, op: Op, inputs: Vec<usize>, output: usize| GraphNode {
            name: format!("{}/{suffix}", node.name),
            op,
            inputs,
            output,
        };
        let nodes = [
            new("before", moved(-low), node.inputs.clone(), before),
            new("clip", Op::Clip { low: 0.0, high: high - low }, vec![before], after),
            new("after", moved(low), vec![after], node.output),
        ];
        graph.nodes.splice(index..=index, nodes);
        index += 3;
    }
}
