//! Linear operators on plain words modulo `2^bits`: the definition of every linear protocol, and
//! the server's online arithmetic.
//!
//! Work follows from shapes alone; weights are never compared with anything.

#![expect(clippy::indexing_slicing, reason = "lengths are made to fit before the loops")]

mod element;
mod kernel;

use std::borrow::Cow;

use rayon::prelude::*;

use crate::op::{Conv2d, LinearOp, LinearWeights};
use crate::shares::ring_mask;
use kernel::{LANES, MAPS};

pub use element::Element;

/// Below this many multiply-adds one thread does all.
const PARALLEL_MACS: u64 = 1 << 20;

/// `W x mod 2^bits`, without the bias; `bits` in 1..=64. The operator must be valid (see
/// [`LinearOp::check`]); missing weights and inputs count as zero.
///
/// Cost: [`LinearOp::macs`] wrapping 64-bit multiply-adds, over all threads.
pub fn apply(op: &LinearOp, weights: &LinearWeights, input: &[u64], bits: u32) -> Vec<u64> {
    let mut output = linear(op, &weights.weights, input);
    let mask = ring_mask(bits);
    for y in &mut output {
        *y &= mask;
    }
    output
}

/// `W x` in any arithmetic; see [`apply`].
pub fn linear<E: Element>(op: &LinearOp, weights: &[E::Weight], input: &[E]) -> Vec<E> {
    let input = fit(input, op.input_len());
    let w = fit(weights, op.weight_len());
    let mut output = vec![E::default(); op.output_shape().len()];
    let alone = op.macs() < PARALLEL_MACS;
    match op {
        LinearOp::FullyConnected { inputs, .. } => {
            let row = |(y, row): (&mut E, &[E::Weight])| *y = dot(row, &input);
            if alone {
                output.iter_mut().zip(w.chunks_exact(*inputs)).for_each(row);
            } else {
                output.par_iter_mut().zip(w.par_chunks_exact(*inputs)).for_each(row);
            }
        }
        LinearOp::Conv(conv) => convolve(conv, &w, &input, &mut output, alone),
    }
    output
}

/// Adds the bias (one per output map, or one per output element) modulo `2^bits`.
pub fn add_bias(op: &LinearOp, weights: &LinearWeights, output: &mut [u64], bits: u32) {
    crate::local::add_bias(op.output_shape(), &weights.bias, output, bits);
}

fn fit<T: Copy + Default>(values: &[T], len: usize) -> Cow<'_, [T]> {
    if let Some(head) = values.get(..len) {
        return Cow::Borrowed(head);
    }
    let mut padded = values.to_vec();
    padded.resize(len, T::default());
    Cow::Owned(padded)
}

fn dot<E: Element>(row: &[E::Weight], input: &[E]) -> E {
    row.iter().zip(input).fold(E::default(), |sum, (w, x)| sum.mul_add(*w, *x))
}

/// Some output maps at a time, some outputs of a row at a time.
fn convolve<E: Element>(
    conv: &Conv2d,
    w: &[E::Weight],
    input: &[E],
    output: &mut [E],
    alone: bool,
) {
    let shape = conv.output();
    let plane = shape.height * shape.width;
    let per_group = conv.maps / conv.groups;
    let in_group = conv.input.channels / conv.groups;
    let taps = in_group * conv.kernel[0] * conv.kernel[1];
    let in_plane = conv.input.height * conv.input.width;
    let padded = PaddedPlane::new(conv);
    let planes: Vec<Vec<E>> = (0..conv.input.channels)
        .map(|c| padded.plane(&input[c * in_plane..][..in_plane]))
        .collect();
    let offsets = padded.offsets();
    // The maps of a group, some at a time: their first one, and room for their outputs.
    let mut parts = Vec::with_capacity(conv.maps.div_ceil(MAPS) + conv.groups);
    for (group, out) in output.chunks_exact_mut((per_group * plane).max(1)).enumerate() {
        let firsts = (group * per_group..).step_by(MAPS);
        parts.extend(firsts.zip(out.chunks_mut(MAPS * plane)));
    }
    let part = |(first, out): (usize, &mut [E])| {
        let planes = &planes[first / per_group * in_group..][..in_group];
        let rows: Vec<&[E::Weight]> =
            w[first * taps..].chunks_exact(taps.max(1)).take(MAPS).collect();
        let place = (&*offsets, &padded);
        if let Some(weights) = rows.first_chunk::<MAPS>().filter(|_| out.len() == MAPS * plane) {
            maps(place, planes, weights, out);
        } else {
            for (row, out) in rows.iter().zip(out.chunks_exact_mut(plane)) {
                maps(place, planes, &[*row], out);
            }
        }
    };
    if alone {
        parts.into_iter().for_each(part);
    } else {
        parts.into_par_iter().for_each(part);
    }
}

/// M output maps that read `planes`.
fn maps<E: Element, const M: usize>(
    (offsets, padded): (&[usize], &PaddedPlane<'_>),
    planes: &[Vec<E>],
    weights: &[&[E::Weight]; M],
    out: &mut [E],
) {
    let shape = padded.conv.output();
    let plane = shape.height * shape.width;
    let mut sums = [[E::default(); LANES]; M];
    for y in 0..shape.height {
        for x in (0..shape.width).step_by(LANES) {
            let count = LANES.min(shape.width - x);
            kernel::block(planes, (offsets, padded.row(y) + x), weights, &mut sums);
            for (out, sums) in out.chunks_exact_mut(plane).zip(&sums) {
                out[y * shape.width + x..][..count].copy_from_slice(&sums[..count]);
            }
        }
    }
}

/// An input plane with its padding, columns split by phase modulo the stride, so that every tap
/// reads consecutive words.
struct PaddedPlane<'a> {
    conv: &'a Conv2d,
    height: usize,
    phase_width: usize,
}

impl<'a> PaddedPlane<'a> {
    fn new(conv: &'a Conv2d) -> Self {
        let width = conv.input.width + conv.pads.left + conv.pads.right;
        Self {
            conv,
            height: conv.input.height + conv.pads.top + conv.pads.bottom,
            phase_width: width.div_ceil(conv.stride[1]),
        }
    }

    fn plane<E: Element>(&self, input: &[E]) -> Vec<E> {
        let stride = self.conv.stride[1];
        let row_len = self.phase_width * stride;
        // A block of outputs may read beyond the last row.
        let mut plane = vec![E::default(); self.height * row_len + LANES];
        let (top, left) = (self.conv.pads.top, self.conv.pads.left);
        for (y, row) in input.chunks_exact(self.conv.input.width).enumerate() {
            let to = &mut plane[(y + top) * row_len..][..row_len];
            if stride == 1 {
                to[left..left + row.len()].copy_from_slice(row);
            } else {
                for (x, word) in row.iter().enumerate() {
                    to[(x + left) % stride * self.phase_width + (x + left) / stride] = *word;
                }
            }
        }
        plane
    }

    /// Where in a plane the taps of one channel's kernel lie, for the first output.
    fn offsets(&self) -> Vec<usize> {
        let [dilation_y, dilation_x] = self.conv.dilation;
        let [rows, columns] = self.conv.kernel;
        let stride = self.conv.stride[1];
        let taps =
            (0..rows).flat_map(|i| (0..columns).map(move |j| (i * dilation_y, j * dilation_x)));
        taps.map(|(row, column)| {
            (row * stride + column % stride) * self.phase_width + column / stride
        })
        .collect()
    }

    /// How far output row `y` lies behind the first.
    fn row(&self, y: usize) -> usize {
        y * self.conv.stride[0] * self.phase_width * self.conv.stride[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Pads, TensorShape};
    use proptest::prelude::*;

    /// The textbook sum, index by index, in the order of the weights.
    fn naive<E: Element>(conv: &Conv2d, w: &[E::Weight], x: &[E]) -> Vec<E> {
        let out = conv.output();
        let (in_group, per_group) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
        let mut y = vec![E::default(); out.len()];
        for m in 0..out.channels {
            for (oy, ox) in (0..out.height).flat_map(|a| (0..out.width).map(move |b| (a, b))) {
                let mut sum = E::default();
                for c in 0..in_group {
                    for i in 0..conv.kernel[0] {
                        for j in 0..conv.kernel[1] {
                            let iy = (oy * conv.stride[0] + i * conv.dilation[0]) as i64
                                - conv.pads.top as i64;
                            let ix = (ox * conv.stride[1] + j * conv.dilation[1]) as i64
                                - conv.pads.left as i64;
                            let inside = (0..conv.input.height as i64).contains(&iy)
                                && (0..conv.input.width as i64).contains(&ix);
                            if inside {
                                let channel = m / per_group * in_group + c;
                                let value = x[conv.input.index(channel, iy as usize, ix as usize)];
                                let tap =
                                    ((m * in_group + c) * conv.kernel[0] + i) * conv.kernel[1] + j;
                                sum = sum.mul_add(w[tap], value);
                            }
                        }
                    }
                }
                y[out.index(m, oy, ox)] = sum;
            }
        }
        y
    }

    prop_compose! {
        fn any_conv()(
            groups in 1usize..3, in_group in 1usize..3, per_group in 1usize..7,
            height in 1usize..9, width in 1usize..14,
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4],
            dilation in [1usize..3, 1usize..3],
            (top, left, bottom, right) in (0usize..3, 0usize..3, 0usize..3, 0usize..3),
        ) -> Conv2d {
            Conv2d {
                input: TensorShape::new(groups * in_group, height + 5, width + 5),
                maps: groups * per_group, kernel, stride, dilation, groups,
                pads: Pads { top, left, bottom, right },
            }
        }
    }

    proptest! {
        #[test]
        fn properties_a_convolution_is_the_textbook_sum(conv in any_conv(), seed in any::<u64>()) {
            let op = LinearOp::Conv(conv.clone());
            prop_assert!(op.check().is_ok());
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state ^ (state >> 29)
            };
            let x: Vec<u64> = (0..op.input_len()).map(|_| next()).collect();
            let weights: Vec<i32> = (0..op.weight_len()).map(|_| next() as i32 >> 20).collect();
            let expected: Vec<u64> = naive(&conv, &weights, &x);
            let floats: Vec<f32> = x.iter().map(|x| (*x as i32 >> 8) as f32).collect();
            let scaled: Vec<f32> = weights.iter().map(|w| *w as f32 * 0.37).collect();
            let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            prop_assert_eq!(
                bits(linear(&op, &scaled, &floats)),
                bits(naive(&conv, &scaled, &floats)),
                "floating point depends on the order"
            );
            let weights = LinearWeights { weights, bias: Vec::new() };
            prop_assert_eq!(apply(&op, &weights, &x, 64), expected.clone());
            let narrow: Vec<u64> = expected.iter().map(|y| y & ring_mask(21)).collect();
            prop_assert_eq!(apply(&op, &weights, &x, 21), narrow);
        }
    }

    #[test]
    fn known_answer_fully_connected_with_bias() {
        let op = LinearOp::FullyConnected { inputs: 3, outputs: 2 };
        let weights = LinearWeights { weights: vec![1, -2, 3, 4, 5, -6], bias: vec![10, -20] };
        let mut y = apply(&op, &weights, &[7, 8, 9], 16);
        assert_eq!(y, [18, 14]);
        add_bias(&op, &weights, &mut y, 16);
        assert_eq!(y, [28, (1 << 16) - 6]);
    }

    #[test]
    fn known_answer_bias_per_map_and_per_element() {
        let conv = Conv2d {
            input: TensorShape::new(1, 1, 2),
            maps: 2,
            kernel: [1, 1],
            stride: [1, 1],
            pads: Pads::default(),
            dilation: [1, 1],
            groups: 1,
        };
        let op = LinearOp::Conv(conv);
        let per_map = LinearWeights { weights: vec![0, 0], bias: vec![1, 2] };
        let mut y = vec![0; 4];
        add_bias(&op, &per_map, &mut y, 8);
        assert_eq!(y, [1, 1, 2, 2]);
        let per_element = LinearWeights { weights: vec![0, 0], bias: vec![1, 2, 3, -4] };
        let mut y = vec![0; 4];
        add_bias(&op, &per_element, &mut y, 8);
        assert_eq!(y, [1, 2, 3, 252]);
    }
}
