//! Linear operators: public shapes; and the weights, which are the server's.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::shape::{MAX_EXTENT, Pads, TensorShape};

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
            height: (self.input.height + self.pads.top + self.pads.bottom - span_h)
                / self.stride[0]
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

impl Conv2d {
    /// [`output`](Self::output) for a convolution that nobody has checked.
    fn checked_output(&self) -> Option<TensorShape> {
        self.input.checked_len(MAX_ELEMENTS)?;
        let axis =
            |len: usize, before: usize, behind: usize, [kernel, stride, dilation]: [usize; 3]| {
                let sane =
                    [len, kernel, stride, dilation].iter().all(|n| (1..=MAX_EXTENT).contains(n))
                        && before <= MAX_EXTENT
                        && behind <= MAX_EXTENT;
                if !sane {
                    return None;
                }
                let span = dilation * (kernel - 1) + 1;
                (len + before + behind).checked_sub(span).map(|room| room / stride + 1)
            };
        let ([kh, kw], [sh, sw], [dh, dw]) = (self.kernel, self.stride, self.dilation);
        let pads = self.pads;
        let grouped = self.groups > 0
            && self.maps > 0
            && self.input.channels.is_multiple_of(self.groups)
            && self.maps.is_multiple_of(self.groups);
        let output = TensorShape {
            channels: grouped.then_some(self.maps)?,
            height: axis(self.input.height, pads.top, pads.bottom, [kh, sh, dh])?,
            width: axis(self.input.width, pads.left, pads.right, [kw, sw, dw])?,
        };
        output.checked_len(MAX_ELEMENTS)?;
        let padded = TensorShape {
            channels: self.input.channels,
            height: self.input.height + pads.top + pads.bottom,
            width: self.input.width + pads.left + pads.right,
        };
        padded.checked_len(MAX_ELEMENTS)?;
        let kernels = TensorShape::new(self.maps, self.input.channels / self.groups, kh);
        kernels.checked_len(MAX_ELEMENTS)?.checked_mul(kw).filter(|n| *n <= MAX_ELEMENTS)?;
        Some(output)
    }
}

/// Elements of one tensor or one operator's weights at most.
pub(crate) const MAX_ELEMENTS: usize = 1 << 28;
/// Multiply-adds of one operator at most.
pub(crate) const MAX_MACS: u64 = 1 << 40;

impl LinearOp {
    /// Checks that all shapes fit together and stay within 2^28 elements and 2^40 multiply-adds; bounded
    /// work for any contents. The other methods need an operator that passes.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        let fits = match self {
            Self::Conv(conv) => conv.checked_output().is_some(),
            Self::FullyConnected { inputs, outputs } => {
                TensorShape::new(*inputs, *outputs, 1).checked_len(MAX_ELEMENTS).is_some()
            }
        };
        if fits && self.macs() <= MAX_MACS {
            Ok(())
        } else {
            Err(format!("shapes do not fit, or are too large: {self:?}"))
        }
    }

    /// Returns the number of input elements.
    pub fn input_len(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.input.len(),
            Self::FullyConnected { inputs, .. } => *inputs,
        }
    }

    /// Returns the output shape.
    pub fn output_shape(&self) -> TensorShape {
        match self {
            Self::Conv(conv) => conv.output(),
            Self::FullyConnected { outputs, .. } => TensorShape::vector(*outputs),
        }
    }

    /// The operator with a single output (one per channel group): two operators that read the same
    /// tensor and agree in this read it alike, and may share a request.
    #[must_use]
    pub fn reader(&self) -> Self {
        match self {
            Self::Conv(conv) => Self::Conv(Conv2d { maps: conv.groups, ..conv.clone() }),
            Self::FullyConnected { inputs, .. } => {
                Self::FullyConnected { inputs: *inputs, outputs: 1 }
            }
        }
    }

    /// Returns the number of weights.
    pub fn weight_len(&self) -> usize {
        match self {
            Self::Conv(c) => c.maps * (c.input.channels / c.groups) * c.kernel[0] * c.kernel[1],
            Self::FullyConnected { inputs, outputs } => inputs * outputs,
        }
    }

    /// Returns the number of plaintext multiply-adds.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Conv(c) => {
                let taps = c.input.channels / c.groups * c.kernel[0] * c.kernel[1];
                taps as u64 * c.output().len() as u64
            }
            Self::FullyConnected { inputs, outputs } => *inputs as u64 * *outputs as u64,
        }
    }
}

/// A linear node's integer weights, at scale 2^fw, and bias, at the output tensor's scale; bias alone
/// for [`LocalMap::AddBias`](crate::LocalMap::AddBias). Wiped on drop, never printed.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LinearWeights {
    /// Layout: see [`LinearOp`].
    pub weights: Vec<i32>,
    /// One per output map (channel), or one per output element.
    pub bias: Vec<i64>,
}

impl std::fmt::Debug for LinearWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinearWeights {{ {} weights, .. }}", self.weights.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv() -> Conv2d {
        Conv2d {
            input: TensorShape::new(4, 6, 5),
            maps: 8,
            kernel: [3, 3],
            stride: [2, 2],
            pads: Pads::all(1),
            dilation: [1, 1],
            groups: 2,
        }
    }

    #[test]
    fn known_answer_counts_of_a_grouped_convolution() {
        let op = LinearOp::Conv(conv());
        assert_eq!(op.check(), Ok(()));
        assert_eq!(op.output_shape(), TensorShape::new(8, 3, 3));
        assert_eq!((op.weight_len(), op.macs()), (8 * 2 * 9, 8 * 2 * 9 * 9));
    }

    #[test]
    fn adversarial_operators_that_do_not_fit_are_refused() {
        let wrong: [fn(&mut Conv2d); 9] = [
            |c| c.groups = 0,
            |c| c.groups = 3,
            |c| c.maps = 0,
            |c| c.maps = usize::MAX,
            |c| c.stride = [0, 1],
            |c| c.kernel = [9, 9],
            |c| c.pads = Pads::all(usize::MAX / 2),
            |c| c.dilation = [usize::MAX, 1],
            |c| c.input = TensorShape::new(usize::MAX, 2, 2),
        ];
        for change in wrong {
            let mut conv = conv();
            change(&mut conv);
            assert!(LinearOp::Conv(conv).check().is_err());
        }
        let fc = LinearOp::FullyConnected { inputs: usize::MAX, outputs: 2 };
        assert!(fc.check().is_err());
        assert!(LinearOp::FullyConnected { inputs: 0, outputs: 2 }.check().is_err());
    }
}
