//! Operators that give elements other axes: reshapes, transpositions, blocks of depth and space.

use gazelle_share::LocalMap;

use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims::{self, axis, shape_of};

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
                _ => call.attributes.list("axes").len(),
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
#[expect(clippy::indexing_slicing, reason = "the order was checked to be one of the axes")]
pub(super) fn permute(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    order: &[usize],
) -> Result<Dynamic, String> {
    let out: Option<Vec<usize>> = order.iter().map(|axis| x.dims.get(*axis).copied()).collect();
    let out = out.filter(|out| out.len() == x.dims.len()).ok_or("a permutation of other axes")?;
    let dim = |axis: usize| x.dims[axis];
    let moved: Vec<usize> = order.iter().copied().filter(|axis| dim(*axis) != 1).collect();
    // Axes that stay neighbours are one block.
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for axis in moved {
        let next = last.is_some_and(|last: usize| {
            last < axis && (last + 1..axis).all(|between| dim(between) == 1)
        });
        match blocks.last_mut() {
            Some((_, size)) if next => *size *= dim(axis),
            _ => blocks.push((axis, dim(axis))),
        }
        last = Some(axis);
    }
    let mut now = blocks.clone();
    now.sort_unstable();
    let mut y = x.clone();
    if let ([a, b, c], true) = (blocks.as_slice(), blocks != now) {
        y = swap(importer, name, &y, &now, [place(&now, a)?, place(&now, b)?, place(&now, c)?])?;
        now.clone_from(&blocks);
    }
    // The blocks at the end that are in order already stay; the others go to the front one by one.
    let mut rest = now.iter().rev();
    let stay = blocks.iter().rev().take_while(|block| rest.any(|other| other == *block)).count();
    for block in blocks.iter().rev().skip(stay) {
        let at = place(&now, block)?;
        if at > 0 {
            let size = |part: &[(usize, usize)]| part.iter().map(|(_, size)| size).product();
            let (before, behind) = now.split_at(at);
            let three =
                [(0, size(before)), *block, (2, behind.iter().skip(1).map(|(_, s)| s).product())];
            y = swap(importer, name, &y, &three, [1, 0, 2])?;
            let block = now.remove(at);
            now.insert(0, block);
        }
    }
    relabel(importer, name, &y, out)
}

fn place(blocks: &[(usize, usize)], block: &(usize, usize)) -> Result<usize, String> {
    blocks.iter().position(|other| other == block).ok_or_else(|| "an axis is missing".into())
}

/// The tensor seen as three blocks, in another order.
fn swap(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    blocks: &[(usize, usize)],
    axes: [usize; 3],
) -> Result<Dynamic, String> {
    // optional: what is not there is of size 1
    let size = |block: usize| blocks.get(block).map_or(1, |(_, size)| *size);
    let from = relabel(importer, name, x, vec![1, size(0), size(1), size(2)])?;
    let to = axes.iter().fold(vec![1], |mut to, axis| {
        to.push(size(*axis));
        to
    });
    importer.push(name, Op::Local(LocalMap::Permute { axes }), &[&from], to)
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

/// `DepthToSpace` and `SpaceToDepth`: blocks of channels become blocks of pixels, or back.
pub(super) fn blocks(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let size =
        usize::try_from(call.attributes.int("blocksize", 0)).map_err(|_| "a negative block")?;
    let [n, c, h, w] = *x.dims.as_slice() else {
        return Err(format!("blocks of {:?}; four axes are needed", x.dims));
    };
    let fits = |dim: usize, by: usize| by > 0 && dim.is_multiple_of(by);
    if call.op == "SpaceToDepth" {
        if !fits(h, size) || !fits(w, size) {
            return Err(format!("{h} by {w} pixels in blocks of {size}"));
        }
        let split = vec![n, c, h / size, size, w / size, size];
        let split = relabel(importer, call.name, &x, split)?;
        let moved = permute(importer, call.name, &split, &[0, 3, 5, 1, 2, 4])?;
        return relabel(importer, call.name, &moved, vec![n, c * size * size, h / size, w / size]);
    }
    if !fits(c, size.saturating_mul(size)) {
        return Err(format!("{c} channels as blocks of {size} by {size} pixels"));
    }
    let depth = c / (size * size);
    let (split, order) = match call.attributes.string("mode").as_deref() {
        Some("CRD") => (vec![n, depth, size, size, h, w], [0, 1, 4, 2, 5, 3]),
        None | Some("" | "DCR") => (vec![n, size, size, depth, h, w], [0, 3, 4, 1, 5, 2]),
        Some(mode) => return Err(format!("the mode {mode}")),
    };
    let split = relabel(importer, call.name, &x, split)?;
    let moved = permute(importer, call.name, &split, &order)?;
    relabel(importer, call.name, &moved, vec![n, depth, h * size, w * size])
}
