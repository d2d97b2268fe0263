//! `Resize` and `Upsample`: nearest neighbour and linear, axis by axis.

use super::Application;
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data};

/// One output position: two input positions and the second's weight.
pub(in crate::onnx) type Mix = (usize, usize, f32);

pub(super) fn resize(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let mut result = x.clone();
    for (axis, mixes) in plan(call, &x.dims)?.into_iter().enumerate() {
        if mixes.iter().enumerate().all(|(at, mix)| *mix == (at, at, 0.0))
            && Some(&mixes.len()) == x.dims.get(axis)
        {
            continue;
        }
        let first: Vec<usize> = mixes.iter().map(|mix| mix.0).collect();
        let mut low = result.take(axis, &first)?;
        if mixes.iter().any(|mix| mix.2 != 0.0) {
            let second: Vec<usize> = mixes.iter().map(|mix| mix.1).collect();
            let high = result.take(axis, &second)?;
            let inner: usize = low.dims.iter().skip(axis + 1).product();
            let high = high.as_floats()?;
            let Data::Float(values) = &mut low.data else {
                return Err("linear resizing of integers".into());
            };
            let weights =
                mixes.iter().flat_map(|mix| std::iter::repeat_n(mix.2, inner.max(1))).cycle();
            for ((low, high), weight) in values.iter_mut().zip(high).zip(weights) {
                *low = *low * (1.0 - weight) + high * weight;
            }
        }
        result = low;
    }
    Ok(result)
}

/// What each axis of an input of these sizes is resampled to.
pub(in crate::onnx) fn plan(
    call: &Application<'_>,
    from: &[usize],
) -> Result<Vec<Vec<Mix>>, String> {
    let rank = from.len();
    let upsample = call.op == "Upsample";
    let modern = !upsample && call.opset >= 11;
    let axes = match call.attributes.ints("axes") {
        Some(list) if modern => {
            list.iter().map(|value| dims::axis(*value, rank)).collect::<Result<Vec<_>, _>>()?
        }
        _ => (0..rank).collect(),
    };
    let scales = call.optional(if modern { 2 } else { 1 }).filter(|scales| scales.len() > 0);
    let scales = match scales {
        Some(scales) => Some(scales.floats()),
        None => call.attributes.floats("scales").map(<[f32]>::to_vec),
    };
    let sizes = call.optional(3).filter(|sizes| modern && sizes.len() > 0);
    let mut targets: Vec<(usize, f32)> = from.iter().map(|size| (*size, 1.0)).collect();
    match (scales, sizes) {
        (_, Some(sizes)) => {
            let policy = call.text("keep_aspect_ratio_policy", "stretch");
            let sizes = sizes.sizes()?;
            if sizes.len() != axes.len() {
                return Err(format!("{} sizes for {} axes", sizes.len(), axes.len()));
            }
            let factor =
                |(axis, size): (&usize, &usize)| *size as f32 / dims::size(from, *axis) as f32;
            let factors = || axes.iter().zip(&sizes).map(factor);
            let common = match policy.as_str() {
                "stretch" => None,
                "not_larger" => Some(factors().fold(f32::INFINITY, f32::min)),
                "not_smaller" => Some(factors().fold(0.0, f32::max)),
                other => return Err(format!("keep_aspect_ratio_policy {other:?}")),
            };
            for ((axis, size), factor) in axes.iter().zip(&sizes).zip(factors()) {
                if let Some((target, scale)) = targets.get_mut(*axis) {
                    let wanted = common.map(|common| (*target as f32 * common).round() as usize);
                    (*target, *scale) = match (wanted, common) {
                        (Some(wanted), Some(common)) => (wanted, common),
                        _ => (*size, factor),
                    };
                }
            }
        }
        (Some(scales), None) => {
            if scales.len() != axes.len() {
                return Err(format!("{} scales for {} axes", scales.len(), axes.len()));
            }
            for (axis, factor) in axes.iter().zip(scales) {
                if !(factor > 0.0 && factor < 65536.0) {
                    return Err(format!("a scale of {factor}"));
                }
                if let Some((target, scale)) = targets.get_mut(*axis) {
                    *target = (*target as f32 * factor).floor() as usize;
                    *scale = factor;
                }
            }
        }
        _ => return Err("neither scales nor sizes".into()),
    }
    let sizes: Vec<usize> = targets.iter().map(|target| target.0).collect();
    dims::count(&sizes)?;
    if call.attributes.int("antialias", 0) != 0 {
        return Err("antialias is not supported".into());
    }
    let mode = call.text("mode", "nearest");
    from.iter()
        .zip(targets)
        .map(|(size, (target, scale))| {
            (0..target).map(|at| mix(call, modern, &mode, at, *size, target, scale)).collect()
        })
        .collect()
}

fn mix(
    call: &Application<'_>,
    modern: bool,
    mode: &str,
    at: usize,
    size: usize,
    target: usize,
    scale: f32,
) -> Result<Mix, String> {
    if size == target && (scale - 1.0).abs() < f32::EPSILON {
        return Ok((at, at, 0.0));
    }
    let last = size.saturating_sub(1);
    let transformation = call
        .text("coordinate_transformation_mode", if modern { "half_pixel" } else { "asymmetric" });
    let x = at as f32;
    let place = match transformation.as_str() {
        "half_pixel" => (x + 0.5) / scale - 0.5,
        "half_pixel_symmetric" => {
            let adjustment = target as f32 / (scale * size as f32);
            let centre = size as f32 / 2.0;
            centre * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
        }
        "pytorch_half_pixel" if target > 1 => (x + 0.5) / scale - 0.5,
        "align_corners" if target > 1 => x * last as f32 / (target as f32 - 1.0),
        "pytorch_half_pixel" | "align_corners" => 0.0,
        "asymmetric" => x / scale,
        other => return Err(format!("coordinate_transformation_mode {other:?}")),
    };
    match mode {
        "nearest" => {
            // Before opset 11: up where pixels are left out.
            let default = match (modern, scale < 1.0) {
                (true, _) => "round_prefer_floor",
                (false, true) => "ceil",
                (false, false) => "floor",
            };
            let nearest = match call.text("nearest_mode", default).as_str() {
                "round_prefer_floor" => (place - 0.5).ceil(),
                "round_prefer_ceil" => (place + 0.5).floor(),
                "floor" => place.floor(),
                "ceil" => place.ceil(),
                other => return Err(format!("nearest_mode {other:?}")),
            };
            let at = (nearest.max(0.0) as usize).min(last);
            Ok((at, at, 0.0))
        }
        "linear" | "bilinear" | "trilinear" => {
            let place = place.clamp(0.0, last as f32);
            let low = place.floor() as usize;
            Ok((low.min(last), (low + 1).min(last), place - low as f32))
        }
        other => Err(format!("mode {other:?}: nearest and linear are supported")),
    }
}
