//! The k largest of n values as a network of comparators: sorted halves, merged by Batcher's
//! odd-even merge (Knuth 5.3.4), without what the k largest do not need.
//!
//! For k = 1 this is the tree of n - 1 maxima in ceil(log2 n) levels, and the left operand of every
//! comparator has the lower indices.

#![expect(clippy::indexing_slicing, reason = "comparators are numbered as they are made")]

use gazelle_convert::Elect;
use gazelle_share::Step;

use crate::pool::MaxLevels;

/// A value: an input, or a comparator's larger or smaller result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RankedValue {
    Input(usize),
    Larger(usize),
    Smaller(usize),
}

/// Comparators in an order in which operands come first.
#[derive(Debug, Clone)]
pub(crate) struct SortingNetwork {
    pub(crate) comparators: Vec<(RankedValue, RankedValue)>,
    /// The k largest, in descending order.
    pub(crate) outputs: Vec<RankedValue>,
}

/// All pairs of `n` words, left index first.
pub(crate) fn all_pairs(n: usize) -> (Vec<u32>, Vec<u32>) {
    Elect::pairs(n).map(|(a, b)| (a as u32, b as u32)).unzip()
}

impl SortingNetwork {
    /// The network for the `k` largest of `n >= 1` values.
    pub(crate) fn new(n: usize, k: usize) -> Self {
        let mut network = Self { comparators: Vec::new(), outputs: Vec::new() };
        let inputs: Vec<RankedValue> = (0..n).map(RankedValue::Input).collect();
        let outputs = network.largest(&inputs, k);
        network.outputs = outputs;
        network
    }

    /// Of a step that gives indices.
    pub(crate) fn of(step: &Step) -> Self {
        Self::new(step.input.len(), step.ranked().unwrap_or(1))
    }

    fn largest(&mut self, values: &[RankedValue], k: usize) -> Vec<RankedValue> {
        if values.len() < 2 {
            return values.to_vec();
        }
        let (left, right) = values.split_at(values.len().div_ceil(2));
        let (left, right) = (self.largest(left, k), self.largest(right, k));
        let mut merged = self.merge(&left, &right);
        merged.truncate(k);
        merged
    }

    /// Two descending lists to one.
    fn merge(&mut self, a: &[RankedValue], b: &[RankedValue]) -> Vec<RankedValue> {
        match (a, b) {
            ([], list) | (list, []) => list.to_vec(),
            ([a], [b]) => {
                let (larger, smaller) = self.compare(*a, *b);
                vec![larger, smaller]
            }
            _ => {
                let every = |list: &[RankedValue], from: usize| -> Vec<RankedValue> {
                    list.iter().skip(from).step_by(2).copied().collect()
                };
                let odd = self.merge(&every(a, 0), &every(b, 0));
                let even = self.merge(&every(a, 1), &every(b, 1));
                let (mut odd, mut even) = (odd.into_iter(), even.into_iter());
                let mut merged: Vec<RankedValue> = odd.next().into_iter().collect();
                loop {
                    match (even.next(), odd.next()) {
                        (Some(a), Some(b)) => {
                            let (larger, smaller) = self.compare(a, b);
                            merged.extend([larger, smaller]);
                        }
                        (a, b) => {
                            merged.extend(a.into_iter().chain(b).chain(even).chain(odd));
                            return merged;
                        }
                    }
                }
            }
        }
    }

    fn compare(&mut self, a: RankedValue, b: RankedValue) -> (RankedValue, RankedValue) {
        let index = self.comparators.len();
        self.comparators.push((a, b));
        (RankedValue::Larger(index), RankedValue::Smaller(index))
    }

    /// Which of each comparator's results the outputs need, `(larger, smaller)`.
    fn needed(&self) -> Vec<(bool, bool)> {
        let mut needed = vec![(false, false); self.comparators.len()];
        let mark = |needed: &mut Vec<(bool, bool)>, value: RankedValue| match value {
            RankedValue::Input(_) => {}
            RankedValue::Larger(i) => needed[i].0 = true,
            RankedValue::Smaller(i) => needed[i].1 = true,
        };
        self.outputs.iter().for_each(|value| mark(&mut needed, *value));
        for (i, (a, b)) in self.comparators.iter().enumerate().rev() {
            if needed[i].0 || needed[i].1 {
                mark(&mut needed, *a);
                mark(&mut needed, *b);
            }
        }
        needed
    }

    /// The comparators that are needed, as early as they can be, for `n` inputs.
    pub(crate) fn levels(&self, n: usize) -> MaxLevels {
        let needed = self.needed();
        // Per comparator: its level (from 1).
        let mut depth: Vec<usize> = Vec::with_capacity(needed.len());
        for (a, b) in &self.comparators {
            let of = |value: &RankedValue| match value {
                RankedValue::Input(_) => 0,
                RankedValue::Larger(i) | RankedValue::Smaller(i) => depth[*i],
            };
            depth.push(1 + of(a).max(of(b)));
        }
        let used = |i: &usize| needed[*i].0 || needed[*i].1;
        let last = (0..depth.len()).filter(used).map(|i| depth[i]).fold(0, usize::max);
        let mut words = vec![(0u32, 0u32); depth.len()];
        let mut levels = MaxLevels { pairs: Vec::new(), smaller: Vec::new(), outputs: Vec::new() };
        let id = |words: &[(u32, u32)], value: &RankedValue| match value {
            RankedValue::Input(i) => *i as u32,
            RankedValue::Larger(i) => words[*i].0,
            RankedValue::Smaller(i) => words[*i].1,
        };
        let mut next = n as u32;
        for level in 1..=last {
            let here: Vec<usize> =
                (0..depth.len()).filter(used).filter(|i| depth[*i] == level).collect();
            let operands = here.iter().map(|i| &self.comparators[*i]);
            levels.pairs.push(operands.map(|(a, b)| (id(&words, a), id(&words, b))).unzip());
            for i in &here {
                words[*i].0 = next;
                next += 1;
            }
            let mut smaller = Vec::new();
            for (position, i) in here.iter().enumerate() {
                if needed[*i].1 {
                    words[*i].1 = next;
                    smaller.push(position as u32);
                    next += 1;
                }
            }
            levels.smaller.push(smaller);
        }
        levels.outputs = self.outputs.iter().map(|value| id(&words, value)).collect();
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(levels: &MaxLevels, values: &[u64]) -> Vec<u64> {
        let mut words = values.to_vec();
        for ((a, b), smaller) in levels.pairs.iter().zip(&levels.smaller) {
            let pair = |i: usize| (words[a[i] as usize], words[b[i] as usize]);
            let larger: Vec<u64> = (0..a.len()).map(|i| pair(i).0.max(pair(i).1)).collect();
            let least: Vec<u64> =
                smaller.iter().map(|i| pair(*i as usize).0.min(pair(*i as usize).1)).collect();
            words.extend(larger);
            words.extend(least);
        }
        levels.outputs.iter().map(|i| words[*i as usize]).collect()
    }

    /// The 0-1 principle: a network of comparators that is right on zeros and ones is right.
    #[test]
    fn properties_the_network_finds_the_k_largest_of_all_zero_one_inputs() {
        for n in 1..=11usize {
            for k in 1..=n {
                let levels = SortingNetwork::new(n, k).levels(n);
                for input in 0..1u64 << n {
                    let values: Vec<u64> = (0..n).map(|i| input >> i & 1).collect();
                    let ones = input.count_ones() as usize;
                    let expected: Vec<u64> = (0..k).map(|i| u64::from(i < ones)).collect();
                    assert_eq!(run(&levels, &values), expected, "{k} of {n}: {values:?}");
                }
            }
        }
    }

    #[test]
    fn known_answer_comparators_and_levels() {
        let count = |n: usize, k: usize| {
            let levels = SortingNetwork::new(n, k).levels(n);
            (levels.pairs.iter().map(|pair| pair.0.len()).sum::<usize>(), levels.pairs.len())
        };
        assert_eq!(count(10, 1), (9, 4));
        assert_eq!(count(1000, 1), (999, 10));
        assert_eq!(count(8, 8), (19, 6));
        assert_eq!(count(1, 1), (0, 0));
        assert_eq!((count(10, 5), count(1000, 5)), ((28, 9), (3502, 34)));
    }
}
