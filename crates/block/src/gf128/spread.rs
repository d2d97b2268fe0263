//! Carry-less multiplication by the multiplier of integers, where there is no instruction for it.
//!
//! A word of 32 bits is spread over four, which keep each fourth bit. The integer product of two such words
//! counts at most eight pairs in each place, and a count of four bits does not reach the next place that is
//! used: its lowest bit is the carry-less product's (T. Pornin, "Constant-Time Mul", bearssl.org, 2016).
//! Karatsuba's method, twice, leaves nine words of 32 bits for 128. Constant time where the processor's
//! multiplication is: there is no table and no branch.

use zeroize::Zeroize;

/// Words of 32 bits that Karatsuba's method multiplies.
const WORDS: usize = 9;
/// Places of a word that keep their distance.
const CLASSES: usize = 4;
/// The places of class 0.
const PLACES: u64 = 0x1111_1111_1111_1111;

/// A factor: [word, class].
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Spread([[u64; CLASSES]; WORDS]);

impl Spread {
    #[inline]
    pub(super) fn new(x: u128) -> Self {
        let [a, b, c, d] = [0, 32, 64, 96].map(|from| (x >> from) as u32);
        let (low, high) = ([a, b], [c, d]);
        let sum = [a ^ c, b ^ d];
        let [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2]] =
            [low, high, sum].map(|[low, high]| [low, high, low ^ high]);
        Self([a0, a1, a2, b0, b1, b2, c0, c1, c2].map(|word| {
            let word = u64::from(word);
            [0, 1, 2, 3].map(|class| word & PLACES << class)
        }))
    }
}

/// A sum of products, in whose places the counts have been added without carry: [word, class].
#[derive(Zeroize)]
pub(super) struct SpreadSum([[u64; CLASSES]; WORDS]);

impl SpreadSum {
    pub(super) fn zero() -> Self {
        Self([[0; CLASSES]; WORDS])
    }

    /// Adds `a b`.
    ///
    /// Cost: 144 multiplications of words.
    #[inline]
    pub(super) fn add(&mut self, a: &Spread, b: &Spread) {
        for (sum, (a, b)) in self.0.iter_mut().zip(a.0.iter().zip(&b.0)) {
            let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (*a, *b);
            let times = u64::wrapping_mul;
            let [s0, s1, s2, s3] = sum;
            *s0 ^= times(a0, b0) ^ times(a1, b3) ^ times(a2, b2) ^ times(a3, b1);
            *s1 ^= times(a0, b1) ^ times(a1, b0) ^ times(a2, b3) ^ times(a3, b2);
            *s2 ^= times(a0, b2) ^ times(a1, b1) ^ times(a2, b0) ^ times(a3, b3);
            *s3 ^= times(a0, b3) ^ times(a1, b2) ^ times(a2, b1) ^ times(a3, b0);
        }
    }

    /// The polynomial, 255 bits: (low 128, high 127).
    pub(super) fn wide(&self) -> (u128, u128) {
        let words = self.0.map(|classes| {
            let parts = (0..).zip(classes).map(|(class, word)| word & PLACES << class);
            parts.fold(0, |sum, part| sum | part)
        });
        let [a0, a1, a2, b0, b1, b2, c0, c1, c2] = words.map(u128::from);
        let join = |low: u128, high: u128, both: u128| low ^ (both ^ low ^ high) << 32 ^ high << 64;
        let (low, high, both) = (join(a0, a1, a2), join(b0, b1, b2), join(c0, c1, c2));
        let middle = both ^ low ^ high;
        (low ^ middle << 64, high ^ middle >> 64)
    }
}
