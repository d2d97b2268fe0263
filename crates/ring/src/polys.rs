//! Many polynomials of one degree, side by side in memory aligned to cache lines.

use rayon::prelude::*;
use zeroize::Zeroize;

use crate::buffer::Buffer;

/// `count` polynomials of `degree` coefficients each, in wrapping u64: `Z_{2^64}[X]/(X^degree + 1)`.
///
/// A modulus `2^bits` below `2^64` is a matter of reading: the high bits are kept as they fall and
/// masked at the edges. One contiguous block, polynomial by polynomial; the first word (and so
/// every polynomial, if `degree` is a multiple of 8) is aligned to 64 bytes.
///
/// Wiped on drop; large ones are recycled (see [`Buffer`]).
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Polys {
    degree: usize,
    words: Buffer,
}

impl Polys {
    /// `count` zero polynomials.
    pub fn zeros(degree: usize, count: usize) -> Self {
        Self { degree, words: Buffer::zeros(degree * count) }
    }

    /// Coefficients of each polynomial.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// Number of polynomials.
    pub fn count(&self) -> usize {
        self.words.len().checked_div(self.degree).unwrap_or(0)
    }

    /// All words, polynomial by polynomial: `[count, degree]`.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All words, polynomial by polynomial: `[count, degree]`.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// Polynomial `index`; empty if there is none.
    pub fn poly(&self, index: usize) -> &[u64] {
        let start = index * self.degree;
        self.words().get(start..start + self.degree).unwrap_or_default()
    }

    /// Polynomial `index`; empty if there is none.
    pub fn poly_mut(&mut self, index: usize) -> &mut [u64] {
        let start = index * self.degree;
        let degree = self.degree;
        self.words_mut().get_mut(start..start + degree).unwrap_or_default()
    }

    /// The polynomials in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, u64> {
        self.words().chunks_exact(self.degree.max(1))
    }

    /// The polynomials in order.
    pub fn iter_mut(&mut self) -> std::slice::ChunksExactMut<'_, u64> {
        let degree = self.degree.max(1);
        self.words_mut().chunks_exact_mut(degree)
    }

    /// The polynomials, for several threads at once.
    pub fn par_iter_mut(&mut self) -> rayon::slice::ChunksExactMut<'_, u64> {
        let degree = self.degree.max(1);
        self.words_mut().par_chunks_exact_mut(degree)
    }
}

impl std::fmt::Debug for Polys {
    /// Shapes only: what it holds is often secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Polys {{ degree: {}, count: {}, .. }}", self.degree, self.count())
    }
}

impl<'a> IntoIterator for &'a Polys {
    type Item = &'a [u64];
    type IntoIter = std::slice::ChunksExact<'a, u64>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Polys {
    type Item = &'a mut [u64];
    type IntoIter = std::slice::ChunksExactMut<'a, u64>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl Zeroize for Polys {
    fn zeroize(&mut self) {
        self.words_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_polynomial_starts_on_a_cache_line() {
        for count in 0..5 {
            let polys = Polys::zeros(64, count);
            assert_eq!(polys.count(), count);
            assert_eq!(polys.iter().len(), count);
            assert!(polys.iter().all(|poly| poly.as_ptr().addr().is_multiple_of(64)));
            assert!(polys.clone().iter().all(|poly| poly.as_ptr().addr().is_multiple_of(64)));
        }
        assert!(Polys::zeros(64, 2).poly(2).is_empty());
        assert_eq!(Polys::default().count(), 0);
    }
}
