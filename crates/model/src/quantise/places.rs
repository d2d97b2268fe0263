//! Where values are rounded, and what one more bit of width costs there.

use gazelle_share::LocalMap;

use crate::graph::{Graph, GraphNode, Op};

/// A tensor that a step rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// What the step writes.
    pub(super) tensor: usize,
    /// What is rounded: the step's input, or the tensor itself where a linear operator or a
    /// concatenation reads open shares (a rescaling is put there).
    pub(super) rounded: usize,
    /// Bits of traffic for one more bit of width, all elements together.
    pub(super) cost: f64,
    /// How much worse than independent rounding errors of each element these are, as a factor on
    /// the variance.
    pub(super) bias: f64,
}

/// Traffic of a comparison and selection per bit of width (protocol.md, 5.5): online a leaf's
/// opening, 3 for merging, a selection word; offline 7 per two-bit leaf and another word; the
/// client's share known beforehand.
const KNOWN: f64 = 8.5;
/// The same where its share is known only online: both open the leaf and send a word.
const ONLINE: f64 = 9.5;
/// Re-sharing: the next ring grows with the width.
const RESHARE: f64 = 1.0;
/// A square takes products of shares: about as many bits as the width, twice.
const SQUARE: f64 = 40.0;

/// The maximum of equal values rounded at random is rounded up, and all over a flat region alike.
const TIES: f64 = 2.0;

/// All places.
pub(super) fn places(graph: &Graph) -> Vec<Place> {
    let readers = graph.readers();
    let mut places = Vec::new();
    let mut open = vec![false; graph.tensors.len()];
    for node in &graph.nodes {
        let rounded = match &node.op {
            Op::Relu | Op::MaxPool { .. } | Op::Square | Op::Clip { .. } | Op::LeakyRelu { .. } => {
                node.input()
            }
            Op::Linear { .. } | Op::Local(_) | Op::AveragePool { .. } | Op::Affine { .. } => {
                let is_open = matches!(node.op, Op::Linear { .. })
                    || !matches!(node.op, Op::Local(LocalMap::Concat))
                        && node.inputs.iter().any(|id| open.get(*id) == Some(&true));
                if let Some(slot) = open.get_mut(node.output) {
                    *slot = is_open;
                }
                let read = readers.get(node.output).is_some_and(|readers| {
                    readers.iter().any(|reader| {
                        let op = graph.nodes.get(*reader).map(|node| &node.op);
                        matches!(op, Some(Op::Linear { .. } | Op::Local(LocalMap::Concat)))
                    })
                });
                if !is_open || !read {
                    continue;
                }
                node.output
            }
            Op::Multiply => continue,
        };
        let cost = cost(graph, node);
        let bias = if matches!(node.op, Op::MaxPool { .. }) { TIES } else { 1.0 };
        places.push(Place { tensor: node.output, rounded, cost, bias });
    }
    places
}

fn cost(graph: &Graph, node: &GraphNode) -> f64 {
    let outputs = graph.shape(node.output).len() as f64;
    match &node.op {
        Op::Clip { .. } => outputs * (KNOWN + ONLINE + RESHARE),
        Op::MaxPool { window, relu } => {
            // Along the rows, which neighbouring windows share, then along the columns.
            let [rows, columns] = window.kernel;
            let shared = rows.min(window.stride[0]);
            let comparisons = (columns - 1) * shared + rows - 1 + usize::from(*relu);
            outputs * (comparisons as f64 * ONLINE + RESHARE)
        }
        Op::Square => outputs * SQUARE,
        Op::Relu | Op::LeakyRelu { .. } => outputs * (KNOWN + RESHARE),
        _ => outputs * 2.0 * RESHARE,
    }
}
