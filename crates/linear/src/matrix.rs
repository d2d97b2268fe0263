//! A group's weights as a matrix of polynomials, in the order of [`GroupLayout`]'s rows.
//!
//! Only structure decides how products are made: [`Engine`] per operator, from shapes alone.

#![expect(
    clippy::indexing_slicing,
    reason = "panels, rows and exponents are laid out here against the packing's own counts"
)]

use std::ops::Range;

use gazelle_ring::{Polys, WeightMatrix};
use gazelle_share::LinearWeights;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::LinearError;
use crate::layout::GroupLayout;
use crate::packing::{NO_WEIGHT, Packing};
use crate::products;

/// The matrix `w[m][i]` of one group.
pub(crate) struct GroupMatrix {
    requests: usize,
    responses: usize,
    sections: Vec<Section>,
}

/// One operator's rows: `tiles * blocks` of them, all tiles with the same weights.
struct Section {
    first_request: usize,
    first_row: usize,
    tiles: usize,
    chunks: usize,
    blocks: usize,
    panels: Vec<Panel>,
}

/// Consecutive blocks whose weight polynomials have the same structure.
pub(crate) struct Panel {
    pub(crate) first_block: usize,
    pub(crate) rows: usize,
    /// Columns: `(chunk, exponent)`, chunk by chunk.
    pub(crate) columns: Vec<(u32, u32)>,
    /// `[rows, columns]`.
    pub(crate) weights: Secret,
}

/// Weights; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret(pub(crate) Vec<i32>);

impl GroupMatrix {
    /// `weights[op]` for every operator of the group; lengths must have been checked.
    pub(crate) fn new(layout: &GroupLayout, weights: &[&LinearWeights],
        budget: &mut usize,
    ) -> Result<Self, LinearError> {
        let _ = budget;
        let mut sections = Vec::new();
        for placed in &layout.packings {
            for (local, &(op, first_row)) in placed.ops.iter().enumerate() {
                let packing = &placed.packing;
                let weights = weights
                    .get(op)
                    .ok_or_else(|| LinearError::Plan("weights of an operator are missing".into()))?;
                sections.push(Section {
                    first_request: placed.first_request,
                    first_row,
                    tiles: packing.tiles(),
                    chunks: packing.chunks(),
                    blocks: packing.blocks(local),
                    panels: panels(packing, local, &weights.weights)?,
                });
            }
        }
        Ok(Self { requests: layout.requests, responses: layout.responses, sections })
    }
}

impl GroupMatrix {
    /// Bytes of weights and transforms held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.sections
            .iter()
            .flat_map(|section| &section.panels)
            .map(|panel| panel.weights.0.len() * 4 + panel.columns.len() * 8)
            .sum()
    }
}

/// Blocks grouped by structure. The columns of a panel are the exponents of all its chunks.
fn panels(packing: &Packing, op: usize, weights: &[i32]) -> Result<Vec<Panel>, LinearError> {
    let mut panels: Vec<Panel> = Vec::new();
    let mut terms = Vec::new();
    for block in 0..packing.blocks(op) {
        let mut columns = Vec::new();
        let mut values = Vec::new();
        for chunk in 0..packing.chunks() {
            packing.terms(op, block, chunk, &mut terms);
            for &(exponent, weight) in &terms {
                columns.push((chunk as u32, exponent));
                let value = match weight {
                    NO_WEIGHT => Some(&0),
                    index => weights.get(index as usize),
                };
                let missing = || LinearError::Plan("an operator has too few weights".into());
                values.push(*value.ok_or_else(missing)?);
            }
        }
        match panels.last_mut() {
            Some(panel) if panel.columns == columns => {
                panel.rows += 1;
                panel.weights.0.append(&mut values);
            }
            _ => panels.push(Panel {
                first_block: block,
                rows: 1,
                columns,
                weights: Secret(values),
            }),
        }
    }
    Ok(panels)
}

impl WeightMatrix for GroupMatrix {
    fn requests(&self) -> usize {
        self.requests
    }

    fn responses(&self) -> usize {
        self.responses
    }

    fn accumulate(&self, x: &Polys, bits: u32, rows: Range<usize>, out: &mut Polys) {
        let _ = bits;
        let degree = x.degree();
        for section in &self.sections {
            for tile in 0..section.tiles {
                let first = section.first_row + tile * section.blocks;
                let overlap = intersect(&rows, &(first..first + section.blocks));
                if overlap.is_empty() {
                    continue;
                }
                let start = (section.first_request + tile * section.chunks) * degree;
                let requests = &x.words()[start..start + section.chunks * degree];
                let extended = products::extend(requests, degree);
                for panel in &section.panels {
                    let base = first + panel.first_block;
                    let part = intersect(&overlap, &(base..base + panel.rows));
                    if part.is_empty() {
                        continue;
                    }
                    let width = panel.columns.len();
                    let weights = &panel.weights.0
                        [(part.start - base) * width..(part.end - base) * width];
                    let target = &mut out.words_mut()
                        [(part.start - rows.start) * degree..(part.end - rows.start) * degree];
                    products::direct(&panel.columns, weights, &extended, degree, target);
                }
            }
        }
    }
}

fn intersect(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}
