//! Reductions over any axes.

use super::Application;
use crate::onnx::dims::axis;
use crate::onnx::tensor::{Array, Data, strides};

pub(super) const OPERATORS: &[&str] = &[
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ArgMax",
    "ArgMin",
];

/// The axes that are reduced, sorted; `None` if the node is the identity.
fn axes(call: &Application<'_>, rank: usize) -> Result<Option<Vec<usize>>, String> {
    let list = call.list(1, "axes").filter(|list| !list.is_empty());
    match list {
        Some(list) => {
            let mut axes =
                list.iter().map(|value| axis(*value, rank)).collect::<Result<Vec<_>, _>>()?;
            axes.sort_unstable();
            axes.dedup();
            Ok(Some(axes))
        }
        None if call.attributes.int("noop_with_empty_axes", 0) != 0 => Ok(None),
        None => Ok(Some((0..rank).collect())),
    }
}

/// Whether a reduction of one value is not that value.
fn maps_elements(op: &str) -> bool {
    !matches!(op, "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd")
}

pub(super) fn run(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let rank = x.dims.len();
    let single = matches!(call.op, "ArgMax" | "ArgMin");
    let axes = if single { Some(vec![call.axis(0)?]) } else { axes(call, rank)? };
    // No axes: what is summed is still squared, or made positive.
    let Some(axes) = axes.or_else(|| maps_elements(call.op).then(Vec::new)) else {
        return Ok(x.clone());
    };
    let keep = call.attributes.int("keepdims", 1) != 0;
    let (mut order, mut dims, mut outer, mut inner) = (Vec::new(), Vec::new(), 1, 1);
    for (axis, dim) in x.dims.iter().enumerate() {
        if axes.contains(&axis) {
            inner *= dim;
            if keep {
                dims.push(1);
            }
        } else {
            order.push(axis);
            outer *= dim;
            dims.push(*dim);
        }
    }
    order.extend(&axes);
    let moved = if order.iter().copied().eq(0..rank) { x.clone() } else { x.transpose(&order)? };
    debug_assert_eq!(strides(&moved.dims).len(), rank, "a transpose keeps the rank");
    if inner == 0 {
        return Err(format!("{} of nothing: {:?}", call.op, x.dims));
    }
    if single {
        let values = moved.floats();
        let last = call.attributes.int("select_last_index", 0) != 0;
        let sign = if call.op == "ArgMax" { 1.0 } else { -1.0 };
        let best = |row: &[f32]| {
            let mut best = (0, f32::NEG_INFINITY);
            for (at, value) in row.iter().map(|value| sign * value).enumerate() {
                if value > best.1 || (last && value >= best.1) {
                    best = (at, value);
                }
            }
            best.0 as i64
        };
        return Ok(Array::ints(dims, values.chunks(inner).map(best).collect()));
    }
    match &moved.data {
        Data::Int(values) => {
            let values: Option<Vec<i64>> =
                values.chunks(inner).map(|row| integers(call.op, row)).collect();
            let values = values.ok_or_else(|| format!("{} of integers", call.op))?;
            debug_assert_eq!(values.len(), outer, "one value per kept position");
            Ok(Array::integers(dims, x.kind, values))
        }
        Data::Float(values) => {
            let values = values.chunks(inner).map(|row| floats(call.op, row)).collect();
            Ok(Array::floats_of(dims, values))
        }
    }
}

fn integers(op: &str, row: &[i64]) -> Option<i64> {
    let sum = || row.iter().try_fold(0i64, |sum, x| sum.checked_add(*x));
    match op {
        "ReduceSum" => sum(),
        "ReduceMean" => sum().map(|sum| sum / row.len() as i64),
        "ReduceMax" => row.iter().copied().max(),
        "ReduceMin" => row.iter().copied().min(),
        "ReduceProd" => row.iter().try_fold(1i64, |product, x| product.checked_mul(*x)),
        _ => None,
    }
}

fn floats(op: &str, row: &[f32]) -> f32 {
    let sum = |act: fn(f32) -> f32| row.iter().map(|x| act(*x)).sum::<f32>();
    let largest = || row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    match op {
        "ReduceMean" => sum(|x| x) / row.len() as f32,
        "ReduceSum" => sum(|x| x),
        "ReduceMax" => largest(),
        "ReduceMin" => row.iter().copied().fold(f32::INFINITY, f32::min),
        "ReduceProd" => row.iter().product(),
        "ReduceL1" => sum(f32::abs),
        "ReduceL2" => sum(|x| x * x).sqrt(),
        "ReduceSumSquare" => sum(|x| x * x),
        "ReduceLogSum" => sum(|x| x).ln(),
        _ => {
            let largest = largest();
            row.iter().map(|x| (x - largest).exp()).sum::<f32>().ln() + largest
        }
    }
}
