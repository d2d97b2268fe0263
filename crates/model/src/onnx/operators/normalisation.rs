//! Normalisation by stored statistics.

use super::pointwise::{affine, spread};
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

pub(super) fn batch_normalization(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    if call.attributes.int("training_mode", 0) != 0 {
        return Err("training_mode is set: export the network in evaluation mode".into());
    }
    if call.attributes.int("spatial", 1) == 0 {
        return Err("spatial is 0, one statistic per element: write it as Mul and Add with \
                    constants, or train with spatial 1"
            .into());
    }
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let mut lists = Vec::with_capacity(4);
    for index in 1..5 {
        lists.push(call.required(index)?.finite()?);
    }
    let [gamma, beta, mean, variance] = lists.as_slice() else {
        return Err("four parameters expected".into());
    };
    let channels = if x.dims.len() > 1 { dims::size(&x.dims, 1) } else { 1 };
    if x.dims.is_empty() || lists.iter().any(|list| list.len() != channels) {
        return Err(format!("parameters do not fit {:?}", x.dims));
    }
    let scale: Vec<f32> =
        gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift: Vec<f32> = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    if scale.iter().chain(&shift).any(|value| !value.is_finite()) {
        return Err("a variance is negative, or zero".into());
    }
    // One value per channel, spread over the other axes as they lie.
    let mut axes = vec![channels];
    axes.resize(x.dims.len().max(2) - 1, 1);
    let over = |list: Vec<f32>| spread(&Array::floats_of(axes.clone(), list), &x.dims);
    affine(importer, call.name, &x, &over(scale)?, &over(shift)?)
}
