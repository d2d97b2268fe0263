//! Sums of dense products by FFT, accumulated in evaluation form.
//!
//! Transforms of weights are made on first use; the first of them are kept, as many as the memory
//! budget allows, the others are made anew each time (once for all tiles).

#![expect(
    clippy::indexing_slicing,
    reason = "columns and exponents are within the panel and the degree"
)]

use std::ops::Range;
use std::sync::OnceLock;

use gazelle_ring::{Fft, Fourier, Polys, Transform};
use rayon::prelude::*;
use zeroize::Zeroize;

use super::{BlockRows, Panel, Resources, by_panel};
use crate::matrix::direct::ROWS;

/// The FFT engine of one operator.
pub(crate) struct Transforms {
    fft: Fft,
    /// Per panel: the number of its first product.
    starts: Vec<usize>,
    /// Transforms kept, by product.
    kept: Vec<OnceLock<Fourier>>,
}

impl Drop for Transforms {
    fn drop(&mut self) {
        self.kept.iter_mut().filter_map(OnceLock::get_mut).for_each(Zeroize::zeroize);
    }
}

impl Transforms {
    pub(crate) fn new(fft: &Fft, panels: &[Panel], resources: &mut Resources<'_>) -> Self {
        let mut products = 0;
        let mut starts = Vec::with_capacity(panels.len());
        for panel in panels {
            starts.push(products);
            products += panel.chunks().count() * panel.blocks;
        }
        let bytes = 8 * fft.degree();
        let kept = products.min(resources.transform_bytes / bytes);
        resources.transform_bytes -= kept * bytes;
        Self { fft: fft.clone(), starts, kept: (0..kept).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.kept.len() * 8 * self.fft.degree()
    }

    /// Adds the products of all blocks.
    pub(crate) fn accumulate(
        &self,
        panels: &[Panel],
        chunks: usize,
        x: &Polys,
        requests: Range<usize>,
        bits: u32,
        blocks: Vec<BlockRows<'_>>,
    ) {
        let fft = &self.fft;
        // Lengths are the degree's throughout; a transform fails for no other reason.
        let evaluated: Vec<Fourier> = requests
            .into_par_iter()
            .map_init(
                || fft.scratch(),
                |scratch, request| {
                    let mut eval = fft.zero();
                    let done = fft.forward(x.poly(request), bits, &mut eval, scratch);
                    debug_assert_eq!(done, Ok(()));
                    eval
                },
            )
            .collect();
        for (panel, blocks) in by_panel(panels, blocks) {
            let number = panels.iter().position(|p| p.first_block == panel.first_block);
            let start = number.map_or(0, |number| self.starts[number]);
            let per_block: Vec<(usize, Range<usize>)> = panel.chunks().collect();
            blocks.into_par_iter().for_each_init(
                || (fft.scratch(), fft.zero(), vec![0i64; fft.degree()], Vec::new()),
                |(scratch, made, coefficients, sums), mut rows| {
                    sums.resize_with(rows.tiles.len(), || fft.zero());
                    sums.iter_mut().for_each(Fourier::clear);
                    let local = rows.block - panel.first_block;
                    for (index, (chunk, columns)) in per_block.iter().enumerate() {
                        let mut transform = |into: &mut Fourier| {
                            write(panel, local, columns.clone(), coefficients);
                            let done = fft.forward_small(coefficients, into, scratch);
                            debug_assert_eq!(done, Ok(()));
                        };
                        let product = start + local * per_block.len() + index;
                        let weight = if let Some(slot) = self.kept.get(product) {
                            slot.get_or_init(|| {
                                let mut fresh = fft.zero();
                                transform(&mut fresh);
                                fresh
                            })
                        } else {
                            transform(&mut *made);
                            &*made
                        };
                        for (tile, sum) in (rows.first_tile..).zip(sums.iter_mut()) {
                            fft.mul_add(sum, &evaluated[tile * chunks + chunk], weight);
                        }
                    }
                    for (sum, out) in sums.iter_mut().zip(&mut rows.tiles) {
                        let done = fft.inverse_add(sum, out, scratch);
                        debug_assert_eq!(done, Ok(()));
                    }
                    coefficients.as_mut_slice().zeroize();
                },
            );
        }
    }
}

/// The coefficients of one weight polynomial.
fn write(panel: &Panel, local: usize, columns: Range<usize>, out: &mut [i64]) {
    out.fill(0);
    let width = panel.columns.len();
    let (group, lane) = (local / ROWS, local % ROWS);
    for column in columns {
        let exponent = panel.columns[column].1 as usize;
        out[exponent] = i64::from(panel.weights.0[group * width + column][lane]);
    }
}
