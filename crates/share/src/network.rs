//! A fixed-point network: the public architecture and the server's weights.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::local::LocalMap;
use crate::op::LinearOp;
use crate::shape::TensorShape;
use crate::step::Step;

/// Index into [`Architecture::tensors`].
pub type TensorId = usize;

/// A tensor of the network: public facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// For messages and reports.
    pub name: String,
    /// Shape.
    pub shape: TensorShape,
    /// Values are integers `x * 2^scale`.
    pub scale: i32,
    /// Ring width of its shares.
    pub ring_bits: u32,
    /// Bits that hold its values, sign included.
    pub value_bits: u32,
}

/// One operation; inputs and output are tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The ONNX node's name, or one made up.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// What it reads; a `Linear` or `Step` reads exactly one.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// What a [`Node`] does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeKind {
    /// Reads a *masked* tensor (the network's input, a step's output, or a relabelling or local
    /// map of such), modulo its ring; the result is reduced into the output tensor's ring, which
    /// is at most as wide. The bias is added to the server's share.
    Linear(LinearOp),
    /// Reads any shared tensor, writes a masked one or reveals.
    Step(Step),
    /// Acts on both shares alike.
    Local(LocalMap),
}

/// The public part of a network. Nodes are in topological order; tensor 0 is the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All operations; the last one reveals the output.
    pub nodes: Vec<Node>,
    /// The revealed tensor: `scale` is the reveal resolution's exponent (4 for 1/16).
    pub output: TensorId,
}

/// A linear node's integer weights, at scale 2^fw, and bias, at the output tensor's scale.
/// Wiped on drop, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
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

/// Architecture and weights; `weights[i]` belongs to `nodes[i]` where that is linear.
#[derive(Debug, Clone)]
pub struct Network {
    /// The public part.
    pub architecture: Architecture,
    /// The server's part.
    pub weights: Vec<Option<LinearWeights>>,
}
