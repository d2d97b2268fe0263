//! Panels: the weights of blocks with one structure, as products read them.

use std::ops::Range;

use gazelle_ring::kernel::gemm::ROWS;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::LinearError;
use crate::packing::{NO_WEIGHT, Packing};

/// Consecutive blocks whose weight polynomials have the same structure.
pub(crate) struct Panel {
    pub(crate) first_block: usize,
    pub(crate) blocks: usize,
    /// `(chunk, exponent)`, chunk by chunk.
    pub(crate) columns: Vec<(u32, u32)>,
    /// `[blocks / ROWS][columns][ROWS]`, missing blocks zero; empty where [`Transforms`] has them.
    pub(crate) weights: Secret,
}

/// Weights; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret(pub(crate) Vec<[i32; ROWS]>);

/// Rows of one block that are asked for: consecutive tiles.
pub(crate) struct BlockRows<'a> {
    pub(crate) block: usize,
    pub(crate) first_tile: usize,
    pub(crate) tiles: Vec<&'a mut [u64]>,
}

impl Panel {
    /// Runs of columns of one chunk: `(chunk, columns)`.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let mut start = 0;
        self.columns.chunk_by(|a, b| a.0 == b.0).filter_map(move |run| {
            let range = start..start + run.len();
            start = range.end;
            run.first().map(|column| (column.0 as usize, range))
        })
    }
}

/// Blocks grouped by structure. The columns of a panel are the exponents of all its chunks.
pub(crate) fn panels(
    packing: &dyn Packing,
    op: usize,
    weights: &[i32],
) -> Result<Vec<Panel>, LinearError> {
    let mut panels: Vec<Panel> = Vec::new();
    let mut terms = Vec::new();
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for block in 0..packing.blocks(op) {
        columns.clear();
        values.clear();
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
        if panels.last().is_none_or(|panel| panel.columns != columns) {
            panels.push(Panel {
                first_block: block,
                blocks: 0,
                columns: columns.clone(),
                weights: Secret(Vec::new()),
            });
        }
        if let Some(panel) = panels.last_mut() {
            let lane = panel.blocks % ROWS;
            if lane == 0 {
                panel.weights.0.resize(panel.weights.0.len() + columns.len(), [0; ROWS]);
            }
            let start = panel.blocks / ROWS * columns.len();
            for (packed, value) in panel.weights.0.iter_mut().skip(start).zip(&values) {
                if let Some(slot) = packed.get_mut(lane) {
                    *slot = *value;
                }
            }
            panel.blocks += 1;
        }
    }
    values.zeroize();
    Ok(panels)
}

/// Hands every panel, with its number, the blocks that belong to it.
pub(crate) fn by_panel<'p, 'a>(
    panels: &'p [Panel],
    blocks: Vec<BlockRows<'a>>,
) -> Vec<(usize, &'p Panel, Vec<BlockRows<'a>>)> {
    let mut blocks = blocks.into_iter().peekable();
    let mut parts = Vec::new();
    for (number, panel) in panels.iter().enumerate() {
        let end = panel.first_block + panel.blocks;
        let mut part = Vec::new();
        while let Some(block) = blocks.next_if(|block| block.block < end) {
            part.push(block);
        }
        if !part.is_empty() {
            parts.push((number, panel, part));
        }
    }
    parts
}
