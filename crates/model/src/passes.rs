//! Graph passes: from what the file says to what the protocol runs.
//!
//! Each pass keeps the function that the graph computes (up to f32 rounding). Afterwards only
//! linear operators, ReLU, clipping, max-pool (with its ReLU), average pools by powers
//! of two, squares, local maps and constant summands (affine maps of factor one) are left.

mod affine;
mod clip;
mod leaky;
mod monotone;
mod pools;
mod products;

use gazelle_share::{LinearOp, LocalMap, Pads};

use crate::error::ModelError;
use crate::graph::{Graph, Op};

/// Nodes of a network at most.
const MAX_NODES: usize = 1 << 14;

/// Runs all passes.
///
/// # Errors
/// [`ModelError::Malformed`] if the nodes are too many, [`ModelError::Internal`] if nodes and tensors
/// do not fit together.
pub fn lower(graph: &Graph) -> Result<Graph, ModelError> {
    if graph.nodes.len() > MAX_NODES {
        let count = graph.nodes.len();
        return Err(ModelError::Malformed(format!("{count} nodes are too many")));
    }
    graph.check()?;
    let mut graph = graph.clone();
    drop_dead(&mut graph);
    monotone::pools_first(&mut graph);
    pools::divide_by_powers_of_two(&mut graph);
    clip::from_zero(&mut graph);
    products::to_squares(&mut graph);
    affine::fold(&mut graph);
    leaky::rewrite(&mut graph);
    affine::fold(&mut graph);
    pools::relu_behind_max_pool(&mut graph);
    drop_repeated_relu(&mut graph);
    pads_into_convolutions(&mut graph);
    affine::factors_behind_relu(&mut graph);
    affine::to_depthwise(&mut graph);
    drop_dead(&mut graph);
    graph.check()?;
    Ok(graph)
}

/// The node that writes each tensor.
fn producers(graph: &Graph) -> Vec<Option<usize>> {
    let mut producers = vec![None; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Some(slot) = producers.get_mut(node.output) {
            *slot = Some(index);
        }
    }
    producers
}

/// Removes a node with one input: its readers read that instead.
fn bypass(graph: &mut Graph, index: usize) {
    let Some(node) = graph.nodes.get(index) else { return };
    let (Some(&input), output) = (node.inputs.first(), node.output) else { return };
    for other in &mut graph.nodes {
        other.inputs.iter_mut().filter(|id| **id == output).for_each(|id| *id = input);
    }
    if graph.output == output {
        graph.output = input;
    }
    graph.nodes.remove(index);
}

fn drop_dead(graph: &mut Graph) {
    let mut live = vec![false; graph.tensors.len()];
    let mark = |live: &mut Vec<bool>, id: usize| {
        if let Some(slot) = live.get_mut(id) {
            *slot = true;
        }
    };
    mark(&mut live, graph.output);
    for node in graph.nodes.iter().rev() {
        if live.get(node.output) == Some(&true) {
            for id in &node.inputs {
                mark(&mut live, *id);
            }
        }
    }
    graph.nodes.retain(|node| live.get(node.output) == Some(&true));
}

fn drop_repeated_relu(graph: &mut Graph) {
    loop {
        let producers = producers(graph);
        let repeated = graph.nodes.iter().position(|node| {
            let before = node.inputs.first().and_then(|id| producers.get(*id).copied().flatten());
            let before = before.and_then(|index| graph.nodes.get(index)).map(|node| &node.op);
            let positive = matches!(before, Some(Op::Relu | Op::MaxPool { relu: true, .. }));
            node.op == Op::Relu && positive
        });
        match repeated {
            Some(index) => bypass(graph, index),
            None => return,
        }
    }
}

/// Zero padding of rows and columns in front of convolutions alone becomes their padding.
fn pads_into_convolutions(graph: &mut Graph) {
    loop {
        let readers = graph.readers();
        let found = graph.nodes.iter().enumerate().find_map(|(index, node)| {
            let Op::Local(LocalMap::Pad { before: [0, top, left] }) = node.op else { return None };
            let (from, to) = (graph.shape(*node.inputs.first()?), graph.shape(node.output));
            if from.channels != to.channels {
                return None;
            }
            let pads = Pads {
                top,
                left,
                bottom: to.height.checked_sub(from.height + top)?,
                right: to.width.checked_sub(from.width + left)?,
            };
            let readers = readers.get(node.output)?;
            let all_convolutions = readers.iter().all(|reader| {
                matches!(
                    graph.nodes.get(*reader).map(|node| &node.op),
                    Some(Op::Linear { op: LinearOp::Conv(_), .. })
                )
            });
            (all_convolutions && !readers.is_empty()).then(|| (index, from, pads, readers.clone()))
        });
        let Some((index, from, pads, readers)) = found else { return };
        for reader in readers {
            let op = graph.nodes.get_mut(reader).map(|node| &mut node.op);
            if let Some(Op::Linear { op: LinearOp::Conv(conv), .. }) = op {
                conv.input = from;
                conv.pads.top += pads.top;
                conv.pads.left += pads.left;
                conv.pads.bottom += pads.bottom;
                conv.pads.right += pads.right;
            }
        }
        bypass(graph, index);
    }
}
