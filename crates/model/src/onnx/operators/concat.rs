//! Concatenation, of constants too.

use gazelle_share::LocalMap;

use super::movement::{permute, relabel};
use super::selection::select;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer, Value};
use crate::onnx::dims::{self, axis};
use crate::onnx::tensor::Array;

pub(super) fn concat(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let first = (0..call.inputs.len()).find_map(|i| call.tensor(i).ok());
    let Some(first) = first else { return Err("nothing private to concatenate".into()) };
    let at = axis(call.attributes.int("axis", 1), first.dims.len())?;
    if call.inputs.iter().flatten().any(|value| matches!(value, Value::Constant(_))) {
        return with_constants(importer, call, &first, at);
    }
    let parts: Vec<Dynamic> =
        (0..call.inputs.len()).map(|i| call.tensor(i)).collect::<Result<_, _>>()?;
    join(importer, call.name, &parts, at)
}

/// Zeros where the constants are, which are then added.
fn with_constants(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    first: &Dynamic,
    at: usize,
) -> Result<Dynamic, String> {
    let mut constants = Vec::with_capacity(call.inputs.len());
    let mut parts = Vec::with_capacity(call.inputs.len());
    for (i, value) in call.inputs.iter().enumerate() {
        if let Some(Value::Constant(constant)) = value {
            let size = dims::size(&constant.dims, at);
            let mut dims = first.dims.clone();
            if let Some(dim) = dims.get_mut(at) {
                *dim = size;
            }
            if dims != constant.dims {
                return Err(format!("{:?} beside {:?}", constant.dims, first.dims));
            }
            constants.push((**constant).clone());
            if size > 0 {
                parts.push(select(importer, call.name, first, vec![(at, vec![None; size])])?);
            }
        } else {
            let part = call.tensor(i)?;
            constants.push(Array::scalar(0.0).broadcast_to(&part.dims)?);
            parts.push(part);
        }
    }
    let zeros = join(importer, call.name, &parts, at)?;
    let shift = Array::concat(&constants.iter().collect::<Vec<_>>(), at)?.finite()?;
    super::pointwise::affine(importer, call.name, &zeros, &[1.0], &shift)
}

fn join(
    importer: &mut Importer<'_>,
    name: &str,
    parts: &[Dynamic],
    at: usize,
) -> Result<Dynamic, String> {
    let Some(first) = parts.first() else { return Err("nothing to concatenate".into()) };
    let rank = first.dims.len();
    let mut out = first.dims.clone();
    let mut total = 0usize;
    for part in parts {
        let fits = part.dims.len() == rank
            && part.dims.iter().zip(&first.dims).enumerate().all(|(i, (a, b))| i == at || a == b);
        if !fits {
            return Err(format!("{:?} beside {:?}", part.dims, first.dims));
        }
        total += dims::size(&part.dims, at);
    }
    if let Some(dim) = out.get_mut(at) {
        *dim = total;
    }
    if let [single] = parts {
        return Ok(single.clone());
    }
    let op = Op::Local(LocalMap::Concat);
    let leading = first.dims.iter().take(at).all(|dim| *dim == 1);
    if leading {
        // Elements of one part stay together: channels of a plane each.
        let inner = first.dims.iter().skip(at + 1).product();
        let mut flat = Vec::with_capacity(parts.len());
        let image = at == 1 && rank <= 4;
        for part in parts {
            let size = dims::size(&part.dims, at);
            let dims = if image { part.dims.clone() } else { vec![1, size, inner, 1] };
            flat.push(relabel(importer, name, part, dims)?);
        }
        let dims = if image { out.clone() } else { vec![1, total, inner, 1] };
        let y = importer.push(name, op, &flat.iter().collect::<Vec<_>>(), dims)?;
        return relabel(importer, name, &y, out);
    }
    // Another axis: bring it to the front and back.
    let (batch, rest): (Vec<usize>, Vec<usize>) =
        (0..rank).filter(|i| *i != at).partition(|i| *i < dims::offset(&first.dims));
    let front: Vec<usize> = batch.into_iter().chain([at]).chain(rest).collect();
    let back: Option<Vec<usize>> =
        (0..rank).map(|i| front.iter().position(|axis| *axis == i)).collect();
    let back = back.ok_or("no such axis")?;
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        let size = dims::size(&part.dims, at);
        let rest = dims::count(&part.dims)? / size.max(1);
        let moved = permute(importer, name, part, &front)?;
        flat.push(relabel(importer, name, &moved, vec![1, size, rest, 1])?);
    }
    let rest = dims::count(&out)? / total.max(1);
    let inputs: Vec<&Dynamic> = flat.iter().collect();
    let y = importer.push(name, op, &inputs, vec![1, total, rest, 1])?;
    let dims: Vec<usize> = front.iter().filter_map(|axis| out.get(*axis).copied()).collect();
    let y = relabel(importer, name, &y, dims)?;
    permute(importer, name, &y, &back)
}
