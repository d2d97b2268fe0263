//! Which coefficients of a request useful outputs read: the others are free.

use std::collections::HashMap;

use super::{Tiled, on_step};
use crate::error::LinearError;
use crate::packing::Packing as _;

/// Steps that finding the coefficients that are read may take: plans come from the peer.
const MAX_PATTERN_STEPS: usize = 1 << 31;

impl Tiled {
    /// Coefficients that useful outputs read, over all requests.
    pub(super) fn marked_by_patterns(&self) -> usize {
        let ones = |pattern: &Vec<u64>| -> usize {
            pattern.iter().map(|word| word.count_ones() as usize).sum()
        };
        let ones: Vec<usize> = self.patterns.iter().map(ones).collect();
        let chunks = self.chunks();
        (0..self.tiles())
            .flat_map(|tile| (0..chunks).map(move |chunk| (tile, chunk)))
            .map(|(tile, chunk)| ones[self.classes[self.edge(tile) * chunks + chunk] as usize])
            .sum()
    }

    /// Elements of the tensor that useful outputs read.
    pub(super) fn elements_by_axes(&self) -> usize {
        let (height, width) = (self.input.height, self.input.width);
        let mut read = vec![false; height * width];
        for op in &self.ops {
            let conv = &op.op.conv;
            // Along an axis: whether each row is under a kernel row of some output row.
            let along = |axis: usize, extent: usize, outputs: usize, before: usize| {
                let mut read = vec![false; extent];
                for output in 0..outputs {
                    for tap in 0..conv.kernel[axis] {
                        let at = output * conv.stride[axis] + tap * conv.dilation[axis];
                        if let Some(slot) = at.checked_sub(before).and_then(|at| read.get_mut(at)) {
                            *slot = true;
                        }
                    }
                }
                read
            };
            let rows = along(0, height, op.op.output.height, conv.pads.top);
            let columns = along(1, width, op.op.output.width, conv.pads.left);
            for (y, _) in rows.iter().enumerate().filter(|(_, read)| **read) {
                for (x, _) in columns.iter().enumerate().filter(|(_, read)| **read) {
                    read[y * width + x] = true;
                }
            }
        }
        // Every channel is read: groups cover all of them.
        self.input.channels * read.iter().filter(|read| **read).count()
    }

    pub(super) fn find_patterns(&mut self) -> Result<(), LinearError> {
        let chunks = self.chunks();
        let mut steps = 0usize;
        let mut known: HashMap<(usize, Vec<usize>), u32> = HashMap::new();
        let mut classes = vec![0; 4 * chunks];
        let mut done = [false; 4];
        for tile in 0..self.tiles() {
            let edge = self.edge(tile);
            if std::mem::replace(&mut done[edge], true) {
                continue;
            }
            for chunk in 0..chunks {
                let phases: Vec<usize> = self.chunk_channels(chunk).map(|(_, p)| p).collect();
                let next = self.patterns.len() as u32;
                let class = *known.entry((edge, phases.clone())).or_insert(next);
                if class == next {
                    steps = steps.saturating_add(self.pattern_steps(&phases));
                    if steps > MAX_PATTERN_STEPS {
                        let (needed, room) = (steps, MAX_PATTERN_STEPS);
                        return Err(LinearError::Packing { what: "kernel", needed, room });
                    }
                    let pattern = self.pattern(tile, &phases);
                    self.patterns.push(pattern);
                }
                classes[edge * chunks + chunk] = class;
            }
        }
        self.classes = classes;
        Ok(())
    }

    /// Steps of [`pattern`](Self::pattern).
    fn pattern_steps(&self, phases: &[usize]) -> usize {
        let taps: usize = self
            .ops
            .iter()
            .flat_map(|packed| &packed.taps)
            .map(|taps| phases.iter().map(|&phase| taps[phase].len()).sum::<usize>())
            .sum();
        taps.saturating_mul(self.geometry.rows.tile * self.geometry.columns.tile)
    }

    /// The coefficients that useful outputs of a tile read in a chunk with these phases.
    fn pattern(&self, tile: usize, phases: &[usize]) -> Vec<u64> {
        let mut bits = vec![0u64; self.degree.div_ceil(64)];
        let mut mark = |slot: usize| bits[slot / 64] |= 1 << (slot % 64);
        let [i0, j0] = self.geometry.origin(tile);
        for packed in &self.ops {
            let [row_split, column_split] = packed.op.splits;
            let [row_step, column_step] = packed.op.steps;
            for (split, taps) in packed.taps.iter().enumerate() {
                // Virtual rows up to the last output of this phase, from the tile's first.
                let useful = |extent: usize,
                              split: usize,
                              step: usize,
                              phase: usize,
                              from: usize| {
                    let outputs = extent.saturating_sub(phase).div_ceil(split);
                    if outputs == 0 { 0 } else { ((outputs - 1) * step + 1).saturating_sub(from) }
                };
                let (u, v) = (split / column_split, split % column_split);
                let rows = useful(packed.op.output.height, row_split, row_step, u, i0)
                    .min(self.geometry.rows.tile);
                let columns = useful(packed.op.output.width, column_split, column_step, v, j0)
                    .min(self.geometry.columns.tile);
                for (c, &phase) in phases.iter().enumerate() {
                    for tap in &taps[phase] {
                        for i in on_step(i0, rows, row_step) {
                            for j in on_step(j0, columns, column_step) {
                                mark(self.geometry.slot(c, [i, j], tap.shift));
                            }
                        }
                    }
                }
            }
            let reach = (packed.maps - 1) * self.geometry.block;
            (self.geometry.block..(self.geometry.block + reach).min(self.degree))
                .for_each(&mut mark);
            (self.degree - reach..self.degree).for_each(&mut mark);
        }
        bits
    }
}
