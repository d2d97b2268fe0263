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
pub use product::product;

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
pub fn apply_signed(op: &LinearOp, weights: &LinearWeights, input: &[i64]) -> Vec<i64> {
    let terms = op.weight_len() / op.output_shape().channels.max(1);
    // Not less than the largest of each.
    let size = widest(|| input.iter().fold(0, |most, x| most | x.unsigned_abs()));
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
    let rows = weights.weights.par_chunks(terms.max(1)).with_min_len(BLOCK.div_ceil(terms.max(1)));
    let (row, weight) = rows.map(large).reduce(|| (0, 0), |(a, b), (c, d)| (a.max(c), b | d));
    let sum = row.saturating_mul(size);
    if sum < SMALL_SUM && size < SMALL && u64::from(weight) < SMALL {
        let input: Vec<i16> = widest(|| input.iter().map(|x| *x as i16).collect());
        biased(op, &weights.bias, &linear(op, &weights.weights, &input), i64::from)
    } else if sum < EXACT && size < EXACT {
        let input: Vec<f64> = widest(|| input.iter().map(|x| to_float(*x)).collect());
        biased(op, &weights.bias, &linear(op, &weights.weights, &input), to_integer)
    } else {
        let input: Vec<u64> = input.iter().map(|x| *x as u64).collect();
        biased(op, &weights.bias, &linear(op, &weights.weights, &input), |sum| sum as i64)
    }
}

/// Factors below fit the smallest arithmetic, as do sums below the other.
const SMALL: u64 = 1 << 15;
const SMALL_SUM: u64 = 1 << 31;
/// Integers below are exact in what follows.
const EXACT: u64 = 1 << 51;
/// 2^52 and 2^51, whose last bit counts ones.
const ONES: f64 = 6_755_399_441_055_744.0;
/// Elements that one task takes.
const BLOCK: usize = 1 << 14;

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

/// Adds the bias, one per output map, or one per output element, or none.
fn biased<S: Copy + Sync>(
    op: &LinearOp,
    bias: &[i64],
    sums: &[S],
    integer: impl Fn(S) -> i64 + Sync,
) -> Vec<i64> {
    let shape = op.output_shape();
    let plane = (shape.height * shape.width).max(1);
    let mut output = vec![0; sums.len()];
    let map = |(map, (to, from)): (usize, (&mut [i64], &[S]))| {
        let own = bias.get(map * plane..).filter(|_| bias.len() == sums.len());
        // optional: without a bias nothing is added
        let all = bias.get(map).filter(|_| bias.len() == shape.channels).copied().unwrap_or(0);
        widest(|| {
            for (to, from) in to.iter_mut().zip(from) {
                *to = integer(*from).wrapping_add(all);
            }
        });
        if let Some(own) = own.filter(|_| plane > 1) {
            to.iter_mut().zip(own).for_each(|(to, b)| *to = to.wrapping_add(*b));
        }
    };
    let maps = (&mut *output, sums);
    if op.macs() < PARALLEL_MACS {
        maps.0.chunks_mut(plane).zip(maps.1.chunks(plane)).enumerate().for_each(map);
    } else {
        maps.0.par_chunks_mut(plane).zip(maps.1.par_chunks(plane)).enumerate().for_each(map);
    }
    output
}

/// `W x` in any arithmetic; see [`apply`].
pub fn linear<E: Element>(op: &LinearOp, weights: &[E::Weight], input: &[E]) -> Vec<E::Sum> {
    let input = fit(input, op.input_len());
    let w = fit(weights, op.weight_len());
    let mut output = vec![E::Sum::default(); op.output_shape().len()];
    let alone = op.macs() < PARALLEL_MACS;
    match op {
        LinearOp::FullyConnected { inputs, .. } => {
            let row = |(y, row): (&mut E::Sum, &[E::Weight])| *y = dot(row, &input);
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

fn dot<E: Element>(row: &[E::Weight], input: &[E]) -> E::Sum {
    row.iter()
        .zip(input)
        .fold(E::Sum::default(), |sum, (w, x)| E::add_product(sum, E::from_weight(*w), *x))
}

/// A matrix product for each group.
fn convolve<E: Element>(
    conv: &Conv2d,
    w: &[E::Weight],
    input: &[E],
    output: &mut [E::Sum],
    alone: bool,
) {
    let shape = conv.output();
    let plane = shape.height * shape.width;
    let per_group = conv.maps / conv.groups;
    let in_group = conv.input.channels / conv.groups;
    let depth = in_group * conv.kernel[0] * conv.kernel[1];
    let planes = PaddedPlanes::new(conv, input, alone);
    let one = |(group, out): (usize, &mut [E::Sum])| {
        let w = &w[group * per_group * depth..][..per_group * depth];
        let left = |row: usize, first: usize, to: &mut [E]| {
            let from = &w[row * depth + first..][..to.len()];
            widest(|| to.iter_mut().zip(from).for_each(|(to, w)| *to = E::from_weight(*w)));
        };
        let right = |first: usize, column: usize, panel: &mut [[E; COLUMNS]]| {
            planes.fill(group * in_group, (first, column), panel);
        };
        product([per_group, depth, plane], left, right, out);
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
