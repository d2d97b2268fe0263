//! Normalisations.

use rayon::prelude::*;

use super::Application;
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// Channels and the size of a channel's plane.
fn channels(x: &Array) -> Result<(usize, usize), String> {
    match &*x.dims {
        [_, channels, spatial @ ..] => Ok((*channels, spatial.iter().product())),
        dims => Err(format!("normalisation of {dims:?}: batch and channels are needed")),
    }
}

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta` with the statistics of the file.
pub(super) fn batch(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    if call.attributes.int("training_mode", 0) != 0 {
        return Err("training_mode is set: export the network in evaluation mode".into());
    }
    if call.attributes.int("spatial", 1) == 0 {
        return Err("spatial = 0 is not supported".into());
    }
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let (channels, plane) = channels(x)?;
    let mut lists = Vec::with_capacity(4);
    for index in 1..5 {
        let list = call.input(index)?.as_floats()?;
        if list.len() != channels {
            return Err(format!("{} parameters for {channels} channels", list.len()));
        }
        lists.push(list);
    }
    let [gamma, beta, mean, variance] = lists.as_slice() else {
        return Err("four parameters are needed".into());
    };
    let mut y = x.as_floats()?.to_vec();
    let of_channel = |list: &[f32], index: usize| {
        // optional: there are as many as channels
        list.get(index % channels.max(1)).copied().unwrap_or_default()
    };
    y.par_chunks_mut(plane.max(1)).enumerate().for_each(|(index, values)| {
        let [gamma, beta, mean, variance] =
            [gamma, beta, mean, variance].map(|list| of_channel(list, index));
        let scale = gamma / (variance + epsilon).sqrt();
        for y in values.iter_mut() {
            *y = (*y - mean) * scale + beta;
        }
    });
    Ok(Array::floats_of(x.dims.clone(), y))
}

/// Each plane by its own mean and variance.
pub(super) fn instance(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let (_, plane) = channels(x)?;
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let (gamma, beta) = (call.input(1)?.as_floats()?, call.input(2)?.as_floats()?);
    let mut y = x.as_floats()?.to_vec();
    for (values, (gamma, beta)) in y.chunks_mut(plane.max(1)).zip(gamma.iter().zip(beta).cycle()) {
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / count;
        let scale = gamma / (variance + epsilon).sqrt();
        for y in values.iter_mut() {
            *y = (*y - mean) * scale + beta;
        }
    }
    Ok(Array::floats_of(x.dims.clone(), y))
}

/// Across neighbouring channels.
pub(super) fn local_response(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let (channels, plane) = channels(x)?;
    let size = usize::try_from(call.attributes.int("size", 1)).ok().filter(|size| *size > 0);
    let size = size.ok_or("a size of no channels")?;
    let (alpha, beta) = (call.attributes.float("alpha", 1e-4), call.attributes.float("beta", 0.75));
    let bias = call.attributes.float("bias", 1.0);
    let values = x.as_floats()?;
    let mut y = values.to_vec();
    for (index, value) in y.iter_mut().enumerate() {
        let channel = index / plane.max(1) % channels;
        let low = channel.saturating_sub((size - 1) / 2);
        let high = (channel + size / 2).min(channels - 1);
        let base = index - channel * plane;
        let squares: f32 = (low..=high)
            .filter_map(|channel| values.get(base + channel * plane))
            .map(|x| x * x)
            .sum();
        *value /= (bias + alpha / size as f32 * squares).powf(beta);
    }
    Ok(Array::floats_of(x.dims.clone(), y))
}

/// Divides by the norm along an axis.
pub(super) fn lp(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let axis = call.axis(-1)?;
    let p = call.attributes.int("p", 2);
    let size = dims::size(&x.dims, axis);
    let inner: usize = x.dims.iter().skip(axis + 1).product();
    let values = x.as_floats()?;
    let mut y = values.to_vec();
    for (index, value) in y.iter_mut().enumerate() {
        let base = index - index / inner % size * inner;
        let along = (0..size).filter_map(|at| values.get(base + at * inner));
        let norm: f32 = match p {
            1 => along.map(|x| x.abs()).sum(),
            2 => along.map(|x| x * x).sum::<f32>().sqrt(),
            _ => return Err(format!("a norm of order {p}")),
        };
        if norm != 0.0 {
            *value /= norm;
        }
    }
    Ok(Array::floats_of(x.dims.clone(), y))
}
