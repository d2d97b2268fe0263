//! Rows of labels: inputs where the caller has them, working rows for as long as they live.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::Block;
use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use zeroize::Zeroize;

use crate::circuit::Circuit;
use crate::gate::{Sum, ZERO_ROW};
use crate::scheme::Operand;
use crate::tweaks::LANES_PER_KEY;

/// Lanes taken through the whole circuit together; divides [`LANES_PER_KEY`].
pub const STRIP: usize = 256;

/// The labels of a block of lanes among all lanes.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    labels: &'a [Block],
    lanes: usize,
    /// First lane of the block.
    pub(super) first: usize,
}

impl<'a> Inputs<'a> {
    pub(super) fn block(labels: &'a [Block], lanes: usize, block: usize) -> Self {
        Self { labels, lanes, first: block * LANES_PER_KEY }
    }

    /// Lanes of this block.
    pub(super) fn count(&self) -> usize {
        LANES_PER_KEY.min(self.lanes - self.first)
    }

    /// Where the block's lanes of an input start.
    fn start(&self, input: usize) -> usize {
        input * self.lanes + self.first
    }
}

/// Working labels: rows of [`STRIP`], wiped on drop.
#[derive(Default)]
pub(super) struct WorkingRows {
    labels: Vec<Block>,
    /// Where the first cache line starts.
    start: usize,
}

impl WorkingRows {
    pub(super) fn prepare(&mut self, circuit: &Circuit) {
        const LINE: usize = 4;
        let needed = circuit.working_rows() * STRIP + LINE;
        if self.labels.len() < needed {
            self.labels.zeroize();
            self.labels = vec![Block::ZERO; needed];
            self.start = self.labels.as_ptr().align_offset(64).min(LINE);
        }
    }

    pub(super) fn rows(&self) -> &[Block] {
        self.labels.get(self.start..).unwrap_or_default()
    }

    /// Working row `out` to write, and a view of all the others to read.
    pub(super) fn split(&mut self, out: usize) -> (&mut [Block], Working<'_>) {
        let rows = self.labels.get_mut(self.start..).unwrap_or_default();
        let (before, rest) = rows.split_at_mut((out * STRIP).min(rows.len()));
        let (out, after) = rest.split_at_mut(STRIP.min(rest.len()));
        (out, Working { before, after })
    }
}

impl Drop for WorkingRows {
    fn drop(&mut self) {
        self.labels.zeroize();
    }
}

/// All working rows but perhaps one.
#[derive(Clone, Copy)]
pub(super) struct Working<'a> {
    pub(super) before: &'a [Block],
    pub(super) after: &'a [Block],
}

/// What a gate may read, at one strip.
pub(super) struct LabelRows<'a> {
    strip: StripRows<'a>,
    working: Working<'a>,
}

/// Some lanes of a block.
#[derive(Clone, Copy)]
pub(super) struct StripRows<'a> {
    pub(super) inputs: Inputs<'a>,
    pub(super) input_count: usize,
    /// First lane in the block, and how many.
    pub(super) first: usize,
    pub(super) count: usize,
}

impl<'a> StripRows<'a> {
    pub(super) fn rows<'b>(self, working: Working<'b>) -> LabelRows<'b>
    where
        'a: 'b,
    {
        LabelRows { strip: self, working }
    }
}

impl<'a> LabelRows<'a> {
    /// A row of the circuit: an input, a working row, or zeros.
    #[inline]
    pub(super) fn get(&self, row: u32) -> &'a [Block] {
        static ZEROS: [Block; STRIP] = [Block::ZERO; STRIP];
        let (rows, start): (&[Block], usize) = if row == ZERO_ROW {
            (&ZEROS, 0)
        } else if let Some(working) = (row as usize).checked_sub(self.strip.input_count) {
            let (start, before) = (working * STRIP, self.working.before);
            match start.checked_sub(before.len()) {
                None => (before, start),
                Some(after) => (self.working.after, after.saturating_sub(STRIP)),
            }
        } else {
            (self.strip.inputs.labels, self.strip.inputs.start(row as usize) + self.strip.first)
        };
        rows.get(start..start + self.strip.count).unwrap_or_default()
    }

    pub(super) fn operand(&self, sum: Sum<2>) -> Operand<'a> {
        let [x, y] = sum.rows;
        Operand { rows: [self.get(x), self.get(y)], inverted: sum.inverted }
    }

    /// `out = x`, turned by `delta` if inverted.
    pub(super) fn add_up(&self, isa: AesIsa, x: Sum<3>, delta: Block, out: &mut [Block]) {
        let [p, q, r] = x.rows;
        let rows = [self.get(p), self.get(q), self.get(r)];
        dispatch(isa, AddUp { rows, shift: delta.select(x.inverted), out });
    }
}

/// The sum of three rows and a constant.
struct AddUp<'a> {
    rows: [&'a [Block]; 3],
    shift: Block,
    out: &'a mut [Block],
}

impl Kernel for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let whole = self.out.len() - self.out.len() % V::BLOCKS;
        let [p, q, r] = self.rows;
        let ((p, p_tail), (q, q_tail), (r, r_tail)) =
            (p.split_at(whole), q.split_at(whole), r.split_at(whole));
        let (out, out_tail) = self.out.split_at_mut(whole);
        let shift = V::splat(self.shift);
        let (p, q, r) =
            (p.chunks_exact(V::BLOCKS), q.chunks_exact(V::BLOCKS), r.chunks_exact(V::BLOCKS));
        for (((p, q), r), out) in p.zip(q).zip(r).zip(out.chunks_exact_mut(V::BLOCKS)) {
            V::load(p).xor(V::load(q)).xor(V::load(r)).xor(shift).store(out);
        }
        for (((p, q), r), out) in p_tail.iter().zip(q_tail).zip(r_tail).zip(out_tail) {
            *out = *p ^ *q ^ *r ^ self.shift;
        }
    }
}
