//! Activations that are straight in pieces.

use super::movement::relabel;
use super::pointwise::{affine, clipped, spread};
use super::refusals::refusal;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;

pub(super) fn relu(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    importer.push(call.name, Op::Relu, &[&x], x.dims.clone())
}

pub(super) fn clip(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let bound = |index: usize, name: &str, default: f32| -> Result<f32, String> {
        match call.constant(index)? {
            Some(constant) => constant.single().ok_or_else(|| format!("{name} is not one number")),
            None => Ok(call.attributes.float(name, default)),
        }
    };
    let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    if low.is_nan() || high.is_nan() || low > high {
        return Err(format!("an empty range from {low} to {high}"));
    }
    clipped(importer, call.name, &x, low, high)
}

pub(super) fn leaky_relu(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let slope = call.attributes.float("alpha", 0.01);
    if !slope.is_finite() {
        return Err("a slope that is not finite".into());
    }
    importer.push(call.name, Op::LeakyRelu { slopes: vec![slope] }, &[&x], x.dims.clone())
}

/// One slope per channel; others are given one per element, each of which is then a channel.
pub(super) fn prelu(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let slopes = spread(&*call.required(1)?, &x.dims)?;
    if slopes.iter().any(|slope| !slope.is_finite()) {
        return Err("a slope that is not finite".into());
    }
    let shape = dims::shape_of(&x.dims)?;
    let one_per_channel = slopes.len() == shape.channels;
    let leaky = Op::LeakyRelu { slopes };
    if one_per_channel {
        return importer.push(call.name, leaky, &[&x], x.dims.clone());
    }
    let flat = vec![1, shape.len()];
    let view = relabel(importer, call.name, &x, flat.clone())?;
    let y = importer.push(call.name, leaky, &[&view], flat)?;
    relabel(importer, call.name, &y, x.dims)
}

/// `|x|`: a leaky ReLU of slope -1.
pub(super) fn abs(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    importer.push(call.name, Op::LeakyRelu { slopes: vec![-1.0] }, &[&x], x.dims.clone())
}

/// `min(max(alpha x + beta, 0), 1)`.
pub(super) fn hard_sigmoid(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let (alpha, beta) = (call.attributes.float("alpha", 0.2), call.attributes.float("beta", 0.5));
    let line = affine(importer, call.name, &x, &[alpha], &[beta])?;
    clipped(importer, call.name, &line, 0.0, 1.0)
}

/// The activation that `onnxruntime` puts into the layer before it.
pub(super) fn fused(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    x: &Dynamic,
) -> Result<Dynamic, String> {
    // optional: an attribute may be left out
    let list = call.attributes.get("activation_params").map_or(&[][..], |list| &list.floats);
    let parameter = |i: usize, name: &str, default: f32| {
        // optional: an attribute may be left out
        list.get(i).copied().unwrap_or_else(|| call.attributes.float(name, default))
    };
    let dims = x.dims.clone();
    match call.attributes.string("activation").as_deref() {
        None | Some("") => Ok(x.clone()),
        Some("Relu") => importer.push(call.name, Op::Relu, &[x], dims),
        Some("LeakyRelu") => {
            let slopes = vec![parameter(0, "activation_alpha", 0.01)];
            importer.push(call.name, Op::LeakyRelu { slopes }, &[x], dims)
        }
        Some("Clip") => {
            let low = parameter(0, "activation_alpha", f32::MIN);
            clipped(importer, call.name, x, low, parameter(1, "activation_beta", f32::MAX))
        }
        Some("HardSigmoid") => {
            let (alpha, beta) =
                (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
            let line = affine(importer, call.name, x, &[alpha], &[beta])?;
            clipped(importer, call.name, &line, 0.0, 1.0)
        }
        Some(other) => Err(refusal(other)),
    }
}
