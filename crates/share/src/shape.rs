//! Shapes of tensors and windows.

use serde::{Deserialize, Serialize};

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

    /// Number of elements.
    #[expect(clippy::len_without_is_empty, reason = "shapes are never empty")]
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Row-major index of `[c, y, x]`.
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
    /// Output shape: `floor((n + pads - kernel) / stride) + 1` in each direction.
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
