//! The arithmetic that a network is computed in, and the inner loop of a matrix product in it: sums of some
//! rows and columns.
//!
//! The portable loop is the definition: sums come in the same order everywhere, and products are rounded
//! before they are added, so that floating point gives the same bits on every processor.

#![expect(clippy::indexing_slicing, reason = "tiles have constant numbers of rows and terms")]

/// Columns of a tile: a panel of the right factor is so wide.
pub const COLUMNS: usize = 32;
/// Rows of a tile.
pub(super) const ROWS: usize = 8;
/// Terms of a row of the left factor that lie together.
pub(super) const TERMS: usize = 8;

/// Some terms of a tile's rows in the left factor.
pub(super) type Left<E> = [[E; TERMS]; ROWS];
/// A row of the right factor's panel, or of sums.
pub(super) type Row<E> = [E; COLUMNS];

/// What a walk over a network computes with: words modulo 2^64, floating point, or small integers.
pub trait Element: Copy + Default + Send + Sync {
    /// A weight.
    type Weight: Copy + Default + Send + Sync;
    /// A sum of products.
    type Sum: Copy + Default + Send + Sync;
    /// The weight as a factor.
    #[must_use]
    fn from_weight(weight: Self::Weight) -> Self;
    /// `sum + a b`, rounded twice in floating point, so that it is the same on every processor.
    #[must_use]
    fn add_product(sum: Self::Sum, a: Self, b: Self) -> Self::Sum;
    /// Puts a panel of the right factor in the order that [`add_tile`](Self::add_tile) reads.
    ///
    /// - `panel`: a multiple of [`TERMS`] rows.
    #[doc(hidden)]
    fn arrange(_panel: &mut [[Self; COLUMNS]]) {}
    /// Adds the products of a tile: `sums[r][j] = sums[r][j] + left[i][r][t] right[TERMS i + t][j]`, over
    /// all i and t in order.
    ///
    /// - `right`: as arranged.
    #[doc(hidden)]
    fn add_tile(
        left: &[[[Self; TERMS]; ROWS]],
        right: &[[Self; COLUMNS]],
        sums: &mut [[Self::Sum; COLUMNS]; ROWS],
    ) {
        add(left, right, sums);
    }
}

/// Adds to `sums[r]` the products of row r of `left` with the panel `right`, term by term in order.
///
/// - `right`: [`TERMS`] rows for each entry of `left`.
#[inline]
pub(super) fn add<E: Element>(left: &[Left<E>], right: &[Row<E>], sums: &mut [Row<E::Sum>; ROWS]) {
    for (r, out) in sums.iter_mut().enumerate() {
        // Local sums: through `out` the compiler would have to store and load them at every term.
        let mut sums = *out;
        for (left, right) in left.iter().zip(right.as_chunks::<TERMS>().0) {
            for (a, right) in left[r].iter().zip(right) {
                for (sum, b) in sums.iter_mut().zip(right) {
                    *sum = E::add_product(*sum, *a, *b);
                }
            }
        }
        *out = sums;
    }
}
