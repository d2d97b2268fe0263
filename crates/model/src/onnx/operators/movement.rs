//! Operators that move elements: reshape, transpose, slice, split, pad, concat.

use gazelle_share::LocalMap;

use crate::graph::Op;
use crate::onnx::dims::{self, axis, shape_of};
use crate::onnx::import::{Call, Dynamic, Importer, Value};

/// The same elements in the same order under other axes.
pub(super) fn relabel(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    dims: Vec<usize>,
) -> Result<Dynamic, String> {
    if shape_of(&dims)? == shape_of(&x.dims)? {
        return Ok(Dynamic { dims, ..x.clone() });
    }
    importer.push(name, Op::Local(LocalMap::Reshape), &[x], dims)
}

/// Axes of a `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze`.
pub(super) fn new_dims(opset: i64, call: &Call<'_>, from: &[usize]) -> Result<Vec<usize>, String> {
    let rank = from.len();
    let axes = |rank: usize| -> Result<Option<Vec<usize>>, String> {
        if opset >= 13
            && let Some(constant) = call.constant(1)?
        {
            return constant.axes(rank).map(Some);
        }
        let list = call.attributes.ints("axes");
        list.map(|list| list.iter().map(|value| axis(*value, rank)).collect()).transpose()
    };
    match call.op {
        "Reshape" => {
            let wanted = call.required(1)?.int_list();
            dims::reshaped(from, &wanted, call.attributes.int("allowzero", 0) != 0)
        }
        "Flatten" => {
            let value = call.attributes.int("axis", 1);
            let at = if value == rank as i64 { rank } else { axis(value, rank)? };
            let (outer, inner) = from.split_at(at);
            Ok(vec![dims::count(outer)?, dims::count(inner)?])
        }
        "Squeeze" => {
            let axes = axes(rank)?;
            let gone = |i: usize, dim: usize| match &axes {
                Some(axes) => axes.contains(&i),
                None => dim == 1,
            };
            if from.iter().enumerate().any(|(i, dim)| gone(i, *dim) && *dim != 1) {
                return Err(format!("squeeze of {from:?}"));
            }
            Ok(from
                .iter()
                .enumerate()
                .filter(|(i, dim)| !gone(*i, **dim))
                .map(|(_, d)| *d)
                .collect())
        }
        _ => {
            let count = match (opset >= 13, call.constant(1)?) {
                (true, Some(constant)) => constant.int_list().len(),
                _ => call.attributes.ints("axes").map_or(0, <[i64]>::len),
            };
            let rank = rank.checked_add(count).filter(|rank| *rank <= 16).ok_or("too many axes")?;
            let axes = axes(rank)?.ok_or("the axes are missing")?;
            let mut rest = from.iter();
            (0..rank)
                .map(|i| if axes.contains(&i) { Some(1) } else { rest.next().copied() })
                .collect::<Option<Vec<usize>>>()
                .ok_or_else(|| format!("unsqueeze of {from:?} at {axes:?}"))
        }
    }
}

fn reshape_like(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let dims = new_dims(importer.opset, call, &x.dims)?;
    relabel(importer, call.name, &x, dims)
}

pub(super) fn reshape(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    reshape_like(importer, call)
}

pub(super) fn flatten(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    reshape_like(importer, call)
}

pub(super) fn squeeze(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    reshape_like(importer, call)
}

pub(super) fn unsqueeze(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    reshape_like(importer, call)
}

/// The tensor with its axes in another order; axes of one element may go anywhere.
pub(super) fn permute(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    order: &[usize],
) -> Result<Dynamic, String> {
    let out: Option<Vec<usize>> = order.iter().map(|axis| x.dims.get(*axis).copied()).collect();
    let out = out.filter(|out| out.len() == x.dims.len()).ok_or("a permutation of other axes")?;
    let long: Vec<usize> = (0..x.dims.len()).filter(|i| x.dims.get(*i) != Some(&1)).collect();
    let moved: Vec<usize> = order.iter().copied().filter(|axis| long.contains(axis)).collect();
    if long == moved {
        return relabel(importer, name, x, out);
    }
    if long.len() > 3 {
        return Err(format!("transpose of {:?}", x.dims));
    }
    // Only the long axes matter: view them as a tensor of their own.
    let sizes = |axes: &[usize]| -> Vec<usize> {
        axes.iter().filter_map(|axis| x.dims.get(*axis).copied()).collect()
    };
    let mut compact = vec![1];
    compact.extend(sizes(&long));
    compact.resize(4, 1);
    let from = relabel(importer, name, x, compact)?;
    let mut axes = [0, 1, 2];
    for (slot, axis) in axes.iter_mut().zip(&moved) {
        *slot = long.iter().position(|long| long == axis).unwrap_or_default();
    }
    let mut to = vec![1];
    to.extend(sizes(&moved));
    to.resize(4, 1);
    let y = importer.push(name, Op::Local(LocalMap::Permute { axes }), &[&from], to)?;
    relabel(importer, name, &y, out)
}

pub(super) fn transpose(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let rank = x.dims.len();
    let order: Vec<usize> = match call.attributes.ints("perm") {
        Some(order) => order.iter().map(|value| axis(*value, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("transpose of {:?} by {order:?}", x.dims));
    }
    permute(importer, call.name, &x, &order)
}

/// One axis of a `Slice`.
pub(super) struct Cut {
    pub(super) axis: usize,
    pub(super) start: usize,
    pub(super) step: i64,
    pub(super) count: usize,
}

pub(super) fn cuts(opset: i64, call: &Call<'_>, from: &[usize]) -> Result<Vec<Cut>, String> {
    let list = |index: usize, name: &str| -> Result<Option<Vec<i64>>, String> {
        if opset < 10 {
            return Ok(call.attributes.ints(name).map(<[i64]>::to_vec));
        }
        Ok(call.constant(index)?.map(|constant| constant.int_list()))
    };
    let starts = list(1, "starts")?.ok_or("the starts are missing")?;
    let ends = list(2, "ends")?.ok_or("the ends are missing")?;
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|len| *len != starts.len()) {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let mut cuts = Vec::with_capacity(starts.len());
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis(*at, from.len())?;
        let dim = from.get(axis).copied().unwrap_or(1) as i64;
        if *step == 0 || step.unsigned_abs() > 1 << 31 {
            return Err(format!("a step of {step}"));
        }
        let from_end = |value: i64| if value < 0 { value.saturating_add(dim) } else { value };
        let (start, end) = if *step > 0 {
            (from_end(*start).clamp(0, dim), from_end(*end).clamp(0, dim))
        } else {
            (from_end(*start).clamp(-1, dim - 1), from_end(*end).clamp(-1, dim - 1))
        };
        let distance = if *step > 0 { end - start } else { start - end };
        let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        if count == 0 {
            return Err(format!("a slice without elements on axis {axis}"));
        }
        cuts.push(Cut { axis, start: start.max(0) as usize, step: *step, count });
    }
    Ok(cuts)
}

pub(super) fn slice(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let cuts = cuts(importer.opset, call, &x.dims)?;
    take(importer, call.name, &x, &cuts)
}

fn take(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    cuts: &[Cut],
) -> Result<Dynamic, String> {
    let offset = dims::offset(&x.dims);
    let mut out = x.dims.clone();
    let (mut start, mut step) = ([0usize; 3], [1usize; 3]);
    for cut in cuts {
        if let Some(dim) = out.get_mut(cut.axis) {
            *dim = cut.count;
        }
        let Some(at) = cut.axis.checked_sub(offset).filter(|at| *at < 3) else { continue };
        let positive = usize::try_from(cut.step).map_err(|_| "a negative step")?;
        if let (Some(start), Some(step)) = (start.get_mut(at), step.get_mut(at)) {
            (*start, *step) = (cut.start, positive);
        }
    }
    if out == x.dims {
        return Ok(x.clone());
    }
    let shape = shape_of(&x.dims)?;
    // The batch axis of the result may look like a shape's axis where sizes are one.
    if dims::offset(&out) != offset {
        let mut padded = vec![1];
        padded.extend(out.iter().copied().chain([1, 1, 1]).take(3));
        let map = LocalMap::Slice { start, step };
        map.check(&[shape], shape_of(&padded)?)?;
        let y = importer.push(name, Op::Local(map), &[x], padded)?;
        return relabel(importer, name, &y, out);
    }
    let map = LocalMap::Slice { start, step };
    map.check(&[shape], shape_of(&out)?)?;
    importer.push(name, Op::Local(map), &[x], out)
}

pub(super) fn split(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Vec<Value>, String> {
    let x = call.tensor(0)?;
    let at = axis(call.attributes.int("axis", 0), x.dims.len())?;
    let dim = x.dims.get(at).copied().unwrap_or(1);
    let sizes: Vec<usize> = match (call.constant(1)?, call.attributes.ints("split")) {
        (Some(constant), _) => sizes(&constant.int_list())?,
        (None, Some(list)) => sizes(list)?,
        (None, None) => {
            let parts = usize::try_from(call.attributes.int("num_outputs", call.outputs as i64))
                .map_err(|_| "a negative number of parts")?;
            let size = dim.checked_div(parts).map(|_| dim.div_ceil(parts)).ok_or("no parts")?;
            (0..parts).map(|i| size.min(dim.saturating_sub(i * size))).collect()
        }
    };
    if sizes.iter().sum::<usize>() != dim || sizes.contains(&0) {
        return Err(format!("split of {dim} into {sizes:?}"));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for (i, count) in sizes.into_iter().enumerate() {
        let cut = Cut { axis: at, start, step: 1, count };
        let part = take(importer, &format!("{}/{i}", call.name), &x, &[cut])?;
        parts.push(Value::Tensor(part));
        start += count;
    }
    Ok(parts)
}

fn sizes(list: &[i64]) -> Result<Vec<usize>, String> {
    list.iter()
        .map(|size| usize::try_from(*size).ok().filter(|size| *size < dims::MAX_ELEMENTS))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("split into {list:?}"))
}

pub(super) fn pad(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let rank = x.dims.len();
    if !matches!(call.attributes.string("mode").as_deref(), None | Some("" | "constant")) {
        return Err("only constant padding is supported".into());
    }
    let (list, value) = if importer.opset < 11 {
        let list = call.attributes.ints("pads").ok_or("the pads are missing")?.to_vec();
        (list, Some(call.attributes.float("value", 0.0)))
    } else {
        let value = call.constant(2)?.map_or(Some(0.0), |constant| constant.single());
        (call.required(1)?.int_list(), value)
    };
    if value != Some(0.0) {
        return Err("only padding with zeros is supported".into());
    }
    let axes = match call.constant(3)? {
        Some(constant) => constant.axes(rank)?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", list.len(), axes.len()));
    }
    let (first, last) = list.split_at(axes.len());
    let offset = dims::offset(&x.dims);
    let mut out = x.dims.clone();
    let mut before = [0usize; 3];
    for ((axis, first), last) in axes.iter().zip(first).zip(last) {
        let small = |value: i64| usize::try_from(value).ok().filter(|value| *value < 1 << 16);
        let (Some(first), Some(last)) = (small(*first), small(*last)) else {
            return Err(format!("padding by {first} and {last}"));
        };
        if first + last == 0 {
            continue;
        }
        let slot = axis.checked_sub(offset).and_then(|at| before.get_mut(at));
        let (Some(slot), Some(dim)) = (slot, out.get_mut(*axis)) else {
            return Err("padding of the batch axis".into());
        };
        *slot = first;
        *dim += first + last;
    }
    if out == x.dims {
        return Ok(x);
    }
    importer.push(call.name, Op::Local(LocalMap::Pad { before }), &[&x], out)
}

pub(super) fn concat(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let parts: Vec<Dynamic> =
        (0..call.inputs.len()).map(|i| call.tensor(i)).collect::<Result<_, _>>()?;
    let Some(first) = parts.first().cloned() else { return Err("nothing to concatenate".into()) };
    let rank = first.dims.len();
    let at = axis(call.attributes.int("axis", 1), rank)?;
    let mut out = first.dims.clone();
    let mut total = 0usize;
    for part in &parts {
        let fits = part.dims.len() == rank
            && part.dims.iter().zip(&first.dims).enumerate().all(|(i, (a, b))| i == at || a == b);
        if !fits {
            return Err(format!("{:?} beside {:?}", part.dims, first.dims));
        }
        total += part.dims.get(at).copied().unwrap_or_default();
    }
    if let Some(dim) = out.get_mut(at) {
        *dim = total;
    }
    if let [single] = parts.as_slice() {
        return Ok(single.clone());
    }
    let op = Op::Local(LocalMap::Concat);
    let leading = first.dims.iter().take(at).all(|dim| *dim == 1);
    if leading {
        // Elements of one part stay together: channels of a plane each.
        let inner = dims::count(first.dims.get(at + 1..).unwrap_or_default())?;
        let mut flat = Vec::with_capacity(parts.len());
        let image = at == 1 && rank <= 4;
        for part in &parts {
            let size = part.dims.get(at).copied().unwrap_or_default();
            let dims = if image { part.dims.clone() } else { vec![1, size, inner, 1] };
            flat.push(relabel(importer, call.name, part, dims)?);
        }
        let dims = if image { out.clone() } else { vec![1, total, inner, 1] };
        let y = importer.push(call.name, op, &flat.iter().collect::<Vec<_>>(), dims)?;
        return relabel(importer, call.name, &y, out);
    }
    // Another axis: bring it to the front and back.
    let (batch, rest): (Vec<usize>, Vec<usize>) =
        (0..rank).filter(|i| *i != at).partition(|i| *i < dims::offset(&first.dims));
    let front: Vec<usize> = batch.into_iter().chain([at]).chain(rest).collect();
    let back: Vec<usize> =
        (0..rank).map(|i| front.iter().position(|axis| *axis == i).unwrap_or_default()).collect();
    let mut flat = Vec::with_capacity(parts.len());
    for part in &parts {
        let size = part.dims.get(at).copied().unwrap_or_default();
        let rest = dims::count(&part.dims)? / size.max(1);
        let moved = permute(importer, call.name, part, &front)?;
        flat.push(relabel(importer, call.name, &moved, vec![1, size, rest, 1])?);
    }
    let rest = dims::count(&out)? / total.max(1);
    let inputs: Vec<&Dynamic> = flat.iter().collect();
    let y = importer.push(call.name, op, &inputs, vec![1, total, rest, 1])?;
    let dims: Vec<usize> = front.iter().filter_map(|axis| out.get(*axis).copied()).collect();
    let y = relabel(importer, call.name, &y, dims)?;
    permute(importer, call.name, &y, &back)
}
