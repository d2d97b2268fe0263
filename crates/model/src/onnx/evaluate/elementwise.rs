//! Arithmetic and comparisons of one, two or more broadcast tensors; casts.

use super::Application;
use super::activation::each;
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data, ElementType};

pub(super) const OPERATORS: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Mod",
    "Sum",
    "Mean",
    "Max",
    "Min",
    "And",
    "Or",
    "Xor",
    "Not",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Where",
    "Cast",
    "CastLike",
    "Abs",
    "Neg",
    "Sign",
    "Floor",
    "Ceil",
    "Round",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Log",
    "Sin",
    "Cos",
    "Identity",
    "Dropout",
    "IsNaN",
    "IsInf",
];

pub(super) fn run(call: &Application<'_>) -> Result<Array, String> {
    match call.op {
        "Identity" => Ok(call.input(0)?.clone()),
        "Dropout" => dropout(call),
        "Cast" => {
            let kind = ElementType::from_onnx(call.attributes.int("to", 1))?;
            Ok(call.input(0)?.cast(kind))
        }
        "CastLike" => Ok(call.input(0)?.cast(call.input(1)?.kind)),
        "Not" => {
            let x = call.input(0)?;
            let values = x.as_ints()?.iter().map(|x| *x == 0).collect();
            Ok(Array::bools(x.dims.clone(), values))
        }
        "IsNaN" | "IsInf" => {
            let x = call.input(0)?;
            let nan = call.op == "IsNaN";
            let test = |x: &f32| if nan { x.is_nan() } else { x.is_infinite() };
            Ok(Array::bools(x.dims.clone(), x.as_floats()?.iter().map(test).collect()))
        }
        "Abs" | "Neg" | "Sign" | "Floor" | "Ceil" | "Round" | "Sqrt" | "Reciprocal" | "Exp"
        | "Log" | "Sin" | "Cos" => unary(call),
        "Where" => choose(call),
        "Sum" | "Mean" | "Max" | "Min" => fold(call),
        _ => {
            let (a, b) = (call.input(0)?, call.input(1)?);
            binary(call, a, b)
        }
    }
}

/// The identity: training is not what a deployed network does.
fn dropout(call: &Application<'_>) -> Result<Array, String> {
    if call.optional(2).is_some_and(|mode| mode.int_list() != [0]) {
        return Err("training_mode is set: export the network in evaluation mode".into());
    }
    Ok(call.input(0)?.clone())
}

fn unary(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    if let Data::Int(values) = &x.data {
        let act = |x: &i64| match call.op {
            "Abs" => x.checked_abs(),
            "Neg" => x.checked_neg(),
            "Sign" => Some(x.signum()),
            _ => None,
        };
        let values: Option<Vec<i64>> = values.iter().map(act).collect();
        let values = values.ok_or_else(|| format!("{} of integers", call.op))?;
        return Ok(Array::integers(x.dims.clone(), x.kind, values));
    }
    match call.op {
        "Abs" => each(call, f32::abs),
        "Neg" => each(call, |x| -x),
        "Sign" => each(call, |x| if x == 0.0 { 0.0 } else { x.signum() }),
        "Floor" => each(call, f32::floor),
        "Ceil" => each(call, f32::ceil),
        "Round" => each(call, f32::round_ties_even),
        "Sqrt" => each(call, f32::sqrt),
        "Reciprocal" => each(call, f32::recip),
        "Exp" => each(call, f32::exp),
        "Log" => each(call, f32::ln),
        "Sin" => each(call, f32::sin),
        "Cos" => each(call, f32::cos),
        _ => Err(call.without_value()),
    }
}

/// The second operand with axes of its own, as opset 6 and before aligned it.
fn aligned(call: &Application<'_>, a: &Array, b: &Array) -> Result<Array, String> {
    let broadcast = call.attributes.int("broadcast", 0) != 0;
    if call.opset >= 7 || !broadcast {
        return Ok(b.clone());
    }
    let rank = a.dims.len();
    let suffix = rank.saturating_sub(b.dims.len()) as i64;
    let axis = dims::axis(call.attributes.int("axis", suffix), rank.max(1))?;
    let behind = rank.saturating_sub(axis + b.dims.len());
    let mut dims = b.dims.clone();
    dims.extend(vec![1; behind]);
    b.reshape(dims)
}

fn binary(call: &Application<'_>, a: &Array, b: &Array) -> Result<Array, String> {
    let b = &aligned(call, a, b)?;
    let dims = dims::broadcast(&a.dims, &b.dims)?;
    let (kind, op) = (a.kind, call.op);
    // Most often nothing is repeated.
    let (own_a, own_b);
    let a = if a.dims == dims {
        a
    } else {
        own_a = a.broadcast_to(&dims)?;
        &own_a
    };
    let b = if b.dims == dims {
        b
    } else {
        own_b = b.broadcast_to(&dims)?;
        &own_b
    };
    if let (Data::Int(a), Data::Int(b)) = (&a.data, &b.data) {
        let both = a.iter().zip(b);
        return match op {
            "And" => Ok(Array::bools(dims, both.map(|(a, b)| *a != 0 && *b != 0).collect())),
            "Or" => Ok(Array::bools(dims, both.map(|(a, b)| *a != 0 || *b != 0).collect())),
            "Xor" => Ok(Array::bools(dims, both.map(|(a, b)| (*a != 0) != (*b != 0)).collect())),
            "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" => {
                Ok(Array::bools(dims, both.map(|(a, b)| compare(op, a.cmp(b))).collect()))
            }
            _ => {
                let values: Option<Vec<i64>> = both.map(|(a, b)| integers(call, *a, *b)).collect();
                let values = values.ok_or_else(|| format!("{op} of integers overflows"))?;
                Ok(Array::integers(dims, kind, values))
            }
        };
    }
    let (a, b) = (a.to_floats(), b.to_floats());
    let both = a.iter().zip(&*b);
    if matches!(op, "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual") {
        let test = |(a, b): (&f32, &f32)| a.partial_cmp(b).is_some_and(|order| compare(op, order));
        return Ok(Array::bools(dims, both.map(test).collect()));
    }
    let act: fn(f32, f32) -> f32 = match op {
        // The one that large tensors meet: without a call for each element.
        "Add" => return Ok(Array::floats_of(dims, both.map(|(a, b)| a + b).collect())),
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f32::powf,
        "Mod" => |a, b| a % b,
        _ => return Err(format!("{op} of floats")),
    };
    Ok(Array::floats_of(dims, both.map(|(a, b)| act(*a, *b)).collect()))
}

fn compare(op: &str, order: std::cmp::Ordering) -> bool {
    match op {
        "Equal" => order.is_eq(),
        "Greater" => order.is_gt(),
        "GreaterOrEqual" => order.is_ge(),
        "Less" => order.is_lt(),
        _ => order.is_le(),
    }
}

fn integers(call: &Application<'_>, a: i64, b: i64) -> Option<i64> {
    match call.op {
        "Add" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        "Div" => a.checked_div(b),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?),
        "Mod" if call.attributes.int("fmod", 0) != 0 => a.checked_rem(b),
        // The sign of the divisor.
        "Mod" => a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r }),
        _ => None,
    }
}

/// Sum, mean, largest or smallest of any number of tensors.
fn fold(call: &Application<'_>) -> Result<Array, String> {
    let first = call.input(0)?;
    let mut dims = first.dims.clone();
    for index in 1..call.inputs.len() {
        dims = dims::broadcast(&dims, &call.input(index)?.dims)?;
    }
    let mut result = first.broadcast_to(&dims)?;
    for index in 1..call.inputs.len() {
        let next = call.input(index)?.broadcast_to(&dims)?;
        match (&mut result.data, &next.data) {
            (Data::Int(result), Data::Int(next)) => {
                for (a, b) in result.iter_mut().zip(next) {
                    *a = match call.op {
                        "Max" => (*a).max(*b),
                        "Min" => (*a).min(*b),
                        _ => a.checked_add(*b).ok_or("a sum of integers overflows")?,
                    };
                }
            }
            (Data::Float(result), Data::Float(next)) => {
                for (a, b) in result.iter_mut().zip(next) {
                    *a = match call.op {
                        "Max" => a.max(*b),
                        "Min" => a.min(*b),
                        _ => *a + b,
                    };
                }
            }
            _ => return Err("integers and floats together".into()),
        }
    }
    if let (Data::Float(result), "Mean") = (&mut result.data, call.op) {
        let count = call.inputs.len() as f32;
        for value in result.iter_mut() {
            *value /= count;
        }
    }
    Ok(result)
}

fn choose(call: &Application<'_>) -> Result<Array, String> {
    let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let dims = dims::broadcast(&dims::broadcast(&condition.dims, &a.dims)?, &b.dims)?;
    let condition = condition.broadcast_to(&dims)?;
    let (a, b) = (a.broadcast_to(&dims)?, b.broadcast_to(&dims)?);
    let condition = condition.as_ints()?.iter();
    let data = if let (Data::Int(a), Data::Int(b)) = (&a.data, &b.data) {
        let all = condition.zip(a.iter().zip(b));
        Data::Int(all.map(|(c, (a, b))| if *c != 0 { *a } else { *b }).collect())
    } else {
        let (x, y) = (a.floats(), b.floats());
        let all = condition.zip(x.iter().zip(&y));
        Data::Float(all.map(|(c, (a, b))| if *c != 0 { *a } else { *b }).collect())
    };
    Ok(Array { dims, kind: a.kind, data })
}
