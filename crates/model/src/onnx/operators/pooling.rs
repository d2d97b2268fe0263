//! Pools over windows, and over all of an image.

use gazelle_share::{Pads, TensorShape, Window};

use super::conv;
use super::selection::{AxisPositions, select};
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;

/// The windows along one axis.
struct PoolAxis {
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    behind: usize,
    count: usize,
}

impl PoolAxis {
    /// `ceil_mode` rounds the count up, but for windows that would begin in the padding behind.
    fn new(
        size: usize,
        [kernel, stride, dilation]: [usize; 3],
        [before, behind]: [usize; 2],
        ceil: bool,
    ) -> Result<Self, String> {
        let span = (kernel - 1) * dilation + 1;
        if before >= kernel || behind >= kernel {
            return Err(format!("padding of {before} and {behind} by windows of {kernel}"));
        }
        let room = (size + before + behind)
            .checked_sub(span)
            .ok_or_else(|| format!("windows over {span} of {size} positions"))?;
        let mut count = room / stride + 1;
        if ceil && room % stride > 0 && count * stride < size + before {
            count += 1;
        }
        Ok(Self { size, kernel, stride, dilation, before, behind, count })
    }

    /// The positions that each window reads; nothing where they lie in the padding.
    fn taps(&self, window: usize) -> impl Iterator<Item = Option<usize>> {
        let start = window * self.stride;
        (0..self.kernel).map(move |tap| {
            let at = (start + tap * self.dilation).checked_sub(self.before);
            at.filter(|at| *at < self.size)
        })
    }

    /// How many values each window's mean is over: those inside, or those inside the padding too
    /// (beyond it nothing counts).
    fn counts(&self, include_pad: bool) -> Vec<usize> {
        let inside = |window: usize| self.taps(window).flatten().count();
        let padded = |window: usize| {
            let end = self.before + self.size + self.behind;
            let at = |tap: &usize| window * self.stride + tap * self.dilation < end;
            (0..self.kernel).filter(at).count()
        };
        (0..self.count).map(|w| if include_pad { padded(w) } else { inside(w) }).collect()
    }

    /// Padding behind that gives these windows and no more.
    fn needed(&self) -> usize {
        ((self.count - 1) * self.stride + self.kernel).saturating_sub(self.size + self.before)
    }
}

/// The windows of a pool, by axis; a one-dimensional pool has one column.
fn axes(call: &Call<'_>, x: &Dynamic) -> Result<[PoolAxis; 2], String> {
    let rank = x.dims.len().saturating_sub(2);
    let spatial: Vec<usize> = x.dims.iter().skip(2).copied().collect();
    if rank > 2 {
        return Err(format!("a pool over {rank} axes; one and two are supported"));
    }
    if rank == 0 || dims::offset(&x.dims) != 1 {
        return Err(format!("a pool over {:?}", x.dims));
    }
    let one_axis = |pair: [usize; 2]| if rank == 1 { [pair[0], 1] } else { pair };
    if call.attributes.ints("kernel_shape").is_none() {
        return Err("kernel_shape is missing".into());
    }
    let kernel = one_axis(call.attributes.pair("kernel_shape", rank, 1)?);
    let stride = one_axis(call.attributes.pair("strides", rank, 1)?);
    let dilation = one_axis(call.attributes.pair("dilations", rank, 1)?);
    let span = |axis: usize| {
        let [kernel, dilation] =
            [kernel, dilation].map(|pair| if axis == 0 { pair[0] } else { pair[1] });
        (kernel - 1) * dilation + 1
    };
    let same = call.attributes.string("auto_pad").is_some_and(|auto| auto.starts_with("SAME"));
    if same && dilation.iter().any(|dilation| *dilation > 1) {
        return Err("auto_pad with dilations, which programs read differently; give the pads \
                    instead"
            .into());
    }
    for (axis, (size, stride)) in spatial.iter().zip(stride).enumerate() {
        if same && (size.div_ceil(stride) - 1) * stride + span(axis) < *size {
            return Err("auto_pad with strides beyond the windows, which programs read \
                        differently; give the pads instead"
                .into());
        }
    }
    let pads = conv::pads(call, &spatial, [span(0), span(1)], stride)?;
    let shape = dims::shape_of(&x.dims)?;
    let ceil = call.attributes.int("ceil_mode", 0) != 0;
    let [kh, kw] = kernel;
    let [sh, sw] = stride;
    let [dh, dw] = dilation;
    Ok([
        PoolAxis::new(shape.height, [kh, sh, dh], [pads.top, pads.bottom], ceil)?,
        PoolAxis::new(shape.width, [kw, sw, dw], [pads.left, pads.right], ceil)?,
    ])
}

/// The pool's window, and its input: laid out window by window where they are dilated, or reach
/// further than [`Window`] can say.
fn windows(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    x: &Dynamic,
    [rows, columns]: &[PoolAxis; 2],
    repeat: bool,
) -> Result<(Dynamic, Window, Vec<usize>), String> {
    let shape = dims::shape_of(&x.dims)?;
    let out = |with_columns: bool| {
        let mut out = vec![1, shape.channels, rows.count];
        out.extend(with_columns.then_some(columns.count));
        out
    };
    let kernel = [rows.kernel, columns.kernel];
    let pads = Pads {
        top: rows.before,
        left: columns.before,
        bottom: rows.needed(),
        right: columns.needed(),
    };
    let window = Window { kernel, stride: [rows.stride, columns.stride], pads };
    let target = TensorShape::new(shape.channels, rows.count, columns.count);
    let dense = rows.dilation == 1 && columns.dilation == 1;
    if dense && window.checked_output(shape) == Some(target) {
        return Ok((x.clone(), window, out(x.dims.len() > 3)));
    }
    let mut lists = Vec::with_capacity(2);
    for (i, axis) in [rows, columns].into_iter().enumerate().take(x.dims.len() - 2) {
        let mut list: AxisPositions = Vec::with_capacity(axis.count * axis.kernel);
        for window in 0..axis.count {
            let first = axis.taps(window).flatten().next();
            if first.is_none() {
                return Err(format!("window {window} lies in the padding alone"));
            }
            // A maximum may see a value twice.
            list.extend(axis.taps(window).map(|at| if repeat { at.or(first) } else { at }));
        }
        lists.push((i + 2, list));
    }
    let laid_out = select(importer, call.name, x, lists)?;
    let window = Window { kernel, stride: kernel, pads: Pads::default() };
    Ok((laid_out, window, out(x.dims.len() > 3)))
}

pub(super) fn max_pool(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let axes = axes(call, &x)?;
    let (x, window, out) = windows(importer, call, &x, &axes, true)?;
    importer.push(call.name, Op::MaxPool { window, relu: false }, &[&x], out)
}

pub(super) fn average_pool(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let axes = axes(call, &x)?;
    let include_pad = call.attributes.int("count_include_pad", 0) != 0;
    let [rows, columns] = axes.each_ref().map(|axis| axis.counts(include_pad));
    let (x, window, out) = windows(importer, call, &x, &axes, false)?;
    let first = rows.first().zip(columns.first()).map(|(rows, columns)| rows * columns);
    let first = first.ok_or("no windows")?;
    let counts = || rows.iter().flat_map(|r| columns.iter().map(move |c| r * c));
    if counts().any(|count| count == 0) {
        return Err("a window lies in the padding alone".into());
    }
    if counts().all(|count| count == first) {
        let op = Op::AveragePool { window, divisor: first as f32 };
        return importer.push(call.name, op, &[&x], out);
    }
    // The divisor differs at the border: sums, then one factor per position.
    let channels = dims::shape_of(&out)?.channels;
    let sum = Op::AveragePool { window, divisor: 1.0 };
    let sums = importer.push(call.name, sum, &[&x], out.clone())?;
    let plane: Vec<f32> = counts().map(|count| 1.0 / count as f32).collect();
    let scale = plane.repeat(channels);
    let op = Op::Affine { shift: vec![0.0; channels], scale };
    importer.push(&format!("{}/divide", call.name), op, &[&sums], out)
}

/// One window over all rows and columns.
pub(super) fn whole(shape: TensorShape) -> Window {
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
    importer.push(call.name, Op::AveragePool { window: whole(shape), divisor }, &[&x], out)
}

pub(super) fn global_max(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let (shape, out) = global_dims(&x)?;
    importer.push(call.name, Op::MaxPool { window: whole(shape), relu: false }, &[&x], out)
}
