//! Common scales: tensors that meet in a concatenation get the same one.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::LocalMap;

use super::Candidate;
use crate::graph::{Graph, Op};

/// `ceil(log2 x)` of a positive x; -8 for zero, which has no size.
pub(super) fn log2_ceil(x: f64) -> i32 {
    if x > 0.0 { x.log2().ceil() as i32 } else { -8 }
}

/// The largest scale at which values up to `range` fit the candidate's width with its margin.
pub(super) fn scale_for(range: f64, candidate: Candidate) -> i32 {
    candidate.value_bits as i32 - 1 - candidate.margin as i32 - log2_ceil(range)
}

/// Classes of tensors that share a scale, for [`find`].
pub(super) fn classes(graph: &Graph) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..graph.tensors.len()).collect();
    for node in &graph.nodes {
        let joins = match &node.op {
            Op::Local(map) => !matches!(map, LocalMap::Add { .. } | LocalMap::SumPool(_)),
            Op::Affine { .. } => true,
            _ => false,
        };
        if joins {
            for input in &node.inputs {
                union(&mut classes, *input, node.output);
            }
        }
    }
    classes
}

/// Per tensor: the largest scale that it may have (that of the least among those which it meets).
pub(super) fn caps(
    graph: &Graph,
    ranges: &[f64],
    candidate: Candidate,
    widths: &[u32],
) -> Vec<i32> {
    let mut classes = classes(graph);
    let mut caps = vec![i32::MAX; graph.tensors.len()];
    for node in &graph.nodes {
        // What a step writes is bounded by what it reads: the value before the function.
        let range = match &node.op {
            Op::Relu | Op::MaxPool { .. } | Op::Clip { .. } | Op::LeakyRelu { .. } => {
                ranges[node.input()]
            }
            Op::Square | Op::Linear { .. } | Op::Local(LocalMap::Add { .. }) => ranges[node.output],
            _ => continue,
        };
        let class = find(&mut classes, node.output);
        let value_bits = widths[node.output];
        if value_bits == 0 {
            continue;
        }
        let scale = scale_for(range, Candidate { value_bits, ..candidate });
        caps[class] = caps[class].min(scale);
    }
    (0..graph.tensors.len()).map(|id| caps[find(&mut classes, id)]).collect()
}

pub(super) fn find(classes: &mut [usize], mut id: usize) -> usize {
    while classes[id] != id {
        classes[id] = classes[classes[id]];
        id = classes[id];
    }
    id
}

pub(super) fn union(classes: &mut [usize], a: usize, b: usize) {
    let (a, b) = (find(classes, a), find(classes, b));
    classes[a] = b;
}
