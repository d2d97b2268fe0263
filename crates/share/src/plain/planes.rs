//! What a convolution's taps read, as the right factor of a matrix product: row `(channel, tap)`, column
//! output position.

#![expect(clippy::indexing_slicing, reason = "planes are made to hold what the taps read")]

use std::borrow::Cow;

use rayon::prelude::*;

use super::element::{COLUMNS, Element};
use crate::op::Conv2d;

/// Elements from which on planes are made by all threads.
const PARALLEL: usize = 1 << 16;

/// The input's planes with their padding, columns split by phase modulo the stride, so that every tap
/// reads consecutive elements along a row of outputs.
pub(super) struct PaddedPlanes<'a, E: Clone> {
    conv: &'a Conv2d,
    planes: Cow<'a, [E]>,
    /// Elements of a plane.
    plane: usize,
    /// Of a row, all phases.
    row: usize,
    /// Where in a plane the taps of a channel lie, for the first output.
    taps: Vec<usize>,
}

impl<'a, E: Element> PaddedPlanes<'a, E> {
    /// - `input`: all channels.
    pub(super) fn new(conv: &'a Conv2d, input: &'a [E], alone: bool) -> Self {
        let width = conv.input.width + conv.pads.left + conv.pads.right;
        let height = conv.input.height + conv.pads.top + conv.pads.bottom;
        // Of one output by row, nothing is to be consecutive.
        let stride = if conv.output().width == 1 { 1 } else { conv.stride[1] };
        let phase_width = width.div_ceil(stride);
        let plane = height * phase_width * stride;
        let own = conv.input.height * conv.input.width;
        let planes = if stride == 1 && plane == own {
            Cow::Borrowed(input)
        } else {
            let mut planes = vec![E::default(); plane * conv.input.channels];
            let row = (stride, phase_width);
            let pad = |(to, from): (&mut [E], &[E])| pad(conv, row, from, to);
            if alone || planes.len() < PARALLEL {
                planes.chunks_exact_mut(plane).zip(input.chunks_exact(own)).for_each(pad);
            } else {
                planes.par_chunks_exact_mut(plane).zip(input.par_chunks_exact(own)).for_each(pad);
            }
            Cow::Owned(planes)
        };
        let [dilation_y, dilation_x] = conv.dilation;
        let [rows, columns] = conv.kernel;
        let places =
            (0..rows).flat_map(|i| (0..columns).map(move |j| (i * dilation_y, j * dilation_x)));
        let taps = places
            .map(|(row, column)| (row * stride + column % stride) * phase_width + column / stride);
        Self { conv, planes, plane, row: phase_width * stride, taps: taps.collect() }
    }

    /// Writes rows from `first` on, of the channels from `channel` on, and columns from `column` on.
    pub(super) fn fill(
        &self,
        channel: usize,
        (first, column): (usize, usize),
        panel: &mut [[E; COLUMNS]],
    ) {
        let (runs, count) = self.runs(column);
        let runs = &runs[..count];
        let (mut at, mut tap) = (first / self.taps.len(), first % self.taps.len());
        for row in panel {
            let plane = &self.planes[(channel + at) * self.plane..][..self.plane];
            let plane = &plane[self.taps[tap]..];
            if let [(0, from, COLUMNS)] = *runs {
                row.copy_from_slice(&plane[from..][..COLUMNS]);
            } else {
                for (to, from, count) in runs {
                    row[*to..][..*count].copy_from_slice(&plane[*from..][..*count]);
                }
            }
            tap += 1;
            if tap == self.taps.len() {
                (at, tap) = (at + 1, 0);
            }
        }
    }

    /// Columns of a panel that lie together in a plane, and how many such runs there are: where in the
    /// panel, where behind the tap's first, how many columns.
    fn runs(&self, column: usize) -> ([(usize, usize, usize); COLUMNS], usize) {
        let output = self.conv.output();
        let down = self.conv.stride[0] * self.row;
        let end = (column + COLUMNS).min(output.height * output.width);
        let (mut runs, mut last) = ([(0, 0, 0); COLUMNS], 0);
        let mut at = column;
        while at < end {
            let (y, x) = (at / output.width, at % output.width);
            let count = (output.width - x).min(end - at);
            let from = y * down + x;
            let (_, begin, length) = &mut runs[last];
            if *length > 0 && *begin + *length == from {
                *length += count;
            } else {
                last += usize::from(*length > 0);
                runs[last] = (at - column, from, count);
            }
            at += count;
        }
        (runs, last + 1)
    }
}

/// One plane with its padding, in phases.
fn pad<E: Element>(
    conv: &Conv2d,
    (stride, phase_width): (usize, usize),
    input: &[E],
    plane: &mut [E],
) {
    let (top, left) = (conv.pads.top, conv.pads.left);
    let rows = plane.chunks_exact_mut(phase_width * stride).skip(top);
    for (to, row) in rows.zip(input.chunks_exact(conv.input.width)) {
        if stride == 1 {
            to[left..left + row.len()].copy_from_slice(row);
        } else {
            for (x, word) in row.iter().enumerate() {
                to[(x + left) % stride * phase_width + (x + left) / stride] = *word;
            }
        }
    }
}
