//! Windows over the spatial axes of a tensor `[batch, channels, spatial...]`, as convolutions and
//! pools read them.

use std::borrow::Cow;

use rayon::prelude::*;

use super::Application;
use crate::onnx::dims;

/// Geometry of windows on each of `rank` axes.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    pub(super) input: Vec<usize>,
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) before: Vec<usize>,
    pub(super) behind: Vec<usize>,
    pub(super) output: Vec<usize>,
}

/// Largest kernel, stride, dilation or padding.
const MAX_SIZE: usize = 1 << 16;

/// A list of positive sizes, one per axis.
pub(super) fn sizes(call: &Application<'_>, name: &str, rank: usize) -> Result<Vec<usize>, String> {
    let Some(list) = call.attributes.ints(name).filter(|list| !list.is_empty()) else {
        return Ok(vec![1; rank]);
    };
    if list.len() != rank {
        return Err(format!("{name} has {} entries for {rank} axes", list.len()));
    }
    list.iter()
        .map(|value| {
            let size = usize::try_from(*value).ok().filter(|size| (1..=MAX_SIZE).contains(size));
            size.ok_or_else(|| format!("{name} {value} is out of range"))
        })
        .collect()
}

impl Windows {
    /// Reads strides, dilations, pads, `auto_pad` and `ceil_mode` (of pools).
    pub(super) fn new(
        call: &Application<'_>,
        input: &[usize],
        kernel: Vec<usize>,
    ) -> Result<Self, String> {
        let rank = input.len();
        let stride = sizes(call, "strides", rank)?;
        let dilation = sizes(call, "dilations", rank)?;
        if kernel.len() != rank || rank == 0 {
            return Err(format!("a kernel of {} axes on {rank}", kernel.len()));
        }
        if kernel.iter().any(|size| !(1..=MAX_SIZE).contains(size)) {
            return Err(format!("a kernel of {kernel:?}"));
        }
        let span: Vec<usize> = kernel.iter().zip(&dilation).map(|(k, d)| (k - 1) * d + 1).collect();
        let (mut before, mut behind) = (vec![0; rank], vec![0; rank]);
        let mode = call.text("auto_pad", "NOTSET");
        match mode.as_str() {
            "NOTSET" => {
                let pads = call.attributes.list("pads");
                if !pads.is_empty() && pads.len() != 2 * rank {
                    return Err(format!("{} pads for {rank} axes", pads.len()));
                }
                for (slot, value) in before.iter_mut().chain(behind.iter_mut()).zip(pads) {
                    let size = usize::try_from(*value).ok().filter(|size| *size <= MAX_SIZE);
                    *slot = size.ok_or_else(|| format!("a padding of {value}"))?;
                }
            }
            "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                let axes = input.iter().zip(&span).zip(&stride);
                let ends = before.iter_mut().zip(behind.iter_mut());
                for (((size, span), stride), (first, last)) in axes.zip(ends) {
                    let covered = (size.div_ceil(*stride).max(1) - 1) * stride + span;
                    let total = covered.saturating_sub(*size);
                    let (less, more) = (total / 2, total - total / 2);
                    (*first, *last) =
                        if mode == "SAME_UPPER" { (less, more) } else { (more, less) };
                }
            }
            other => return Err(format!("auto_pad {other:?} is not known")),
        }
        let ceil = call.attributes.int("ceil_mode", 0) != 0;
        let mut output = Vec::with_capacity(rank);
        let ends = before.iter().zip(&behind);
        for (((size, span), stride), (first, last)) in
            input.iter().zip(&span).zip(&stride).zip(ends)
        {
            let room = (size + first + last).checked_sub(*span).ok_or_else(|| {
                format!("a window over {span} positions does not fit {size} and its padding")
            })?;
            let steps = if ceil { room.div_ceil(*stride) } else { room / stride };
            // A window that would begin behind the input and its leading padding is left out.
            let begins_inside = steps * stride < size + first;
            output.push(if ceil && !begins_inside { steps } else { steps + 1 });
        }
        dims::count(&output)?;
        Ok(Self { input: input.to_vec(), kernel, stride, dilation, before, behind, output })
    }

    /// For each output position in order: how many kernel positions lie on the input or its padding
    /// (not what a last window of `ceil_mode` has beyond), and which positions of the input's plane
    /// the window covers.
    pub(super) fn visit(&self, mut visit: impl FnMut(usize, &[usize])) {
        let axes = self.axes();
        let total: usize = self.output.iter().product();
        let strides = crate::onnx::tensor::strides(&self.output);
        let (mut inside, mut next) = (Vec::new(), Vec::new());
        for index in 0..total {
            inside.clear();
            inside.push(0);
            let mut covered = 1;
            for (stride, axis) in strides.iter().zip(&axes) {
                let Some((count, places)) = axis.get(index / stride % axis.len()) else { continue };
                covered *= count;
                next.clear();
                for base in &inside {
                    next.extend(places.iter().map(|place| base + place));
                }
                std::mem::swap(&mut inside, &mut next);
            }
            visit(covered, &inside);
        }
    }

    /// Whether windows leave no gaps, within or between them, and are no more than there are positions, along
    /// every axis: then [`maxima`](Self::maxima) takes no more memory than the planes themselves, and no more
    /// time than window by window.
    pub(super) fn overlap(&self) -> bool {
        let gaps = self.stride.iter().zip(&self.kernel).any(|(stride, kernel)| stride > kernel);
        let dilated = self.dilation.iter().any(|dilation| *dilation > 1);
        !gaps
            && !dilated
            && self.output.iter().zip(&self.input).all(|(output, input)| output <= input)
    }

    /// The largest value of each window of some planes: axis by axis, since a window is a box. Of equal
    /// zeros it may be either.
    pub(super) fn maxima(&self, planes: &[f32]) -> Vec<f32> {
        let (axes, strides) = (self.axes(), crate::onnx::tensor::strides(&self.input));
        let one = |plane: &[f32]| {
            let mut values = Cow::Borrowed(plane);
            for ((inner, size), axis) in strides.iter().zip(&self.input).zip(&axes) {
                let mut maxima = vec![f32::MIN; values.len() / size.max(&1) * axis.len()];
                // The axes before have been done, those behind have not.
                let blocks = maxima.chunks_mut((axis.len() * inner).max(1));
                for (maxima, values) in blocks.zip(values.chunks((size * inner).max(1))) {
                    for (maxima, (_, places)) in maxima.chunks_mut((*inner).max(1)).zip(axis) {
                        for place in places {
                            let own = dims::part(values, *place..);
                            let both = maxima.iter_mut().zip(own);
                            both.for_each(|(most, x)| *most = if *x > *most { *x } else { *most });
                        }
                    }
                }
                values = Cow::Owned(maxima);
            }
            values.into_owned()
        };
        let size: usize = self.input.iter().product();
        planes.par_chunks(size.max(1)).flat_map_iter(one).collect()
    }

    /// Of each axis, for each output position: kernel positions on the input or its padding, and
    /// the offsets of those on the input.
    fn axes(&self) -> Vec<Vec<(usize, Vec<usize>)>> {
        let strides = crate::onnx::tensor::strides(&self.input);
        let axis = |(axis, stride): (usize, &usize)| {
            let of = |list: &[usize]| dims::size(list, axis);
            let (size, first, last) = (of(&self.input), of(&self.before), of(&self.behind));
            (0..of(&self.output))
                .map(|position| {
                    let padded = (0..of(&self.kernel))
                        .map(|tap| position * of(&self.stride) + tap * of(&self.dilation))
                        .filter(|place| *place < size + first + last);
                    let real = padded.clone().filter_map(|place| place.checked_sub(first));
                    let real = real.filter(|place| *place < size).map(|place| place * stride);
                    (padded.count(), real.collect())
                })
                .collect()
        };
        strides.iter().enumerate().map(axis).collect()
    }
}
