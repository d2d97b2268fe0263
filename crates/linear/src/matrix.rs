//! A group's weights as a matrix of polynomials, in the order of [`GroupLayout`]'s rows.
//!
//! Per operator one of two engines, chosen from shapes alone: integer GEMM over shifted requests
//! ([`direct`]), or FFT products summed in evaluation form ([`fourier`]). All tiles of a block are
//! done together, so that a weight is loaded, and transformed, once for all tiles.

mod direct;
mod fourier;
mod panel;
mod useful;

use std::ops::Range;

use gazelle_ring::kernel::gemm::ROWS;
use gazelle_ring::{Fft, Polys, WeightMatrix};
use gazelle_share::LinearWeights;

use crate::error::LinearError;
use crate::layout::GroupLayout;
use crate::matrix::fourier::Transforms;
use crate::matrix::panel::{BlockRows, Panel, panels};
use crate::matrix::useful::{Points, Weights};
use crate::planner::Prices;

/// The matrix `w[m][i]` of one group.
pub(crate) struct GroupMatrix {
    requests: usize,
    responses: usize,
    degree: usize,
    sections: Vec<Section>,
}

/// One operator's rows, `block * tiles + tile`; all tiles have the same weights.
pub(crate) struct Section {
    first_request: usize,
    first_row: usize,
    tiles: usize,
    chunks: usize,
    blocks: usize,
    panels: Vec<Panel>,
    /// The FFT engine, if that is the one chosen.
    transforms: Option<Transforms>,
    /// What FFT products of all rows cost, against one direct multiply-add.
    fourier_multiply_adds: f64,
}

/// What a matrix may use.
pub(crate) struct Resources<'a> {
    pub(crate) prices: &'a Prices,
    /// Whether the plan's error bound leaves room for FFT products.
    pub(crate) fourier: bool,
    /// log2 q, for the range of FFT products.
    pub(crate) modulus_bits: u32,
    /// Largest `log2 ||w||^2` of a response.
    pub(crate) norm_bits: u32,
}

impl GroupMatrix {
    /// `weights[op]` for every operator of the group.
    pub(crate) fn new(
        layout: &GroupLayout,
        weights: &[&LinearWeights],
        resources: &Resources<'_>,
    ) -> Result<Self, LinearError> {
        let fft = Fft::new(layout.degree).map_err(|e| LinearError::Plan(e.to_string()))?;
        let mut sections = Vec::new();
        for placed in &layout.packings {
            for (local, &(op, first_row)) in placed.ops.iter().enumerate() {
                let packing = &*placed.packing;
                let weights = weights.get(op).ok_or_else(|| {
                    LinearError::Plan("weights of an operator are missing".into())
                })?;
                let mut section = Section {
                    first_request: placed.first_request,
                    first_row,
                    tiles: packing.tiles(),
                    chunks: packing.chunks(),
                    blocks: packing.blocks(local),
                    panels: panels(packing, local, &weights.weights)?,
                    transforms: None,
                    fourier_multiply_adds: 0.0,
                };
                if section.prefers_fourier(layout.degree, resources) {
                    section.transforms = Some(Transforms::new(&fft, &mut section.panels));
                }
                sections.push(section);
            }
        }
        let (requests, responses) = (layout.requests, layout.responses);
        Ok(Self { requests, responses, degree: layout.degree, sections })
    }

    /// Keeps as many transforms as `bytes` allow, which are taken off.
    pub(crate) fn keep_transforms(&mut self, prices: &Prices, bytes: &mut usize) {
        for section in &mut self.sections {
            if let Some(transforms) = &mut section.transforms {
                transforms.keep(bytes);
                let kept = transforms.kept();
                section.fourier_multiply_adds =
                    section.fourier_ns(self.degree, prices, kept) / prices.multiply_add_ns;
            }
        }
    }

    /// Bytes of weights, and of transforms that may be kept.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.sections
            .iter()
            .map(|section| {
                let transforms = section.transforms.as_ref().map_or(0, Transforms::memory_bytes);
                let panel = |p: &Panel| size_of_val(&*p.weights.0) + size_of_val(&*p.columns);
                transforms + section.panels.iter().map(panel).sum::<usize>()
            })
            .sum()
    }
}

impl Section {
    /// Whether FFT products cost less; follows from shapes, prices and public bounds.
    fn prefers_fourier(&self, degree: usize, resources: &Resources<'_>) -> bool {
        // Results must stay within what rounding to words can hold, 8 deviations and more.
        if !resources.fourier
            || f64::from(resources.modulus_bits) + f64::from(resources.norm_bits) / 2.0 > 78.0
        {
            return false;
        }
        let p = resources.prices;
        let rows = |panel: &Panel| panel.blocks.next_multiple_of(ROWS);
        let terms: f64 =
            self.panels.iter().map(|panel| (panel.columns.len() * rows(panel)) as f64).sum();
        let direct = terms * self.tiles as f64 * degree as f64 * p.multiply_add_ns;
        self.fourier_ns(degree, p, 0) < direct
    }

    /// FFT products of all rows, `kept` transforms of weights being there already.
    fn fourier_ns(&self, degree: usize, p: &Prices, kept: usize) -> f64 {
        let scale = degree as f64 / 2048.0;
        let tiles = self.tiles as f64;
        let products: f64 =
            self.panels.iter().map(|panel| (panel.chunks().count() * panel.blocks) as f64).sum();
        let requests_and_rows = tiles * (self.chunks + self.blocks) as f64;
        let transforms = products - kept as f64 + requests_and_rows;
        scale * (products * tiles * p.fourier_product_ns + transforms * p.fourier_transform_ns)
    }

    /// Adds the products of all rows at chosen coefficients; `rows[block][tile]`.
    fn accumulate_at(&self, x: &Polys, bits: u32, mut rows: Vec<Vec<Points<'_>>>) {
        let terms: f64 = self
            .panels
            .iter()
            .map(|panel| {
                let blocks = rows.iter().skip(panel.first_block).take(panel.blocks);
                let points: usize = blocks.flatten().map(|points| points.positions.len()).sum();
                (panel.columns.len() * points) as f64
            })
            .sum();
        if let Some(transforms) = &self.transforms
            && terms > self.fourier_multiply_adds
        {
            let mut whole = Polys::zeros(x.degree(), self.blocks * self.tiles);
            let mut polys = whole.iter_mut();
            let blocks = (0..self.blocks)
                .map(|block| BlockRows {
                    block,
                    first_tile: 0,
                    tiles: polys.by_ref().take(self.tiles).collect(),
                })
                .collect();
            transforms.accumulate(&self.panels, self.chunks, x, self.requests(), bits, blocks);
            for (points, poly) in rows.iter_mut().flatten().zip(&whole) {
                gazelle_ring::weights::pick_one(poly, points.positions, points.out);
            }
            return;
        }
        for (number, panel) in self.panels.iter().enumerate() {
            let weights = match &self.transforms {
                Some(transforms) => Weights::Rows(transforms.rows(number)),
                None => Weights::Packed(&panel.weights.0),
            };
            let blocks = rows.drain(..panel.blocks.min(rows.len())).collect();
            useful::accumulate(panel, weights, self.chunks, (x, self.first_request), blocks);
        }
    }

    /// The requests that this operator reads.
    fn requests(&self) -> Range<usize> {
        self.first_request..self.first_request + self.tiles * self.chunks
    }
}

impl WeightMatrix for GroupMatrix {
    fn requests(&self) -> usize {
        self.requests
    }

    fn responses(&self) -> usize {
        self.responses
    }

    fn accumulate(&self, x: &Polys, bits: u32, rows: Range<usize>, out: &mut Polys) {
        let mut polys = out.iter_mut().take(rows.len());
        let mut next = rows.start;
        for section in &self.sections {
            let end = section.first_row + section.blocks * section.tiles;
            if next >= end {
                continue;
            }
            // Rows of this section, block by block; sections follow one another without gaps.
            let mut blocks: Vec<BlockRows<'_>> = Vec::new();
            while next < end.min(rows.end) {
                let Some(poly) = polys.next() else { break };
                let row = next - section.first_row;
                let (block, tile) = (row / section.tiles, row % section.tiles);
                match blocks.last_mut().filter(|last| last.block == block) {
                    Some(last) => last.tiles.push(poly),
                    None => blocks.push(BlockRows { block, first_tile: tile, tiles: vec![poly] }),
                }
                next += 1;
            }
            let requests =
                section.first_request..section.first_request + section.tiles * section.chunks;
            match &section.transforms {
                Some(transforms) => {
                    transforms.accumulate(
                        &section.panels,
                        section.chunks,
                        x,
                        requests,
                        bits,
                        blocks,
                    );
                }
                None => direct::accumulate(&section.panels, section.chunks, x, requests, blocks),
            }
            if next >= rows.end {
                break;
            }
        }
    }

    fn accumulate_at(&self, x: &Polys, bits: u32, useful: &[&[u32]], mut out: &mut [u64]) {
        let mut points = useful.iter().map(|&positions| {
            let (own, rest) = std::mem::take(&mut out).split_at_mut(positions.len());
            out = rest;
            Points { positions, out: own }
        });
        for section in &self.sections {
            let rows = (0..section.blocks)
                .map(|_| points.by_ref().take(section.tiles).collect())
                .collect();
            section.accumulate_at(x, bits, rows);
        }
    }
}
