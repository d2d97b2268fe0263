//! Convolutions of any number of spatial axes, and their transposes.

use rayon::prelude::*;

use super::window::{self, Windows};
use super::{Application, fused, matrix};
use crate::onnx::dims;
use crate::onnx::tensor::{Array, strides};

/// Patches as the right factor of a matrix product: row `(channel, tap)`, column output position.
struct Patches<'a> {
    windows: &'a Windows,
    /// Per tap: its offset on each axis.
    taps: Vec<Vec<usize>>,
    in_strides: Vec<usize>,
    out_strides: Vec<usize>,
}

/// No place of a plane.
const OUTSIDE: usize = usize::MAX;

/// By column of a panel.
type ColumnPlaces = [usize; matrix::COLUMNS];

impl<'a> Patches<'a> {
    fn new(windows: &'a Windows, taps: Vec<Vec<usize>>) -> Self {
        let (in_strides, out_strides) = (strides(&windows.input), strides(&windows.output));
        Self { windows, taps, in_strides, out_strides }
    }

    /// Writes rows from `first` on, and columns from `column` on.
    ///
    /// - `input`: `[channels, spatial...]` of a group, with `plane` elements by channel.
    fn fill(
        &self,
        (input, plane): (&[f32], usize),
        (first, column): (usize, usize),
        panel: &mut [[f32; matrix::COLUMNS]],
    ) {
        let total: usize = self.windows.output.iter().product();
        let count = matrix::COLUMNS.min(total.saturating_sub(column));
        // By axis: where the windows of these columns begin.
        let axes = self.out_strides.iter().zip(&self.windows.output).zip(&self.windows.stride);
        let begins: Vec<ColumnPlaces> = axes
            .map(|((stride, size), step)| {
                std::array::from_fn(|j| (column + j) / stride % size * step)
            })
            .collect();
        let taps = self.taps.len();
        for after in 0..taps.min(panel.len()) {
            let Some(tap) = self.taps.get((first + after) % taps) else { continue };
            let places = self.places(&begins, tap);
            let places = dims::part(&places, ..count);
            // Mostly they follow one another.
            let run = match places {
                [begin, .., end] => {
                    *end != OUTSIDE
                        && end.checked_sub(*begin) == Some(count - 1)
                        && places.is_sorted_by(|a, b| a < b)
                }
                _ => false,
            };
            for (row, to) in panel.iter_mut().enumerate().skip(after).step_by(taps) {
                let from = dims::part(input, (first + row) / taps * plane..);
                if let Some(begin) = places.first().filter(|_| run) {
                    let from = dims::part(from, *begin..);
                    to.iter_mut().zip(from).take(count).for_each(|(to, x)| *to = *x);
                    continue;
                }
                for (to, place) in to.iter_mut().zip(places) {
                    // optional: padding is zeros
                    *to = from.get(*place).copied().unwrap_or_default();
                }
            }
        }
    }

    /// Where in a plane a tap reads for each column; [`OUTSIDE`] in the padding.
    fn places(&self, begins: &[ColumnPlaces], tap: &[usize]) -> ColumnPlaces {
        let mut places = [0; matrix::COLUMNS];
        for (axis, (begins, offset)) in begins.iter().zip(tap).enumerate() {
            let of = |list: &[usize]| dims::size(list, axis);
            let (before, size) = (of(&self.windows.before), of(&self.windows.input));
            let stride = of(&self.in_strides);
            for (place, begin) in places.iter_mut().zip(begins) {
                let at = (begin + offset).wrapping_sub(before);
                let inside = *place != OUTSIDE && at < size;
                *place = if inside { *place + at * stride } else { OUTSIDE };
            }
        }
        places
    }
}

/// All offsets within a kernel, row-major.
fn taps(kernel: &[usize], dilation: &[usize]) -> Vec<Vec<usize>> {
    let total: usize = kernel.iter().product();
    let steps = strides(kernel);
    let offset = |index: usize| {
        let axes = steps.iter().zip(kernel).zip(dilation);
        axes.map(|((step, size), dilation)| index / step % size * dilation).collect()
    };
    (0..total).map(offset).collect()
}

/// Data, kernel, batch, channels, spatial axes; the kernel's axes.
type Operands<'a> = (&'a Array, &'a Array, usize, usize, &'a [usize], &'a [usize]);

fn parts<'a>(call: &'a Application<'_>) -> Result<Operands<'a>, String> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let ([batch, channels, spatial @ ..], [_, _, kernel @ ..]) = (&*x.dims, &*w.dims) else {
        return Err(format!("a convolution of {:?} by {:?}", x.dims, w.dims));
    };
    if spatial.is_empty() || kernel.len() != spatial.len() {
        return Err(format!("a convolution of {:?} by {:?}", x.dims, w.dims));
    }
    let given = call.attributes.ints("kernel_shape").filter(|list| !list.is_empty());
    if given.is_some_and(|list| !list.iter().map(|v| *v as usize).eq(kernel.iter().copied())) {
        return Err(format!("kernel_shape differs from the weights' {:?}", w.dims));
    }
    Ok((x, w, *batch, *channels, spatial, kernel))
}

fn groups(call: &Application<'_>) -> Result<usize, String> {
    let groups = call.attributes.int("group", 1);
    usize::try_from(groups)
        .ok()
        .filter(|groups| *groups > 0)
        .ok_or_else(|| format!("{groups} groups"))
}

/// `y[m] = bias[m] + sum_c w[m, c] * x[c]` (cross-correlation), then what a fused node adds.
pub(super) fn conv(call: &Application<'_>) -> Result<Array, String> {
    let (x, w, batch, channels, spatial, kernel) = parts(call)?;
    let groups = groups(call)?;
    let windows = Windows::new(call, spatial, kernel.to_vec())?;
    let [maps, in_group] = [0, 1].map(|axis| dims::size(&w.dims, axis));
    if in_group * groups != channels || maps % groups != 0 {
        return Err(format!("weights {:?} in {groups} groups do not fit {:?}", w.dims, x.dims));
    }
    call.bounded(&[maps, in_group, dims::count(kernel)?])?;
    let taps = taps(kernel, &windows.dilation);
    let plane: usize = spatial.iter().product();
    let positions: usize = windows.output.iter().product();
    let (depth, per_group) = (in_group * taps.len(), maps / groups);
    let mut out_dims = vec![batch, maps];
    out_dims.extend(&windows.output);
    dims::count(&out_dims)?;
    call.bounded(&[batch, maps, positions, depth])?;
    let (values, weights) = (x.as_floats()?, w.as_floats()?);
    let patches = Patches::new(&windows, taps);
    let bias = call.optional(2).map(|bias| bias_of(bias, maps)).transpose()?;
    // optional: without one nothing is added
    let bias = bias.unwrap_or_default();
    let one = |(task, out): (usize, &mut [f32])| {
        let input = dims::part(values, task * in_group * plane..(task + 1) * in_group * plane);
        let group = task % groups;
        let own = group * per_group * depth..(group + 1) * per_group * depth;
        let fill = |first: usize, column: usize, panel: &mut [_]| {
            patches.fill((input, plane), (first, column), panel);
        };
        let sizes = [per_group, depth, positions];
        let bias = dims::part(bias, group * per_group..);
        matrix::product_into(sizes, dims::part(weights, own), fill, bias, out);
    };
    let mut y = vec![0.0f32; batch * maps * positions];
    y.par_chunks_mut((per_group * positions).max(1)).enumerate().for_each(one);
    if call.op == "FusedConv" {
        if let Some(more) = call.optional(3) {
            y.iter_mut().zip(more.as_floats()?).for_each(|(y, more)| *y += more);
        }
        let act = fused(call)?;
        for y in &mut y {
            *y = act(*y);
        }
    }
    Ok(Array::floats_of(out_dims, y))
}

/// One value per map.
fn bias_of(bias: &Array, maps: usize) -> Result<&[f32], String> {
    let bias = bias.as_floats()?;
    if bias.len() == maps {
        Ok(bias)
    } else {
        Err(format!("{} bias values for {maps} maps", bias.len()))
    }
}

fn add_bias(y: &mut [f32], bias: &Array, maps: usize, plane: usize) -> Result<(), String> {
    let bias = bias_of(bias, maps)?;
    for (plane, bias) in y.chunks_mut(plane.max(1)).zip(bias.iter().cycle()) {
        for y in plane.iter_mut() {
            *y += bias;
        }
    }
    Ok(())
}

/// The transpose of a convolution with these weights, plus a bias.
pub(super) fn conv_transpose(call: &Application<'_>) -> Result<Array, String> {
    let (x, w, batch, channels, spatial, kernel) = parts(call)?;
    let groups = groups(call)?;
    let [rows, per_group] = [0, 1].map(|axis| dims::size(&w.dims, axis));
    if rows != channels || channels % groups != 0 {
        return Err(format!("weights {:?} in {groups} groups do not fit {:?}", w.dims, x.dims));
    }
    let rank = spatial.len();
    let stride = window::sizes(call, "strides", rank)?;
    let dilation = window::sizes(call, "dilations", rank)?;
    let (before, output) = transposed_sizes(call, spatial, kernel, &stride, &dilation)?;
    call.bounded(&[dims::count(kernel)?, dims::count(spatial)?])?;
    let taps = taps(kernel, &dilation);
    let maps = per_group * groups;
    let (in_plane, out_plane) = (spatial.iter().product::<usize>(), dims::count(&output)?);
    let mut out_dims = vec![batch, maps];
    out_dims.extend(&output);
    dims::count(&out_dims)?;
    call.bounded(&[batch, maps, in_plane, channels / groups, taps.len()])?;
    let (in_strides, out_strides) = (strides(spatial), strides(&output));
    // Where each input position and tap lands.
    let lands = |at: usize, tap: &[usize]| {
        let mut to = 0;
        for (axis, offset) in tap.iter().enumerate() {
            let of = |list: &[usize]| dims::size(list, axis);
            let position = at / of(&in_strides) % of(spatial) * of(&stride) + offset;
            let position = position.checked_sub(of(&before)).filter(|at| *at < of(&output))?;
            to += position * of(&out_strides);
        }
        Some(to)
    };
    let targets: Vec<Vec<Option<usize>>> =
        taps.iter().map(|tap| (0..in_plane).map(|at| lands(at, tap)).collect()).collect();
    let (values, weights) = (x.as_floats()?, w.as_floats()?);
    let in_group = channels / groups;
    let mut y = vec![0.0f32; batch * maps * out_plane];
    y.par_chunks_mut(out_plane.max(1)).enumerate().for_each(|(index, out)| {
        let (image, map) = (index / maps, index % maps);
        let group = map / per_group;
        for channel in group * in_group..(group + 1) * in_group {
            let input = dims::part(values, (image * channels + channel) * in_plane..);
            let first = (channel * per_group + map % per_group) * taps.len();
            for (targets, w) in targets.iter().zip(dims::part(weights, first..)) {
                for (to, x) in targets.iter().zip(input) {
                    if let Some(slot) = to.and_then(|to| out.get_mut(to)) {
                        *slot += w * x;
                    }
                }
            }
        }
    });
    if let Some(bias) = call.optional(2) {
        add_bias(&mut y, bias, maps, out_plane)?;
    }
    Ok(Array::floats_of(out_dims, y))
}

/// Leading padding and output size of each axis.
fn transposed_sizes(
    call: &Application<'_>,
    spatial: &[usize],
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let rank = spatial.len();
    let list = |name: &str, count: usize| -> Result<Vec<usize>, String> {
        let list = call.attributes.list(name);
        if !list.is_empty() && list.len() != count {
            return Err(format!("{name} has {} entries for {rank} axes", list.len()));
        }
        let small = |value: &i64| usize::try_from(*value).ok().filter(|v| *v <= 1 << 16);
        let mut sizes: Vec<usize> =
            list.iter().map(small).collect::<Option<_>>().ok_or(format!("{name} {list:?}"))?;
        sizes.resize(count, 0);
        Ok(sizes)
    };
    let extra = list("output_padding", rank)?;
    let pads = list("pads", 2 * rank)?;
    let wanted = list("output_shape", rank).or_else(|_| {
        // Some exporters give batch and channels too.
        list("output_shape", rank + 2).map(|list| dims::part(&list, 2..).to_vec())
    })?;
    let mode = call.text("auto_pad", "NOTSET");
    let (mut before, mut output) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
    for axis in 0..rank {
        let of = |list: &[usize]| dims::size(list, axis);
        let full = (of(spatial).max(1) - 1) * of(stride)
            + of(&extra)
            + (of(kernel).max(1) - 1) * of(dilation)
            + 1;
        let size = match mode.as_str() {
            _ if of(&wanted) > 0 => of(&wanted),
            "NOTSET" | "VALID" => {
                let cut =
                    if mode == "VALID" { 0 } else { of(&pads) + dims::size(&pads, rank + axis) };
                full.checked_sub(cut).filter(|size| *size > 0).ok_or("nothing is left")?
            }
            // Where strides leave gaps, onnxruntime adds none of the zeros behind.
            _ => (of(spatial) * of(stride)).min(full),
        };
        let given = of(&wanted) == 0 && mode == "NOTSET";
        let total = full.saturating_sub(size);
        before.push(if given {
            of(&pads)
        } else if mode == "SAME_UPPER" {
            total / 2
        } else {
            total - total / 2
        });
        output.push(size);
    }
    Ok((before, output))
}
