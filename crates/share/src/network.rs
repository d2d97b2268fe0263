//! A fixed-point network: the public architecture and the server's weights.
//!
//! [`ArchitectureParts`] may hold anything; an [`Architecture`] and a [`Network`] hold only what was
//! checked, so that nobody checks again.

pub(crate) mod architecture;
pub(crate) mod builder;
mod check;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use architecture::Architecture;

use crate::error::ProtocolError;
use crate::local::LocalMap;
use crate::op::{LinearOp, LinearWeights};
use crate::shape::TensorShape;
use crate::step::{Step, StepOutput};

/// Names a tensor of one architecture.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TensorId(usize);

impl TensorId {
    /// The network's input.
    pub const INPUT: Self = Self(0);

    /// Returns the tensor at this place of [`ArchitectureParts::tensors`].
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its place.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Names a node of one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl NodeId {
    /// Its place in [`Architecture::nodes`].
    pub const fn index(self) -> usize {
        self.0
    }
}

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
    /// g: a value y is shared as `2^g y + E`, E the error of ciphertexts, within `ring_bits`. Only
    /// outputs of linear nodes and sums of them have guard bits; the step that reads them drops
    /// them (docs/protocol.md, 3.8).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guard_bits: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(bits: &u32) -> bool {
    *bits == 0
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

impl Node {
    /// Returns the first tensor that the node reads; the only one of a `Linear` or `Step`.
    ///
    /// # Panics
    /// If the node reads nothing; those of an [`Architecture`] all read something.
    #[expect(clippy::indexing_slicing, reason = "an architecture's nodes all have an input")]
    pub fn input(&self) -> TensorId {
        self.inputs[0]
    }
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

impl NodeKind {
    /// Tells whether the client's share of the output is a mask, known before any linear layer is;
    /// `inputs`: whether its shares of all inputs are.
    pub(crate) fn is_masked(&self, inputs: bool) -> bool {
        match self {
            Self::Linear(_) => false,
            Self::Step(step) => matches!(step.output, StepOutput::Masked { .. }),
            Self::Local(_) => inputs,
        }
    }

    /// Returns the bits by which the input at `position` is shifted left on its way to the output.
    ///
    /// # Panics
    /// If a checked node has no such input.
    #[expect(clippy::indexing_slicing, reason = "a sum that was checked has a shift per input")]
    pub fn shift(&self, position: usize) -> u32 {
        match self {
            Self::Local(LocalMap::Add { shifts }) => shifts[position],
            _ => 0,
        }
    }
}

/// The parts of an [`Architecture`], unchecked. Nodes are in topological order; tensor 0 is the
/// input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchitectureParts {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All operations; the last one reveals the output.
    pub nodes: Vec<Node>,
    /// The revealed tensor: `scale` is the reveal resolution's exponent (4 for 1/16).
    pub output: TensorId,
    /// Empty, or one per channel of the input: its elements are integers `x * 2^(scale + shift)`,
    /// since features of a table may differ in size by far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_shifts: Vec<u8>,
}

/// An architecture and the server's weights for it, checked.
#[derive(Debug, Clone)]
pub struct Network {
    architecture: Architecture,
    /// By node.
    weights: Vec<LinearWeights>,
}

impl Network {
    /// Checks that every linear node has its weights and bias, every [`LocalMap::AddBias`] its bias,
    /// and no other node anything. `weights[i]` belongs to node i; the default where it has none.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] names the node.
    pub fn new(
        architecture: Architecture,
        weights: Vec<LinearWeights>,
    ) -> Result<Self, ProtocolError> {
        check::weights(&architecture, &weights)?;
        Ok(Self { architecture, weights })
    }

    /// Returns the public part.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The architecture, and the weights by node.
    pub fn into_parts(self) -> (Architecture, Vec<LinearWeights>) {
        (self.architecture, self.weights)
    }

    /// A node's weights and bias; empty where it has none.
    ///
    /// # Panics
    /// If `node` is of another architecture and lies beyond the end of this one.
    #[expect(clippy::indexing_slicing, reason = "there are as many as nodes")]
    pub fn weights(&self, node: NodeId) -> &LinearWeights {
        &self.weights[node.0]
    }

    /// Nodes in topological order with their weights.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = (&Node, &LinearWeights)> {
        self.architecture.nodes().iter().zip(&self.weights)
    }

    /// The same weights under another architecture, of as many nodes.
    ///
    /// # Errors
    /// As [`new`](Self::new); the network stays as it was.
    pub fn set_architecture(&mut self, architecture: Architecture) -> Result<(), ProtocolError> {
        check::weights(&architecture, &self.weights)?;
        self.architecture = architecture;
        Ok(())
    }
}
