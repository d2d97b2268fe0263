//! The largest of a small window and 0 by comparing all pairs at once: which word is compared with
//! which, whose comparisons are joined to "is the largest", and what is summed.

#![expect(clippy::indexing_slicing, reason = "positions are numbered as they are made")]

use gazelle_share::{TensorShape, Window};

/// The number 0 among the words.
pub(crate) const ZERO: u32 = u32::MAX;

/// A shared bit: a word's number, and whether it is inverted.
pub(crate) type Literal = (u32, bool);

/// Words are numbered in the order in which they are made: the inputs, the signs of `pairs`, the
/// results of `ands`, level by level.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllPairs {
    /// Differences whose signs are taken.
    pub(crate) pairs: (Vec<u32>, Vec<u32>),
    /// Per level: the operands.
    pub(crate) ands: std::vec::IntoIter<(Vec<Literal>, Vec<Literal>)>,
    /// Which input is kept by which bit, and the output to which it is added.
    pub(crate) kept: Vec<(Literal, u32, u32)>,
    pub(crate) outputs: usize,
}

/// Levels of ANDs for windows of up to `taps` words: each is compared with the others and with 0.
pub(crate) fn depth(taps: usize) -> usize {
    taps.next_power_of_two().trailing_zeros() as usize
}

impl AllPairs {
    /// For `window` on `input`, 0 included.
    pub(crate) fn new(window: &Window, input: TensorShape) -> Self {
        let windows = window.gather(input);
        let mut plan = Self { outputs: windows.len(), ..Self::default() };
        // What each candidate must win, with the output it belongs to.
        let mut wins: Vec<(Vec<Literal>, u32, u32)> = Vec::new();
        let mut next = input.len() as u32;
        for (output, positions) in windows.iter().enumerate() {
            let first = wins.len();
            wins.extend(positions.iter().map(|p| (Vec::new(), *p as u32, output as u32)));
            for (i, a) in positions.iter().enumerate() {
                for (j, b) in positions.iter().enumerate().skip(i + 1) {
                    // a < b: a loses, else b does.
                    plan.pairs.0.push(*a as u32);
                    plan.pairs.1.push(*b as u32);
                    wins[first + i].0.push((next, true));
                    wins[first + j].0.push((next, false));
                    next += 1;
                }
                plan.pairs.0.push(*a as u32);
                plan.pairs.1.push(ZERO);
                wins[first + i].0.push((next, true));
                next += 1;
            }
        }
        let mut ands = Vec::new();
        while wins.iter().any(|(literals, ..)| literals.len() > 1) {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (literals, ..) in &mut wins {
                let old = std::mem::take(literals);
                for pair in old.chunks(2) {
                    match *pair {
                        [a, b] => {
                            left.push(a);
                            right.push(b);
                            literals.push((next, false));
                            next += 1;
                        }
                        [a] => literals.push(a),
                        _ => {}
                    }
                }
            }
            ands.push((left, right));
        }
        plan.ands = ands.into_iter();
        let kept = wins.into_iter().filter_map(|(literals, input, output)| {
            literals.first().map(|literal| (*literal, input, output))
        });
        plan.kept = kept.collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::Pads;

    use super::*;

    #[test]
    fn properties_each_window_keeps_its_largest_word_or_nothing() {
        for (kernel, stride, pads, shape) in [
            ([2, 2], [2, 2], Pads::default(), TensorShape::new(2, 4, 6)),
            ([1, 3], [1, 1], Pads::default(), TensorShape::new(1, 2, 5)),
            ([2, 2], [1, 1], Pads::all(1), TensorShape::new(1, 3, 3)),
        ] {
            let window = Window { kernel, stride, pads };
            let plan = AllPairs::new(&window, shape);
            assert_eq!(plan.ands.len(), depth(kernel[0] * kernel[1]));
            let values: Vec<i64> = (0..shape.len() as i64).map(|i| i * 7919 % 13 - 8).collect();
            let mut words = values.clone();
            for (a, b) in plan.pairs.0.iter().zip(&plan.pairs.1) {
                let b = if *b == ZERO { 0 } else { values[*b as usize] };
                words.push(i64::from(values[*a as usize] < b));
            }
            for (left, right) in plan.ands.clone() {
                let bit = |(id, flip): &Literal| words[*id as usize] ^ i64::from(*flip);
                let level: Vec<i64> =
                    left.iter().zip(&right).map(|(a, b)| bit(a) & bit(b)).collect();
                words.extend(level);
            }
            let mut outputs = vec![0; plan.outputs];
            for ((id, flip), input, output) in &plan.kept {
                let bit = words[*id as usize] ^ i64::from(*flip);
                outputs[*output as usize] += bit * values[*input as usize];
            }
            let expected: Vec<i64> = window
                .gather(shape)
                .iter()
                .map(|w| w.iter().map(|i| values[*i]).max().unwrap().max(0))
                .collect();
            assert_eq!(outputs, expected);
        }
    }
}
