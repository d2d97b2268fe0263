//! Linear operators on plain words modulo `2^bits`, the definition of every linear protocol; and on what
//! networks are computed with in the clear.
//!
//! Work follows from shapes alone, and weights are never compared with anything, but for [`apply_signed`]:
//! it chooses the arithmetic by how large weights and values are, and serves who owns both.

#![expect(clippy::indexing_slicing, reason = "lengths are made to fit before the loops")]

mod element;
mod kernel;
mod planes;
mod product;

use std::borrow::Cow;

use rayon::prelude::*;

use crate::op::{Conv2d, LinearOp, LinearWeights};
use crate::shares::ring_mask;
use planes::PaddedPlanes;

pub use element::{COLUMNS, Element};
pub use gazelle_prg::simd::widest;
pub use product::{product, product_with};

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

/// `W x` and the bias, of signed values modulo 2^64.
///
/// Cost: [`LinearOp::macs`] multiply-adds, in the narrowest arithmetic that holds all sums exactly: small
/// integers, floating point, or words.
pub fn apply_signed(
    op: &LinearOp,
    LinearWeights { weights, bias }: &LinearWeights,
    input: &[i64],
) -> Vec<i64> {
    let terms = op.weight_len() / op.output_shape().channels.max(1);
    let blocks = input.par_chunks(BLOCK).with_min_len(FEWEST);
    // Not less than the largest of each.
    let size = blocks.map(|some| widest(|| some.iter().fold(0, |most, x| most | x.unsigned_abs())));
    let size = size.reduce(|| 0, |a, b| a | b);
    let large = |row: &[i32]| {
        let (mut sum, mut most) = (0u64, 0);
        widest(|| {
            for w in row {
                sum = sum.wrapping_add(u64::from(w.unsigned_abs()));
                most |= w.unsigned_abs();
            }
        });
        (sum, most)
    };
    let fewest = (FEWEST * BLOCK).div_ceil(terms.max(1));
    let rows = weights.par_chunks(terms.max(1)).with_min_len(fewest);
    let (row, weight) = rows.map(large).reduce(|| (0, 0), |(a, b), (c, d)| (a.max(c), b | d));
    let sum = row.saturating_mul(size);
    let of = (&**weights, &**bias);
    if sum < SMALL_SUM && size < SMALL && u64::from(weight) < SMALL {
        let input = converted(input, |x| x as i16);
        biased(op, of, &input, i64::from, i64::wrapping_add)
    } else if sum < EXACT && size < EXACT {
        let input = converted(input, to_float);
        biased(op, of, &input, to_integer, i64::wrapping_add)
    } else {
        let input = converted(input, |x| x as u64);
        biased(op, of, &input, |sum: u64| sum as i64, i64::wrapping_add)
    }
}

/// Each value as another type.
fn converted<E: Element>(values: &[i64], one: impl Fn(i64) -> E + Sync) -> Vec<E> {
    let mut result = vec![E::default(); values.len()];
    let some = |(to, from): (&mut [E], &[i64])| {
        widest(|| to.iter_mut().zip(from).for_each(|(to, x)| *to = one(*x)));
    };
    let blocks = result.par_chunks_mut(BLOCK).zip(values.par_chunks(BLOCK));
    blocks.with_min_len(FEWEST).for_each(some);
    result
}

/// `W x` and the bias in floating point, each sum of products in the order of the weights and the bias last.
///
/// - `bias`: one per output map, or one per output element, or none.
///
/// Cost: [`LinearOp::macs`] multiply-adds, over all threads.
pub fn affine(op: &LinearOp, weights: &[f32], bias: &[f32], input: &[f32]) -> Vec<f32> {
    biased(op, (weights, bias), input, |sum| sum, |sum, bias| sum + bias)
}

/// Factors below fit the smallest arithmetic, as do sums below the other.
const SMALL: u64 = 1 << 15;
const SMALL_SUM: u64 = 1 << 31;
/// Integers below are exact in what follows.
const EXACT: u64 = 1 << 51;
/// 2^52 and 2^51, whose last bit counts ones.
const ONES: f64 = 6_755_399_441_055_744.0;
/// Elements of a block.
const BLOCK: usize = 1 << 14;
/// Blocks that one task takes at least: less is done before another thread has woken up.
const FEWEST: usize = 4;

/// Faster than the processor's own conversion, which not all have for vectors.
#[inline]
fn to_float(x: i64) -> f64 {
    f64::from_bits(ONES.to_bits().wrapping_add(x as u64)) - ONES
}

/// The same.
#[inline]
fn to_integer(x: f64) -> i64 {
    (x + ONES).to_bits().wrapping_sub(ONES.to_bits()) as i64
}

/// `W x`, made something else, with the bias: one per output map, or one per output element, or none.
fn biased<E: Element, T: Copy + Default + Send + Sync>(
    op: &LinearOp,
    (weights, bias): (&[E::Weight], &[T]),
    input: &[E],
    made: impl Fn(E::Sum) -> T + Sync,
    add: impl Fn(T, T) -> T + Sync,
) -> Vec<T> {
    let shape = op.output_shape();
    let plane = shape.height * shape.width;
    let by_map = bias.len() == shape.channels;
    linear_with(op, weights, input, |[map, at], sums, to| {
        // Short functions each: a long one would not become part of what is compiled for wide vectors.
        let both = to.iter_mut().zip(sums);
        if by_map {
            let bias = bias[map];
            widest(|| both.for_each(|(to, sum)| *to = add(made(*sum), bias)));
        } else if bias.len() == shape.len() {
            let own = &bias[map * plane + at..];
            widest(|| both.zip(own).for_each(|((to, sum), bias)| *to = add(made(*sum), *bias)));
        } else {
            widest(|| both.for_each(|(to, sum)| *to = made(*sum)));
        }
    })
}

/// `W x` in any arithmetic; see [`apply`].
pub fn linear<E: Element>(op: &LinearOp, weights: &[E::Weight], input: &[E]) -> Vec<E::Sum> {
    linear_with(op, weights, input, |_, sums, to| to.copy_from_slice(sums))
}

/// `W x`, made something else while it is at hand.
///
/// - `put([map, position], sums, to)`: as for [`product_with`].
fn linear_with<E: Element, T: Copy + Default + Send + Sync>(
    op: &LinearOp,
    weights: &[E::Weight],
    input: &[E],
    put: impl Fn([usize; 2], &[E::Sum], &mut [T]) + Sync,
) -> Vec<T> {
    let input = fit(input, op.input_len());
    let w = fit(weights, op.weight_len());
    let mut output = vec![T::default(); op.output_shape().len()];
    let alone = op.macs() < PARALLEL_MACS;
    match op {
        LinearOp::FullyConnected { inputs, .. } => {
            let row = |((map, to), row): ((usize, &mut [T]), &[E::Weight])| {
                put([map, 0], &[dot(row, &input)], to);
            };
            if alone {
                output.chunks_mut(1).enumerate().zip(w.chunks_exact(*inputs)).for_each(row);
            } else {
                let output = output.par_chunks_mut(1).enumerate();
                output.zip(w.par_chunks_exact(*inputs)).for_each(row);
            }
        }
        LinearOp::Conv(conv) => convolve(conv, &w, &input, put, &mut output, alone),
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

fn dot<E: Element>(row: &[E::Weight], input: &[E]) -> E::Sum {
    row.iter()
        .zip(input)
        .fold(E::Sum::default(), |sum, (w, x)| E::add_product(sum, E::from_weight(*w), *x))
}

/// A matrix product for each group.
fn convolve<E: Element, T: Send>(
    conv: &Conv2d,
    w: &[E::Weight],
    input: &[E],
    put: impl Fn([usize; 2], &[E::Sum], &mut [T]) + Sync,
    output: &mut [T],
    alone: bool,
) {
    let shape = conv.output();
    let plane = shape.height * shape.width;
    let per_group = conv.maps / conv.groups;
    let in_group = conv.input.channels / conv.groups;
    let depth = in_group * conv.kernel[0] * conv.kernel[1];
    let planes = PaddedPlanes::new(conv, input, alone);
    let one = |(group, out): (usize, &mut [T])| {
        let w = &w[group * per_group * depth..][..per_group * depth];
        let left = |row: usize, first: usize, to: &mut [E]| {
            let from = &w[row * depth + first..][..to.len()];
            widest(|| to.iter_mut().zip(from).for_each(|(to, w)| *to = E::from_weight(*w)));
        };
        let right = |first: usize, column: usize, panel: &mut [[E; COLUMNS]]| {
            planes.fill(group * in_group, (first, column), panel);
        };
        let put = |[map, at]: [usize; 2], sums: &[E::Sum], to: &mut [T]| {
            put([group * per_group + map, at], sums, to);
        };
        product_with([per_group, depth, plane], left, right, put, out);
    };
    let each = (per_group * plane).max(1);
    if alone || conv.groups == 1 {
        output.chunks_exact_mut(each).enumerate().for_each(one);
    } else {
        output.par_chunks_exact_mut(each).enumerate().for_each(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Pads, TensorShape};
    use proptest::prelude::*;

    /// The textbook sum, index by index, in the order of the weights.
    fn naive<E: Element>(conv: &Conv2d, w: &[E::Weight], x: &[E]) -> Vec<E::Sum> {
        let out = conv.output();
        let (in_group, per_group) = (conv.input.channels / conv.groups, conv.maps / conv.groups);
        let mut y = vec![E::Sum::default(); out.len()];
        for m in 0..out.channels {
            for (oy, ox) in (0..out.height).flat_map(|a| (0..out.width).map(move |b| (a, b))) {
                let mut sum = E::Sum::default();
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
                                sum = E::add_product(sum, E::from_weight(w[tap]), value);
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
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..20],
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
            let signed = |words: &[u64]| words.iter().map(|x| *x as i64).collect::<Vec<_>>();
            prop_assert_eq!(apply_signed(&op, &weights, &signed(&x)), signed(&expected));
            // Values that floating point holds, and some that it only just does not.
            for shift in [20, 40, 44, 48, 50, 56] {
                let small: Vec<i64> = x.iter().map(|x| *x as i64 >> shift).collect();
                let words: Vec<u64> = small.iter().map(|x| *x as u64).collect();
                prop_assert_eq!(
                    apply_signed(&op, &weights, &small),
                    signed(&apply(&op, &weights, &words, 64))
                );
            }
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
