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

use gazelle_ring::kernel::gemm::ROWS;
use gazelle_ring::{Fft, Fourier, Polys, Transform};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::panel::{BlockRows, Panel, Secret, by_panel};

/// The FFT engine of one operator.
pub(crate) struct Transforms {
    fft: Fft,
    products: usize,
    /// By panel.
    parts: Vec<PanelPart>,
    /// Transforms kept, by product.
    kept: Vec<OnceLock<Fourier>>,
}

/// A panel's weights, row by row.
struct PanelPart {
    /// Number of the first product.
    start: usize,
    /// `[blocks, columns]`.
    weights: Zeroizing<Vec<i32>>,
}

impl Drop for Transforms {
    fn drop(&mut self) {
        self.kept.iter_mut().filter_map(OnceLock::get_mut).for_each(Zeroize::zeroize);
    }
}

impl Transforms {
    /// Takes the weights out of the panels; keeps no transforms yet.
    pub(crate) fn new(fft: &Fft, panels: &mut [Panel]) -> Self {
        let mut products = 0;
        let mut parts = Vec::with_capacity(panels.len());
        for panel in panels {
            parts.push(PanelPart { start: products, weights: Zeroizing::new(rows(panel)) });
            panel.weights = Secret(Vec::new());
            products += panel.chunks().count() * panel.blocks;
        }
        Self { fft: fft.clone(), products, parts, kept: Vec::new() }
    }

    /// Keeps as many transforms as `bytes` allow, which are taken off.
    pub(crate) fn keep(&mut self, bytes: &mut usize) {
        let each = 8 * self.fft.degree();
        let kept = self.products.min(*bytes / each);
        *bytes -= kept * each;
        self.kept.resize_with(kept, OnceLock::new);
    }

    /// The weights of panel `number`, row by row: `[blocks, columns]`.
    pub(crate) fn rows(&self, number: usize) -> &[i32] {
        &self.parts[number].weights
    }

    /// Transforms kept, of all products.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of weights, and of transforms that may be kept.
    pub(crate) fn memory_bytes(&self) -> usize {
        let weights: usize = self.parts.iter().map(|part| size_of_val(&**part.weights)).sum();
        weights + self.kept.len() * 8 * self.fft.degree()
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
        for (number, panel, blocks) in by_panel(panels, blocks) {
            let part = &self.parts[number];
            let width = panel.columns.len();
            let per_block: Vec<(usize, Range<usize>)> = panel.chunks().collect();
            blocks.into_par_iter().for_each_init(
                || {
                    let coefficients = Zeroizing::new(vec![0i64; fft.degree()]);
                    let made = Zeroizing::new(fft.zero());
                    (fft.scratch(), made, coefficients, Zeroizing::new(Vec::new()))
                },
                |(scratch, made, coefficients, sums), mut rows| {
                    sums.resize_with(rows.tiles.len(), || fft.zero());
                    sums.iter_mut().for_each(Fourier::clear);
                    let local = rows.block - panel.first_block;
                    let weights = &part.weights[local * width..(local + 1) * width];
                    for (index, (chunk, columns)) in per_block.iter().enumerate() {
                        // The buffer is all zero but for this polynomial's coefficients.
                        let exponents = &panel.columns[columns.clone()];
                        let mut transform = |into: &mut Fourier| {
                            for (&(_, e), &w) in exponents.iter().zip(&weights[columns.clone()]) {
                                coefficients[e as usize] += i64::from(w);
                            }
                            let done = fft.forward_small(coefficients, into, scratch);
                            debug_assert_eq!(done, Ok(()));
                            for &(_, e) in exponents {
                                coefficients[e as usize] = 0;
                            }
                        };
                        let product = part.start + local * per_block.len() + index;
                        let weight = if let Some(slot) = self.kept.get(product) {
                            slot.get_or_init(|| {
                                let mut fresh = fft.zero();
                                transform(&mut fresh);
                                fresh
                            })
                        } else {
                            transform(&mut *made);
                            &**made
                        };
                        for (tile, sum) in (rows.first_tile..).zip(sums.iter_mut()) {
                            fft.mul_add(sum, &evaluated[tile * chunks + chunk], weight);
                        }
                    }
                    for (sum, out) in sums.iter_mut().zip(&mut rows.tiles) {
                        let done = fft.inverse_add(sum, out, scratch);
                        debug_assert_eq!(done, Ok(()));
                    }
                },
            );
        }
    }
}

/// The packed weights of a panel, row by row.
fn rows(panel: &Panel) -> Vec<i32> {
    let width = panel.columns.len();
    let mut rows = Vec::with_capacity(panel.blocks * width);
    for local in 0..panel.blocks {
        let packed = &panel.weights.0[local / ROWS * width..][..width];
        rows.extend(packed.iter().map(|lanes| lanes[local % ROWS]));
    }
    rows
}
