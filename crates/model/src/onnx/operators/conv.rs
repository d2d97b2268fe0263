//! Convolutions and their transposes.

use gazelle_share::{Conv2d, LinearOp, Pads};

use super::selection::select;
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;

/// Padding from `auto_pad` or `pads`, for `axes` spatial axes of a window spanning `span`.
pub(super) fn pads(
    call: &Call<'_>,
    spatial: &[usize],
    span: [usize; 2],
    stride: [usize; 2],
) -> Result<Pads, String> {
    let rank = spatial.len();
    let mut before = [0usize; 2];
    let mut behind = [0usize; 2];
    match call.attributes.string("auto_pad").as_deref() {
        None | Some("" | "NOTSET") => {
            let pads = call.attributes.list("pads");
            if !pads.is_empty() && pads.len() != 2 * rank {
                return Err(format!("{} pads for {rank} axes", pads.len()));
            }
            let small = |value: &i64| {
                usize::try_from(*value).ok().filter(|v| *v < 1 << 16).ok_or("pads out of range")
            };
            for (slot, value) in before.iter_mut().zip(pads.iter().take(rank)) {
                *slot = small(value)?;
            }
            for (slot, value) in behind.iter_mut().zip(pads.iter().skip(rank)) {
                *slot = small(value)?;
            }
        }
        Some("VALID") => {}
        Some(same @ ("SAME_UPPER" | "SAME_LOWER")) => {
            let axes = spatial.iter().zip(span).zip(stride);
            for (((size, span), stride), (first, last)) in
                axes.zip(before.iter_mut().zip(behind.iter_mut()))
            {
                let covered = (size.div_ceil(stride) - 1) * stride + span;
                let total = covered.saturating_sub(*size);
                let (small, large) = (total / 2, total - total / 2);
                (*first, *last) =
                    if same == "SAME_UPPER" { (small, large) } else { (large, small) };
            }
        }
        Some(other) => return Err(format!("auto_pad {other}")),
    }
    let ([top, left], [bottom, right]) = (before, behind);
    Ok(Pads { top, left, bottom, right })
}

pub(super) fn conv(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let kernel_tensor = call.required(1)?;
    let rank = x.dims.len().saturating_sub(2);
    if rank > 2 {
        return Err(format!("a convolution over {rank} axes; one and two are supported"));
    }
    let (Some(spatial), [maps, in_group, kernel @ ..]) = (x.dims.get(2..), &*kernel_tensor.dims)
    else {
        return Err("a convolution needs an image and a kernel".into());
    };
    if rank == 0 || kernel.len() != rank || dims::offset(&x.dims) != 1 {
        return Err(format!("convolution of {:?} by {:?}", x.dims, kernel_tensor.dims));
    }
    let input = dims::shape_of(&x.dims)?;
    let mut taps = [1usize; 2];
    taps.iter_mut().zip(kernel).for_each(|(tap, size)| *tap = *size);
    let stride = call.attributes.pair("strides", rank, 1)?;
    let dilation = call.attributes.pair("dilations", rank, 1)?;
    let [kh, kw] = taps;
    if [kh, kw].iter().any(|size| !(1..=1 << 16).contains(size)) {
        return Err("kernel size out of range".into());
    }
    let span = [dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1];
    let groups = usize::try_from(call.attributes.int("group", 1)).map_err(|_| "negative group")?;
    let conv = Conv2d {
        input,
        maps: *maps,
        kernel: taps,
        stride: if rank == 1 { [stride[0], 1] } else { stride },
        pads: pads(call, spatial, span, stride)?,
        dilation: if rank == 1 { [dilation[0], 1] } else { dilation },
        groups,
    };
    let op = LinearOp::Conv(conv.clone());
    op.check()?;
    let weights = kernel_tensor.finite()?;
    if input.channels / groups != *in_group || weights.len() != op.weight_len() {
        return Err(format!("kernel {:?} does not fit {:?}", kernel_tensor.dims, x.dims));
    }
    let bias = bias(call, 2, *maps)?;
    let output = conv.output();
    let mut out_dims = vec![1, output.channels, output.height];
    if rank == 2 {
        out_dims.push(output.width);
    }
    importer.push(call.name, Op::Linear { op, weights, bias }, &[&x], out_dims)
}

fn bias(call: &Call<'_>, index: usize, outputs: usize) -> Result<Vec<f32>, String> {
    let Some(bias) = call.constant(index)? else { return Ok(vec![0.0; outputs]) };
    let values = bias.finite()?;
    match values.as_slice() {
        [single] => Ok(vec![*single; outputs]),
        _ if values.len() == outputs => Ok(values),
        _ => Err(format!("{} bias values for {outputs} outputs", values.len())),
    }
}

/// The transposed convolution: zeros between the pixels, then a convolution by the kernel turned
/// round.
pub(super) fn conv_transpose(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let kernel = call.required(1)?;
    let rank = x.dims.len().saturating_sub(2);
    let (Some(spatial), [channels, per_group, taps @ ..]) = (x.dims.get(2..), &*kernel.dims) else {
        return Err("a convolution needs an image and a kernel".into());
    };
    let groups = usize::try_from(call.attributes.int("group", 1)).map_err(|_| "negative group")?;
    if !(1..=2).contains(&rank)
        || taps.len() != rank
        || dims::offset(&x.dims) != 1
        || x.dims.get(1) != Some(channels)
        || groups == 0
        || !channels.is_multiple_of(groups)
    {
        return Err(format!("transposed convolution of {:?} by {:?}", x.dims, kernel.dims));
    }
    let stride = call.attributes.pair("strides", rank, 1)?;
    let dilation = call.attributes.pair("dilations", rank, 1)?;
    let list = |name: &str, len: usize| -> Result<Option<&[i64]>, String> {
        let list = call.attributes.ints(name).filter(|list| !list.is_empty());
        if list.is_some_and(|list| list.len() != len || list.iter().any(|v| v.abs() >= 1 << 16)) {
            return Err(format!("{name} {list:?} for {rank} axes"));
        }
        Ok(list)
    };
    let (extra, pads) = (list("output_padding", rank)?, list("pads", 2 * rank)?);
    let wanted = list("output_shape", rank)?;
    // optional: an attribute may be left out
    let auto = call.attributes.string("auto_pad").unwrap_or_default();
    let mut lists = Vec::with_capacity(rank);
    for axis in 0..rank {
        let of = |list: &[usize]| dims::size(list, axis) as i64;
        let at = |list: Option<&[i64]>, i: usize| {
            // optional: an attribute may be left out
            list.and_then(|list| list.get(i)).map_or(0, |value| *value)
        };
        let (size, step) = (of(spatial), of(&stride));
        let (distance, tap) = (of(&dilation), of(taps));
        let reach = distance.checked_mul(tap - 1).filter(|reach| (0..1 << 16).contains(reach));
        let reach = reach.ok_or("kernel size out of range")?;
        let full = (size - 1) * step + reach + 1 + at(extra, axis);
        let (mut before, mut behind) = (at(pads, axis), at(pads, axis + rank));
        if wanted.is_some() || auto.starts_with("SAME") {
            let target = if wanted.is_some() { at(wanted, axis) } else { size * step };
            let total = (full - target).max(0);
            let (small, large) = (total / 2, total - total / 2);
            (before, behind) = if auto == "SAME_UPPER" { (small, large) } else { (large, small) };
            if wanted.is_some() {
                behind -= (target - full).max(0);
            }
        } else if auto == "VALID" {
            (before, behind) = (0, 0);
        }
        let output = full - before - behind;
        if !(1..1 << 16).contains(&output) {
            return Err(format!("an output of {output} pixels"));
        }
        // Output pixel o reads `(o + before - tap distance) / step`: place `o` is the first of its
        // taps, the last one of the kernel.
        let pixel = |at: i64| {
            let at = at + before - reach;
            let inside = at >= 0 && at % step == 0 && at / step < size;
            inside.then(|| usize::try_from(at / step).ok()).flatten()
        };
        lists.push((axis + 2, (0..output + reach).map(pixel).collect()));
    }
    let spaced = select(importer, call.name, &x, lists)?;
    let mut kernel_sizes = [1usize; 2];
    kernel_sizes.iter_mut().zip(taps).for_each(|(size, tap)| *size = *tap);
    let area = kernel_sizes.iter().product::<usize>();
    let maps = per_group.checked_mul(groups).ok_or("too many maps")?;
    let conv = Conv2d {
        input: dims::shape_of(&spaced.dims)?,
        maps,
        kernel: kernel_sizes,
        stride: [1, 1],
        pads: Pads::default(),
        dilation: if rank == 1 { [dilation[0], 1] } else { dilation },
        groups,
    };
    let op = LinearOp::Conv(conv.clone());
    op.check()?;
    let in_group = channels / groups;
    // `[channels, maps / groups, taps]` to `[maps, channels / groups, taps backwards]`.
    let turned = kernel.reshape(vec![groups, in_group, *per_group, area])?;
    let mut weights = turned.transpose(&[0, 2, 1, 3])?.finite()?;
    weights.chunks_mut(area.max(1)).for_each(<[f32]>::reverse);
    if weights.len() != op.weight_len() {
        return Err(format!("kernel {:?} does not fit {:?}", kernel.dims, x.dims));
    }
    let bias = bias(call, 2, maps)?;
    let output = conv.output();
    let mut out_dims = vec![1, output.channels, output.height];
    if rank == 2 {
        out_dims.push(output.width);
    }
    importer.push(call.name, Op::Linear { op, weights, bias }, &[&spaced], out_dims)
}

/// Convolution, a summand and an activation in one, as `onnxruntime` writes it.
pub(super) fn fused(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let mut y = conv(importer, call)?;
    if let Some(Some(summand)) = call.inputs.get(3) {
        let value = crate::onnx::call::Value::Tensor(y);
        y = super::arithmetic::binary(importer, call.name, "Add", &value, summand)?;
    }
    super::activations::fused(importer, call, &y)
}
