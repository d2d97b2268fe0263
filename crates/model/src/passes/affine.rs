//! Affine maps (batch normalisation, constant factors and summands) go into linear operators.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{Conv2d, LinearOp, LocalMap, Pads, TensorShape, plain};

use super::{bypass, producers};
use crate::float::each_channel;
use crate::graph::{Graph, GraphNode, Op, all_ones};

/// Folds affine maps into each other and into the operators before and behind them.
pub(super) fn fold(graph: &mut Graph) {
    while step(graph) {}
}

fn step(graph: &mut Graph) -> bool {
    let (producers, readers) = (producers(graph), graph.readers());
    for index in 0..graph.nodes.len() {
        let Some(node) = graph.nodes.get(index) else { continue };
        let Op::Affine { scale, shift } = &node.op else { continue };
        let (scale, shift) = (scale.clone(), shift.clone());
        let (Some(&input), output) = (node.inputs.first(), node.output) else { continue };
        let shape = graph.shape(input);
        let alone = readers[input].len() == 1;
        let before = producers[input].filter(|_| alone);
        if before.is_some_and(|before| into_producer(graph, before, shape, &scale, &shift)) {
            bypass(graph, index);
            return true;
        }
        let behind = readers[output].clone();
        if !behind.is_empty() && behind.iter().all(|reader| takes(graph, *reader, shape, &scale)) {
            for reader in behind {
                into_reader(graph, reader, shape, &scale, &shift);
            }
            bypass(graph, index);
            return true;
        }
        if let [reader] = behind.as_slice()
            && sink(graph, index, *reader, shape, &scale, &shift)
        {
            return true;
        }
    }
    false
}

/// One entry per element.
fn full(list: &[f32], shape: TensorShape) -> Vec<f32> {
    let mut values = vec![0.0; shape.len()];
    each_channel(&mut values, shape, list, |value, entry| *value = entry);
    values
}

/// Per channel if both are, else per element.
fn zip(a: &[f32], b: &[f32], shape: TensorShape, act: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    if a.len() == b.len() {
        return a.iter().zip(b).map(|(a, b)| act(*a, *b)).collect();
    }
    full(a, shape).into_iter().zip(full(b, shape)).map(|(a, b)| act(a, b)).collect()
}

fn into_producer(
    graph: &mut Graph,
    before: usize,
    shape: TensorShape,
    scale: &[f32],
    shift: &[f32],
) -> bool {
    match graph.nodes.get_mut(before).map(|node| &mut node.op) {
        Some(Op::Linear { weights, bias, .. }) if scale.len() == shape.channels => {
            let row = (weights.len() / shape.channels).max(1);
            for (row, scale) in weights.chunks_mut(row).zip(scale) {
                for w in row.iter_mut() {
                    *w *= scale;
                }
            }
            let scaled = zip(bias, scale, shape, |bias, scale| bias * scale);
            *bias = zip(&scaled, shift, shape, |bias, shift| bias + shift);
            true
        }
        Some(Op::Affine { scale: first, shift: second }) => {
            let moved = zip(second, scale, shape, |second, scale| second * scale);
            *second = zip(&moved, shift, shape, |moved, shift| moved + shift);
            *first = zip(first, scale, shape, |first, scale| first * scale);
            true
        }
        _ => false,
    }
}

/// Whether the reader can take the scale into its weights.
fn takes(graph: &Graph, reader: usize, shape: TensorShape, scale: &[f32]) -> bool {
    match graph.nodes.get(reader).map(|node| &node.op) {
        Some(Op::Linear { op: LinearOp::FullyConnected { .. }, .. }) => true,
        Some(Op::Linear { op: LinearOp::Conv(_), .. }) => scale.len() == shape.channels,
        _ => false,
    }
}

fn into_reader(graph: &mut Graph, reader: usize, shape: TensorShape, scale: &[f32], shift: &[f32]) {
    let Some(GraphNode { op: Op::Linear { op, weights, bias }, .. }) = graph.nodes.get_mut(reader)
    else {
        return;
    };
    if shift.iter().any(|shift| *shift != 0.0) {
        let moved = plain::linear(op, weights, &full(shift, shape));
        let output = op.output_shape();
        // Where no tap falls on padding all positions of a map move alike.
        let alike = match op {
            LinearOp::Conv(conv) => conv.pads == Pads::default() && shift.len() == shape.channels,
            LinearOp::FullyConnected { .. } => false,
        };
        let plane = output.height * output.width;
        let moved = if alike { moved.into_iter().step_by(plane).collect() } else { moved };
        *bias = zip(bias, &moved, output, |bias, moved| bias + moved);
    }
    match op {
        LinearOp::FullyConnected { inputs, .. } => {
            let scale = full(scale, shape);
            for row in weights.chunks_mut(*inputs) {
                row.iter_mut().zip(&scale).for_each(|(w, scale)| *w *= scale);
            }
        }
        LinearOp::Conv(conv) => {
            let taps = conv.kernel[0] * conv.kernel[1];
            let in_group = conv.input.channels / conv.groups;
            let per_group = conv.maps / conv.groups;
            for (map, row) in weights.chunks_mut(in_group * taps).enumerate() {
                let first = map / per_group * in_group;
                for (kernel, scale) in row.chunks_mut(taps).zip(scale.iter().skip(first)) {
                    for w in kernel.iter_mut() {
                        *w *= scale;
                    }
                }
            }
        }
    }
}

/// Exchanges an affine map with the relabelling behind it.
fn sink(
    graph: &mut Graph,
    index: usize,
    reader: usize,
    shape: TensorShape,
    scale: &[f32],
    shift: &[f32],
) -> bool {
    let Some(GraphNode { op: Op::Local(map), output, .. }) = graph.nodes.get(reader) else {
        return false;
    };
    if !matches!(map, LocalMap::Reshape | LocalMap::Permute { .. }) || reader <= index {
        return false;
    }
    let (map, to) = (map.clone(), graph.shape(*output));
    let moved = |list: &[f32]| {
        let list = full(list, shape);
        per_channel(map.apply_with(&[(&list, shape)], to, |sum, x, _| sum + x), to)
    };
    let affine = Op::Affine { scale: moved(scale), shift: moved(shift) };
    if let Some(node) = graph.nodes.get_mut(index) {
        node.op = Op::Local(map);
        let middle = node.output;
        if let Some(tensor) = graph.tensors.get_mut(middle) {
            tensor.shape = to;
        }
    }
    if let Some(node) = graph.nodes.get_mut(reader) {
        node.op = affine;
    }
    true
}

/// One entry per channel if that says the same.
fn per_channel(list: Vec<f32>, shape: TensorShape) -> Vec<f32> {
    let plane = shape.height * shape.width;
    if list.chunks(plane).all(|chunk| chunk.iter().all(|value| Some(value) == chunk.first())) {
        return list.into_iter().step_by(plane).collect();
    }
    list
}

/// How far a summand over its factor may lie from what is usual among the channels.
const OUTLIER: f32 = 64.0;

/// `max(a x + b, 0) = a max(x + b / a, 0)` for `a > 0`: factors go behind the ReLU into the weights
/// that read it, through pools; what stays, a summand, is no work for ciphertexts.
///
/// Left alone: layers with a factor that is not positive (which one is the server's secret, and the
/// client would have to know it to turn its share's sign), with channels whose factor all but
/// vanishes (their summand would blow up the layer's range), or with a reader that takes no factors.
/// Which layers these are is seen in the architecture, so it is public.
pub(super) fn factors_behind_relu(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let Some(node) = graph.nodes.get(index) else { continue };
        let Op::Affine { scale, shift } = &node.op else { continue };
        let shape = graph.shape(node.output);
        let (scale, shift, output) = (scale.clone(), shift.clone(), node.output);
        let positive = scale.len() == shape.channels && scale.iter().all(|a| *a > f32::EPSILON);
        if !positive || all_ones(&scale) {
            continue;
        }
        let moved = zip(&shift, &scale, shape, |b, a| b / a);
        let mut sizes = zip(&moved, &scale, shape, |b, a| b.abs() + 1.0 / a);
        sizes.sort_by(f32::total_cmp);
        let usual = sizes[(sizes.len() - 1) / 2];
        if sizes.last().is_none_or(|largest| *largest > OUTLIER * usual) {
            continue;
        }
        let readers = graph.readers().swap_remove(output);
        let relus: Option<Vec<usize>> = readers
            .iter()
            .map(|reader| graph.nodes.get(*reader).filter(|n| n.op == Op::Relu).map(|n| n.output))
            .collect();
        let Some(relus) = relus.filter(|relus| !relus.is_empty()) else { continue };
        if !relus.iter().all(|relu| absorb(graph, *relu, &scale, false)) {
            continue;
        }
        for relu in relus {
            absorb(graph, relu, &scale, true);
        }
        if let Some(node) = graph.nodes.get_mut(index) {
            node.op = Op::Affine { scale: vec![1.0; scale.len()], shift: moved };
        }
    }
}

/// Whether all that read a tensor can take factors on it, through what commutes with them; with
/// `apply` they do.
fn absorb(graph: &mut Graph, tensor: usize, scale: &[f32], apply: bool) -> bool {
    let shape = graph.shape(tensor);
    let readers = graph.readers().swap_remove(tensor);
    if readers.is_empty() {
        return false;
    }
    readers.into_iter().all(|reader| {
        let Some(GraphNode { op, output, .. }) = graph.nodes.get(reader) else { return false };
        let output = *output;
        match op {
            Op::Linear { .. } => {
                let takes = takes(graph, reader, shape, scale);
                if takes && apply {
                    into_reader(graph, reader, shape, scale, &vec![0.0; scale.len()]);
                }
                takes
            }
            Op::Relu | Op::MaxPool { .. } | Op::AveragePool { .. }
                if scale.len() == shape.channels =>
            {
                absorb(graph, output, scale, apply)
            }
            Op::Local(LocalMap::Reshape) => {
                let scale = per_channel(full(scale, shape), graph.shape(output));
                absorb(graph, output, &scale, apply)
            }
            _ => false,
        }
    })
}

/// What is left, but for bare summands, becomes a 1x1 convolution of each channel alone; with one
/// factor per element, of each element alone.
pub(super) fn to_depthwise(graph: &mut Graph) {
    let mut index = 0;
    while index < graph.nodes.len() {
        let Some(node) = graph.nodes.get_mut(index) else { return };
        let Op::Affine { scale, shift } = &mut node.op else {
            index += 1;
            continue;
        };
        if all_ones(scale) {
            index += 1;
            continue;
        }
        let (weights, bias) = (std::mem::take(scale), std::mem::take(shift));
        let (name, input, output) = (node.name.clone(), node.inputs.clone(), node.output);
        let Some(tensor) = graph.tensors.get(output).cloned() else { return };
        let shape = tensor.shape;
        let direct = weights.len() == shape.channels;
        let view = if direct { shape } else { TensorShape::vector(shape.len()) };
        let bias = if direct { bias } else { full(&bias, shape) };
        let conv = Conv2d {
            input: view,
            maps: view.channels,
            kernel: [1, 1],
            stride: [1, 1],
            pads: Pads::default(),
            dilation: [1, 1],
            groups: view.channels,
        };
        let op = Op::Linear { op: LinearOp::Conv(conv), weights, bias };
        if direct {
            node.op = op;
            index += 1;
            continue;
        }
        // reshape, convolve, reshape back
        let (flat, product) = (graph.tensors.len(), graph.tensors.len() + 1);
        for _ in 0..2 {
            graph.tensors.push(crate::graph::GraphTensor { name: name.clone(), shape: view });
        }
        let reshape = || Op::Local(LocalMap::Reshape);
        let node = |op, inputs, output| GraphNode { name: name.clone(), op, inputs, output };
        let nodes = [
            node(reshape(), input, flat),
            node(op, vec![flat], product),
            node(reshape(), vec![product], output),
        ];
        graph.nodes.splice(index..=index, nodes);
        index += 3;
    }
}
