//! `QuantizeLinear` and `DequantizeLinear`, per tensor and per axis.

use super::{Application, Arithmetic};
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data, ElementType};

/// A parameter spread over the tensor: one value, or one per position of `axis`.
fn spread(call: &Application<'_>, parameter: &Array, to: &Array) -> Result<Array, String> {
    let block = call.attributes.int("block_size", 0);
    if block != 0 {
        let axis = dims::axis(call.attributes.int("axis", 1), to.dims.len())?;
        let block = usize::try_from(block).map_err(|_| format!("blocks of {block}"))?;
        let size = dims::size(&to.dims, axis);
        let places: Vec<usize> = (0..size).map(|at| at / block).collect();
        if dims::size(&parameter.dims, axis) != size.div_ceil(block) {
            return Err(format!(
                "scales {:?} for {:?} in blocks of {block}",
                parameter.dims, to.dims
            ));
        }
        return parameter.take(axis, &places);
    }
    if parameter.len() == 1 {
        return parameter.reshape(vec![1; to.dims.len()]);
    }
    let axis = dims::axis(call.attributes.int("axis", 1), to.dims.len())?;
    if parameter.dims.len() != 1 || to.dims.get(axis) != parameter.dims.first() {
        return Err(format!("scales {:?} along axis {axis} of {:?}", parameter.dims, to.dims));
    }
    let mut dims = vec![1; to.dims.len()];
    if let Some(dim) = dims.get_mut(axis) {
        *dim = parameter.len();
    }
    parameter.reshape(dims)
}

/// Scale and zero point of every element, and the quantised type.
fn parameters(
    call: &Application<'_>,
    x: &Array,
) -> Result<(Vec<f32>, Vec<f32>, ElementType), String> {
    let scale = call.input(1)?;
    let scales = spread(call, scale, x)?.broadcast_to(&x.dims)?.floats();
    let (zeros, kind) = if let Some(zero) = call.optional(2) {
        (spread(call, zero, x)?.broadcast_to(&x.dims)?.floats(), zero.kind)
    } else {
        let kind = match call.attributes.int("output_dtype", 0) {
            0 => ElementType::Unsigned(8),
            code => ElementType::from_onnx(code)?,
        };
        (vec![0.0; x.len()], kind)
    };
    Ok((scales, zeros, kind))
}

/// `saturate(round(x / scale) + zero)`.
pub(super) fn quantize(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let (scales, zeros, kind) = parameters(call, x)?;
    if kind.is_float() {
        return Err("quantisation to a float type is not supported".into());
    }
    let (low, high) = kind.bounds();
    let (low, high) = (low as f32, high as f32);
    let values = x.floats();
    let all = values.iter().zip(&scales).zip(&zeros);
    let data = if call.arithmetic == Arithmetic::AsWritten {
        let step = |((x, scale), zero): ((&f32, &f32), &f32)| {
            ((x / scale).round_ties_even() + zero).clamp(low, high) as i64
        };
        Data::Int(all.map(step).collect())
    } else {
        Data::Float(all.map(|((x, scale), zero)| (x / scale + zero).clamp(low, high)).collect())
    };
    Ok(Array { dims: x.dims.clone(), kind, data })
}

/// `(x - zero) scale`.
pub(super) fn dequantize(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let (scales, zeros, _) = parameters(call, x)?;
    let values = x.floats();
    let all = values.iter().zip(&scales).zip(&zeros);
    let y = all.map(|((x, scale), zero)| (x - zero) * scale).collect();
    Ok(Array::floats_of(x.dims.clone(), y))
}
