//! Packing by tiles of the image: several channels in a request, several maps in a response.
//!
//! Request polynomial `tile * chunks + chunk` holds `C_w` virtual channels of one tile; response
//! `block * tiles + tile` of an operator holds `M_w` virtual maps. Coefficients are data (an element
//! of the tensor), zero (read, but padding, or the tail when `M_w` > 1) or free (no useful output
//! ever reads them).
//!
//! Source: docs/protocol.md, section 3.7; Cheetah (USENIX Security 2022), section 4.

#![expect(
    clippy::indexing_slicing,
    reason = "indices follow from the geometry, which Tiled::new checks against the degree"
)]

pub(crate) mod geometry;
mod read;
pub(crate) mod scheme;
pub(crate) mod stride_one;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use gazelle_share::{LinearOp, TensorShape};

use geometry::Geometry;
use stride_one::{StrideOne, Tap};

use crate::error::LinearError;
use crate::packing::{Coefficient, NO_WEIGHT, Packing};
use crate::plan::PackingPlan;

/// A packing of one tensor for some operators.
#[derive(Debug, Clone)]
pub(crate) struct Tiled {
    degree: usize,
    input: TensorShape,
    phase: [usize; 2],
    /// The phases that some tap reads.
    phases: Vec<[usize; 2]>,
    phase_major: bool,
    geometry: Geometry,
    ops: Vec<PackedOp>,
    /// Bit sets of the coefficients that useful outputs read, and which one each request has:
    /// `classes[edge * chunks + chunk]`.
    patterns: Vec<Vec<u64>>,
    classes: Vec<u32>,
}

#[derive(Debug, Clone)]
struct PackedOp {
    op: StrideOne,
    maps: usize,
    /// `[output phase][phase index]`
    taps: Vec<Vec<Vec<Tap>>>,
}

/// The operators in a packing's phase and the phases that they read; what planning needs.
pub(crate) struct Domain {
    pub(crate) input: TensorShape,
    pub(crate) ops: Vec<StrideOne>,
    pub(crate) phases: Vec<[usize; 2]>,
}

impl Domain {
    pub(crate) fn new(ops: &[&LinearOp], phase: [usize; 2]) -> Result<Self, LinearError> {
        let ops = ops
            .iter()
            .map(|op| StrideOne::new(op, phase))
            .collect::<Result<Vec<_>, LinearError>>()?;
        let Some(input) = ops.first().map(|op| op.conv.input) else {
            return Err(LinearError::Operator("a packing without operators"));
        };
        if ops.iter().any(|op| op.conv.input != input) {
            return Err(LinearError::Operator("operators of one packing read different shapes"));
        }
        let mut phases: Vec<[usize; 2]> = Vec::new();
        for tap in ops.iter().flat_map(|op| op.taps.iter().flatten()) {
            if !phases.contains(&tap.phase) {
                phases.push(tap.phase);
            }
        }
        phases.sort_unstable();
        if phases.is_empty() {
            // All operators read nothing but padding. A request of free coefficients serves them.
            phases.push([0, 0]);
        }
        Ok(Self { input, ops, phases })
    }

    pub(crate) fn channels(&self) -> usize {
        self.input.channels * self.phases.len()
    }

    /// Virtual output rows and columns, the most of all operators.
    pub(crate) fn extents(&self) -> [usize; 2] {
        let largest = |a: [usize; 2], b: [usize; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        self.ops.iter().map(StrideOne::extent).fold([1, 1], largest)
    }

    pub(crate) fn pixels(&self, phase: [usize; 2]) -> [usize; 2] {
        [self.input.height.div_ceil(phase[0]), self.input.width.div_ceil(phase[1])]
    }
}

impl Tiled {
    /// Lays `plan` out.
    ///
    /// # Errors
    /// [`LinearError::Operator`] or [`LinearError::Packing`] if the choices do not fit.
    pub(crate) fn new(
        ops: &[&LinearOp],
        degree: usize,
        plan: &PackingPlan,
    ) -> Result<Self, LinearError> {
        let phase = plan.phase.map(|p| p as usize);
        let tile = plan.tile.map(|t| t as usize);
        let (width, maps) = (plan.channels as usize, &plan.maps);
        let domain = Domain::new(ops, phase)?;
        let channels = domain.channels();
        if width == 0 || width > channels {
            let (needed, room) = (width, channels);
            return Err(LinearError::Packing { what: "channels per polynomial", needed, room });
        }
        let geometry = Geometry::new(&domain.ops, domain.pixels(phase), tile, width)?;
        if maps.len() != ops.len() {
            let (needed, room) = (ops.len(), maps.len());
            return Err(LinearError::Packing { what: "maps per response", needed, room });
        }
        for (op, &maps) in domain.ops.iter().zip(maps) {
            let maps = maps as usize;
            let needed = geometry.block.saturating_mul(maps);
            if maps == 0 || maps > op.maps() || needed > degree {
                let room = degree;
                return Err(LinearError::Packing { what: "maps per polynomial", needed, room });
            }
        }
        let grouped = domain.ops.iter().any(|op| op.conv.groups > 1);
        let Domain { input, ops, phases } = domain;
        let index: HashMap<[usize; 2], usize> =
            phases.iter().enumerate().map(|(i, phase)| (*phase, i)).collect();
        let ops = ops
            .into_iter()
            .zip(maps)
            .map(|(op, &maps)| {
                let by_phase = |taps: &Vec<Tap>| {
                    let mut sorted = vec![Vec::new(); phases.len()];
                    for tap in taps {
                        if let Some(&i) = index.get(&tap.phase) {
                            sorted[i].push(*tap);
                        }
                    }
                    sorted
                };
                PackedOp { taps: op.taps.iter().map(by_phase).collect(), op, maps: maps as usize }
            })
            .collect();
        let mut packing = Self {
            degree,
            input,
            phase,
            phases,
            phase_major: !grouped,
            geometry,
            ops,
            patterns: Vec::new(),
            classes: Vec::new(),
        };
        packing.find_patterns()?;
        Ok(packing)
    }

    /// Real channel and phase index of each virtual channel of a chunk.
    fn chunk_channels(&self, chunk: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (channels, phases) = (self.input.channels, self.phases.len());
        let first = chunk * self.geometry.width;
        let last = (first + self.geometry.width).min(channels * phases);
        (first..last).map(move |index| {
            if self.phase_major {
                (index % channels, index / channels)
            } else {
                (index / phases, index % phases)
            }
        })
    }

    /// Which of the four edge cases a tile is: last row, last column.
    fn edge(&self, tile: usize) -> usize {
        let geometry = &self.geometry;
        let row = tile / geometry.columns.tiles;
        let column = tile % geometry.columns.tiles;
        usize::from(row + 1 == geometry.rows.tiles) * 2
            + usize::from(column + 1 == geometry.columns.tiles)
    }
}

impl Packing for Tiled {
    fn degree(&self) -> usize {
        self.degree
    }

    fn tiles(&self) -> usize {
        self.geometry.tiles()
    }

    fn chunks(&self) -> usize {
        (self.input.channels * self.phases.len()).div_ceil(self.geometry.width)
    }

    fn blocks(&self, op: usize) -> usize {
        self.ops[op].op.maps().div_ceil(self.ops[op].maps)
    }

    fn maps_of_block(&self, op: usize, block: usize) -> Vec<usize> {
        let packed = &self.ops[op];
        let first = block * packed.maps;
        (first..(first + packed.maps).min(packed.op.maps()))
            .map(|map| packed.op.map(map).1)
            .collect()
    }

    fn coefficients(&self, request: usize) -> Vec<Coefficient> {
        let (tile, chunk) = (request / self.chunks(), request % self.chunks());
        let edge = self.edge(tile);
        let pattern = &self.patterns[self.classes[edge * self.chunks() + chunk] as usize];
        let mut out: Vec<Coefficient> = (0..self.degree)
            .map(|slot| {
                if pattern[slot / 64] >> (slot % 64) & 1 == 1 {
                    Coefficient::Zero
                } else {
                    Coefficient::Free
                }
            })
            .collect();
        let [i0, j0] = self.geometry.origin(tile);
        let range = |axis: geometry::Axis, origin: usize| {
            let end = (origin + axis.tile) as i64 + axis.after;
            let end = if axis.tiles == 1 { axis.data } else { axis.data.min(end.max(0) as usize) };
            origin.saturating_sub(axis.before)..end
        };
        let (rows, columns) = (range(self.geometry.rows, i0), range(self.geometry.columns, j0));
        for (c, (channel, phase)) in self.chunk_channels(chunk).enumerate() {
            let [r, s] = self.phases[phase];
            for i in rows.clone() {
                let y = i * self.phase[0] + r;
                if y >= self.input.height {
                    continue;
                }
                for j in columns.clone() {
                    let x = j * self.phase[1] + s;
                    if x >= self.input.width {
                        continue;
                    }
                    let shift = [i as i64 - i0 as i64, j as i64 - j0 as i64];
                    let slot = self.geometry.slot(c, [0, 0], shift);
                    if out[slot] == Coefficient::Zero {
                        out[slot] = Coefficient::Element(self.input.index(channel, y, x) as u32);
                    }
                }
            }
        }
        out
    }

    fn outputs(&self, op: usize, response: usize, visit: &mut dyn FnMut(usize, usize)) {
        let packed = &self.ops[op];
        let (block, tile) = (response / self.tiles(), response % self.tiles());
        let [i0, j0] = self.geometry.origin(tile);
        let [row_split, column_split] = packed.op.splits;
        let [row_step, column_step] = packed.op.steps;
        for m in 0..packed.maps {
            let virtual_map = block * packed.maps + m;
            if virtual_map >= packed.op.maps() {
                break;
            }
            let (split, map) = packed.op.map(virtual_map);
            let (u, v) = (split / column_split, split % column_split);
            for i in on_step(i0, self.geometry.rows.tile, row_step) {
                let y = (i0 + i) / row_step * row_split + u;
                if y >= packed.op.output.height {
                    break;
                }
                for j in on_step(j0, self.geometry.columns.tile, column_step) {
                    let x = (j0 + j) / column_step * column_split + v;
                    if x >= packed.op.output.width {
                        break;
                    }
                    let coefficient = self.geometry.output(m, [i, j]);
                    visit(coefficient, packed.op.output.index(map, y, x));
                }
            }
        }
    }

    fn terms(&self, op: usize, block: usize, chunk: usize, out: &mut Vec<(u32, u32)>) {
        out.clear();
        let packed = &self.ops[op];
        let area = packed.op.conv.kernel[0] * packed.op.conv.kernel[1];
        for m in 0..packed.maps {
            let virtual_map = block * packed.maps + m;
            let exists = virtual_map < packed.op.maps();
            let (split, map) = packed.op.map(virtual_map.min(packed.op.maps() - 1));
            let (channels, first) = packed.op.channels(map);
            for (c, (channel, phase)) in self.chunk_channels(chunk).enumerate() {
                if !channels.contains(&channel) {
                    continue;
                }
                let base = first + (channel - channels.start) * area;
                for tap in &packed.taps[split][phase] {
                    let exponent = self.geometry.exponent(m, c, tap.shift);
                    let weight = if exists { (base + tap.kernel) as u32 } else { NO_WEIGHT };
                    out.push((exponent as u32, weight));
                }
            }
        }
    }

    fn marked(&self) -> usize {
        self.marked_by_patterns()
    }

    fn elements(&self) -> usize {
        self.elements_by_axes()
    }
}

/// The offsets below `count` from `origin` that lie on multiples of `step`.
fn on_step(origin: usize, count: usize, step: usize) -> impl Iterator<Item = usize> {
    let first = (step - origin % step) % step;
    (first..count).step_by(step)
}
