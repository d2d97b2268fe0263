//! Sums of sparse products as an integer matrix product over shifted requests.
//!
//! `X^e x` is a window of `[-x | x]`: coefficient p is word `N - e + p`. The sum over all columns
//! `(chunk, e)` is a GEMM whose right-hand side consists of such windows; it is register-blocked
//! ([`gazelle_ring::kernel::gemm`]) and exact.

#![expect(
    clippy::indexing_slicing,
    reason = "exponents are below N, so that every window of N words lies in 2 N"
)]

use std::ops::Range;

use gazelle_ring::Polys;
use gazelle_ring::kernel::gemm::{STRIP, block};
use rayon::prelude::*;

use super::{BlockRows, Panel, by_panel};

pub(crate) use gazelle_ring::kernel::gemm::ROWS;

/// Columns of a packed panel: it and the weights stay in the first-level cache.
const COLUMNS: usize = 128;
/// Strips that share one expansion of the weights.
const STRIPS: usize = 8;
/// Row blocks of [`ROWS`] that share one packed panel, at most.
const GROUPS: usize = 8;

/// `[-x | x]` of the requests of all tiles.
struct Extended {
    words: Vec<u64>,
    degree: usize,
}

impl Extended {
    fn new(x: &Polys, requests: Range<usize>) -> Self {
        let degree = x.degree();
        let mut words = vec![0; 2 * degree * requests.len()];
        words.par_chunks_exact_mut(2 * degree).zip(requests).for_each(|(pair, request)| {
            let (negative, positive) = pair.split_at_mut(degree);
            let poly = x.poly(request);
            positive.copy_from_slice(poly);
            negative.iter_mut().zip(poly).for_each(|(n, p)| *n = p.wrapping_neg());
        });
        Self { words, degree }
    }

    /// `X^exponent x_request`, from coefficient `at` on.
    fn window(&self, request: usize, exponent: usize, at: usize) -> &[u64] {
        let start = (2 * request + 1) * self.degree - exponent + at;
        &self.words[start..start + STRIP]
    }
}

/// Adds the products of all blocks.
pub(crate) fn accumulate(
    panels: &[Panel],
    chunks: usize,
    x: &Polys,
    requests: Range<usize>,
    blocks: Vec<BlockRows<'_>>,
) {
    let extended = Extended::new(x, requests);
    for (panel, blocks) in by_panel(panels, blocks) {
        // Groups of ROWS blocks, aligned to the packed weights.
        let mut groups: Vec<Vec<BlockRows<'_>>> = Vec::new();
        for rows in blocks {
            let index = (rows.block - panel.first_block) / ROWS;
            match groups.last_mut() {
                Some(group) if (group[0].block - panel.first_block) / ROWS == index => {
                    group.push(rows);
                }
                _ => groups.push(vec![rows]),
            }
        }
        let threads = rayon::current_num_threads();
        let share = groups.len().div_ceil(2 * threads).clamp(1, GROUPS);
        groups.par_chunks_mut(share).for_each(|groups| multiply(panel, chunks, &extended, groups));
    }
}

/// All tiles of a few groups of blocks.
fn multiply(panel: &Panel, chunks: usize, extended: &Extended, groups: &mut [Vec<BlockRows<'_>>]) {
    let degree = extended.degree;
    let width = panel.columns.len();
    let first = groups.iter().flatten().map(|rows| rows.first_tile).min().unwrap_or(0);
    let end =
        groups.iter().flatten().map(|rows| rows.first_tile + rows.tiles.len()).max().unwrap_or(0);
    let mut packed = vec![[0u64; STRIP]; STRIPS * COLUMNS];
    let mut expanded = vec![[0i64; ROWS]; COLUMNS];
    let mut sums = [[0u64; STRIP]; ROWS];
    for tile in first..end {
        for start in (0..degree).step_by(STRIPS * STRIP) {
            let strips = STRIPS.min((degree - start) / STRIP);
            for (part, columns) in panel.columns.chunks(COLUMNS).enumerate() {
                for (strip, packed) in packed.chunks_mut(COLUMNS).take(strips).enumerate() {
                    for (slot, &(chunk, exponent)) in packed.iter_mut().zip(columns) {
                        slot.copy_from_slice(extended.window(
                            tile * chunks + chunk as usize,
                            exponent as usize,
                            start + strip * STRIP,
                        ));
                    }
                }
                for group in groups.iter_mut() {
                    let index = (group[0].block - panel.first_block) / ROWS;
                    let from = index * width + part * COLUMNS;
                    let weights = &panel.weights.0[from..from + columns.len()];
                    for (wide, narrow) in expanded.iter_mut().zip(weights) {
                        *wide = narrow.map(i64::from);
                    }
                    for (strip, packed) in packed.chunks(COLUMNS).take(strips).enumerate() {
                        block(&expanded[..columns.len()], &packed[..columns.len()], &mut sums);
                        let at = start + strip * STRIP;
                        for rows in group.iter_mut() {
                            let lane = (rows.block - panel.first_block) % ROWS;
                            let Some(index) = tile.checked_sub(rows.first_tile) else { continue };
                            let Some(poly) = rows.tiles.get_mut(index) else { continue };
                            for (out, sum) in poly[at..at + STRIP].iter_mut().zip(&sums[lane]) {
                                *out = out.wrapping_add(*sum);
                            }
                        }
                    }
                }
            }
        }
    }
}
