//! The circuits of the garbled backend, trimmed to the bits that can be set.
//!
//! s, c: the parties' shares modulo `2^b` after local truncation; r: C's mask. AND counts:
//!
//! | circuit | AND |
//! |---|---|
//! | ReLU and re-sharing: add, gate, subtract | (b - 1) + (b - 1) + (l - 1) = 2b + l - 3 |
//! | clipping behind the ReLU: compare with a constant, select | up to 2 (b - 1) |
//! | reconstruct (before a max-pool) | b - 1 per input |
//! | max | 2b per comparison |
//! | ReLU and subtract, or subtract alone, behind it | (b - 1) + (l - 1), l - 1 |
//! | arg max of n, behind n (b - 1) to reconstruct: compare n - 1 times, select n - 2 times | (2n - 3) b, and 12 for the index of 10, 1,665 of 1,000 |
//! | top k, behind the same: per comparator, on keys of b + log2 n bits | up to 2 (b + log2 n) |
//! | Round: add and cut | b + t - 1 |
//!
//! If the step is exact, the T = t + g bits below the value are added too: T more per input.

#![expect(
    clippy::indexing_slicing,
    reason = "wires are counted by the circuit that is being built"
)]

use gazelle_garble::{Builder, Circuit, Wire, arith};
use gazelle_share::Step;
use gazelle_share::step::{StepFunction, StepOutput};

use crate::rank::{RankedValue, SortingNetwork};
use crate::width::{Width, function_width, input_width, result_width};

/// The function on one element (not a max-pool's), from the parties' shares.
fn function(b: &mut Builder, step: &Step, s: &[Wire], c: &[Wire]) -> Vec<Wire> {
    let width = function_width(step).bits as usize;
    let x = arith::reconstruct(b, s, c, input_width(step) as usize);
    // The bits that are dropped exactly only carry.
    let x = x[step.carried_bits() as usize..].to_vec();
    match step.function {
        StepFunction::Relu | StepFunction::CoarseRelu { .. } => {
            let mut z = arith::relu(b, &x);
            z.truncate(width);
            z
        }
        StepFunction::Clip { high } => {
            let mut z = arith::relu(b, &x);
            z.truncate(width);
            let high = arith::constant(b, high as u64, width);
            let above = arith::less_than_unsigned(b, &high, &z);
            arith::mux(b, above, &high, &z)
        }
        StepFunction::Square { drop_bits } => {
            let square = arith::square(b, &x);
            if drop_bits == 0 {
                return square;
            }
            // floor((v^2 + 2^(d-1)) / 2^d): the bit below the cut is the carry.
            let (low, high) = square.split_at(drop_bits as usize);
            let half = low[low.len() - 1];
            arith::add(b, &arith::zero_extend(high, width), &[], half)
        }
        StepFunction::Rescale
        | StepFunction::Round
        | StepFunction::MaxPool { .. }
        | StepFunction::ArgMax
        | StepFunction::TopK { .. } => x,
    }
}

/// Extends a value to `bits`.
fn extend(z: &[Wire], width: Width, bits: usize) -> Vec<Wire> {
    if width.signed { arith::sign_extend(z, bits) } else { arith::zero_extend(z, bits) }
}

/// What happens to the result: `z - r mod 2^l`, or z itself.
fn output(b: &mut Builder, step: &Step, z: &[Wire], width: Width) -> Vec<Wire> {
    match step.output {
        StepOutput::Masked { bits } => {
            let r = b.inputs(bits as usize);
            let z = extend(z, width, bits as usize);
            arith::sub(b, &z, &r)
        }
        StepOutput::Reveal => extend(z, width, result_width(step).bits as usize),
    }
}

/// Inputs s, c[, r] -> the result: steps without any pool.
pub(crate) fn whole(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let bits = input_width(step) as usize;
    let (s, c) = (b.inputs(bits), b.inputs(bits));
    let z = function(&mut b, step, &s, &c);
    let z = output(&mut b, step, &z, function_width(step));
    b.finish(&z)
}

/// Inputs s, c -> the function's value (a max-pool's: x itself).
pub(crate) fn open(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let bits = input_width(step) as usize;
    let (s, c) = (b.inputs(bits), b.inputs(bits));
    let z = function(&mut b, step, &s, &c);
    b.finish(&z)
}

/// Inputs x, y -> max(x, y), signed.
pub(crate) fn max(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let bits = step.value_bits as usize;
    let (x, y) = (b.inputs(bits), b.inputs(bits));
    let z = arith::max(&mut b, &x, &y);
    b.finish(&z)
}

/// Input x (a window's maximum) -> ReLU if there is one: before a sum-pool.
pub(crate) fn rectify(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let x = b.inputs(step.value_bits as usize);
    let z = rectified(&mut b, step, &x);
    b.finish(&z)
}

fn rectified(b: &mut Builder, step: &Step, x: &[Wire]) -> Vec<Wire> {
    if let StepFunction::MaxPool { relu: true, .. } = step.function {
        let mut z = arith::relu(b, x);
        z.truncate(function_width(step).bits as usize);
        return z;
    }
    x.to_vec()
}

/// Inputs x (a window's maximum)[, r] -> the result.
pub(crate) fn close_max(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let x = b.inputs(step.value_bits as usize);
    let z = rectified(&mut b, step, &x);
    let z = output(&mut b, step, &z, function_width(step));
    b.finish(&z)
}

/// Inputs: `terms` values of the function[, r] -> the result of the sum-pool.
pub(crate) fn close_sum(step: &Step, terms: usize) -> Circuit {
    let mut b = Builder::new();
    let (width, wide) = (function_width(step), result_width(step));
    let values: Vec<Vec<Wire>> = (0..terms).map(|_| b.inputs(width.bits as usize)).collect();
    let bits = match step.output {
        StepOutput::Masked { bits } => wide.bits.min(bits),
        StepOutput::Reveal => wide.bits,
    } as usize;
    let sum = match values.as_slice() {
        [] => vec![Wire::FALSE; bits],
        [single] => extend(single, width, bits),
        _ if width.signed => arith::sum_signed(&mut b, &values, bits),
        _ => arith::sum(&mut b, &values, bits),
    };
    let z = output(&mut b, step, &sum, wide);
    b.finish(&z)
}

/// Inputs: all n values -> k indices, wire by wire.
///
/// One index: a tree of maxima that carries the winner's index, on whose muxes the constants fold.
/// Several: a network over the keys `2^i v + (2^i - 1 - index)`, i = index bits, all different.
pub(crate) fn rank(step: &Step) -> Circuit {
    let mut b = Builder::new();
    let (n, width) = (step.input.len(), step.index_bits() as usize);
    let network = SortingNetwork::of(step);
    let keyed = step.ranked() != Some(1);
    // (value or key, index)
    let inputs: Vec<(Vec<Wire>, Vec<Wire>)> = (0..n)
        .map(|i| {
            let index = arith::constant(&b, i as u64, width);
            let value = b.inputs(step.value_bits as usize);
            if !keyed {
                return (value, index);
            }
            let mut key = arith::invert(&mut b, &index);
            key.extend(value);
            (key, Vec::new())
        })
        .collect();
    let mut larger: Vec<(Vec<Wire>, Vec<Wire>)> = Vec::with_capacity(network.comparators.len());
    let mut smaller: Vec<(Vec<Wire>, Vec<Wire>)> = Vec::with_capacity(network.comparators.len());
    for (x, y) in &network.comparators {
        let pick = |value: &RankedValue| {
            let (list, i) = match value {
                RankedValue::Input(i) => (&inputs, i),
                RankedValue::Larger(i) => (&larger, i),
                RankedValue::Smaller(i) => (&smaller, i),
            };
            list[*i].clone()
        };
        let (x, y) = (pick(x), pick(y));
        let less = arith::less_than_signed(&mut b, &x.0, &y.0);
        let index = arith::mux(&mut b, less, &y.1, &x.1);
        larger.push((arith::mux(&mut b, less, &y.0, &x.0), index));
        smaller.push((arith::mux(&mut b, less, &x.0, &y.0), Vec::new()));
    }
    let indices: Vec<Vec<Wire>> = network
        .outputs
        .iter()
        .map(|value| {
            let (list, i) = match value {
                RankedValue::Input(i) => (&inputs, i),
                RankedValue::Larger(i) => (&larger, i),
                RankedValue::Smaller(i) => (&smaller, i),
            };
            let (value, index) = list[*i].clone();
            if keyed { arith::invert(&mut b, &arith::zero_extend(&value, width)) } else { index }
        })
        .collect();
    let wires: Vec<Wire> =
        (0..width).flat_map(|wire| indices.iter().map(move |index| index[wire])).collect();
    b.finish(&wires)
}

#[cfg(test)]
mod tests {
    use gazelle_share::Rounding;
    use gazelle_share::{Pads, TensorShape, Window};

    use super::*;

    fn step(function: StepFunction, b: u32, t: u32, l: u32, next: u32) -> Step {
        Step {
            function,
            input: TensorShape::new(1, 4, 4),
            input_bits: l,
            truncate_bits: t,
            rounding: Rounding::Local,
            value_bits: b,
            sum_pool: None,
            output: StepOutput::Masked { bits: next },
        }
    }

    #[test]
    fn known_answer_and_counts_of_relu() {
        // 2b + l - 3; the issue allows 85 for (l, fw, b) = (37, 12, 17).
        assert_eq!(whole(&step(StepFunction::Relu, 17, 12, 37, 37)).and_count(), 68);
        assert_eq!(whole(&step(StepFunction::Relu, 12, 8, 20, 20)).and_count(), 41);
    }

    #[test]
    fn known_answer_and_counts_of_a_pool() {
        let window = Window { kernel: [2, 2], stride: [2, 2], pads: Pads::default() };
        let step = step(StepFunction::MaxPool { window, relu: true }, 12, 8, 21, 20);
        let counts = [open(&step), max(&step), close_max(&step)].map(|circuit| circuit.and_count());
        assert_eq!(counts, [11, 24, 11 + 19]);
        // k (b - 1) + 2 b (k - 1) + (b - 1) + (l - 1) with k = 4.
        assert_eq!(4 * counts[0] + 3 * counts[1] + counts[2], 4 * 11 + 2 * 12 * 3 + 11 + 19);
    }

    #[test]
    fn known_answer_and_counts_of_indices() {
        let ranked = |function, n| {
            let step = Step {
                input: TensorShape::vector(n),
                output: StepOutput::Reveal,
                ..step(function, 12, 8, 21, 20)
            };
            rank(&step).and_count()
        };
        // 9 comparisons of 12, 8 selections of 12, and the indices: constants fold at first.
        let counts = [
            ranked(StepFunction::ArgMax, 10),
            ranked(StepFunction::ArgMax, 1000),
            ranked(StepFunction::TopK { k: 5 }, 10),
            ranked(StepFunction::TopK { k: 5 }, 1000),
        ];
        assert_eq!(counts, [9 * 12 + 8 * 12 + 12, 999 * 12 + 998 * 12 + 1665, 794, 110_600]);
    }

    #[test]
    fn known_answer_and_counts_of_the_other_functions() {
        assert_eq!(whole(&step(StepFunction::Rescale, 12, 8, 20, 20)).and_count(), 11 + 19);
        let mut round = step(StepFunction::Round, 12, 8, 20, 20);
        round.output = StepOutput::Reveal;
        assert_eq!(whole(&round).and_count(), 12 + 8 - 1);
        // Exact: 9 bits more to add, and the cut is free.
        let rounding = Rounding::Exact { guard_bits: 2 };
        let relu = step(StepFunction::Relu, 12, 7, 21, 20);
        assert_eq!(whole(&Step { rounding, ..relu }).and_count(), 41 + 9);
        // Square: 121 for b = 12, 11 to add, 22 to subtract, less 1 because bit 1 of a square is 0.
        let square = whole(&step(StepFunction::Square { drop_bits: 0 }, 12, 8, 20, 23));
        assert_eq!(square.and_count(), 11 + 121 + 22 - 1);
    }
}
