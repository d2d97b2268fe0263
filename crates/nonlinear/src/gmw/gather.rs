//! What happens between the operations of a chain: which words become an operation's lanes, and
//! where its results go. Everything here is local and linear: sums, differences, public constants.

#![expect(clippy::indexing_slicing, reason = "positions are numbered as the words are made")]

use gazelle_convert::Keep;
use gazelle_share::shares::ring_mask;
use zeroize::Zeroize;

use crate::gmw::all_pairs::{Literal, ZERO};
use crate::gmw::role::Role;
use crate::pool::SumGroup;

/// Two lists of words, compared pair by pair.
pub(crate) type Pairs = (Vec<u32>, Vec<u32>);

/// What happens before and after one operation of one shape of chunk. `words` are the chunk's: the
/// inputs, and what operations appended or put in their place.
#[derive(Debug, Clone)]
pub(crate) enum Gather {
    /// The words as they are; the results take their place.
    Take(usize),
    /// The words as they are; the results become keys: `2^keys z + (2^keys - 1 - index)`.
    Keyed { keys: u32, count: usize },
    /// A constant minus each word, before and after: `high - relu(high - z)` is min(z, high).
    From { constant: u64, count: usize },
    /// A constant is added to each word before, and subtracted after: an extension of signed values.
    Shift { constant: u64, count: usize },
    /// A level of maxima: the differences a - b; max(a, b) = b + ReLU(a - b) is appended, then
    /// min(a, b) = a + b - max(a, b) of the pairs in `smaller`. After the last level `outputs` stay.
    Level { pairs: Pairs, smaller: Vec<u32>, outputs: Option<Vec<u32>> },
    /// Differences of which the results take the words' place.
    Compare(Pairs),
    /// Differences (of [`ZERO`] too) whose results are appended.
    CompareAlso(Pairs),
    /// Pairs of shared bits, bits 0 and 1 of a lane, whose results are appended.
    Both(Vec<Literal>, Vec<Literal>),
    /// The input that each literal keeps, above it the literal; results are summed by output.
    Kept { kept: Vec<(Literal, u32, u32)>, outputs: usize },
    /// Sums over windows.
    Sum { groups: Vec<SumGroup>, outputs: usize },
}

impl Gather {
    /// Lanes of the operation.
    pub(crate) fn lanes(&self) -> usize {
        match self {
            Self::Take(count)
            | Self::Keyed { count, .. }
            | Self::From { count, .. }
            | Self::Shift { count, .. } => *count,
            Self::Level { pairs, .. } | Self::Compare(pairs) | Self::CompareAlso(pairs) => {
                pairs.0.len()
            }
            Self::Both(left, _) => left.len(),
            Self::Kept { kept, .. } => kept.len(),
            Self::Sum { outputs, .. } => *outputs,
        }
    }

    /// Words afterwards, of `words` before, if the operation gives `results`.
    pub(crate) fn words_after(&self, words: usize, results: usize) -> usize {
        match self {
            Self::Level { smaller, outputs, .. } => match outputs {
                Some(outputs) => outputs.len(),
                None => words + results + smaller.len(),
            },
            Self::CompareAlso(_) | Self::Both(..) => words + results,
            Self::Kept { outputs, .. } => *outputs,
            _ => results,
        }
    }

    /// A party's share of the operand, modulo `2^bits`.
    pub(crate) fn operand<R: Role>(&self, bits: u32, words: &[u64]) -> Vec<u64> {
        let mask = ring_mask(bits);
        let bit = |(id, flip): &Literal| words[*id as usize] ^ R::constant(u64::from(*flip));
        match self {
            Self::Take(_) | Self::Keyed { .. } => words.iter().map(|x| x & mask).collect(),
            Self::From { constant, .. } => {
                let constant = R::constant(*constant);
                words.iter().map(|x| constant.wrapping_sub(*x) & mask).collect()
            }
            Self::Shift { constant, .. } => {
                let constant = R::constant(*constant);
                words.iter().map(|x| x.wrapping_add(constant) & mask).collect()
            }
            Self::Level { pairs, .. } | Self::Compare(pairs) | Self::CompareAlso(pairs) => {
                let word = |id: &u32| if *id == ZERO { 0 } else { words[*id as usize] };
                let difference = |(a, b)| word(a).wrapping_sub(word(b)) & mask;
                pairs.0.iter().zip(&pairs.1).map(difference).collect()
            }
            Self::Both(left, right) => {
                left.iter().zip(right).map(|(a, b)| bit(a) | bit(b) << 1).collect()
            }
            Self::Kept { kept, .. } => {
                let above = |(literal, input, _): &(Literal, u32, u32)| {
                    (words[*input as usize] & ring_mask(Keep::CHOICE))
                        | bit(literal) << Keep::CHOICE
                };
                kept.iter().map(above).collect()
            }
            Self::Sum { groups, outputs } => {
                let mut sums = vec![0u64; *outputs];
                for group in groups {
                    for term in &group.terms {
                        for (output, input) in group.outputs.iter().zip(term) {
                            let sum = &mut sums[*output as usize];
                            *sum = sum.wrapping_add(words[*input as usize]) & mask;
                        }
                    }
                }
                sums
            }
        }
    }

    /// What the client knows offline of the operand, from its share of the chain's inputs: all of it,
    /// but for the bits that say what is kept.
    pub(crate) fn known<R: Role>(&self, bits: u32, inputs: &[u64]) -> Vec<u64> {
        match self {
            Self::Kept { kept, .. } => {
                kept.iter().map(|(_, input, _)| inputs[*input as usize]).collect()
            }
            _ => self.operand::<R>(bits, inputs),
        }
    }

    /// Takes an operation's results, shares modulo `2^bits`.
    pub(crate) fn take<R: Role>(&self, bits: u32, words: &mut Vec<u64>, mut result: Vec<u64>) {
        let mask = ring_mask(bits);
        match self {
            Self::Level { pairs: (a, b), smaller, outputs } => {
                for (z, b) in result.iter_mut().zip(b) {
                    *z = z.wrapping_add(words[*b as usize]) & mask;
                }
                words.extend_from_slice(&result);
                for i in smaller {
                    let i = *i as usize;
                    let sum = words[a[i] as usize].wrapping_add(words[b[i] as usize]);
                    words.push(sum.wrapping_sub(result[i]) & mask);
                }
                if let Some(outputs) = outputs {
                    result.zeroize();
                    result = outputs.iter().map(|id| words[*id as usize]).collect();
                    std::mem::swap(words, &mut result);
                }
            }
            Self::From { constant, .. } => {
                let constant = R::constant(*constant);
                for z in &mut result {
                    *z = constant.wrapping_sub(*z) & mask;
                }
                std::mem::swap(words, &mut result);
            }
            Self::Shift { constant, .. } => {
                let constant = R::constant(*constant);
                for z in &mut result {
                    *z = z.wrapping_sub(constant) & mask;
                }
                std::mem::swap(words, &mut result);
            }
            Self::CompareAlso(_) | Self::Both(..) => words.extend_from_slice(&result),
            Self::Kept { kept, outputs } => {
                let mut sums = vec![0u64; *outputs];
                for (z, (_, _, output)) in result.iter().zip(kept) {
                    let sum = &mut sums[*output as usize];
                    *sum = sum.wrapping_add(*z) & mask;
                }
                words.zeroize();
                *words = sums;
            }
            Self::Keyed { keys, .. } => {
                key::<R>(bits, *keys, &mut result);
                std::mem::swap(words, &mut result);
            }
            Self::Take(_) | Self::Compare(_) | Self::Sum { .. } => {
                std::mem::swap(words, &mut result);
            }
        }
        // What is no longer needed.
        result.zeroize();
    }
}

/// Values modulo `2^bits` become keys with their index below them, the first one's the largest.
pub(crate) fn key<R: Role>(bits: u32, keys: u32, words: &mut [u64]) {
    let mask = ring_mask(bits + keys);
    for (index, word) in words.iter_mut().enumerate() {
        let below = R::constant(ring_mask(keys) - index as u64);
        *word = (*word << keys).wrapping_add(below) & mask;
    }
}
