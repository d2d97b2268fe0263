//! The network in floating point: what the importer makes and the passes rewrite.

use gazelle_share::{LinearOp, LocalMap, TensorShape, Window};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::ModelError;

/// A tensor of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphTensor {
    /// The ONNX value's name, or one made up.
    pub name: String,
    /// Shape without the batch axis.
    pub shape: TensorShape,
}

/// An operation of a [`Graph`].
#[derive(Debug, Clone, PartialEq)]
pub struct GraphNode {
    /// The ONNX node's name, or one made up.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Tensors read.
    pub inputs: Vec<usize>,
    /// Tensor written.
    pub output: usize,
}

impl GraphNode {
    /// The first tensor read, which all operations have.
    #[expect(clippy::indexing_slicing, reason = "`Graph::check`")]
    pub(crate) fn input(&self) -> usize {
        self.inputs[0]
    }
}

/// What a [`GraphNode`] does. Weights do not print, and are wiped on drop.
#[derive(Clone, PartialEq)]
pub enum Op {
    /// A convolution or fully connected layer; layouts as in [`LinearOp`] and
    /// [`LinearWeights`](gazelle_share::LinearWeights).
    Linear {
        /// Shapes.
        op: LinearOp,
        /// Weights.
        weights: Vec<f32>,
        /// One per output map, or one per output element.
        bias: Vec<f32>,
    },
    /// `scale x + shift`, each one per channel or one per element.
    Affine {
        /// Factors.
        scale: Vec<f32>,
        /// Summands.
        shift: Vec<f32>,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`.
    Clip {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// `x` where positive, `slope x` elsewhere; one slope per channel, or one for all.
    LeakyRelu {
        /// Slopes.
        slopes: Vec<f32>,
    },
    /// Maximum over windows; then `max(., 0)` if `relu`.
    MaxPool {
        /// The windows.
        window: Window,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// Sum over windows divided by `divisor`.
    AveragePool {
        /// The windows.
        window: Window,
        /// Usually the window's size.
        divisor: f32,
    },
    /// `x^2`.
    Square,
    /// Product of two tensors, elementwise.
    Multiply,
    /// A map on positions, or a sum (all shifts zero).
    Local(LocalMap),
}

impl Drop for Op {
    fn drop(&mut self) {
        match self {
            Self::Linear { weights: first, bias: second, .. }
            | Self::Affine { scale: first, shift: second } => {
                first.zeroize();
                second.zeroize();
            }
            Self::LeakyRelu { slopes } => slopes.zeroize(),
            _ => {}
        }
    }
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Linear { op, .. } => {
                f.debug_struct("Linear").field("op", op).finish_non_exhaustive()
            }
            Self::Affine { .. } => f.debug_struct("Affine").finish_non_exhaustive(),
            Self::Relu => f.write_str("Relu"),
            Self::Clip { low, high } => {
                f.debug_struct("Clip").field("low", low).field("high", high).finish()
            }
            Self::LeakyRelu { .. } => f.debug_struct("LeakyRelu").finish_non_exhaustive(),
            Self::MaxPool { window, relu } => {
                f.debug_struct("MaxPool").field("window", window).field("relu", relu).finish()
            }
            Self::AveragePool { window, divisor } => f
                .debug_struct("AveragePool")
                .field("window", window)
                .field("divisor", divisor)
                .finish(),
            Self::Square => f.write_str("Square"),
            Self::Multiply => f.write_str("Multiply"),
            Self::Local(map) => f.debug_tuple("Local").field(map).finish(),
        }
    }
}

/// Whether every factor is exactly one: what is left of an affine map is its summands.
pub(crate) fn all_ones(scale: &[f32]) -> bool {
    scale.iter().all(|factor| factor.to_bits() == 1f32.to_bits())
}

/// What the client computes in the clear on what it has learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `exp(x_i) / sum exp(x_j)`.
    Softmax,
    /// The logarithm of that.
    LogSoftmax,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// A softmax of its own at each position of a map: the output is `[outer, classes, inner]`.
    SoftmaxOf {
        /// Values that sum to one.
        classes: usize,
        /// Their distance.
        inner: usize,
    },
    /// The logarithm of that.
    LogSoftmaxOf {
        /// Values that belong together.
        classes: usize,
        /// Their distance.
        inner: usize,
    },
    /// The index of the largest value, of equal ones the first: revealed by itself as a rule.
    ArgMax,
    /// `sqrt(max(x, 0))`.
    SquareRoot,
}

impl Activation {
    /// Whether so many values fall into whole groups.
    pub(crate) fn fits(self, len: usize) -> bool {
        match self {
            Self::Softmax | Self::LogSoftmax | Self::Sigmoid | Self::SquareRoot => true,
            Self::ArgMax => len > 0,
            Self::SoftmaxOf { classes, inner } | Self::LogSoftmaxOf { classes, inner } => classes
                .checked_mul(inner)
                .and_then(|group| len.checked_rem(group))
                .is_some_and(|rest| rest == 0 && len > 0),
        }
    }

    /// What the file's output is for these logits; they themselves if they do not fall into whole
    /// groups.
    pub fn apply(self, logits: &[f64]) -> Vec<f64> {
        let (classes, inner, logarithm) = match self {
            Self::Sigmoid => return logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
            Self::SquareRoot => return logits.iter().map(|x| x.max(0.0).sqrt()).collect(),
            Self::ArgMax => return vec![first_largest(logits.iter().copied()) as f64],
            Self::Softmax => (logits.len(), 1, false),
            Self::LogSoftmax => (logits.len(), 1, true),
            Self::SoftmaxOf { classes, inner } => (classes, inner, false),
            Self::LogSoftmaxOf { classes, inner } => (classes, inner, true),
        };
        let mut result = logits.to_vec();
        if !self.fits(logits.len()) {
            return result;
        }
        for block in result.chunks_mut((classes * inner).max(1)) {
            for column in 0..inner {
                let of = || block.iter().skip(column).step_by(inner);
                let largest = of().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = of().map(|x| (x - largest).exp()).sum();
                for x in block.iter_mut().skip(column).step_by(inner) {
                    *x -= largest + sum.ln();
                    if !logarithm {
                        *x = x.exp();
                    }
                }
            }
        }
        result
    }
}

impl Activation {
    /// The largest class at each position of a map, the first of equals; nothing where the output is
    /// no map.
    pub fn class_map(self, logits: &[f64]) -> Option<Vec<usize>> {
        let (Self::SoftmaxOf { classes, inner } | Self::LogSoftmaxOf { classes, inner }) = self
        else {
            return None;
        };
        if !self.fits(logits.len()) {
            return None;
        }
        let blocks = logits.chunks((classes * inner).max(1));
        let of = |(block, column): (&[f64], usize)| {
            first_largest(block.iter().skip(column).step_by(inner.max(1)).copied())
        };
        Some(
            blocks
                .flat_map(|block| (0..inner).map(move |column| (block, column)))
                .map(of)
                .collect(),
        )
    }

    /// How far a value of the activation is off at most where these logits are off by `tolerance`.
    pub fn tolerance(self, logits: &[f64], tolerance: f64) -> f64 {
        match self {
            Self::Softmax | Self::Sigmoid | Self::SoftmaxOf { .. } => tolerance,
            // The value's own error and that of the logarithm of the sum.
            Self::LogSoftmax | Self::LogSoftmaxOf { .. } => 2.0 * tolerance,
            Self::ArgMax => 0.0,
            Self::SquareRoot => {
                let off = |x: &f64| {
                    let root = |x: f64| x.max(0.0).sqrt();
                    (root(x + tolerance) - root(*x)).max(root(*x) - root(x - tolerance))
                };
                logits.iter().map(off).fold(0.0, f64::max)
            }
        }
    }
}

/// The place of the largest value, of equal ones the first; 0 of none.
fn first_largest(values: impl Iterator<Item = f64>) -> usize {
    let larger =
        |best: (usize, f64), (at, x): (usize, f64)| if x > best.1 { (at, x) } else { best };
    values.enumerate().fold((0, f64::NEG_INFINITY), larger).0
}

/// Values `(q - zero) step` for whole numbers q between `low` and `high`: what a network that was
/// quantised elsewhere makes of its input. The client rounds, in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputGrid {
    /// Distance of neighbouring values; above zero.
    pub step: f32,
    /// The whole number that stands for zero.
    pub zero: f32,
    /// The least whole number.
    pub low: f32,
    /// The largest.
    pub high: f32,
}

impl InputGrid {
    /// The nearest value on the grid, of two the even one.
    pub(crate) fn round(&self, x: f32) -> f32 {
        let q = ((x / self.step).round_ties_even() + self.zero).max(self.low).min(self.high);
        (q - self.zero) * self.step
    }

    /// Whether all its numbers make sense.
    pub(crate) fn is_sound(&self) -> bool {
        let all = [self.step, self.zero, self.low, self.high];
        all.iter().all(|x| x.is_finite()) && self.step > 0.0 && self.low <= self.high
    }
}

/// A network. Nodes are in topological order; tensor 0 is the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<GraphTensor>,
    /// All operations.
    pub nodes: Vec<GraphNode>,
    /// The output tensor.
    pub output: usize,
    /// What follows in the clear.
    pub activation: Option<Activation>,
    /// Whether something stands behind that activation in the file: the file's output is then what
    /// the client reads, else the logits in front.
    pub activated_output: bool,
    /// The values that the input may have, where the file rounds it before anything else.
    pub input_grid: Option<InputGrid>,
    /// The input's axes as the file has them, batch included.
    pub input_dims: Vec<usize>,
}

impl Graph {
    /// A graph with nothing but its input.
    pub fn new(name: &str, shape: TensorShape, input_dims: Vec<usize>) -> Self {
        let input = GraphTensor { name: name.into(), shape };
        Self {
            tensors: vec![input],
            nodes: Vec::new(),
            output: 0,
            activation: None,
            activated_output: false,
            input_grid: None,
            input_dims,
        }
    }

    /// Appends an operation; gives its output.
    pub fn push(&mut self, name: &str, op: Op, inputs: Vec<usize>, shape: TensorShape) -> usize {
        let output = self.tensors.len();
        self.tensors.push(GraphTensor { name: name.into(), shape });
        self.nodes.push(GraphNode { name: name.into(), op, inputs, output });
        output
    }

    /// Says that every node reads something, and that all it names are tensors of this graph: what
    /// is told behind this by an index is there.
    ///
    /// # Errors
    /// [`ModelError::Internal`] names the first node of which that is not so.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let known = |id: &usize| *id < self.tensors.len();
        let sound = |node: &GraphNode| {
            !node.inputs.is_empty() && node.inputs.iter().chain([&node.output]).all(known)
        };
        if let Some(node) = self.nodes.iter().find(|node| !sound(node)) {
            return Err(ModelError::Internal(format!("node {:?} has no place", node.name)));
        }
        if known(&self.output) { Ok(()) } else { Err(ModelError::Internal("no output".into())) }
    }

    /// Shape of a tensor.
    ///
    /// # Panics
    /// If there is no such tensor.
    #[expect(clippy::indexing_slicing, reason = "`Graph::check`")]
    pub fn shape(&self, tensor: usize) -> TensorShape {
        self.tensors[tensor].shape
    }

    /// Shape of the input.
    pub fn input_shape(&self) -> TensorShape {
        self.shape(0)
    }

    /// Nodes that read each tensor; the output counts as read once more.
    #[expect(clippy::indexing_slicing, reason = "`Graph::check`")]
    pub(crate) fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.tensors.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                readers[*input].push(index);
            }
        }
        readers[self.output].push(usize::MAX);
        readers
    }

    /// Multiply-adds of all linear operators.
    pub fn macs(&self) -> u64 {
        let macs = |node: &GraphNode| match &node.op {
            Op::Linear { op, .. } => op.macs(),
            _ => 0,
        };
        self.nodes.iter().map(macs).sum()
    }
}
