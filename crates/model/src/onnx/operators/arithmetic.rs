//! Elementwise arithmetic: with constants, of private tensors, squares, maxima of two.

use std::sync::Arc;

use gazelle_share::LocalMap;

use super::pointwise::{affine, clipped, spread};
use super::selection::expand;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer, Value};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    match call.op {
        "Neg" => affine(importer, call.name, &call.tensor(0)?, &[-1.0], &[0.0]),
        "Pow" => power(importer, call),
        "Sum" | "Mean" | "Max" | "Min" => {
            let op = if matches!(call.op, "Sum" | "Mean") { "Add" } else { call.op };
            let mut values = call.inputs.iter().flatten();
            let mut folded = values.next().cloned().ok_or("no inputs")?;
            for value in values {
                folded = match (&folded, value) {
                    (Value::Constant(a), Value::Constant(b)) => {
                        Value::Constant(Arc::new(constants(a, b, op)?))
                    }
                    _ => Value::Tensor(binary(importer, call.name, op, &folded, value)?),
                };
            }
            let Value::Tensor(sum) = folded else { return Err("nothing private".into()) };
            if call.op != "Mean" {
                return Ok(sum);
            }
            let count = call.inputs.iter().flatten().count();
            affine(importer, call.name, &sum, &[1.0 / count as f32], &[0.0])
        }
        op => match call.inputs.as_slice() {
            [Some(a), Some(b)] => binary(importer, call.name, op, a, b),
            _ => Err("two inputs expected".into()),
        },
    }
}

/// Two constants among the summands, or among what is compared.
fn constants(a: &Array, b: &Array, op: &str) -> Result<Array, String> {
    let dims = dims::broadcast(&a.dims, &b.dims)?;
    let (a, b) = (a.broadcast_to(&dims)?.floats(), b.broadcast_to(&dims)?.floats());
    let act = |(a, b): (f32, f32)| match op {
        "Add" => a + b,
        "Max" => a.max(b),
        _ => a.min(b),
    };
    let values = a.into_iter().zip(b).map(act).collect();
    Ok(Array::floats_of(dims, values))
}

/// Powers that are products of few factors.
fn power(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let Ok(x) = call.tensor(0) else { return Err("a private exponent is not supported".into()) };
    let exponent = call.required(1)?.floats();
    let first = *exponent.first().ok_or("an empty exponent")?;
    let same = exponent.iter().all(|e| e.to_bits() == first.to_bits());
    let out = dims::broadcast(&x.dims, &call.required(1)?.dims)?;
    let x = expand(importer, call.name, &x, &out)?;
    let square = |importer: &mut Importer<'_>, x: &Dynamic| {
        importer.push(call.name, Op::Square, &[x], x.dims.clone())
    };
    match first {
        1.0 if same => Ok(x),
        2.0 if same => square(importer, &x),
        3.0 if same => {
            let y = square(importer, &x)?;
            importer.push(call.name, Op::Multiply, &[&x, &y], x.dims.clone())
        }
        4.0 if same => {
            let y = square(importer, &x)?;
            square(importer, &y)
        }
        _ => Err(format!("a power of {first}; 1, 2, 3 and 4 are supported")),
    }
}

/// An operation of two values that broadcast, one of them private at least.
pub(super) fn binary(
    importer: &mut Importer<'_>,
    name: &str,
    op: &str,
    a: &Value,
    b: &Value,
) -> Result<Dynamic, String> {
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => {
            let out = dims::broadcast(&a.dims, &b.dims)?;
            let (a, b) = (expand(importer, name, a, &out)?, expand(importer, name, b, &out)?);
            both(importer, name, op, &a, &b)
        }
        (Value::Tensor(x), Value::Constant(c)) => {
            let (x, list) = spread_both(importer, name, x, c)?;
            let negated = || list.iter().map(|c| -c).collect::<Vec<_>>();
            match op {
                "Add" => affine(importer, name, &x, &[1.0], &list),
                "Sub" => affine(importer, name, &x, &[1.0], &negated()),
                "Mul" => affine(importer, name, &x, &list, &[0.0]),
                "Div" => {
                    let inverse: Vec<f32> = list.iter().map(|c| 1.0 / c).collect();
                    affine(importer, name, &x, &inverse, &[0.0])
                }
                _ => bounded(importer, name, op, &x, &list),
            }
        }
        (Value::Constant(c), Value::Tensor(x)) => {
            let (x, list) = spread_both(importer, name, x, c)?;
            match op {
                "Add" => affine(importer, name, &x, &[1.0], &list),
                "Sub" => affine(importer, name, &x, &[-1.0], &list),
                "Mul" => affine(importer, name, &x, &list, &[0.0]),
                "Max" | "Min" => bounded(importer, name, op, &x, &list),
                _ => Err("division by a private tensor is not supported".into()),
            }
        }
        _ => Err("two inputs expected".into()),
    }
}

/// Of two private tensors of the same axes.
fn both(
    importer: &mut Importer<'_>,
    name: &str,
    op: &str,
    a: &Dynamic,
    b: &Dynamic,
) -> Result<Dynamic, String> {
    let dims = a.dims.clone();
    match op {
        "Add" => add(importer, name, a, b),
        "Sub" => {
            let minus = affine(importer, name, b, &[-1.0], &[0.0])?;
            add(importer, name, a, &minus)
        }
        "Mul" if a.id == b.id => importer.push(name, Op::Square, &[a], dims),
        "Mul" => importer.push(name, Op::Multiply, &[a, b], dims),
        // max(a, b) = b + max(a - b, 0), min(a, b) = b - max(b - a, 0)
        "Max" | "Min" => {
            let sign = if op == "Max" { 1.0 } else { -1.0 };
            let minus = affine(importer, name, b, &[-1.0], &[0.0])?;
            let mut rest = add(importer, name, a, &minus)?;
            if op == "Min" {
                rest = affine(importer, name, &rest, &[-1.0], &[0.0])?;
            }
            let mut rest = importer.push(name, Op::Relu, &[&rest], dims)?;
            if op == "Min" {
                rest = affine(importer, name, &rest, &[sign], &[0.0])?;
            }
            add(importer, name, b, &rest)
        }
        _ => Err("division by a private tensor is not supported".into()),
    }
}

/// Maximum or minimum with constants: `c + max(x - c, 0)`, `c - max(c - x, 0)`.
fn bounded(
    importer: &mut Importer<'_>,
    name: &str,
    op: &str,
    x: &Dynamic,
    list: &[f32],
) -> Result<Dynamic, String> {
    if let Some(first) = list.first()
        && list.iter().all(|c| c.to_bits() == first.to_bits())
    {
        let (low, high) = if op == "Max" { (*first, f32::MAX) } else { (f32::MIN, *first) };
        return clipped(importer, name, x, low, high);
    }
    let sign = if op == "Max" { 1.0 } else { -1.0 };
    let moved: Vec<f32> = list.iter().map(|c| -sign * c).collect();
    let rest = affine(importer, name, x, &[sign], &moved)?;
    let rest = importer.push(name, Op::Relu, &[&rest], x.dims.clone())?;
    affine(importer, name, &rest, &[sign], list)
}

/// The tensor repeated to the axes of the result, and the constant spread over them.
fn spread_both(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    constant: &Array,
) -> Result<(Dynamic, Vec<f32>), String> {
    let out = dims::broadcast(&x.dims, &constant.dims)?;
    Ok((expand(importer, name, x, &out)?, spread(constant, &out)?))
}

fn add(
    importer: &mut Importer<'_>,
    name: &str,
    a: &Dynamic,
    b: &Dynamic,
) -> Result<Dynamic, String> {
    let op = Op::Local(LocalMap::Add { shifts: vec![0, 0] });
    importer.push(name, op, &[a, b], a.dims.clone())
}

/// `Where` with a constant condition: one or the other, place by place.
pub(super) fn choose(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let Some(Some(Value::Constant(condition))) = call.inputs.first() else {
        return Err("a condition that depends on the input is not supported".into());
    };
    let [_, Some(a), Some(b)] = call.inputs.as_slice() else {
        return Err("three inputs expected".into());
    };
    let dims_of = |value: &Value| match value {
        Value::Constant(constant) => Ok(constant.dims.clone()),
        Value::Tensor(tensor) => Ok(tensor.dims.clone()),
        _ => Err("an input that is not there".to_owned()),
    };
    let out = dims::broadcast(&condition.dims, &dims::broadcast(&dims_of(a)?, &dims_of(b)?)?)?;
    let chosen: Vec<bool> =
        condition.broadcast_to(&out)?.floats().iter().map(|value| *value != 0.0).collect();
    let mut masked = |value: &Value, keep: bool| -> Result<Value, String> {
        let mask: Vec<f32> = chosen.iter().map(|c| f32::from(u8::from(*c == keep))).collect();
        Ok(match value {
            Value::Tensor(x) => {
                let x = expand(importer, call.name, x, &out)?;
                Value::Tensor(affine(importer, call.name, &x, &mask, &[0.0])?)
            }
            Value::Constant(c) => {
                let values = c.broadcast_to(&out)?.floats();
                let kept = values.iter().zip(&mask).map(|(c, m)| if *m > 0.0 { *c } else { 0.0 });
                let kept = kept.collect();
                Value::Constant(Arc::new(Array::floats_of(out.clone(), kept)))
            }
            other => other.clone(),
        })
    };
    let (a, b) = (masked(a, true)?, masked(b, false)?);
    binary(importer, call.name, "Add", &a, &b)
}
