//! Average pools divide by powers of two; ReLU goes behind max-pool.

use gazelle_share::LocalMap;

use super::producers;
use crate::graph::{Graph, GraphNode, Op};

/// An average pool by another divisor d becomes one by `2^k >= d`; the factor `2^k / d` goes back
/// through positively homogeneous operators into the linear operator before them, or into an
/// affine map behind the pool.
pub(super) fn divide_by_powers_of_two(graph: &mut Graph) {
    let mut behind = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some(GraphNode { op: Op::AveragePool { divisor, .. }, .. }) = graph.nodes.get(index)
        else {
            continue;
        };
        let power = divisor.log2().ceil().exp2();
        let factor = power / divisor;
        let source =
            if (factor - 1.0).abs() < f32::EPSILON { None } else { Some(source(graph, index)) };
        if let Some(GraphNode { op: Op::AveragePool { divisor, .. }, .. }) =
            graph.nodes.get_mut(index)
        {
            *divisor = power;
        }
        match source {
            None => {}
            Some(None) => behind.push((index, factor)),
            Some(Some(linear)) => {
                if let Some(GraphNode { op: Op::Linear { weights, bias, .. }, .. }) =
                    graph.nodes.get_mut(linear)
                {
                    weights.iter_mut().chain(bias).for_each(|value| *value *= factor);
                }
            }
        }
    }
    for (index, factor) in behind.into_iter().rev() {
        insert_factor(graph, index, factor);
    }
}

/// The linear operator whose output reaches the pool through homogeneous operators alone.
fn source(graph: &Graph, pool: usize) -> Option<usize> {
    let (producers, readers) = (producers(graph), graph.readers());
    let mut at = pool;
    loop {
        let input = *graph.nodes.get(at)?.inputs.first()?;
        if readers.get(input)?.len() != 1 {
            return None;
        }
        at = (*producers.get(input)?)?;
        match &graph.nodes.get(at)?.op {
            Op::Linear { .. } => return Some(at),
            Op::Relu
            | Op::LeakyRelu { .. }
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Local(LocalMap::Reshape | LocalMap::Permute { .. }) => {}
            _ => return None,
        }
    }
}

fn insert_factor(graph: &mut Graph, index: usize, factor: f32) {
    let Some(node) = graph.nodes.get_mut(index) else { return };
    let (name, output) = (format!("{}/divide", node.name), node.output);
    let inner = graph.tensors.len();
    node.output = inner;
    let Some(tensor) = graph.tensors.get(output).cloned() else { return };
    let channels = tensor.shape.channels;
    graph.tensors.push(tensor);
    let op = Op::Affine { scale: vec![factor; channels], shift: vec![0.0; channels] };
    graph.nodes.insert(index + 1, GraphNode { name, op, inputs: vec![inner], output });
}

/// `MaxPool(Relu(x)) = Relu(MaxPool(x))`, where the ReLU has a single reader; the max-pool keeps
/// the ReLU with it.
pub(super) fn relu_behind_max_pool(graph: &mut Graph) {
    loop {
        let (producers, readers) = (producers(graph), graph.readers());
        // The second of two neighbours, the first of which has no other reader.
        let found = graph.nodes.iter().enumerate().find_map(|(index, node)| {
            let input = *node.inputs.first()?;
            let before = (*producers.get(input)?)?;
            let alone = readers.get(input)?.len() == 1;
            let pair = match (&graph.nodes.get(before)?.op, &node.op) {
                (Op::Relu, Op::MaxPool { .. }) => Some((index, before)),
                (Op::MaxPool { .. }, Op::Relu) => Some((before, index)),
                _ => None,
            };
            pair.filter(|_| alone)
        });
        let Some((pool, relu)) = found else { return };
        if let Some(GraphNode { op: Op::MaxPool { relu, .. }, .. }) = graph.nodes.get_mut(pool) {
            *relu = true;
        }
        super::bypass(graph, relu);
    }
}
