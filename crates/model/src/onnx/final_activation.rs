//! The activation that the client computes in the clear on what it learns: a value of its own that
//! nothing inside the network may read.

use super::call::{Activated, Call, Importer, Value};
use super::evaluate;
use super::operators;
use super::tensor::ElementType;
use crate::error::Unsupported;
use crate::graph::Activation;

/// Begins a final activation, if this is one.
pub(super) fn begin(
    importer: &Importer<'_>,
    call: &Call<'_>,
) -> Option<Result<Vec<Value>, String>> {
    if !call.domain.is_empty() || !matches!(call.op, "Softmax" | "LogSoftmax" | "Sigmoid") {
        return None;
    }
    Some(activated(importer.opset, call).map(|value| vec![Value::Activated(value)]))
}

fn activated(opset: i64, call: &Call<'_>) -> Result<Activated, String> {
    let logits = call.tensor(0)?;
    let activation = if call.op == "Sigmoid" {
        Activation::Sigmoid
    } else {
        let axis = call.attributes.get("axis").map(|attribute| attribute.i);
        let [outer, classes, inner] = evaluate::softmax_layout(opset, axis, &logits.dims)?;
        match (call.op, outer * inner) {
            ("Softmax", 1) => Activation::Softmax,
            ("LogSoftmax", 1) => Activation::LogSoftmax,
            ("Softmax", _) => Activation::SoftmaxOf { classes, inner },
            _ => Activation::LogSoftmaxOf { classes, inner },
        }
    };
    let moved = false;
    Ok(Activated { logits, activation, moved, node: call.name.to_owned(), op: call.op.to_owned() })
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
    let keeps_order = match call.op {
        "Identity" | "Dropout" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => true,
        "Cast" => {
            ElementType::from_onnx(call.attributes.int("to", 1)).is_ok_and(ElementType::is_float)
        }
        // One group of classes: the order of the others does not matter.
        "Transpose" => first.logits.dims.iter().filter(|dim| **dim != 1).count() <= 1,
        _ => false,
    };
    let of_single_values = first.activation == Activation::Sigmoid
        && matches!(call.op, "Transpose" | "Slice" | "Gather" | "Split");
    if !call.domain.is_empty() || !(keeps_order || of_single_values) {
        return Err(misplaced(Some(first), call));
    }
    let mut inputs = call.inputs.clone();
    if let Some(slot) = inputs.first_mut() {
        *slot = Some(Value::Tensor(first.logits.clone()));
    }
    let moved = call.with_inputs(inputs);
    let results = operators::run(importer, &moved).map_err(|why| Unsupported {
        node: call.name.to_owned(),
        op: call.op.to_owned(),
        why,
    })?;
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
    let Some(Activated { node, op, .. }) = activated else {
        let (node, op) = (reader.name.to_owned(), reader.op.to_owned());
        return Unsupported { node, op, why: "reads the result of an activation".into() };
    };
    let why = format!(
        "{op} inside the network is not supported, only at the end: {} {:?} reads its result; use \
         ReLU instead, or make its input an output of the network",
        reader.op, reader.name
    );
    Unsupported { node: node.clone(), op: op.clone(), why }
}
