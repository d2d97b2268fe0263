//! Sums, means and maxima over axes: the other axes go first, then one pool over what is left.

use gazelle_share::TensorShape;

use super::movement::{permute, relabel};
use super::pooling::whole;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;

/// The axes that go, from an input or an attribute; none given are all, unless the node says no
/// work.
fn axes(call: &Call<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = match (call.constant(1)?, call.attributes.ints("axes")) {
        (Some(constant), _) => constant.axes(rank)?,
        (None, Some(list)) => {
            list.iter().map(|value| dims::axis(*value, rank)).collect::<Result<_, _>>()?
        }
        (None, None) => Vec::new(),
    };
    if axes.is_empty() && call.attributes.int("noop_with_empty_axes", 0) == 0 {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// Whether each value is reduced by itself.
pub(in crate::onnx) fn of_single_values(call: &Call<'_>) -> bool {
    let Ok(x) = call.tensor(0) else { return false };
    axes(call, x.dims.len())
        .is_ok_and(|axes| axes.iter().all(|axis| dims::size(&x.dims, *axis) == 1))
}

/// What a `ReduceL2` takes the root of.
pub(in crate::onnx) fn sum_of_squares(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    run(importer, &Call { op: "ReduceSumSquare", ..call.with_inputs(call.inputs.clone()) })
}

pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let axes = axes(call, x.dims.len())?;
    if call.op == "ReduceL2" && !of_single_values(call) {
        return Err(super::refusals::refusal(call.op));
    }
    let name = call.name;
    let before =
        |importer: &mut Importer<'_>, op: Op| importer.push(name, op, &[&x], x.dims.clone());
    let negated = |importer: &mut Importer<'_>, x: &Dynamic| {
        super::pointwise::affine(importer, name, x, &[-1.0], &[0.0])
    };
    let x = match call.op {
        "ReduceSumSquare" => before(importer, Op::Square)?,
        "ReduceL1" | "ReduceL2" => before(importer, Op::LeakyRelu { slopes: vec![-1.0] })?,
        "ReduceMin" => negated(importer, &x)?,
        _ => x.clone(),
    };
    let kind = match call.op {
        "ReduceMean" => Reduction::Mean,
        "ReduceMax" | "ReduceMin" => Reduction::Max,
        _ => Reduction::Sum,
    };
    let keep = call.attributes.int("keepdims", 1) != 0;
    let y = over(importer, name, &x, &axes, keep, kind)?;
    if call.op == "ReduceMin" { negated(importer, &y) } else { Ok(y) }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reduction {
    Mean,
    Sum,
    Max,
}

/// The reduction over `axes`, which go up.
pub(super) fn over(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    axes: &[usize],
    keep: bool,
    kind: Reduction,
) -> Result<Dynamic, String> {
    if axes.is_empty() {
        return Ok(x.clone());
    }
    let rank = x.dims.len();
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let size = |list: &[usize]| list.iter().filter_map(|axis| x.dims.get(*axis)).product::<usize>();
    let (rows, columns) = (size(&kept), size(axes));
    let gone = |axis: usize| axes.contains(&axis);
    let sizes = x.dims.iter().enumerate().filter(|(axis, _)| keep || !gone(*axis));
    let out: Vec<usize> = sizes.map(|(axis, dim)| if gone(axis) { 1 } else { *dim }).collect();
    let op = |shape: TensorShape| match kind {
        Reduction::Mean => Op::AveragePool { window: whole(shape), divisor: columns as f32 },
        Reduction::Sum => Op::AveragePool { window: whole(shape), divisor: 1.0 },
        Reduction::Max => Op::MaxPool { window: whole(shape), relu: false },
    };
    // Rows and columns of images: a pool that the step before can take.
    if let ([1, channels, height, width], [2, 3]) = (x.dims.as_slice(), axes) {
        let op = op(TensorShape::new(*channels, *height, *width));
        let y = importer.push(name, op, &[x], vec![1, *channels, 1, 1])?;
        return relabel(importer, name, &y, out);
    }
    let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let moved = permute(importer, name, x, &order)?;
    let flat = relabel(importer, name, &moved, vec![1, rows, columns, 1])?;
    let shape = TensorShape::new(rows, columns, 1);
    if whole(shape).checked_output(shape).is_none() {
        return Err(format!("a reduction of {columns} values"));
    }
    let y = importer.push(name, op(shape), &[&flat], vec![1, rows, 1, 1])?;
    relabel(importer, name, &y, out)
}
