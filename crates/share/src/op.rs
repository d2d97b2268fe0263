//! Linear operators: public shapes; weights are the server's.

use serde::{Deserialize, Serialize};

use crate::shape::{Pads, TensorShape};

/// A two-dimensional convolution (ONNX `Conv`, cross-correlation).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv2d {
    /// Input `[channels, height, width]`.
    pub input: TensorShape,
    /// Output channels.
    pub maps: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Zero padding.
    pub pads: Pads,
    /// Distance between kernel taps, 1 = dense.
    pub dilation: [usize; 2],
    /// Groups; divides `channels` and `maps`.
    pub groups: usize,
}

impl Conv2d {
    /// `[maps, rows, columns]`.
    pub fn output(&self) -> TensorShape {
        let [kh, kw] = self.kernel;
        let span_h = self.dilation[0] * (kh - 1) + 1;
        let span_w = self.dilation[1] * (kw - 1) + 1;
        TensorShape {
            channels: self.maps,
            height: (self.input.height + self.pads.top + self.pads.bottom - span_h) / self.stride[0]
                + 1,
            width: (self.input.width + self.pads.left + self.pads.right - span_w) / self.stride[1]
                + 1,
        }
    }
}

/// A linear operator without its weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LinearOp {
    /// Weights `[maps, channels / groups, kernel rows, kernel columns]`.
    Conv(Conv2d),
    /// Weights `[outputs, inputs]`, row-major: `y = W x`.
    FullyConnected {
        /// Columns of W.
        inputs: usize,
        /// Rows of W.
        outputs: usize,
    },
}

impl LinearOp {
    /// Input elements.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.input.len(),
            Self::FullyConnected { inputs, .. } => *inputs,
        }
    }

    /// Output shape.
    pub fn output_shape(&self) -> TensorShape {
        match self {
            Self::Conv(conv) => conv.output(),
            Self::FullyConnected { outputs, .. } => TensorShape::vector(*outputs),
        }
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        match self {
            Self::Conv(c) => c.maps * (c.input.channels / c.groups) * c.kernel[0] * c.kernel[1],
            Self::FullyConnected { inputs, outputs } => inputs * outputs,
        }
    }

    /// Plaintext multiply-adds.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Conv(c) => {
                let taps = c.input.channels / c.groups * c.kernel[0] * c.kernel[1];
                (taps * c.output().len()) as u64
            }
            Self::FullyConnected { inputs, outputs } => (inputs * outputs) as u64,
        }
    }
}
