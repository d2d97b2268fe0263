//! Sums of sparse products as an integer matrix product over shifted requests.
//!
//! The sum over all columns `(chunk, e)` of `w X^e x_chunk` is a GEMM whose right-hand side consists
//! of negacyclic shifts of the requests, copied strip by strip; it is register-blocked
//! ([`gazelle_ring::kernel::gemm`]) and exact.

#![expect(
    clippy::indexing_slicing,
    reason = "exponents are below N, strips divide N, and blocks belong to their panel"
)]

use std::ops::Range;

use gazelle_ring::Polys;
use gazelle_ring::kernel::gemm::{ROWS, STRIP, block};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::panel::{BlockRows, Panel, by_panel};

/// Columns of a packed panel: it and the weights stay in the first-level cache.
const COLUMNS: usize = 128;
/// Strips that share one expansion of the weights.
const STRIPS: usize = 8;
/// Row blocks of [`ROWS`] that share one packed panel, at most.
const GROUPS: usize = 8;

/// `slot[j] = (X^exponent x)[at + j]`, exponent below N.
pub(super) fn load(x: &[u64], exponent: usize, at: usize, slot: &mut [u64; STRIP]) {
    if let Some(from) = at.checked_sub(exponent) {
        slot.copy_from_slice(&x[from..from + STRIP]);
        return;
    }
    // X^N = -1: the words before the exponent come from the end, negated.
    let from = x.len() + at - exponent;
    let wrapped = STRIP.min(exponent - at);
    for (slot, word) in slot.iter_mut().zip(&x[from..from + wrapped]) {
        *slot = word.wrapping_neg();
    }
    let rest = &mut slot[wrapped..];
    rest.copy_from_slice(&x[..rest.len()]);
}

/// Adds the products of all blocks.
pub(crate) fn accumulate(
    panels: &[Panel],
    chunks: usize,
    x: &Polys,
    requests: Range<usize>,
    blocks: Vec<BlockRows<'_>>,
) {
    for (_, panel, blocks) in by_panel(panels, blocks) {
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
        groups
            .par_chunks_mut(share)
            .for_each(|groups| multiply(panel, chunks, x, requests.start, groups));
    }
}

/// All tiles of a few groups of blocks.
fn multiply(
    panel: &Panel,
    chunks: usize,
    x: &Polys,
    first_request: usize,
    groups: &mut [Vec<BlockRows<'_>>],
) {
    let degree = x.degree();
    let width = panel.columns.len();
    let first = groups.iter().flatten().map(|rows| rows.first_tile).fold(usize::MAX, usize::min);
    let end =
        groups.iter().flatten().map(|rows| rows.first_tile + rows.tiles.len()).fold(0, usize::max);
    let mut packed = vec![[0u64; STRIP]; STRIPS * COLUMNS];
    let mut expanded = Zeroizing::new(vec![[0i64; ROWS]; COLUMNS]);
    let mut sums = [[0u64; STRIP]; ROWS];
    for tile in first..end {
        for start in (0..degree).step_by(STRIPS * STRIP) {
            let strips = STRIPS.min((degree - start) / STRIP);
            for (part, columns) in panel.columns.chunks(COLUMNS).enumerate() {
                for (strip, packed) in packed.chunks_mut(COLUMNS).take(strips).enumerate() {
                    for (slot, &(chunk, exponent)) in packed.iter_mut().zip(columns) {
                        let poly = x.poly(first_request + tile * chunks + chunk as usize);
                        load(poly, exponent as usize, start + strip * STRIP, slot);
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
