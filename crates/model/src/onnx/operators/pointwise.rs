//! What acts on each element alone: factors and summands, and the ends of a range.

use crate::graph::Op;
use crate::onnx::call::{Dynamic, Importer};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// A constant spread over a tensor's axes: one value per channel if that is enough.
pub(super) fn spread(constant: &Array, out: &[usize]) -> Result<Vec<f32>, String> {
    let shape = dims::shape_of(out)?;
    let values = constant.broadcast_to(out)?.floats();
    if values.iter().any(|value| value.is_nan()) {
        return Err("a constant that is not a number".into());
    }
    let plane = shape.height * shape.width;
    let uniform = |chunk: &[f32]| chunk.iter().all(|value| Some(value) == chunk.first());
    if values.chunks(plane).all(uniform) {
        return Ok(values.into_iter().step_by(plane).collect());
    }
    Ok(values)
}

/// `scale x + shift`; each one number, one per channel or one per element.
pub(super) fn affine(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    scale: &[f32],
    shift: &[f32],
) -> Result<Dynamic, String> {
    if scale.iter().chain(shift).any(|value| !value.is_finite()) {
        return Err("a constant that is not finite, or zero as a divisor".into());
    }
    let channels = dims::shape_of(&x.dims)?.channels;
    let full = |list: &[f32]| match list {
        [single] => vec![*single; channels],
        _ => list.to_vec(),
    };
    let op = Op::Affine { scale: full(scale), shift: full(shift) };
    importer.push(name, op, &[x], x.dims.clone())
}

/// Beyond this an end of a range stands for none.
const ENDLESS: f32 = 1e30;

/// `min(max(x, low), high)`.
pub(super) fn clipped(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    low: f32,
    high: f32,
) -> Result<Dynamic, String> {
    let dims = x.dims.clone();
    match (low < -ENDLESS, high > ENDLESS) {
        (true, true) => Ok(x.clone()),
        (false, true) if low == 0.0 => importer.push(name, Op::Relu, &[x], dims),
        (false, true) => {
            let moved = affine(importer, name, x, &[1.0], &[-low])?;
            let cut = importer.push(name, Op::Relu, &[&moved], dims)?;
            affine(importer, name, &cut, &[1.0], &[low])
        }
        (true, false) => {
            let moved = affine(importer, name, x, &[-1.0], &[high])?;
            let cut = importer.push(name, Op::Relu, &[&moved], dims)?;
            affine(importer, name, &cut, &[-1.0], &[high])
        }
        (false, false) if low > ENDLESS || high < -ENDLESS => {
            Err(format!("a range from {low} to {high}"))
        }
        (false, false) => importer.push(name, Op::Clip { low, high }, &[x], dims),
    }
}
