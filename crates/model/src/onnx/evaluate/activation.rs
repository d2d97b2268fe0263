//! Activations: of single values, and over an axis.

use super::Application;
use crate::float;
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data};

pub(super) const OPERATORS: &[&str] = &[
    "Relu",
    "Clip",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Elu",
    "Selu",
    "Softplus",
    "Softsign",
    "ThresholdedRelu",
    "Softmax",
    "LogSoftmax",
];

pub(super) fn run(call: &Application<'_>) -> Result<Array, String> {
    let float = |name, default| call.attributes.float(name, default);
    match call.op {
        "Clip" => clip(call),
        "PRelu" => prelu(call),
        "Softmax" | "LogSoftmax" => softmax(call),
        "Relu" if matches!(call.input(0)?.data, Data::Int(_)) => {
            let x = call.input(0)?;
            let values = x.as_ints()?.iter().map(|x| *x.max(&0)).collect();
            Ok(Array::integers(x.dims.clone(), x.kind, values))
        }
        "Relu" => each(call, |x| x.max(0.0)),
        "LeakyRelu" => {
            let alpha = float("alpha", 0.01);
            each(call, |x| if x < 0.0 { alpha * x } else { x })
        }
        "Sigmoid" => each(call, sigmoid),
        "HardSigmoid" => {
            let (alpha, beta) = (float("alpha", 0.2), float("beta", 0.5));
            each(call, |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => each(call, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "Tanh" => each(call, f32::tanh),
        "Elu" => {
            let alpha = float("alpha", 1.0);
            each(call, |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Selu" => {
            let (alpha, gamma) = (float("alpha", 1.673_263_2), float("gamma", 1.050_701));
            each(call, |x| gamma * if x <= 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Softplus" => each(call, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Softsign" => each(call, |x| x / (1.0 + x.abs())),
        "ThresholdedRelu" => {
            let alpha = float("alpha", 1.0);
            each(call, |x| if x > alpha { x } else { 0.0 })
        }
        _ => Err(call.without_value()),
    }
}

/// `1 / (1 + exp(-x))` without overflow.
pub(super) fn sigmoid(x: f32) -> f32 {
    let power = (-x.abs()).exp();
    if x < 0.0 { power / (1.0 + power) } else { 1.0 / (1.0 + power) }
}

/// A function of each value.
pub(super) fn each(
    call: &Application<'_>,
    act: impl Fn(f32) -> f32 + Sync,
) -> Result<Array, String> {
    let x = call.input(0)?;
    let values = float::each(x.as_floats()?, act);
    Ok(Array::floats_of(x.dims.clone(), values))
}

fn clip(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    if let Data::Int(values) = &x.data {
        let bound = |index: usize, default: i64| match call.optional(index) {
            Some(tensor) => tensor.as_ints()?.first().copied().ok_or("an empty bound".to_owned()),
            None => Ok(default),
        };
        let (low, high) = (bound(1, i64::MIN)?, bound(2, i64::MAX)?);
        let values = values.iter().map(|x| (*x).max(low).min(high)).collect();
        return Ok(Array::integers(x.dims.clone(), x.kind, values));
    }
    let bound = |index: usize, name: &str, default: f32| match call.optional(index) {
        Some(tensor) => tensor.single().ok_or_else(|| format!("{name} is not one number")),
        None => Ok(call.attributes.float(name, default)),
    };
    let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    each(call, |x| x.max(low).min(high))
}

fn prelu(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let slopes = call.input(1)?;
    // One slope per channel may be written as a list (opset 6).
    let channels = dims::size(&x.dims, 1);
    let listed = call.opset < 7 && slopes.dims.len() == 1 && slopes.dims.first() == Some(&channels);
    let slopes = if listed {
        let mut dims = vec![1; x.dims.len().saturating_sub(1)];
        dims.iter_mut().take(1).for_each(|dim| *dim = channels);
        slopes.reshape(dims)?
    } else {
        slopes.clone()
    };
    let slopes = slopes.broadcast_to(&x.dims)?;
    let both = x.as_floats()?.iter().zip(slopes.as_floats()?);
    let values = both.map(|(x, slope)| if *x < 0.0 { slope * x } else { *x }).collect();
    Ok(Array::floats_of(x.dims.clone(), values))
}

/// Over one axis; before opset 13 over all axes from `axis` on.
fn softmax(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let layout = softmax_layout(call.opset, call.attributes.get("axis").map(|a| a.i), &x.dims)?;
    let [_, classes, inner] = layout;
    let mut y = x.as_floats()?.to_vec();
    for block in y.chunks_mut((classes * inner).max(1)) {
        for column in 0..inner {
            let at = || (0..classes).map(|class| class * inner + column);
            let largest = at()
                .filter_map(|at| block.get(at))
                .fold(f32::NEG_INFINITY, |m, value| m.max(*value));
            let sum: f32 =
                at().filter_map(|at| block.get(at)).map(|value| (value - largest).exp()).sum();
            for index in at() {
                if let Some(value) = block.get_mut(index) {
                    *value = if call.op == "Softmax" {
                        (*value - largest).exp() / sum
                    } else {
                        *value - largest - sum.ln()
                    };
                }
            }
        }
    }
    Ok(Array::floats_of(x.dims.clone(), y))
}

/// `[outer, classes, inner]`: which elements sum to one.
pub(in crate::onnx) fn softmax_layout(
    opset: i64,
    axis: Option<i64>,
    sizes: &[usize],
) -> Result<[usize; 3], String> {
    let default = if opset < 13 { 1 } else { -1 };
    let value = match axis {
        Some(axis) => axis,
        None => default,
    };
    let size = |sizes: &[usize]| sizes.iter().product::<usize>();
    if opset < 13 && value == sizes.len() as i64 {
        return Ok([size(sizes), 1, 1]);
    }
    let axis = dims::axis(value, sizes.len())?;
    let (outer, inner) = sizes.split_at(axis);
    if opset < 13 {
        return Ok([size(outer), size(inner), 1]);
    }
    Ok([size(outer), dims::size(sizes, axis), size(dims::part(inner, 1..))])
}
