//! What the client computes in the clear on what it learns (a softmax, a sigmoid, the index of the
//! largest value, a root): a value of its own that nothing inside the network may read.

use super::call::{Activated, Call, Dynamic, Importer, Value};
use super::evaluate;
use super::operators;
use super::tensor::ElementType;
use crate::error::Unsupported;
use crate::graph::Activation;

/// Begins a final activation, if this is one.
pub(super) fn begin(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Option<Result<Vec<Value>, String>> {
    if !call.domain.is_empty() {
        return None;
    }
    let activated = match call.op {
        "Softmax" | "LogSoftmax" => softmax(importer.opset, call),
        "Sigmoid" => call.tensor(0).map(|logits| (logits, Activation::Sigmoid)),
        "Sqrt" => call.tensor(0).map(|squares| (squares, Activation::SquareRoot)),
        "ArgMax" => index(call),
        "ReduceL2" if !operators::of_single_values(call) => {
            let sums = operators::sum_of_squares(importer, call);
            sums.map(|sums| (sums, Activation::SquareRoot))
        }
        _ => return None,
    };
    Some(activated.map(|(logits, activation)| {
        let moved = activation == Activation::SquareRoot;
        let nodes = vec![call.name.to_owned()];
        let op = call.op.to_owned();
        vec![Value::Activated(Activated { logits, activation, moved, nodes, op })]
    }))
}

fn softmax(opset: i64, call: &Call<'_>) -> Result<(Dynamic, Activation), String> {
    let logits = call.tensor(0)?;
    let axis = call.attributes.get("axis").map(|attribute| attribute.i);
    let [outer, classes, inner] = evaluate::softmax_layout(opset, axis, &logits.dims)?;
    let activation = match (call.op, outer * inner) {
        ("Softmax", 1) => Activation::Softmax,
        ("LogSoftmax", 1) => Activation::LogSoftmax,
        ("Softmax", _) => Activation::SoftmaxOf { classes, inner },
        _ => Activation::LogSoftmaxOf { classes, inner },
    };
    Ok((logits, activation))
}

/// `ArgMax` over all values there are.
fn index(call: &Call<'_>) -> Result<(Dynamic, Activation), String> {
    let logits = call.tensor(0)?;
    check_index(call, &logits.dims)?;
    Ok((logits, Activation::ArgMax))
}

fn check_index(call: &Call<'_>, dims: &[usize]) -> Result<(), String> {
    let axis = super::dims::axis(call.attributes.int("axis", 0), dims.len())?;
    if super::dims::size(dims, axis) != dims.iter().product::<usize>() {
        return Err(format!(
            "ArgMax along axis {axis} of {dims:?}: one index of all values is supported; make its \
             input the output of the network, and let clients take the indices of what they learn"
        ));
    }
    if call.attributes.int("select_last_index", 0) != 0 {
        return Err("select_last_index is set: of equal values the first is taken here".into());
    }
    Ok(())
}

/// A node that reads the result of an activation: fine if it only moves or renames elements.
///
/// # Errors
/// The activation's node, which is not at the end of the network.
pub(super) fn behind(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Vec<Value>, Unsupported> {
    let all: Vec<&Activated> = call
        .inputs
        .iter()
        .flatten()
        .filter_map(|value| match value {
            Value::Activated(activated) => Some(activated),
            _ => None,
        })
        .collect();
    let (Some(Some(Value::Activated(first))), [_]) = (call.inputs.first(), all.as_slice()) else {
        return Err(misplaced(all.first().copied(), call));
    };
    let relabels =
        matches!(call.op, "Identity" | "Dropout" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze");
    let to = || ElementType::from_onnx(call.attributes.int("to", 1));
    let fail =
        |why: String| Unsupported { node: call.name.to_owned(), op: call.op.to_owned(), why };
    if !call.domain.is_empty() {
        return Err(misplaced(Some(first), call));
    }
    // One number, whatever its axes are called.
    let of_index = first.activation == Activation::ArgMax
        && (relabels || call.op == "Cast" && to().is_ok_and(|to| to != ElementType::Bool));
    let of_softmax = matches!(first.activation, Activation::Softmax | Activation::LogSoftmax)
        && call.op == "ArgMax"
        && !first.moved;
    if of_index || of_softmax {
        if of_softmax {
            check_index(call, &first.logits.dims).map_err(fail)?;
        }
        let mut last = first.clone();
        last.activation = Activation::ArgMax;
        last.nodes.push(call.name.to_owned());
        return Ok(vec![Value::Activated(last)]);
    }
    let keeps_order = match call.op {
        "Cast" => to().is_ok_and(ElementType::is_float),
        // One group of classes: the order of the others does not matter.
        "Transpose" => first.logits.dims.iter().filter(|dim| **dim != 1).count() <= 1,
        _ => relabels,
    };
    let of_single_values = matches!(first.activation, Activation::Sigmoid | Activation::SquareRoot)
        && matches!(call.op, "Transpose" | "Slice" | "Gather" | "Split");
    if first.activation == Activation::ArgMax || !(keeps_order || of_single_values) {
        return Err(misplaced(Some(first), call));
    }
    let mut inputs = call.inputs.clone();
    if let Some(slot) = inputs.first_mut() {
        *slot = Some(Value::Tensor(first.logits.clone()));
    }
    let moved = call.with_inputs(inputs);
    let results = operators::run(importer, &moved).map_err(fail)?;
    Ok(results
        .into_iter()
        .map(|value| match value {
            Value::Tensor(logits) => {
                Value::Activated(Activated { logits, moved: true, ..first.clone() })
            }
            other => other,
        })
        .collect())
}

fn misplaced(activated: Option<&Activated>, reader: &Call<'_>) -> Unsupported {
    let Some(Activated { nodes, op, activation, .. }) = activated else {
        let (node, op) = (reader.name.to_owned(), reader.op.to_owned());
        return Unsupported { node, op, why: "reads the result of an activation".into() };
    };
    let instead = match activation {
        Activation::ArgMax | Activation::SquareRoot => "",
        _ => "use ReLU instead, or ",
    };
    let why = format!(
        "{op} inside the network is not supported, only at the end: {} {:?} reads its result; \
         {instead}make its input an output of the network",
        reader.op, reader.name
    );
    let node = nodes.iter().take(1).cloned().collect();
    Unsupported { node, op: op.clone(), why }
}
