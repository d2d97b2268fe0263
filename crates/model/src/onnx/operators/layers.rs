//! Convolutions, fully connected layers, normalisation and activations.

use gazelle_share::{Conv2d, LinearOp, Pads, TensorShape};

use crate::graph::Op;
use crate::onnx::dims;
use crate::onnx::import::{Call, Dynamic, Importer};

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
            let pads = call.attributes.ints("pads").unwrap_or_default();
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
    let (Some(spatial), [maps, in_group, kernel @ ..]) = (x.dims.get(2..), &*kernel_tensor.dims)
    else {
        return Err("a convolution needs an image and a kernel".into());
    };
    if !(1..=2).contains(&rank) || kernel.len() != rank || dims::offset(&x.dims) != 1 {
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

pub(super) fn gemm(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let matrix = call.required(1)?;
    let ([1, inputs], [rows, columns]) = (&*x.dims, &*matrix.dims) else {
        return Err(format!("product of {:?} and {:?}", x.dims, matrix.dims));
    };
    if call.attributes.int("transA", 0) != 0 {
        return Err("transA is not supported".into());
    }
    let transposed = call.attributes.int("transB", 0) != 0;
    let (alpha, beta) = (call.attributes.float("alpha", 1.0), call.attributes.float("beta", 1.0));
    let (outer, outputs) = if transposed { (*columns, *rows) } else { (*rows, *columns) };
    if outer != *inputs {
        return Err(format!("product of {:?} and {:?}", x.dims, matrix.dims));
    }
    let mut weights =
        if transposed { matrix.finite()? } else { matrix.transpose(&[1, 0])?.finite()? };
    for w in &mut weights {
        *w *= alpha;
    }
    let mut bias = bias(call, 2, outputs)?;
    for b in &mut bias {
        *b *= beta;
    }
    fully_connected(importer, call, &x, weights, bias, vec![1, outputs])
}

pub(super) fn matmul(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let matrix = call.required(1)?;
    let [rows, columns] = &*matrix.dims else {
        return Err(format!("product with a constant of {:?}", matrix.dims));
    };
    let mut out_dims = x.dims.clone();
    match out_dims.split_last_mut() {
        Some((last, rest)) if *last == *rows && rest.iter().all(|dim| *dim == 1) => {
            *last = *columns;
        }
        _ => return Err(format!("product of {:?} and {:?}", x.dims, matrix.dims)),
    }
    let weights = matrix.transpose(&[1, 0])?.finite()?;
    fully_connected(importer, call, &x, weights, vec![0.0; *columns], out_dims)
}

fn fully_connected(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    x: &Dynamic,
    weights: Vec<f32>,
    bias: Vec<f32>,
    out_dims: Vec<usize>,
) -> Result<Dynamic, String> {
    let outputs = bias.len();
    let inputs = dims::shape_of(&x.dims)?.len();
    let op = LinearOp::FullyConnected { inputs, outputs };
    op.check()?;
    let y = importer.push(call.name, Op::Linear { op, weights, bias }, &[x], vec![1, outputs])?;
    if dims::shape_of(&out_dims)? == TensorShape::vector(outputs) {
        return Ok(Dynamic { dims: out_dims, ..y });
    }
    super::movement::relabel(importer, call.name, &y, out_dims)
}

pub(super) fn batch_normalization(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    if call.attributes.int("training_mode", 0) != 0 {
        return Err("training mode".into());
    }
    let epsilon = call.attributes.float("epsilon", 1e-5);
    let mut lists = Vec::with_capacity(4);
    for index in 1..5 {
        lists.push(call.required(index)?.finite()?);
    }
    let [gamma, beta, mean, variance] = lists.as_slice() else {
        return Err("four parameters expected".into());
    };
    let channels = dims::shape_of(&x.dims)?.channels;
    if dims::offset(&x.dims) != 1 || lists.iter().any(|list| list.len() != channels) {
        return Err(format!("parameters do not fit {:?}", x.dims));
    }
    let scale: Vec<f32> =
        gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift: Vec<f32> = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    if scale.iter().chain(&shift).any(|value| !value.is_finite()) {
        return Err("a variance is negative, or zero".into());
    }
    let dims = x.dims.clone();
    importer.push(call.name, Op::Affine { scale, shift }, &[&x], dims)
}

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
    let large = 1e30;
    let op = match (low, high) {
        (low, high) if low < -large && high > large => return Ok(x),
        (0.0, high) if high > large => Op::Relu,
        _ => Op::Clip { low, high },
    };
    importer.push(call.name, op, &[&x], x.dims.clone())
}

pub(super) fn leaky_relu(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let slope = call.attributes.float("alpha", 0.01);
    if !slope.is_finite() {
        return Err("a slope that is not finite".into());
    }
    importer.push(call.name, Op::LeakyRelu { slopes: vec![slope] }, &[&x], x.dims.clone())
}

pub(super) fn prelu(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let slopes = super::arithmetic::spread(&*call.required(1)?, &x.dims)?;
    let channels = dims::shape_of(&x.dims)?.channels;
    if slopes.len() != channels {
        return Err("slopes must be one per channel".into());
    }
    importer.push(call.name, Op::LeakyRelu { slopes }, &[&x], x.dims.clone())
}
