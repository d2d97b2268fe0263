//! Linear operators on plain words modulo `2^bits`: the definition of every linear protocol, and
//! the server's online arithmetic.
//!
//! Work follows from shapes alone; weights are never compared with anything.

#![expect(clippy::indexing_slicing, reason = "lengths are made to fit before the loops")]

use std::borrow::Cow;

use rayon::prelude::*;

use crate::op::{Conv2d, LinearOp, LinearWeights};
use crate::shares::ring_mask;

/// Below this many multiply-adds one thread does all.
const PARALLEL_MACS: u64 = 1 << 20;

/// What a walk over a network computes with: words modulo 2^64, or floating point.
pub trait Element: Copy + Default + Send + Sync {
    /// A weight.
    type Weight: Copy + Default + Send + Sync;
    /// `self + w x`.
    #[must_use]
    fn mul_add(self, w: Self::Weight, x: Self) -> Self;
}

impl Element for u64 {
    type Weight = i32;
    #[inline]
    fn mul_add(self, w: i32, x: Self) -> Self {
        self.wrapping_add((w as u64).wrapping_mul(x))
    }
}

impl Element for f32 {
    type Weight = f32;
    #[inline]
    fn mul_add(self, w: f32, x: Self) -> Self {
        self + w * x
    }
}

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

/// One output map at a time, every kernel tap an axpy over rows.
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
    let map = |(m, out): (usize, &mut [E])| {
        let first = m / per_group * in_group;
        for (c, kernel) in
            w[m * taps..][..taps].chunks_exact(conv.kernel[0] * conv.kernel[1]).enumerate()
        {
            padded.accumulate(kernel, &planes[first + c], out, shape.width);
        }
    };
    if alone {
        output.chunks_exact_mut(plane).enumerate().for_each(map);
    } else {
        output.par_chunks_exact_mut(plane).enumerate().for_each(map);
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
        let mut plane = vec![E::default(); self.height * row_len];
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

    fn accumulate<E: Element>(
        &self,
        kernel: &[E::Weight],
        plane: &[E],
        out: &mut [E],
        out_width: usize,
    ) {
        let [stride_y, stride_x] = self.conv.stride;
        let [dilation_y, dilation_x] = self.conv.dilation;
        let row_len = self.phase_width * stride_x;
        for (y, out_row) in out.chunks_exact_mut(out_width).enumerate() {
            for (i, kernel_row) in kernel.chunks_exact(self.conv.kernel[1]).enumerate() {
                let row = &plane[(y * stride_y + i * dilation_y) * row_len..][..row_len];
                for (j, w) in kernel_row.iter().enumerate() {
                    let column = j * dilation_x;
                    let start = column % stride_x * self.phase_width + column / stride_x;
                    axpy(*w, &row[start..start + out_width], out_row);
                }
            }
        }
    }
}

fn axpy<E: Element>(w: E::Weight, x: &[E], y: &mut [E]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = y.mul_add(w, *x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Pads, TensorShape};
    use proptest::prelude::*;

    /// The textbook sum, index by index.
    fn naive(conv: &Conv2d, w: &[i32], x: &[u64]) -> Vec<u64> {
        let out = conv.output();
        let (in_group, per_group) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
        let mut y = vec![0u64; out.len()];
        for m in 0..out.channels {
            for (oy, ox) in (0..out.height).flat_map(|a| (0..out.width).map(move |b| (a, b))) {
                let mut sum = 0u64;
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
                                sum = sum.wrapping_add((w[tap] as u64).wrapping_mul(value));
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
            groups in 1usize..3, in_group in 1usize..3, per_group in 1usize..3,
            height in 1usize..9, width in 1usize..9,
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
            let expected = naive(&conv, &weights, &x);
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
