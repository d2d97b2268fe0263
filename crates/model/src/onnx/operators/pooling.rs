//! Pooling.

use gazelle_share::{Pads, TensorShape, Window};

use super::layers;
use super::movement;
use crate::graph::Op;
use crate::onnx::dims;
use crate::onnx::import::{Call, Dynamic, Importer};

fn window(call: &Call<'_>, x: &Dynamic) -> Result<(Window, TensorShape), String> {
    let rank = x.dims.len().saturating_sub(2);
    let spatial = x.dims.get(2..).unwrap_or_default();
    if !(1..=2).contains(&rank) || dims::offset(&x.dims) != 1 {
        return Err(format!("pooling of {:?}", x.dims));
    }
    let one_axis = |pair: [usize; 2]| if rank == 1 { [pair[0], 1] } else { pair };
    if call.attributes.ints("kernel_shape").is_none() {
        return Err("kernel_shape is missing".into());
    }
    let kernel = one_axis(call.attributes.pair("kernel_shape", rank, 1)?);
    let stride = one_axis(call.attributes.pair("strides", rank, 1)?);
    if call.attributes.pair("dilations", rank, 1)? != [1, 1] {
        return Err("dilated pooling".into());
    }
    let mut pads = layers::pads(call, spatial, kernel, stride)?;
    let shape = dims::shape_of(&x.dims)?;
    if call.attributes.int("ceil_mode", 0) != 0 {
        pads.bottom += missing(shape.height, pads.top, pads.bottom, kernel[0], stride[0]);
        pads.right += missing(shape.width, pads.left, pads.right, kernel[1], stride[1]);
    }
    let window = Window { kernel, stride, pads };
    let output = window
        .checked_output(shape)
        .ok_or_else(|| format!("windows {window:?} do not fit {:?}", x.dims))?;
    Ok((window, output))
}

/// Extra padding behind that `ceil_mode` stands for; a window that would begin in the padding
/// behind is left out.
fn missing(size: usize, before: usize, behind: usize, kernel: usize, stride: usize) -> usize {
    let padded = size + before + behind;
    let Some(room) = padded.checked_sub(kernel) else { return 0 };
    let extra = room.next_multiple_of(stride) - room;
    let start = room + extra;
    if extra > 0 && start < size + before { extra } else { 0 }
}

fn output_dims(x: &Dynamic, output: TensorShape) -> Vec<usize> {
    let mut out = vec![1, output.channels, output.height];
    if x.dims.len() > 3 {
        out.push(output.width);
    }
    out
}

pub(super) fn max_pool(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    if call.outputs > 1 {
        return Err("the indices output is not supported".into());
    }
    let (window, output) = window(call, &x)?;
    let dims = output_dims(&x, output);
    importer.push(call.name, Op::MaxPool { window, relu: false }, &[&x], dims)
}

pub(super) fn average_pool(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let (window, output) = window(call, &x)?;
    let shape = dims::shape_of(&x.dims)?;
    let out_dims = output_dims(&x, output);
    let size = (window.kernel[0] * window.kernel[1]) as f32;
    let given = call.attributes.int("count_include_pad", 0) != 0
        && call.attributes.int("ceil_mode", 0) == 0;
    if given || window.pads == Pads::default() {
        let op = Op::AveragePool { window, divisor: size };
        return importer.push(call.name, op, &[&x], out_dims);
    }
    // The divisor differs at the border: sums, then one factor per position.
    let ones = vec![1.0f32; shape.len()];
    let counts = window.fold(shape, &ones, |a, b| a + b);
    let sum = Op::AveragePool { window, divisor: 1.0 };
    let sums = importer.push(call.name, sum, &[&x], out_dims.clone())?;
    let scale: Vec<f32> = counts.iter().map(|count| 1.0 / count.max(1.0)).collect();
    let op = Op::Affine { shift: vec![0.0; output.channels], scale };
    importer.push(&format!("{}/divide", call.name), op, &[&sums], out_dims)
}

fn global(shape: TensorShape) -> Window {
    let kernel = [shape.height, shape.width];
    Window { kernel, stride: kernel, pads: Pads::default() }
}

fn global_dims(x: &Dynamic) -> Result<(TensorShape, Vec<usize>), String> {
    let shape = dims::shape_of(&x.dims)?;
    if dims::offset(&x.dims) != 1 || x.dims.len() < 3 {
        return Err(format!("global pooling of {:?}", x.dims));
    }
    let mut out = vec![1; x.dims.len()];
    if let Some(slot) = out.get_mut(1) {
        *slot = shape.channels;
    }
    Ok((shape, out))
}

pub(super) fn global_average(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let (shape, out) = global_dims(&x)?;
    let divisor = (shape.height * shape.width) as f32;
    importer.push(call.name, Op::AveragePool { window: global(shape), divisor }, &[&x], out)
}

pub(super) fn global_max(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let (shape, out) = global_dims(&x)?;
    importer.push(call.name, Op::MaxPool { window: global(shape), relu: false }, &[&x], out)
}

/// Mean over axes: the others go first, then one pool over what is left.
pub(super) fn reduce_mean(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let rank = x.dims.len();
    let axes = if let Some(constant) = call.constant(1)? {
        constant.axes(rank)?
    } else {
        let list = call.attributes.ints("axes").ok_or("the axes are missing")?;
        list.iter().map(|value| dims::axis(*value, rank)).collect::<Result<_, _>>()?
    };
    let keep = call.attributes.int("keepdims", 1) != 0;
    let mut out_dims = x.dims.clone();
    for axis in &axes {
        if let Some(dim) = out_dims.get_mut(*axis) {
            *dim = 1;
        }
    }
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let size = |list: &[usize]| list.iter().filter_map(|axis| x.dims.get(*axis)).product::<usize>();
    let (rows, columns) = (size(&kept), size(&axes));
    if !keep {
        out_dims = kept.iter().filter_map(|axis| x.dims.get(*axis).copied()).collect();
    }
    // Rows and columns of images: a pool that the step before can take.
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if let ([1, channels, height, width], [2, 3]) = (x.dims.as_slice(), sorted.as_slice()) {
        let window = global(TensorShape::new(*channels, *height, *width));
        let op = Op::AveragePool { window, divisor: columns as f32 };
        let mean = importer.push(call.name, op, &[&x], vec![1, *channels, 1, 1])?;
        return movement::relabel(importer, call.name, &mean, out_dims);
    }
    let order: Vec<usize> = kept.iter().chain(&axes).copied().collect();
    let moved = movement::permute(importer, call.name, &x, &order)?;
    let flat = movement::relabel(importer, call.name, &moved, vec![1, rows, columns, 1])?;
    let window = global(TensorShape::new(rows, columns, 1));
    let op = Op::AveragePool { window, divisor: columns as f32 };
    let mean = importer.push(call.name, op, &[&flat], vec![1, rows, 1, 1])?;
    movement::relabel(importer, call.name, &mean, out_dims)
}
