//! Operators that choose positions axis by axis: slices, splits, gathers, repeats, padding.

use gazelle_share::LocalMap;

use super::movement::relabel;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer, Value};
use crate::onnx::dims::{self, axis};

/// Positions of the input along one axis; nothing is a zero.
pub(super) type AxisPositions = Vec<Option<usize>>;

/// Positions along one axis at most: a file of a few bytes must not ask for more.
const MAX_POSITIONS: usize = 1 << 22;

/// The tensor with these positions along these axes, each axis once.
pub(super) fn select(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    lists: Vec<(usize, AxisPositions)>,
) -> Result<Dynamic, String> {
    let mut out = x.dims.clone();
    for (axis, list) in &lists {
        *out.get_mut(*axis).ok_or("positions on an axis that is not there")? = list.len();
    }
    dims::shape_of(&out)?;
    let same = |axis: usize, list: &AxisPositions| {
        x.dims.get(axis).is_some_and(|dim| list.iter().copied().eq((0..*dim).map(Some)))
    };
    let lists: Vec<_> = lists.into_iter().filter(|(axis, list)| !same(*axis, list)).collect();
    let offset = dims::offset(&x.dims);
    if x.dims.len() <= offset + 3 && lists.iter().all(|(axis, _)| *axis >= offset) {
        let mut view = vec![1];
        view.extend(x.dims.iter().skip(offset));
        view.resize(4, 1);
        let mut axes = [const { Vec::new() }; 3];
        for (axis, list) in lists {
            if let Some(slot) = axes.get_mut(axis - offset) {
                *slot = list;
            }
        }
        let y = push(importer, name, &Dynamic { dims: view, ..x.clone() }, axes)?;
        return relabel(importer, name, &y, out);
    }
    let mut y = x.clone();
    for (axis, list) in lists {
        let mut after = y.dims.clone();
        let (outer, rest) = y.dims.split_at(axis);
        let (dim, inner) = rest.split_first().ok_or("no such axis")?;
        let view = vec![1, dims::count(outer)?, *dim, dims::count(inner)?];
        if let Some(slot) = after.get_mut(axis) {
            *slot = list.len();
        }
        let view = relabel(importer, name, &y, view)?;
        let z = push(importer, name, &view, [Vec::new(), list, Vec::new()])?;
        y = relabel(importer, name, &z, after)?;
    }
    Ok(y)
}

/// The map on a tensor of four axes, the first of them the batch; no list keeps an axis.
fn push(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    axes: [AxisPositions; 3],
) -> Result<Dynamic, String> {
    let mut out = x.dims.clone();
    for (dim, list) in out.iter_mut().skip(1).zip(&axes) {
        if !list.is_empty() {
            *dim = list.len();
        }
    }
    if out == x.dims && axes.iter().all(Vec::is_empty) {
        return Ok(x.clone());
    }
    let (mut start, mut step) = ([0; 3], [1; 3]);
    let mut before = [0; 3];
    let (mut slices, mut pads) = (true, true);
    for (i, (list, dim)) in axes.iter().zip(x.dims.iter().skip(1)).enumerate() {
        if list.is_empty() {
            continue;
        }
        match (progression(list), start.get_mut(i), step.get_mut(i)) {
            (Some((first, distance)), Some(start), Some(step)) => {
                (*start, *step) = (first, distance);
            }
            _ => slices = false,
        }
        match (framed(list, *dim), before.get_mut(i)) {
            (Some(zeros), Some(before)) => *before = zeros,
            _ => pads = false,
        }
    }
    let map = if slices {
        LocalMap::Slice { start, step }
    } else if pads {
        LocalMap::Pad { before }
    } else {
        let entry = |at: Option<usize>| at.map(u32::try_from).transpose();
        let list = |list: AxisPositions| list.into_iter().map(entry).collect::<Result<Vec<_>, _>>();
        let [a, b, c] = axes.map(|axis| list(axis).map_err(|_| "an axis is too long"));
        LocalMap::Select { axes: [a?, b?, c?] }
    };
    map.check(&[dims::shape_of(&x.dims)?], dims::shape_of(&out)?)?;
    importer.push(name, Op::Local(map), &[x], out)
}

/// First position and distance, if the positions go up in equal steps.
fn progression(list: &[Option<usize>]) -> Option<(usize, usize)> {
    let first = list.first().copied()??;
    let step = match list.get(1) {
        Some(second) => (*second)?.checked_sub(first).filter(|step| *step > 0)?,
        None => 1,
    };
    let fits = list.iter().enumerate().all(|(i, at)| *at == Some(first + i * step));
    fits.then_some((first, step))
}

/// Zeros before, if the positions are the whole axis between zeros.
fn framed(list: &[Option<usize>], dim: usize) -> Option<usize> {
    let before = list.iter().take_while(|at| at.is_none()).count();
    let inside = list.iter().skip(before).take(dim).copied().eq((0..dim).map(Some));
    let behind = list.iter().skip(before + dim).all(Option::is_none);
    (inside && behind).then_some(before)
}

/// The tensor repeated to axes that it broadcasts to.
pub(super) fn expand(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    to: &[usize],
) -> Result<Dynamic, String> {
    if dims::broadcast(&x.dims, to)? != to {
        return Err(format!("{:?} does not broadcast to {to:?}", x.dims));
    }
    dims::shape_of(to)?;
    let mut wide = vec![1; to.len() - x.dims.len()];
    wide.extend(&x.dims);
    let longer = |(axis, (from, to)): (usize, (&usize, &usize))| {
        (from != to).then(|| bounded(*to).map(|to| (axis, vec![Some(0); to])))
    };
    let lists: Result<Vec<_>, _> = wide.iter().zip(to).enumerate().filter_map(longer).collect();
    let view = relabel(importer, name, x, wide)?;
    select(importer, name, &view, lists?)
}

fn bounded(positions: usize) -> Result<usize, String> {
    if positions <= MAX_POSITIONS {
        Ok(positions)
    } else {
        Err(format!("{positions} positions along one axis"))
    }
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
    // optional: an input may be left out
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    // optional: an input may be left out
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()].iter().any(|len| *len != starts.len()) {
        return Err("starts, ends, axes and steps differ in number".into());
    }
    let mut cuts = Vec::with_capacity(starts.len());
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis(*at, from.len())?;
        let dim = dims::size(from, axis) as i64;
        if *step == 0 || step.unsigned_abs() > 1 << 31 {
            return Err(format!("a step of {step}"));
        }
        let from_end = |value: i64| if value < 0 { value.saturating_add(dim) } else { value };
        let (start, end) = if *step > 0 {
            (from_end(*start).clamp(0, dim), from_end(*end).clamp(0, dim))
        } else {
            (from_end(*start).clamp(0, dim - 1), from_end(*end).clamp(-1, dim - 1))
        };
        let distance = if *step > 0 { end - start } else { start - end };
        let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        if count == 0 {
            return Err(format!("a slice without elements on axis {axis}"));
        }
        cuts.push(Cut { axis, start: start.max(0) as usize, step: *step, count });
    }
    let mut seen: Vec<usize> = cuts.iter().map(|cut| cut.axis).collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("a slice names an axis twice".into());
    }
    Ok(cuts)
}

pub(super) fn slice(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let cuts = cuts(importer.opset, call, &x.dims)?;
    let list = |cut: Cut| {
        let at = |i: usize| usize::try_from(cut.start as i64 + i as i64 * cut.step).ok();
        (cut.axis, (0..cut.count).map(at).collect())
    };
    select(importer, call.name, &x, cuts.into_iter().map(list).collect())
}

pub(super) fn split(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Vec<Value>, String> {
    let x = call.tensor(0)?;
    let at = axis(call.attributes.int("axis", 0), x.dims.len())?;
    let dim = dims::size(&x.dims, at);
    let sizes: Vec<usize> = match (call.constant(1)?, call.attributes.ints("split")) {
        (Some(constant), _) => sizes(&constant.int_list())?,
        (None, Some(list)) => sizes(list)?,
        (None, None) => {
            let parts = usize::try_from(call.attributes.int("num_outputs", call.outputs as i64))
                .map_err(|_| "a negative number of parts")?;
            if parts > dim {
                return Err(format!("split of {dim} into {parts} parts"));
            }
            let size = dim.checked_div(parts).map(|_| dim.div_ceil(parts)).ok_or("no parts")?;
            (0..parts).map(|i| size.min(dim.saturating_sub(i * size))).collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
    if total != Some(dim) || sizes.contains(&0) {
        return Err(format!("split of {dim} into {sizes:?}"));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for (i, count) in sizes.into_iter().enumerate() {
        let list = (start..start + count).map(Some).collect();
        let part = select(importer, &format!("{}/{i}", call.name), &x, vec![(at, list)])?;
        parts.push(Value::Tensor(part));
        start += count;
    }
    Ok(parts)
}

fn sizes(list: &[i64]) -> Result<Vec<usize>, String> {
    list.iter()
        .map(|size| usize::try_from(*size).ok().filter(|size| *size < dims::MAX_ELEMENTS))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{list:?} are no sizes"))
}

/// Entries at constant indices along one axis.
pub(super) fn gather(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let Ok(x) = call.tensor(0) else {
        return Err("a table looked up by a private index is not supported".into());
    };
    let indices = call.required(1)?;
    let at = axis(call.attributes.int("axis", 0), x.dims.len())?;
    let dim = dims::size(&x.dims, at);
    let list: Result<AxisPositions, String> = indices
        .int_list()
        .into_iter()
        .map(|index| axis(index, dim).map(Some).map_err(|_| format!("index {index} of {dim}")))
        .collect();
    let y = select(importer, call.name, &x, vec![(at, list?)])?;
    let mut out = x.dims.clone();
    out.splice(at..=at, indices.dims.iter().copied());
    relabel(importer, call.name, &y, out)
}

pub(super) fn expanded(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let to = dims::broadcast(&x.dims, &sizes(&call.required(1)?.int_list())?)?;
    expand(importer, call.name, &x, &to)
}

pub(super) fn tile(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let times = sizes(&call.required(1)?.int_list())?;
    if times.len() != x.dims.len() {
        return Err(format!("{} repeats for {} axes", times.len(), x.dims.len()));
    }
    let mut lists = Vec::new();
    for (axis, (dim, times)) in x.dims.iter().zip(times).enumerate() {
        let total = bounded(dim.checked_mul(times).ok_or("repeated too often")?)?;
        lists.push((axis, (0..*dim).cycle().take(total).map(Some).collect()));
    }
    select(importer, call.name, &x, lists)
}

/// Pads before and behind, by axis; and what the padding holds.
struct Padding {
    amounts: Vec<(usize, i64, i64)>,
    value: f32,
}

fn padding(opset: i64, call: &Call<'_>, rank: usize) -> Result<Padding, String> {
    let (list, value) = if opset < 11 {
        let list = call.attributes.ints("pads").ok_or("the pads are missing")?.to_vec();
        (list, Some(call.attributes.float("value", 0.0)))
    } else {
        // optional: an input may be left out
        let value = call.constant(2)?.map_or(Some(0.0), |constant| constant.single());
        (call.required(1)?.int_list(), value)
    };
    let value = value.ok_or("the padding's value is not one number")?;
    let axes = match call.constant(3)? {
        Some(constant) => constant.axes(rank)?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", list.len(), axes.len()));
    }
    let (first, last) = list.split_at(axes.len());
    let amounts = axes.into_iter().zip(first).zip(last).map(|((axis, a), b)| (axis, *a, *b));
    Ok(Padding { amounts: amounts.collect(), value })
}

/// Position `at` of an axis continued beyond its ends.
fn continued(mode: &str, at: i64, dim: i64) -> Option<usize> {
    let at = match mode {
        "edge" => at.clamp(0, dim - 1),
        "wrap" => at.rem_euclid(dim),
        "reflect" if dim > 1 => {
            let period = 2 * (dim - 1);
            let at = at.rem_euclid(period);
            at.min(period - at)
        }
        "reflect" => 0,
        _ => at,
    };
    usize::try_from(at).ok().filter(|_| at < dim)
}

pub(super) fn pad(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let mode = call.attributes.string("mode").filter(|mode| !mode.is_empty());
    // optional: an attribute may be left out
    let mode = mode.as_deref().unwrap_or("constant");
    if !matches!(mode, "constant" | "reflect" | "edge" | "wrap") {
        return Err(format!("padding of the mode {mode:?}"));
    }
    let Padding { amounts, value } = padding(importer.opset, call, x.dims.len())?;
    let mut lists = Vec::new();
    for (axis, before, behind) in amounts {
        let dim = dims::size(&x.dims, axis) as i64;
        let small = |amount: i64| amount.abs() < 1 << 16;
        if !small(before) || !small(behind) || before + dim + behind < 1 {
            return Err(format!("padding by {before} and {behind}"));
        }
        if mode == "reflect" && (before >= dim || behind >= dim) && (before, behind) != (0, 0) {
            return Err(format!("{dim} positions reflected by {before} and {behind}"));
        }
        lists.push((axis, (-before..dim + behind).map(|at| continued(mode, at, dim)).collect()));
    }
    let y = select(importer, call.name, &x, lists.clone())?;
    if mode != "constant" || value == 0.0 {
        return Ok(y);
    }
    // One where something is, zero in the padding: what the value is added to.
    let mut shift = vec![value; dims::count(&y.dims)?];
    let mut inner = 1;
    let mut inside = vec![true; shift.len()];
    for axis in (0..y.dims.len()).rev() {
        let dim = dims::size(&y.dims, axis);
        if let Some((_, list)) = lists.iter().find(|(at, _)| *at == axis) {
            for (index, inside) in inside.iter_mut().enumerate() {
                *inside &= list.get(index / inner % dim).is_some_and(Option::is_some);
            }
        }
        inner *= dim;
    }
    shift.iter_mut().zip(&inside).filter(|(_, inside)| **inside).for_each(|(s, _)| *s = 0.0);
    super::pointwise::affine(importer, call.name, &y, &[1.0], &shift)
}
