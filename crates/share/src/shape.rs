//! Shapes of tensors and windows.

use serde::{Deserialize, Serialize};

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
    #[expect(clippy::indexing_slicing, reason = "windows are cut off at the input's edges")]
    pub fn fold<T: Copy + Default>(
        &self,
        input: TensorShape,
        values: &[T],
        join: impl Fn(T, &T) -> T,
    ) -> Vec<T> {
        let output = self.output(input);
        let mut result = Vec::with_capacity(output.len());
        let range = |at: usize, stride: usize, before: usize, kernel: usize, len: usize| {
            let start = at * stride;
            (
                start.saturating_sub(before).min(len),
                (start + kernel).saturating_sub(before).min(len),
            )
        };
        for c in 0..output.channels {
            for y in 0..output.height {
                let (top, bottom) =
                    range(y, self.stride[0], self.pads.top, self.kernel[0], input.height);
                for x in 0..output.width {
                    let (left, right) =
                        range(x, self.stride[1], self.pads.left, self.kernel[1], input.width);
                    let window = (top..bottom).flat_map(|row| {
                        let start = input.index(c, row, left);
                        &values[start..start + (right - left)]
                    });
                    let folded = window.fold(None, |sum: Option<T>, value| {
                        Some(match sum {
                            Some(sum) => join(sum, value),
                            None => *value,
                        })
                    });
                    // optional: an empty window gives the default
                    result.push(folded.unwrap_or_default());
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_folding_windows_agrees_with_gathering_them() {
        let input = TensorShape::new(2, 5, 6);
        let values: Vec<i64> = (0..60).map(|i| (i * 37) % 23 - 11).collect();
        for (kernel, stride, pads) in [
            ([2, 2], [2, 2], Pads::default()),
            ([3, 3], [2, 2], Pads::all(1)),
            ([3, 2], [1, 3], Pads { top: 2, left: 0, bottom: 1, right: 1 }),
            ([5, 6], [1, 1], Pads::default()),
        ] {
            let window = Window { kernel, stride, pads };
            assert_eq!(window.checked_output(input), Some(window.output(input)));
            let gathered = window.gather(input);
            let maxima: Vec<i64> =
                gathered.iter().map(|w| w.iter().map(|i| values[*i]).max().unwrap()).collect();
            let sums: Vec<i64> =
                gathered.iter().map(|w| w.iter().map(|i| values[*i]).sum()).collect();
            assert_eq!(window.fold(input, &values, |a, b| a.max(*b)), maxima);
            assert_eq!(window.fold(input, &values, |a, b| a + b), sums);
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
