//! Additive shares.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// One party's additive share of a vector over `Z_{2^bits}`: `x = x_S + x_C mod 2^bits`, read as
/// signed. Words are always reduced. Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Shares {
    bits: u32,
    words: Vec<u64>,
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shares {{ bits: {}, len: {}, .. }}", self.bits, self.words.len())
    }
}

/// `2^bits - 1`, for `bits` in 1..=64.
pub fn ring_mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// Reads a reduced word of `bits` bits as signed.
pub fn to_signed(word: u64, bits: u32) -> i64 {
    let shift = 64 - bits;
    ((word << shift) as i64) >> shift
}

impl Shares {
    /// Reduces `words` modulo `2^bits`; `bits` in 1..=64.
    pub fn new(bits: u32, mut words: Vec<u64>) -> Self {
        let mask = ring_mask(bits);
        for word in &mut words {
            *word &= mask;
        }
        Self { bits, words }
    }

    /// Returns the zero vector.
    pub fn zero(bits: u32, len: usize) -> Self {
        Self { bits, words: vec![0; len] }
    }

    /// Uniformly random words.
    pub fn random(bits: u32, len: usize, rng: &mut (dyn rand_core::CryptoRng + Send)) -> Self {
        let mut shares = Self::zero(bits, len);
        let mask = ring_mask(bits);
        for word in &mut shares.words {
            *word = rng.next_u64() & mask;
        }
        shares
    }

    /// Ring width.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Tells whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns the reduced words.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Takes the words out.
    pub fn into_words(mut self) -> Vec<u64> {
        std::mem::take(&mut self.words)
    }

    /// `self + other`, elementwise; widths and lengths must agree.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "by reference: shares are not copied")]
    pub fn add(mut self, other: &Self) -> Self {
        debug_assert_eq!((self.bits, self.len()), (other.bits, other.len()));
        let mask = ring_mask(self.bits);
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a = a.wrapping_add(*b) & mask);
        self
    }

    /// `self - other`, elementwise; widths and lengths must agree.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "by reference: shares are not copied")]
    pub fn sub(mut self, other: &Self) -> Self {
        debug_assert_eq!((self.bits, self.len()), (other.bits, other.len()));
        let mask = ring_mask(self.bits);
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a = a.wrapping_sub(*b) & mask);
        self
    }

    /// Reduces into a smaller ring: `bits <= self.bits()`.
    #[must_use]
    pub fn reduce(self, bits: u32) -> Self {
        debug_assert!(bits <= self.bits);
        if bits == self.bits { self } else { Self::new(bits, self.into_words()) }
    }
}
