//! Shapes and constants: operators that look at sizes, not at values.

use super::Application;
use crate::onnx::attributes::Attributes;
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data, ElementType};

pub(super) const OPERATORS: &[&str] =
    &["Shape", "Size", "Constant", "ConstantOfShape", "Range", "NonZero"];

pub(super) fn run(call: &Application<'_>) -> Result<Array, String> {
    match call.op {
        "Constant" => constant(call),
        "ConstantOfShape" => filled(call),
        "Range" => range(call),
        "NonZero" => non_zero(call.input(0)?),
        "Size" => Ok(Array::ints(Vec::new(), vec![call.input(0)?.len() as i64])),
        "Shape" => Ok(shape_of(call.attributes, &call.input(0)?.dims)),
        _ => Err(call.without_value()),
    }
}

/// The axes, or those from `start` to before `end` (opset 15).
pub(in crate::onnx) fn shape_of(attributes: Attributes<'_>, dims: &[usize]) -> Array {
    let rank = dims.len() as i64;
    let bound = |name, default| {
        let value = attributes.int(name, default);
        (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let part = dims::part(dims, start..end.max(start));
    Array::ints(vec![part.len()], part.iter().map(|dim| *dim as i64).collect())
}

fn constant(call: &Application<'_>) -> Result<Array, String> {
    let attributes = call.attributes;
    if let Some(tensor) = attributes.get("value").and_then(|value| value.t.as_ref()) {
        return crate::onnx::read::tensor(tensor);
    }
    if let Some(value) = attributes.get("value_float") {
        return Ok(Array::scalar(value.f));
    }
    if let Some(value) = attributes.get("value_int") {
        return Ok(Array::ints(Vec::new(), vec![value.i]));
    }
    if let Some(value) = attributes.get("value_ints") {
        return Ok(Array::ints(vec![value.ints.len()], value.ints.clone()));
    }
    if let Some(value) = attributes.get("value_floats") {
        return Ok(Array::floats_of(vec![value.floats.len()], value.floats.clone()));
    }
    Err("a constant that is neither a tensor nor a list of numbers".into())
}

fn filled(call: &Application<'_>) -> Result<Array, String> {
    let sizes = call.input(0)?.sizes()?;
    let total = dims::count(&sizes)?;
    let given = call.attributes.get("value").and_then(|value| value.t.as_ref());
    let value = given.map(crate::onnx::read::tensor).transpose()?;
    let Some(value) = value else { return Ok(Array::floats_of(sizes, vec![0.0; total])) };
    let data = match &value.data {
        Data::Float(list) => Data::Float(vec![*list.first().ok_or("no value")?; total]),
        Data::Int(list) => Data::Int(vec![*list.first().ok_or("no value")?; total]),
    };
    Ok(Array { dims: sizes, kind: value.kind, data })
}

fn range(call: &Application<'_>) -> Result<Array, String> {
    let (start, limit, step) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let bounded = |count: f64| {
        if count.is_nan() || count > dims::MAX_ELEMENTS as f64 {
            return Err("a range without an end, or too long".to_owned());
        }
        Ok(count.max(0.0) as usize)
    };
    if let (Data::Int(start), Data::Int(limit), Data::Int(step)) =
        (&start.data, &limit.data, &step.data)
    {
        let first = |list: &[i64]| list.first().copied().ok_or("a range of nothing");
        let (start, limit, step) = (first(start)?, first(limit)?, first(step)?);
        let count = bounded(((limit as f64 - start as f64) / step as f64).ceil())?;
        let values: Option<Vec<i64>> = (0..count as i64)
            .map(|i| i.checked_mul(step).and_then(|offset| start.checked_add(offset)))
            .collect();
        return Ok(Array::ints(vec![count], values.ok_or("a range overflows")?));
    }
    let single = |tensor: &Array| tensor.single().ok_or("a range is of single numbers");
    let (start, limit, step) = (single(start)?, single(limit)?, single(step)?);
    let count = bounded((f64::from(limit - start) / f64::from(step)).ceil())?;
    Ok(Array::floats_of(vec![count], (0..count).map(|i| start + i as f32 * step).collect()))
}

/// Positions of elements that are not zero: `[rank, count]`.
fn non_zero(x: &Array) -> Result<Array, String> {
    let rank = x.dims.len().max(1);
    let flat: Vec<usize> = match &x.data {
        Data::Float(values) => (0..values.len()).filter(|i| values.get(*i) != Some(&0.0)).collect(),
        Data::Int(values) => (0..values.len()).filter(|i| values.get(*i) != Some(&0)).collect(),
    };
    let strides = crate::onnx::tensor::strides(&x.dims);
    let mut values = Vec::with_capacity(dims::count(&[rank, flat.len()])?);
    for (stride, dim) in strides.iter().zip(&x.dims) {
        values.extend(flat.iter().map(|at| (at / stride % dim) as i64));
    }
    if x.dims.is_empty() {
        values.extend(flat.iter().map(|_| 0));
    }
    Ok(Array {
        dims: vec![rank, flat.len()],
        kind: ElementType::Signed(64),
        data: Data::Int(values),
    })
}
