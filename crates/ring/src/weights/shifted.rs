//! Weight matrices whose rows all read the same shifted requests: an integer GEMM.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::RingError;
use crate::kernel::gemm::{ROWS, STRIP, block};
use crate::polys::Polys;
use crate::weights::WeightMatrix;

/// Columns of a panel: it and the expanded weights stay in the first-level cache.
const PANEL: usize = 128;
/// Strips that share one expansion of the weights.
const GROUP: usize = 8;
/// Rows computed by one task.
const TASK_ROWS: usize = 64;

/// `X^shift` times request `request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Which request polynomial.
    pub request: u32,
    /// Exponent, below N.
    pub shift: u32,
}

/// `out_m = sum_c weights[m][c] X^{shift_c} x_{request_c}`: every row has a coefficient at every
/// column. A convolution with one channel per polynomial has (channels x kernel taps) columns; a 1x1
/// convolution is a plain GEMM. Exact; `N` multiply-adds per weight, at the machine's rate.
pub struct ShiftedWeights {
    degree: usize,
    requests: usize,
    responses: usize,
    columns: Vec<Column>,
    /// `[row block][column]` of [`ROWS`] weights; missing rows of the last block are zero.
    packed: Vec<[i16; ROWS]>,
}

impl ShiftedWeights {
    /// - `weights`: `[responses, columns]`, row by row.
    ///
    /// # Errors
    /// [`RingError::Index`] if a column names a request or exponent that does not exist;
    /// [`RingError::Length`] unless `weights` has `responses * columns` elements.
    pub fn new(
        degree: usize,
        requests: usize,
        columns: Vec<Column>,
        weights: &[i16],
    ) -> Result<Self, RingError> {
        for column in &columns {
            for (got, limit) in
                [(column.request as usize, requests), (column.shift as usize, degree)]
            {
                if got >= limit {
                    return Err(RingError::Index { got, limit });
                }
            }
        }
        let width = columns.len();
        let responses = weights.len().checked_div(width).unwrap_or(0);
        if responses * width != weights.len() {
            return Err(RingError::Length { expected: responses * width, got: weights.len() });
        }
        let mut packed = vec![[0i16; ROWS]; responses.div_ceil(ROWS) * width];
        for (row, weights) in weights.chunks_exact(width.max(1)).enumerate() {
            let start = row / ROWS * width;
            for (packed, w) in packed.iter_mut().skip(start).zip(weights) {
                if let Some(slot) = packed.get_mut(row % ROWS) {
                    *slot = *w;
                }
            }
        }
        Ok(Self { degree, requests, responses, columns, packed })
    }

    /// Adds the rows `first_row ..` to `out`, `[rows, N]`; `first_row` is a multiple of [`ROWS`].
    fn rows(&self, x: &Polys, first_row: usize, out: &mut [u64]) {
        let n = self.degree;
        let width = self.columns.len();
        let mut panels = vec![[0u64; STRIP]; GROUP * PANEL];
        let mut expanded = vec![[0i64; ROWS]; PANEL];
        let mut acc = [[0u64; STRIP]; ROWS];
        for start in (0..n).step_by(GROUP * STRIP) {
            let strips = GROUP.min((n - start).div_ceil(STRIP));
            for (chunk, columns) in self.columns.chunks(PANEL).enumerate() {
                for (strip, panel) in panels.chunks_mut(PANEL).take(strips).enumerate() {
                    for (slot, column) in panel.iter_mut().zip(columns) {
                        let x = x.poly(column.request as usize);
                        load_strip(x, column.shift as usize, start + strip * STRIP, slot);
                    }
                }
                for (index, out) in out.chunks_mut(ROWS * n).enumerate() {
                    let offset = (first_row / ROWS + index) * width + chunk * PANEL;
                    let packed = self.packed.get(offset..).unwrap_or_default();
                    for ((wide, narrow), _) in expanded.iter_mut().zip(packed).zip(columns) {
                        for (wide, narrow) in wide.iter_mut().zip(narrow) {
                            *wide = i64::from(*narrow);
                        }
                    }
                    let expanded = expanded.get(..columns.len()).unwrap_or_default();
                    for (strip, panel) in panels.chunks(PANEL).take(strips).enumerate() {
                        block(expanded, panel, &mut acc);
                        let at = start + strip * STRIP;
                        for (row, acc) in out.chunks_mut(n).zip(&acc) {
                            for (out, acc) in row.iter_mut().skip(at).zip(acc) {
                                *out = out.wrapping_add(*acc);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `strip[j] = (X^shift x)[at + j] mod X^N + 1`.
fn load_strip(x: &[u64], shift: usize, at: usize, strip: &mut [u64; STRIP]) {
    if let Some(words) = at.checked_sub(shift).and_then(|from| x.get(from..from + STRIP)) {
        strip.copy_from_slice(words);
        return;
    }
    for (j, slot) in strip.iter_mut().enumerate() {
        let word = |index: usize| x.get(index).copied().unwrap_or_default();
        *slot = match (at + j).checked_sub(shift) {
            Some(index) => word(index),
            None => word(at + j + x.len() - shift).wrapping_neg(),
        };
    }
}

impl WeightMatrix for ShiftedWeights {
    fn requests(&self) -> usize {
        self.requests
    }

    fn responses(&self) -> usize {
        self.responses
    }

    fn accumulate(&self, x: &Polys, _bits: u32, rows: Range<usize>, out: &mut Polys) {
        debug_assert_eq!((x.degree(), x.count()), (self.degree, self.requests));
        let n = self.degree;
        let skip = rows.start % ROWS;
        if skip == 0 {
            out.words_mut().par_chunks_mut(TASK_ROWS * n).enumerate().for_each(|(task, out)| {
                self.rows(x, rows.start + task * TASK_ROWS, out);
            });
            return;
        }
        // A run that starts inside a block of rows: compute from the block's start.
        let mut aligned = Polys::zeros(n, rows.len() + skip);
        self.rows(x, rows.start - skip, aligned.words_mut());
        for (out, sum) in out.words_mut().iter_mut().zip(aligned.words().iter().skip(skip * n)) {
            *out = out.wrapping_add(*sum);
        }
    }
}
