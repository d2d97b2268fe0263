//! Where pixels, kernels and outputs lie in a polynomial: closed formulas, cheap to evaluate.
//!
//! Virtual pixel (c, i, j) of a tile that starts at (i0, j0) lies at
//! `lead + c D' + (i - i0) pitch + (j - j0)`, with `lead = L_r pitch + L_c`, where L is how far taps
//! reach before the output and R how far behind. Along an axis that one tile covers, the zeros
//! behind one row (or channel) serve as the zeros before the next: `slots = data + max(L, R)`.
//! Along an axis that is split, a tile holds its halo: `slots = tile + L + R`. Output map m of a
//! response is shifted by `m D`, `D` the extent of all that is read.
//!
//! Source: docs/protocol.md, section 3.7.

use crate::error::LinearError;
use crate::packing::tiled::stride_one::StrideOne;

/// One axis of the virtual image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Virtual outputs, the largest of all operators.
    pub(crate) outputs: usize,
    /// Outputs per tile.
    pub(crate) tile: usize,
    /// Number of tiles.
    pub(crate) tiles: usize,
    /// How far taps reach before the output's own pixel.
    pub(crate) before: usize,
    /// Largest shift of a tap (negative if all taps lie before).
    pub(crate) after: i64,
    /// Input pixels that are read, from 0, over the whole image.
    pub(crate) data: usize,
    /// Slots from one row (channel) to the next.
    pub(crate) slots: usize,
}

impl Axis {
    fn new(
        axis: usize,
        pixels: usize,
        ops: &[StrideOne],
        tile: usize,
    ) -> Result<Self, LinearError> {
        let outputs =
            ops.iter().filter_map(|op| op.extent().get(axis).copied()).fold(1, usize::max);
        if tile == 0 || tile > outputs {
            return Err(LinearError::Packing { what: "tile", needed: tile, room: outputs });
        }
        let (low, after) = ops
            .iter()
            .map(|op| op.reach(axis))
            .fold((0, i64::MIN), |(low, high), (l, h)| (low.min(l), high.max(h)));
        let before = low.unsigned_abs() as usize;
        let last_read = outputs as i64 + after;
        let data = (pixels as i64).min(last_read.max(1)) as usize;
        let tiles = outputs.div_ceil(tile);
        let step = ops.iter().filter_map(|op| op.steps.get(axis)).fold(1, |a, b| a.max(*b));
        if tiles > 1
            && ops.iter().any(|op| op.steps.get(axis).is_some_and(|s| !tile.is_multiple_of(*s)))
        {
            // Every tile must hold the same pattern of outputs.
            return Err(LinearError::Packing { what: "step", needed: step, room: tile });
        }
        let slots = if tiles == 1 {
            data + before.max((last_read - data as i64).max(0) as usize)
        } else {
            (tile as i64 + before as i64 + after.max(0)) as usize
        };
        Ok(Self { outputs, tile, tiles, before, after, data, slots })
    }

    /// Slots from a tile's first pixel to its last that is data or read.
    fn last(&self) -> usize {
        let read = (self.tile as i64 - 1 + self.after).max(0) as usize;
        if self.tiles == 1 { read.max(self.data - 1) } else { read }
    }
}

/// The placement that all requests of a packing share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    /// `C_w`, virtual channels per polynomial.
    pub(crate) width: usize,
    /// Slots before the first pixel of the first channel.
    pub(crate) lead: usize,
    /// D', slots from one channel to the next.
    pub(crate) channel: usize,
    /// D, slots of one block: everything that one map's outputs read.
    pub(crate) block: usize,
}

impl Geometry {
    /// `pixels`: rows and columns of the virtual image (of its largest phase).
    pub(crate) fn new(
        ops: &[StrideOne],
        pixels: [usize; 2],
        tile: [usize; 2],
        width: usize,
    ) -> Result<Self, LinearError> {
        let rows = Axis::new(0, pixels[0], ops, tile[0])?;
        let columns = Axis::new(1, pixels[1], ops, tile[1])?;
        let lead = rows.before * columns.slots + columns.before;
        let channel = rows.slots * columns.slots;
        let block =
            lead + (width.max(1) - 1) * channel + rows.last() * columns.slots + columns.last() + 1;
        Ok(Self { rows, columns, width, lead, channel, block })
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.tiles * self.columns.tiles
    }

    /// First output row and column of a tile.
    pub(crate) fn origin(&self, tile: usize) -> [usize; 2] {
        [tile / self.columns.tiles * self.rows.tile, tile % self.columns.tiles * self.columns.tile]
    }

    /// Slot of the pixel `shift` away from output (i, j) of the tile, in local channel c.
    pub(crate) fn slot(&self, c: usize, [i, j]: [usize; 2], shift: [i64; 2]) -> usize {
        let base = (self.lead + c * self.channel + i * self.columns.slots + j) as i64;
        (base + shift[0] * self.columns.slots as i64 + shift[1]) as usize
    }

    /// Exponent at which a weight of local map m, local channel c and `shift` goes.
    pub(crate) fn exponent(&self, m: usize, c: usize, shift: [i64; 2]) -> usize {
        let rows = (self.rows.after - shift[0]) * self.columns.slots as i64;
        let columns = self.columns.after - shift[1];
        m * self.block + (self.width - 1 - c) * self.channel + (rows + columns) as usize
    }

    /// Coefficient of the product at which output (i, j) of local map m appears.
    pub(crate) fn output(&self, m: usize, [i, j]: [usize; 2]) -> usize {
        m * self.block + self.slot(self.width - 1, [i, j], [self.rows.after, self.columns.after])
    }

    /// Maps that fit: `M_w D <= N`.
    pub(crate) fn most_maps(&self, degree: usize) -> usize {
        degree / self.block
    }
}
