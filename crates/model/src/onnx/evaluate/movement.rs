//! Operators that move or repeat elements.

use super::Application;
use crate::onnx::dims::{self, axis};
use crate::onnx::tensor::Array;

pub(super) const OPERATORS: &[&str] = &[
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Concat",
    "Split",
    "Slice",
    "Gather",
    "GatherElements",
    "Expand",
    "Tile",
    "DepthToSpace",
    "SpaceToDepth",
];

pub(super) fn run(call: &Application<'_>) -> Result<Vec<Array>, String> {
    if call.op == "Split" {
        return split(call);
    }
    let result = match call.op {
        "Reshape" => reshape(call),
        "Flatten" => flatten(call),
        "Squeeze" => squeeze(call),
        "Unsqueeze" => unsqueeze(call),
        "Transpose" => transpose(call),
        "Concat" => {
            let parts: Vec<&Array> =
                (0..call.inputs.len()).map(|i| call.input(i)).collect::<Result<_, _>>()?;
            Array::concat(&parts, call.axis(i64::from(call.opset < 4))?)
        }
        "Slice" => slice(call),
        "Gather" => gather(call),
        "GatherElements" => gather_elements(call),
        "Expand" => {
            let x = call.input(0)?;
            let dims = dims::broadcast(&x.dims, &call.input(1)?.sizes()?)?;
            dims::count(&dims)?;
            x.broadcast_to(&dims)
        }
        "Tile" => tile(call),
        "DepthToSpace" | "SpaceToDepth" => blocks(call),
        _ => Err(call.without_value()),
    };
    result.map(|tensor| vec![tensor])
}

fn reshape(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let wanted = call.list(1, "shape").ok_or("the new shape is missing")?;
    let dims = dims::reshaped(&x.dims, &wanted, call.attributes.int("allowzero", 0) != 0)?;
    x.reshape(dims)
}

fn flatten(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let value = call.attributes.int("axis", 1);
    let rank = x.dims.len();
    let at = if value == rank as i64 { rank } else { axis(value, rank)? };
    let (outer, inner) = x.dims.split_at(at);
    x.reshape(vec![outer.iter().product(), inner.iter().product()])
}

fn squeeze(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let axes = match call.list(1, "axes") {
        Some(list) => {
            list.iter().map(|value| axis(*value, x.dims.len())).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..x.dims.len()).filter(|axis| x.dims.get(*axis) == Some(&1)).collect(),
    };
    if let Some(bad) = axes.iter().find(|axis| x.dims.get(**axis) != Some(&1)) {
        return Err(format!("axis {bad} of {:?} is not of size 1", x.dims));
    }
    let kept = x.dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
    x.reshape(kept.map(|(_, dim)| *dim).collect())
}

fn unsqueeze(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let list = call.list(1, "axes").ok_or("the axes are missing")?;
    let rank = x.dims.len() + list.len();
    if rank > 16 {
        return Err("more than 16 axes".into());
    }
    let axes = list.iter().map(|value| axis(*value, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = x.dims.iter();
    let dims = (0..rank)
        .map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() })
        .collect::<Option<Vec<usize>>>();
    x.reshape(dims.ok_or("an axis is given twice")?)
}

fn transpose(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let rank = x.dims.len();
    let order = match call.attributes.ints("perm") {
        Some(order) => order.iter().map(|value| axis(*value, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect::<Vec<_>>(),
    };
    x.transpose(&order)
}

fn slice(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let starts = call.list(1, "starts").ok_or("the starts are missing")?;
    let ends = call.list(2, "ends").ok_or("the ends are missing")?;
    let axes = match call.list(3, "axes") {
        Some(axes) => axes,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match call.list(4, "steps") {
        Some(steps) => steps,
        None => vec![1; starts.len()],
    };
    if [ends.len(), axes.len(), steps.len()].iter().any(|len| *len != starts.len()) {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let mut result = x.clone();
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis(*at, x.dims.len())?;
        let size = dims::size(&result.dims, axis) as i64;
        if *step == 0 {
            return Err("a step of 0".into());
        }
        let from_end = |value: i64| if value < 0 { value.saturating_add(size) } else { value };
        let (first, last) = if *step > 0 {
            (from_end(*start).clamp(0, size), from_end(*end).clamp(0, size))
        } else {
            (from_end(*start).clamp(0, size - 1), from_end(*end).clamp(-1, size - 1))
        };
        let mut positions = Vec::new();
        let mut at = first;
        while if *step > 0 { at < last } else { at > last } {
            positions.push(at as usize);
            at = at.saturating_add(*step);
        }
        result = result.take(axis, &positions)?;
    }
    Ok(result)
}

fn split(call: &Application<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let axis = call.axis(0)?;
    let size = dims::size(&x.dims, axis);
    let sizes: Vec<usize> = if let Some(list) = call.list(1, "split") {
        Array::ints(vec![list.len()], list).sizes()?
    } else {
        let count = call.attributes.int("num_outputs", call.outputs as i64);
        let count = usize::try_from(count).ok().filter(|count| (1..=1 << 16).contains(count));
        let count = count.ok_or("no parts")?;
        let part = size.div_ceil(count);
        (0..count).map(|i| part.min(size.saturating_sub(i * part))).collect()
    };
    if sizes.iter().sum::<usize>() != size {
        return Err(format!("{size} cannot be split into {sizes:?}"));
    }
    let mut first = 0;
    sizes
        .into_iter()
        .map(|count| {
            let part = x.slice(axis, first, 1, count);
            first += count;
            part
        })
        .collect()
}

fn gather(call: &Application<'_>) -> Result<Array, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let at = call.axis(0)?;
    let size = dims::size(&x.dims, at);
    let positions =
        indices.as_ints()?.iter().map(|index| axis(*index, size)).collect::<Result<Vec<_>, _>>();
    let positions = positions.map_err(|_| format!("an index beyond the {size} of axis {at}"))?;
    let taken = x.take(at, &positions)?;
    let mut dims = x.dims.clone();
    dims.splice(at..=at, indices.dims.iter().copied());
    taken.reshape(dims)
}

fn gather_elements(call: &Application<'_>) -> Result<Array, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let at = call.axis(0)?;
    if x.dims.len() != indices.dims.len() {
        return Err(format!("indices {:?} into {:?}", indices.dims, x.dims));
    }
    let strides = crate::onnx::tensor::strides(&x.dims);
    let own = crate::onnx::tensor::strides(&indices.dims);
    let mut positions = Vec::with_capacity(indices.len());
    for (flat, index) in indices.as_ints()?.iter().enumerate() {
        let mut position = 0;
        for (axis_at, (stride, step)) in strides.iter().zip(&own).enumerate() {
            let size = dims::size(&x.dims, axis_at);
            let along = if axis_at == at {
                axis(*index, size)?
            } else {
                flat / step % dims::size(&indices.dims, axis_at)
            };
            if along >= size {
                return Err(format!("indices {:?} into {:?}", indices.dims, x.dims));
            }
            position += along * stride;
        }
        positions.push(position);
    }
    Ok(x.pick(indices.dims.clone(), &positions))
}

fn tile(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let repeats = call.input(1)?.sizes()?;
    if repeats.len() != x.dims.len() {
        return Err(format!("{} repeats for {} axes", repeats.len(), x.dims.len()));
    }
    let mut result = x.clone();
    for (axis, (repeat, size)) in repeats.iter().zip(&x.dims).enumerate() {
        if *repeat != 1 {
            let count = dims::count(&[*repeat, *size])?;
            let positions: Vec<usize> = (0..count).map(|at| at % size).collect();
            result = result.take(axis, &positions)?;
        }
    }
    Ok(result)
}

/// `DepthToSpace` and `SpaceToDepth`.
fn blocks(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    // optional: a block of 0 is refused below
    let block = usize::try_from(call.attributes.int("blocksize", 0)).unwrap_or_default();
    let [n, c, h, w] = *x.dims.as_slice() else {
        return Err(format!("{} of {:?}: four axes are needed", call.op, x.dims));
    };
    let fits = if call.op == "DepthToSpace" {
        (1..=1 << 8).contains(&block) && c % (block * block) == 0
    } else {
        (1..=1 << 8).contains(&block) && h % block == 0 && w % block == 0
    };
    if !fits {
        return Err(format!("blocks of {block} do not fit {:?}", x.dims));
    }
    if call.op == "SpaceToDepth" {
        return x
            .reshape(vec![n, c, h / block, block, w / block, block])?
            .transpose(&[0, 3, 5, 1, 2, 4])?
            .reshape(vec![n, c * block * block, h / block, w / block]);
    }
    let depth = c / (block * block);
    let split = match call.text("mode", "DCR").as_str() {
        "DCR" => x.reshape(vec![n, block, block, depth, h, w])?.transpose(&[0, 3, 4, 1, 5, 2])?,
        "CRD" => x.reshape(vec![n, depth, block, block, h, w])?.transpose(&[0, 1, 4, 2, 5, 3])?,
        other => return Err(format!("mode {other:?} is not known")),
    };
    split.reshape(vec![n, depth, h * block, w * block])
}
