//! Shapes of tensors and windows.

use gazelle_prg::simd::widest;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Largest extent of an image or a window in one direction.
pub(crate) const MAX_EXTENT: usize = 1 << 16;

/// A tensor `[channels, height, width]`, row-major; a vector of n is `[n, 1, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl TensorShape {
    /// `[channels, height, width]`.
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// A vector.
    pub fn vector(len: usize) -> Self {
        Self::new(len, 1, 1)
    }

    /// Returns the number of elements.
    #[expect(clippy::len_without_is_empty, reason = "shapes are never empty")]
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// `[channels, height, width]` as an array.
    pub(crate) fn axes(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Returns the number of elements, if no axis is empty and there are at most `limit`.
    pub fn checked_len(&self, limit: usize) -> Option<usize> {
        let len = self.channels.checked_mul(self.height)?.checked_mul(self.width)?;
        (1..=limit).contains(&len).then_some(len)
    }

    /// Returns the row-major index of `[c, y, x]`.
    pub fn index(&self, c: usize, y: usize, x: usize) -> usize {
        (c * self.height + y) * self.width + x
    }
}

/// Zero rows and columns around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Pads {
    /// Rows above.
    pub top: usize,
    /// Columns before.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns behind.
    pub right: usize,
}

impl Pads {
    /// The same on all four sides.
    pub fn all(p: usize) -> Self {
        Self { top: p, left: p, bottom: p, right: p }
    }
}

/// A pooling window, applied to each channel alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Padding; padded positions never win a maximum and add nothing to a sum. ONNX's
    /// `ceil_mode` becomes extra bottom and right padding at import.
    pub pads: Pads,
}

impl Window {
    /// Returns the output shape: `floor((n + pads - kernel) / stride) + 1` in each direction.
    ///
    /// Requires that the padded input is at least as large as the window.
    pub fn output(&self, input: TensorShape) -> TensorShape {
        let [kh, kw] = self.kernel;
        let [sh, sw] = self.stride;
        TensorShape {
            channels: input.channels,
            height: (input.height + self.pads.top + self.pads.bottom - kh) / sh + 1,
            width: (input.width + self.pads.left + self.pads.right - kw) / sw + 1,
        }
    }

    /// [`output`](Self::output) for a window that nobody has checked: `None` if it does not fit, if
    /// a window could lie in the padding alone, or if it is larger than any real one.
    pub fn checked_output(&self, input: TensorShape) -> Option<TensorShape> {
        let axis = |kernel: usize, stride: usize, before: usize, behind: usize, len: usize| {
            let sane = (1..=MAX_EXTENT).contains(&kernel)
                && (1..=MAX_EXTENT).contains(&stride)
                && before < kernel
                && behind < kernel.max(stride)
                && (1..=MAX_EXTENT).contains(&len);
            let padded = len.checked_add(before)?.checked_add(behind)?;
            if !sane || padded < kernel {
                return None;
            }
            let count = (padded - kernel) / stride + 1;
            // The last window must begin inside the input or its leading padding.
            ((count - 1) * stride < len + before).then_some(count)
        };
        let Pads { top, left, bottom, right } = self.pads;
        let [kh, kw] = self.kernel;
        let [sh, sw] = self.stride;
        Some(TensorShape {
            channels: input.channels,
            height: axis(kh, sh, top, bottom, input.height)?,
            width: axis(kw, sw, left, right, input.width)?,
        })
    }

    /// Returns input elements read over all windows, padding included: the work of a pool.
    pub(crate) fn taps(&self, input: TensorShape) -> u64 {
        let output = self.output(input);
        [output.height, output.width, self.kernel[0], self.kernel[1]]
            .iter()
            .fold(output.channels as u64, |product, n| product.saturating_mul(*n as u64))
    }

    /// Folds every window of `values` with `join`, from the window's first element on; an empty
    /// window gives the default.
    ///
    /// # Panics
    /// If there are fewer values than the input has elements.
    pub fn fold<T: Copy + Default + Send + Sync + Zeroize>(
        &self,
        input: TensorShape,
        values: &[T],
        join: impl Fn(T, &T) -> T + Sync,
    ) -> Vec<T> {
        self.folded(input, values, join, false)
    }

    /// The same for a `join` that gives the same in any order; with fewer joins where windows overlap.
    ///
    /// # Panics
    /// As [`fold`](Self::fold).
    pub fn fold_in_any_order<T: Copy + Default + Send + Sync + Zeroize>(
        &self,
        input: TensorShape,
        values: &[T],
        join: impl Fn(T, &T) -> T + Sync,
    ) -> Vec<T> {
        self.folded(input, values, join, true)
    }

    /// - `any_order`: the rows of windows are joined first, each once for all windows beside one another.
    #[expect(clippy::indexing_slicing, reason = "windows are cut off at the input's edges")]
    fn folded<T: Copy + Default + Send + Sync + Zeroize>(
        &self,
        input: TensorShape,
        values: &[T],
        join: impl Fn(T, &T) -> T + Sync,
        any_order: bool,
    ) -> Vec<T> {
        /// Elements from which on all threads take part.
        const PARALLEL: usize = 1 << 16;
        let output = self.output(input);
        let ([down, across], left) = (self.stride, self.pads.left);
        // Tap by tap in the windows' order, each for all outputs of a row: those that begin with it take
        // its value, all others join it.
        let phase = input.width.div_ceil(across);
        // By tap: outputs whose tap is no padding, where they read, and how many of them begin with it.
        let of_tap = |tap: usize| {
            let from = left.saturating_sub(tap).div_ceil(across);
            let end = (input.width + left).saturating_sub(tap).div_ceil(across).min(output.width);
            let at = from * across + tap - left;
            // Behind the first at most one, whose taps before are padding.
            let one = usize::from(from * across + tap == left);
            let begun = if tap == 0 { end.saturating_sub(from) } else { one };
            (from < end).then_some((from..end, at % across * phase + at / across, begun))
        };
        let taps = if self.kernel[1] > input.width { 0 } else { self.kernel[1] };
        let taps: Vec<_> = (0..taps).filter_map(of_tap).collect();
        let channel = |(c, result): (usize, &mut [T])| {
            // A row, split by column modulo the stride, so that every tap reads consecutive elements.
            let columns = if across > 1 { across.min(input.width) } else { 0 };
            let mut split = vec![T::default(); phase * columns];
            let mut joined = vec![T::default(); if any_order { input.width } else { 0 }];
            for (y, result) in result.chunks_exact_mut(output.width.max(1)).enumerate() {
                let start = y * down;
                let top = start.saturating_sub(self.pads.top).min(input.height);
                let bottom = (start + self.kernel[0]).saturating_sub(self.pads.top);
                if self.kernel[1] > input.width {
                    // Taps are mostly padding: window by window.
                    for (x, result) in result.iter_mut().enumerate() {
                        let start = x * across;
                        let from = start.saturating_sub(left).min(input.width);
                        let end = (start + self.kernel[1]).saturating_sub(left).min(input.width);
                        let mut window = (top..bottom.min(input.height))
                            .flat_map(|row| &values[input.index(c, row, 0)..][from..end]);
                        if let Some(first) = window.next() {
                            *result = window.fold(*first, &join);
                        }
                    }
                    continue;
                }
                let mut bottom = bottom.min(input.height);
                let row_of = |row: usize| &values[input.index(c, row, 0)..][..input.width];
                let at_once = any_order && top + 1 < bottom;
                if at_once {
                    joined.copy_from_slice(row_of(top));
                    for row in top + 1..bottom {
                        let both = joined.iter_mut().zip(row_of(row));
                        widest(|| both.for_each(|(sum, value)| *sum = join(*sum, value)));
                    }
                    bottom = top + 1;
                }
                for row in top..bottom {
                    let mut values = if at_once { &*joined } else { row_of(row) };
                    if across > 1 {
                        by_column(values, across, &mut split);
                        values = &split;
                    }
                    for (outputs, at, begun) in &taps {
                        let read = &values[*at..][..outputs.len()];
                        let own = &mut result[outputs.clone()];
                        let begun = if row == top { *begun } else { 0 };
                        own[..begun].copy_from_slice(&read[..begun]);
                        let both = own[begun..].iter_mut().zip(&read[begun..]);
                        widest(|| both.for_each(|(sum, value)| *sum = join(*sum, value)));
                    }
                }
            }
            // It may have held shares.
            split.zeroize();
            joined.zeroize();
        };
        let mut result = vec![T::default(); output.len()];
        let plane = (output.height * output.width).max(1);
        if input.len() < PARALLEL {
            result.chunks_exact_mut(plane).enumerate().for_each(channel);
        } else {
            result.par_chunks_exact_mut(plane).enumerate().for_each(channel);
        }
        result
    }

    /// For every output `[c, y, x]` in order: the input indices that lie in its window.
    pub fn gather(&self, input: TensorShape) -> Vec<Vec<usize>> {
        let output = self.output(input);
        let mut windows = Vec::with_capacity(output.len());
        for c in 0..output.channels {
            for y in 0..output.height {
                for x in 0..output.width {
                    let rows = (0..self.kernel[0])
                        .filter_map(|i| (y * self.stride[0] + i).checked_sub(self.pads.top))
                        .filter(|&row| row < input.height);
                    let window = rows.flat_map(|row| {
                        (0..self.kernel[1])
                            .filter_map(|j| (x * self.stride[1] + j).checked_sub(self.pads.left))
                            .filter(|&column| column < input.width)
                            .map(move |column| input.index(c, row, column))
                    });
                    windows.push(window.collect());
                }
            }
        }
        windows
    }
}

/// Splits a row by column modulo `across`, which is more than 1: `to[j n + i] = row[i across + j]`, n of each.
fn by_column<T: Copy>(row: &[T], across: usize, to: &mut [T]) {
    let count = row.len().div_ceil(across);
    if across == 2
        && let Some((even, odd)) = to.split_at_mut_checked(count)
    {
        // The one that is frequent, several at a time.
        let (pairs, last) = row.as_chunks::<2>();
        widest(|| {
            for (([a, b], even), odd) in pairs.iter().zip(even.iter_mut()).zip(odd) {
                (*even, *odd) = (*a, *b);
            }
        });
        even.iter_mut().skip(pairs.len()).zip(last).for_each(|(to, x)| *to = *x);
        return;
    }
    for (i, columns) in row.chunks(across).enumerate() {
        let own = to.iter_mut().skip(i).step_by(count.max(1));
        own.zip(columns).for_each(|(to, x)| *to = *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_folding_windows_agrees_with_gathering_them() {
        let values: Vec<i64> = (0..60).map(|i| (i * 37) % 23 - 11).collect();
        let windows = [
            ([2, 2], [2, 2], Pads::default()),
            ([3, 3], [2, 2], Pads::all(1)),
            ([3, 2], [1, 3], Pads { top: 2, left: 0, bottom: 1, right: 1 }),
            ([5, 6], [1, 1], Pads::default()),
            ([4, 5], [1, 2], Pads { top: 3, left: 4, bottom: 2, right: 3 }),
            ([1, 5], [2, 1], Pads { top: 0, left: 3, bottom: 0, right: 4 }),
            // Strides beyond the input: one output by row, and two.
            ([2, 3], [1, 9], Pads { top: 0, left: 2, bottom: 0, right: 0 }),
            ([1, 5], [1, 8], Pads { top: 0, left: 4, bottom: 0, right: 7 }),
        ];
        let inputs = [TensorShape::new(2, 5, 6), TensorShape::new(2, 6, 5)];
        for ((kernel, stride, pads), input) in
            windows.into_iter().flat_map(|window| inputs.map(|input| (window, input)))
        {
            let window = Window { kernel, stride, pads };
            let Some(output) = window.checked_output(input) else {
                assert_eq!((kernel, input.width), ([5, 6], 5));
                continue;
            };
            assert_eq!(output, window.output(input));
            let gathered = window.gather(input);
            let maxima: Vec<i64> =
                gathered.iter().map(|w| w.iter().map(|i| values[*i]).max().unwrap()).collect();
            let sums: Vec<i64> =
                gathered.iter().map(|w| w.iter().map(|i| values[*i]).sum()).collect();
            assert_eq!(window.fold(input, &values, |a, b| a.max(*b)), maxima);
            assert_eq!(window.fold(input, &values, |a, b| a + b), sums);
            assert_eq!(window.fold_in_any_order(input, &values, |a, b| a.max(*b)), maxima);
            assert_eq!(window.fold_in_any_order(input, &values, |a, b| a + b), sums);
            // In order, from the first element on.
            let digits = |mut w: std::slice::Iter<'_, usize>| {
                let first = w.next().map(|i| values[*i]);
                w.fold(first.unwrap_or(0), |a, i| a.wrapping_mul(31) + values[*i])
            };
            let in_order: Vec<i64> = gathered.iter().map(|w| digits(w.iter())).collect();
            assert_eq!(window.fold(input, &values, |a, b| a.wrapping_mul(31) + b), in_order);
        }
    }

    #[test]
    fn adversarial_windows_that_do_not_fit_are_refused() {
        let input = TensorShape::new(1, 4, 4);
        let window = |kernel, stride, pads| Window { kernel, stride, pads }.checked_output(input);
        assert_eq!(window([5, 1], [1, 1], Pads::default()), None);
        assert_eq!(window([0, 1], [1, 1], Pads::default()), None);
        assert_eq!(window([1, 1], [1, 0], Pads::default()), None);
        assert_eq!(window([2, 2], [1, 1], Pads::all(2)), None);
        assert_eq!(window([2, 2], [1, 1], Pads::all(usize::MAX)), None);
        assert_eq!(window([usize::MAX, 2], [1, 1], Pads::all(1)), None);
    }
}
