//! Words of l bits cut from 128-bit strings.

use gazelle_block::Block;

use crate::error::OtError;

/// Shape of a batch: `count` OTs of vectors of `length` words of `bits` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordShape {
    /// Number of OTs.
    pub count: usize,
    /// Words per OT.
    pub length: usize,
    /// Width of a word, 1 to 64.
    pub bits: u32,
}

impl WordShape {
    /// `count` OTs of one word each.
    pub const fn scalar(count: usize, bits: u32) -> Self {
        Self { count, length: 1, bits }
    }

    /// Words in all.
    pub const fn words(&self) -> usize {
        self.count * self.length
    }

    /// Words that one string of 128 bits gives.
    const fn words_per_block(&self) -> usize {
        (128 / self.bits) as usize
    }

    /// Strings of 128 bits that an OT needs; the second and further ones take indices of their own.
    pub const fn blocks(&self) -> usize {
        self.length.div_ceil(self.words_per_block())
    }

    /// `2^bits - 1`.
    pub(crate) const fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// Fails unless `bits` is in range and a slice has `words()` words.
    pub(crate) fn check(&self, what: &'static str, got: usize) -> Result<(), OtError> {
        if self.bits == 0 || self.bits > 64 {
            return Err(OtError::Parameters("words have 1 to 64 bits"));
        }
        expect(what, self.words(), got)
    }

    /// Word `j` of OT `i` from strings laid out `[block][OT]`.
    pub(crate) fn word(&self, strings: &[Block], i: usize, j: usize) -> u64 {
        let (block, place) = (j / self.words_per_block(), j % self.words_per_block());
        let string = strings.get(block * self.count + i).map_or(0, |string| string.0);
        (string >> (place as u32 * self.bits)) as u64 & self.mask()
    }
}

/// Fails unless both are equal.
pub(crate) fn expect(what: &'static str, expected: usize, got: usize) -> Result<(), OtError> {
    if expected == got { Ok(()) } else { Err(OtError::Argument { what, expected, got }) }
}

/// `ones` if `bit`, else `zeros`, without a branch.
pub(crate) const fn select(bit: bool, ones: u64, zeros: u64) -> u64 {
    zeros ^ (zeros ^ ones) & (bit as u64).wrapping_neg()
}
