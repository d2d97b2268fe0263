//! `Pad` in every mode; negative pads cut off.

use super::Application;
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data};

/// Largest padding on one side.
const MAX_PAD: i64 = 1 << 20;

pub(super) fn pad(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let rank = x.dims.len();
    // "paddings" before opset 2.
    let pads = call.list(1, "pads").or_else(|| call.list(1, "paddings"));
    let pads = pads.ok_or("the pads are missing")?;
    let axes = match call.optional(3) {
        Some(list) => list.axes(rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let mode = call.text("mode", "constant");
    let (first, last) = pads.split_at(axes.len());
    let mut result = x.clone();
    for ((axis, first), last) in axes.iter().zip(first).zip(last) {
        if [first, last].iter().any(|pad| pad.unsigned_abs() > MAX_PAD as u64) {
            return Err(format!("padding by {first} and {last}"));
        }
        let size = dims::size(&result.dims, *axis) as i64;
        let total = first + size + last;
        if total < 0 {
            return Err(format!("padding by {first} and {last} leaves nothing of {size}"));
        }
        let sources: Vec<Option<usize>> =
            (0..total).map(|at| source(&mode, at - first, size)).collect::<Result<_, _>>()?;
        result = along(call, &result, *axis, &sources)?;
    }
    Ok(result)
}

/// Which position of an axis of this size stands at `at`; `None` for the constant.
fn source(mode: &str, at: i64, size: i64) -> Result<Option<usize>, String> {
    if (0..size).contains(&at) {
        return Ok(Some(at as usize));
    }
    let position = match mode {
        "constant" => return Ok(None),
        _ if size == 0 => return Err("padding of an axis without elements".into()),
        "edge" => at.clamp(0, size - 1),
        "wrap" => at.rem_euclid(size),
        "reflect" => {
            let period = (2 * (size - 1)).max(1);
            let folded = at.rem_euclid(period);
            folded.min(period - folded).min(size - 1)
        }
        other => return Err(format!("mode {other:?} is not known")),
    };
    Ok(Some(position as usize))
}

fn along(
    call: &Application<'_>,
    x: &Array,
    axis: usize,
    sources: &[Option<usize>],
) -> Result<Array, String> {
    let mut out = x.dims.clone();
    let Some(dim) = out.get_mut(axis) else { return Err("no such axis".into()) };
    let size = std::mem::replace(dim, sources.len());
    dims::count(&out)?;
    if let Some(positions) = sources.iter().copied().collect::<Option<Vec<usize>>>() {
        return x.take(axis, &positions);
    }
    let outer: usize = x.dims.iter().take(axis).product();
    let inner: usize = x.dims.iter().skip(axis + 1).product();
    let given = call.optional(2);
    let data = match &x.data {
        Data::Float(values) => {
            let fill = match given {
                Some(value) => value.single().ok_or("the constant is not one number")?,
                None => call.attributes.float("value", 0.0),
            };
            Data::Float(moved(values, [outer, size, inner], sources, fill))
        }
        Data::Int(values) => {
            let fill = match given {
                Some(value) => *value.as_ints()?.first().ok_or("the constant is not one number")?,
                None => 0,
            };
            Data::Int(moved(values, [outer, size, inner], sources, fill))
        }
    };
    Ok(Array { dims: out, kind: x.kind, data })
}

fn moved<T: Copy>(
    values: &[T],
    [outer, size, inner]: [usize; 3],
    sources: &[Option<usize>],
    fill: T,
) -> Vec<T> {
    let mut result = Vec::with_capacity(outer * sources.len() * inner);
    for block in 0..outer {
        for source in sources {
            let from = source.map(|at| (block * size + at) * inner);
            match from.and_then(|from| values.get(from..from + inner)) {
                Some(row) => result.extend_from_slice(row),
                None => result.extend(std::iter::repeat_n(fill, inner)),
            }
        }
    }
    result
}
