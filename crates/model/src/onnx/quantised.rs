//! Quantised values inside a network (QDQ): what lies between `QuantizeLinear` and
//! `DequantizeLinear` is the clipped real value; the rounding in between is left to the private
//! computation, whose own is finer.

use super::call::{Call, Importer, QuantisedTensor, Value};
use super::operators;
use super::tensor::{Array, ElementType};
use crate::graph::{InputGrid, Op};

/// The one scale and zero point of a node.
fn parameters(call: &Call<'_>) -> Result<(f32, f32, Option<ElementType>), String> {
    let one = |tensor: &Array, what| {
        tensor
            .single()
            .ok_or(format!("one {what} per channel of a private tensor is not supported"))
    };
    let scale = one(&*call.required(1)?, "scale")?;
    if !(scale.is_finite() && scale > 0.0) {
        return Err(format!("a scale of {scale}"));
    }
    match call.constant(2)? {
        Some(zero) => Ok((scale, one(&zero, "zero point")?, Some(zero.kind))),
        None => Ok((scale, 0.0, None)),
    }
}

pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Vec<Value>, String> {
    let first = call.inputs.first().and_then(Option::as_ref);
    match (call.op, first) {
        ("QuantizeLinear", Some(Value::Tensor(x))) => {
            let (scale, zero, kind) = parameters(call)?;
            let kind = match kind {
                Some(kind) => kind,
                None => ElementType::from_onnx(call.attributes.int("output_dtype", 2))?,
            };
            if kind.is_float() {
                return Err("quantisation to a float type is not supported".into());
            }
            let (low, high) = kind.bounds();
            if x.id == 0 && importer.input_read_once() {
                // The client rounds and clips it.
                let (low, high) = (low as f32, high as f32);
                importer.graph.input_grid = Some(InputGrid { step: scale, zero, low, high });
                let real = x.clone();
                return Ok(vec![Value::Quantised(QuantisedTensor { real, scale, zero })]);
            }
            let real = |q: i64| (q as f32 - zero) * scale;
            let op = Op::Clip { low: real(low), high: real(high) };
            let real = importer.push(call.name, op, &[x], x.dims.clone())?;
            Ok(vec![Value::Quantised(QuantisedTensor { real, scale, zero })])
        }
        ("DequantizeLinear", Some(Value::Quantised(x))) => {
            let (scale, zero, _) = parameters(call)?;
            if scale.to_bits() == x.scale.to_bits() && zero.to_bits() == x.zero.to_bits() {
                return Ok(vec![Value::Tensor(x.real.clone())]);
            }
            // Read with other parameters: q = real / scale + zero.
            let channels = super::dims::shape_of(&x.real.dims)?.channels;
            let op = Op::Affine {
                scale: vec![scale / x.scale; channels],
                shift: vec![(x.zero - zero) * scale; channels],
            };
            let y = importer.push(call.name, op, &[&x.real], x.real.dims.clone())?;
            Ok(vec![Value::Tensor(y)])
        }
        (
            "MaxPool" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Slice"
            | "Identity" | "Dropout" | "Gather" | "Split",
            Some(Value::Quantised(x)),
        ) => {
            let mut inputs = call.inputs.clone();
            if let Some(slot) = inputs.first_mut() {
                *slot = Some(Value::Tensor(x.real.clone()));
            }
            let moved = call.with_inputs(inputs);
            let results = operators::run(importer, &moved)?;
            let (scale, zero) = (x.scale, x.zero);
            let wrap = |value| match value {
                Value::Tensor(real) => Value::Quantised(QuantisedTensor { real, scale, zero }),
                other => other,
            };
            Ok(results.into_iter().map(wrap).collect())
        }
        _ => Err(format!(
            "{} of quantised values is not supported: put a DequantizeLinear in front",
            call.op
        )),
    }
}
