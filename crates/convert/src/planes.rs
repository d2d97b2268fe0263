//! Words as bit planes: the data layout of everything that works on bits (SIMD within words).
//!
//! `n` words of `bits` bits become `bits` planes; plane i holds bit i of every word, 64 to a `u64`,
//! each plane padded to whole `u64`s. Conversion is a 64 x 64 bit transpose per 64 words.

#![expect(
    clippy::indexing_slicing,
    reason = "indices run over arrays of 64 and within the planes' stride"
)]

use gazelle_block::BitVec;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bit planes of `lanes` elements. Bits beyond the last lane are zero. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Default, Zeroize, ZeroizeOnDrop)]
pub struct Planes {
    lanes: usize,
    words: Vec<u64>,
}

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planes")
            .field("lanes", &self.lanes)
            .field("planes", &self.count())
            .finish_non_exhaustive()
    }
}

impl Planes {
    /// `count` zero planes.
    pub(crate) fn zeros(lanes: usize, count: usize) -> Self {
        Self { lanes, words: vec![0; lanes.div_ceil(64) * count] }
    }

    /// No planes yet, and room for `count`.
    pub(crate) fn with_room(lanes: usize, count: usize) -> Self {
        Self { lanes, words: Vec::with_capacity(lanes.div_ceil(64) * count) }
    }

    /// The low `bits` bits (at most 64) of each word.
    pub fn from_words(values: &[u64], bits: u32) -> Self {
        let mut planes = Self::zeros(values.len(), bits as usize);
        let stride = planes.stride();
        let mut square = [0u64; 64];
        let (beside, mask) = beside(bits as usize);
        for (i, group) in values.chunks(64 * beside).enumerate() {
            square.fill(0);
            for (half, chunk) in group.chunks(64).enumerate() {
                for (word, value) in square.iter_mut().zip(chunk) {
                    *word |= (value & mask) << (32 * half);
                }
            }
            transpose(&mut square);
            for half in 0..group.len().div_ceil(64) {
                let rows = square[32 * half..].iter().take(bits as usize);
                for (bit, word) in rows.enumerate() {
                    planes.words[bit * stride + beside * i + half] = *word;
                }
            }
        }
        square.zeroize();
        planes
    }

    /// The inverse of [`from_words`](Self::from_words): plane i becomes bit i; at most 64 planes.
    pub fn to_words(&self) -> Vec<u64> {
        self.range_to_words(0, self.count())
    }

    /// As [`to_words`](Self::to_words), of planes `start .. start + count`.
    pub(crate) fn range_to_words(&self, start: usize, count: usize) -> Vec<u64> {
        let stride = self.stride();
        let mut values = vec![0; self.lanes];
        let mut square = [0u64; 64];
        let (beside, mask) = beside(count);
        for (i, group) in values.chunks_mut(64 * beside).enumerate() {
            square.fill(0);
            for half in 0..group.len().div_ceil(64) {
                let rows = square[32 * half..].iter_mut().take(count);
                for (bit, word) in rows.enumerate() {
                    *word = self.words[(start + bit) * stride + beside * i + half];
                }
            }
            transpose(&mut square);
            for (half, chunk) in group.chunks_mut(64).enumerate() {
                for (value, word) in chunk.iter_mut().zip(&square) {
                    *value = word >> (32 * half) & mask;
                }
            }
        }
        square.zeroize();
        values
    }

    /// The planes one behind the other without padding: bit `plane * lanes + lane`.
    pub fn to_bits(&self) -> BitVec {
        if self.lanes.is_multiple_of(64) {
            return BitVec::from_words(self.words.clone(), self.lanes * self.count());
        }
        let mut bits = BitVec::new();
        for plane in self.words.chunks(self.stride().max(1)) {
            bits.extend(&BitVec::from_words(plane.to_vec(), self.lanes));
        }
        bits
    }

    /// The inverse of [`to_bits`](Self::to_bits): as many planes as `bits` holds.
    pub fn from_bits(bits: &BitVec, lanes: usize) -> Self {
        if lanes == 0 {
            return Self::default();
        }
        if lanes.is_multiple_of(64) {
            return Self { lanes, words: bits.words().to_vec() };
        }
        let mut planes =
            Self { lanes, words: Vec::with_capacity(bits.len() / lanes * lanes.div_ceil(64)) };
        for plane in 0..bits.len() / lanes {
            planes.words.extend_from_slice(bits.slice(plane * lanes, lanes).words());
        }
        planes
    }

    /// These planes, of [`stride`](Self::stride) words each.
    pub(crate) fn of(lanes: usize, list: &[&[u64]]) -> Self {
        let mut planes = Self { lanes, words: Vec::with_capacity(list.len() * lanes.div_ceil(64)) };
        for plane in list {
            planes.push(plane);
        }
        planes
    }

    /// The first `count` planes, and the rest.
    pub(crate) fn split(&self, count: usize) -> (Self, Self) {
        let place = (count * self.stride()).min(self.words.len());
        let (head, tail) = self.words.split_at(place);
        let planes = |words: &[u64]| Self { lanes: self.lanes, words: words.to_vec() };
        (planes(head), planes(tail))
    }

    /// Number of elements.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Words of a plane.
    pub(crate) fn stride(&self) -> usize {
        self.lanes.div_ceil(64)
    }

    /// Number of planes (0 if there are no lanes).
    pub(crate) fn count(&self) -> usize {
        if self.lanes == 0 { 0 } else { self.words.len() / self.stride() }
    }

    /// Plane `index`; empty beyond the last.
    pub(crate) fn plane(&self, index: usize) -> &[u64] {
        let stride = self.stride();
        self.words.get(index * stride..(index + 1) * stride).unwrap_or_default()
    }

    /// Plane `index`, to be written. Bits beyond the last lane may be written: see
    /// [`trim`](Self::trim).
    pub(crate) fn plane_mut(&mut self, index: usize) -> &mut [u64] {
        let stride = self.stride();
        self.words.get_mut(index * stride..(index + 1) * stride).unwrap_or_default()
    }

    /// All words, plane after plane.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The same, to be changed.
    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Appends a plane of [`stride`](Self::stride) words.
    pub(crate) fn push(&mut self, plane: &[u64]) {
        debug_assert_eq!(plane.len(), self.stride());
        self.extend(plane);
    }

    /// Appends the XOR of two planes of [`stride`](Self::stride) words.
    pub(crate) fn push_xor(&mut self, a: &[u64], b: &[u64]) {
        debug_assert_eq!((a.len(), b.len()), (self.stride(), self.stride()));
        self.make_room(a.len());
        self.words.extend(a.iter().zip(b).map(|(a, b)| a ^ b));
    }

    /// Appends words.
    fn extend(&mut self, more: &[u64]) {
        self.make_room(more.len());
        self.words.extend_from_slice(more);
    }

    /// Room for so many words more. A vector that grows by itself would leave its words behind.
    fn make_room(&mut self, words: usize) {
        let needed = self.words.len() + words;
        if needed > self.words.capacity() {
            let mut grown = Vec::with_capacity(needed.max(2 * self.words.capacity()));
            grown.extend_from_slice(&self.words);
            self.words.zeroize();
            self.words = grown;
        }
    }

    /// Clears the bits beyond the last lane.
    pub(crate) fn trim(&mut self) {
        let used = self.lanes % 64;
        if used != 0 {
            let stride = self.stride();
            self.words.iter_mut().skip(stride - 1).step_by(stride).for_each(|word| {
                *word &= u64::MAX >> (64 - used);
            });
        }
    }

    /// Appends all planes of `other`, which has as many lanes.
    pub(crate) fn append(&mut self, other: &Self) {
        debug_assert_eq!(self.lanes, other.lanes);
        self.extend(&other.words);
    }
}

/// A lane's bit of a plane.
pub(crate) fn bit(plane: &[u64], lane: usize) -> u64 {
    plane[lane / 64] >> (lane % 64) & 1
}

/// `(1 - 2 bit) word`.
pub(crate) fn negate_if(bit: u64, word: u64) -> u64 {
    (word ^ bit.wrapping_neg()).wrapping_add(bit)
}

/// The XOR of two planes.
pub(crate) fn xor(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// The AND of two planes.
pub(crate) fn and(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a & b).collect()
}

/// `a ^= b & c`, planes.
pub(crate) fn xor_and(a: &mut [u64], b: &[u64], c: &[u64]) {
    a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| *a ^= b & c);
}

/// How many squares of 64 words of `bits` bits are transposed at once, and which bits of a word count: two that
/// are short enough lie beside each other, the second 32 bits higher.
fn beside(bits: usize) -> (usize, u64) {
    if bits <= 32 { (2, 0xffff_ffff) } else { (1, u64::MAX) }
}

/// Bit j of word i becomes bit i of word j.
fn transpose(square: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = 0x0000_0000_ffff_ffffu64;
    while width != 0 {
        for block in square.chunks_exact_mut(2 * width) {
            let (low, high) = block.split_at_mut(width);
            for (a, b) in low.iter_mut().zip(high) {
                let swap = ((*a >> width) ^ *b) & mask;
                *a ^= swap << width;
                *b ^= swap;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answer_plane_i_holds_bit_i() {
        let words: Vec<u64> = (0..130u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let planes = Planes::from_words(&words, 64);
        for (lane, word) in words.iter().enumerate() {
            for bit in 0..64 {
                assert_eq!(planes.plane(bit)[lane / 64] >> (lane % 64) & 1, word >> bit & 1);
            }
        }
    }

    proptest! {
        #[test]
        fn properties_planes_and_bits_round_trip(
            words in proptest::collection::vec(any::<u64>(), 1..200),
            bits in 1u32..=64,
        ) {
            let planes = Planes::from_words(&words, bits);
            let reduced: Vec<u64> = words.iter().map(|w| w & (u64::MAX >> (64 - bits))).collect();
            prop_assert_eq!(planes.to_words(), reduced);
            let flat = planes.to_bits();
            prop_assert_eq!(flat.len(), words.len() * bits as usize);
            prop_assert_eq!(flat.get(words.len() - 1), words[words.len() - 1] & 1 == 1);
            prop_assert!(Planes::from_bits(&flat, words.len()) == planes);
        }
    }
}
