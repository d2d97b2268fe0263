//! The f32 reference: what the network computes in the clear.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LocalMap, TensorShape, plain};
use rayon::prelude::*;

use crate::error::ModelError;
use crate::graph::{Graph, GraphNode, Op};

/// The network's output (before the final activation) for one input, row-major without batch.
///
/// # Errors
/// [`ModelError::Input`] if the input has another number of elements than the model's, or one that
/// is not finite.
pub fn run(graph: &Graph, input: &[f32]) -> Result<Vec<f32>, ModelError> {
    visit(graph, input, |_, _| ())
}

/// All tensors for one input.
///
/// # Errors
/// As [`run`].
pub fn trace(graph: &Graph, input: &[f32]) -> Result<Vec<Vec<f32>>, ModelError> {
    walk(graph, input, true, |_, _| ())
}

/// The output for one input, and each tensor shown as soon as it is there: they are not kept.
///
/// # Errors
/// As [`run`].
pub(crate) fn visit(
    graph: &Graph,
    input: &[f32],
    seen: impl FnMut(usize, &[f32]),
) -> Result<Vec<f32>, ModelError> {
    let mut tensors = walk(graph, input, false, seen)?;
    Ok(tensors.swap_remove(graph.output))
}

/// Inputs that the graph is run on at the same time at most: each may hold all its tensors.
pub(crate) fn together(graph: &Graph) -> usize {
    const INPUTS: usize = 4;
    /// Elements of all tensors up to which several are run at a time: 128 MiB each.
    const ELEMENTS: usize = 1 << 25;
    let elements = graph.tensors.iter().fold(0usize, |sum, t| sum.saturating_add(t.shape.len()));
    if elements <= ELEMENTS { INPUTS } else { 1 }
}

/// Evaluates node by node; tensors that are not kept go behind their last reader.
fn walk(
    graph: &Graph,
    input: &[f32],
    keep: bool,
    mut seen: impl FnMut(usize, &[f32]),
) -> Result<Vec<Vec<f32>>, ModelError> {
    let expected = graph.input_shape().len();
    if input.len() != expected {
        let got = input.len();
        return Err(ModelError::Input(format!("expected {expected} elements, got {got}")));
    }
    if let Some(at) = input.iter().position(|x| !x.is_finite()) {
        return Err(ModelError::Input(format!("element {at} is not a finite number")));
    }
    let mut tensors: Vec<Vec<f32>> = vec![Vec::new(); graph.tensors.len()];
    tensors[0] = match graph.input_grid {
        Some(grid) => input.iter().map(|x| grid.round(*x)).collect(),
        None => input.to_vec(),
    };
    seen(0, &tensors[0]);
    let mut last_reader = vec![0; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|id| last_reader[*id] = index);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let last = |id: &usize| last_reader[*id] == index && *id != graph.output;
        let own = if !keep && node.inputs.first().is_some_and(last) {
            in_place(node, &mut tensors)
        } else {
            None
        };
        // optional: most nodes need their input as it is
        tensors[node.output] = own.unwrap_or_else(|| evaluate(graph, node, &tensors));
        seen(node.output, &tensors[node.output]);
        if !keep {
            for id in node.inputs.iter().filter(|id| last(id)) {
                tensors[*id] = Vec::new();
            }
        }
    }
    Ok(tensors)
}

/// Adds a bias, one per channel or one per element.
pub(crate) fn add_bias(values: &mut [f32], shape: TensorShape, bias: &[f32]) {
    each_channel(values, shape, bias, |value, bias| *value += bias);
}

/// Calls `act` with each value and its channel's, or its own, entry of `list`.
pub(crate) fn each_channel(
    values: &mut [f32],
    shape: TensorShape,
    list: &[f32],
    act: impl Fn(&mut f32, f32) + Sync,
) {
    if list.len() == values.len() {
        values.iter_mut().zip(list).for_each(|(value, entry)| act(value, *entry));
        return;
    }
    let plane = (shape.height * shape.width).max(1);
    let channel = |(values, entry): (&mut [f32], &f32)| {
        for value in values {
            act(value, *entry);
        }
    };
    if values.len() < PARALLEL {
        values.chunks_mut(plane).zip(list).for_each(channel);
    } else {
        values.par_chunks_mut(plane).zip(list).for_each(channel);
    }
}

/// Elements from which on all threads take part.
const PARALLEL: usize = 1 << 16;
/// Elements that one task takes.
const BLOCK: usize = 1 << 13;

/// `act` of each value.
pub(crate) fn each(values: &[f32], act: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    if values.len() < PARALLEL {
        return values.iter().map(|x| act(*x)).collect();
    }
    let mut result = vec![0.0; values.len()];
    let block = |(to, from): (&mut [f32], &[f32])| {
        plain::widest(|| to.iter_mut().zip(from).for_each(|(to, x)| *to = act(*x)));
    };
    result.par_chunks_mut(BLOCK).zip(values.par_chunks(BLOCK)).for_each(block);
    result
}

/// `max |x|`, several at a time; what is not a number counts for nothing.
pub(crate) fn largest(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut most = [0f32; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    plain::widest(|| {
        for values in whole {
            most.iter_mut().zip(values).for_each(|(most, x)| *most = most.max(x.abs()));
        }
    });
    most.iter().chain(rest).fold(0f32, |most, x| most.max(x.abs()))
}

/// `act` of each value, in its place.
fn each_in_place(values: &mut [f32], act: impl Fn(f32) -> f32 + Sync) {
    let block = |values: &mut [f32]| {
        plain::widest(|| values.iter_mut().for_each(|x| *x = act(*x)));
    };
    if values.len() < PARALLEL {
        block(values);
    } else {
        values.par_chunks_mut(BLOCK).for_each(block);
    }
}

/// A node's value in the memory of its input, which nothing else reads, if it is made value by value.
fn in_place(node: &GraphNode, tensors: &mut [Vec<f32>]) -> Option<Vec<f32>> {
    let values = &mut tensors[node.input()];
    let (low, high) = match &node.op {
        Op::Relu => (0.0, f32::INFINITY),
        Op::Clip { low, high } => (*low, *high),
        _ => return None,
    };
    each_in_place(values, |x| x.max(low).min(high));
    Some(std::mem::take(values))
}

fn evaluate(graph: &Graph, node: &GraphNode, tensors: &[Vec<f32>]) -> Vec<f32> {
    let at = |index: usize| {
        let id = node.inputs[index];
        (tensors[id].as_slice(), graph.shape(id))
    };
    let (x, shape) = at(0);
    let output = graph.shape(node.output);
    match &node.op {
        Op::Linear { op, weights, bias } => plain::affine(op, weights, bias, x),
        Op::Affine { scale, shift } => {
            let mut y = x.to_vec();
            each_channel(&mut y, shape, scale, |y, scale| *y *= scale);
            add_bias(&mut y, shape, shift);
            y
        }
        Op::Relu => each(x, |x| x.max(0.0)),
        Op::Clip { low, high } => each(x, |x| x.max(*low).min(*high)),
        Op::LeakyRelu { slopes } => {
            let mut y = x.to_vec();
            let leak = |y: &mut f32, slope: f32| *y = if *y < 0.0 { *y * slope } else { *y };
            match slopes.as_slice() {
                [slope] => y.iter_mut().for_each(|y| leak(y, *slope)),
                _ => each_channel(&mut y, shape, slopes, leak),
            }
            y
        }
        Op::MaxPool { window, relu } => {
            let mut y = window.fold_in_any_order(shape, x, |a, b| a.max(*b));
            if *relu {
                for y in &mut y {
                    *y = y.max(0.0);
                }
            }
            y
        }
        Op::AveragePool { window, divisor } => {
            let mut y = window.fold(shape, x, |a, b| a + b);
            for y in &mut y {
                *y /= divisor;
            }
            y
        }
        Op::Square => x.iter().map(|x| x * x).collect(),
        Op::Multiply => x.iter().zip(at(1).0).map(|(a, b)| a * b).collect(),
        Op::Local(map) => {
            let inputs: Vec<(&[f32], TensorShape)> = (0..node.inputs.len()).map(at).collect();
            apply_local(map, &inputs, output)
        }
    }
}

fn apply_local(map: &LocalMap, inputs: &[(&[f32], TensorShape)], output: TensorShape) -> Vec<f32> {
    let add = |sum: f32, x, shift| {
        // Mostly by nothing: powers take time.
        if shift == 0 { sum + x } else { sum + x * 2f32.powi(shift as i32) }
    };
    map.apply_with(inputs, output, add)
}
