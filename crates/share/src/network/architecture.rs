//! A checked architecture: who holds one may rely on every index, shape, width and ring condition.

#![expect(clippy::indexing_slicing, reason = "ids of an architecture are places in it")]

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize, Serializer};

use super::{ArchitectureParts, Node, NodeId, NodeKind, Tensor, TensorId};
use crate::error::ProtocolError;
use crate::local::LocalMap;

/// The public part of a network, checked when it was made or decoded.
///
/// Methods that take an id panic on one of a larger architecture, and on no other.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "ArchitectureParts")]
pub struct Architecture {
    parts: ArchitectureParts,
    masked: TensorMap<bool>,
}

impl Architecture {
    /// Checks everything that a description from a stranger may get wrong: every index, shape,
    /// width and ring condition (protocol.md 2 and 5.1), in time linear in the parts.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] names the node and what does not hold.
    pub fn new(parts: ArchitectureParts) -> Result<Self, ProtocolError> {
        let masked = TensorMap(parts.check()?);
        Ok(Self { parts, masked })
    }

    /// Returns all tensors; the first one is the input.
    pub fn tensors(&self) -> &[Tensor] {
        &self.parts.tensors
    }

    /// Returns all operations in topological order; the last one reveals the output.
    pub fn nodes(&self) -> &[Node] {
        &self.parts.nodes
    }

    /// Returns the names of all nodes, in the same order.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.parts.nodes.len()).map(NodeId)
    }

    /// Returns the tensor of this name.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.parts.tensors[id.0]
    }

    /// Returns the node of this name.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.parts.nodes[id.0]
    }

    /// Returns the network's input.
    pub fn input(&self) -> &Tensor {
        self.tensor(TensorId::INPUT)
    }

    /// Returns the scale of an input channel's values: integers `x * 2^scale`.
    pub fn input_scale(&self, channel: usize) -> i32 {
        let scale = self.input().scale;
        match self.parts.input_shifts.get(channel) {
            Some(shift) => scale + i32::from(*shift),
            None => scale,
        }
    }

    /// Returns what the last node reveals.
    pub fn output(&self) -> TensorId {
        self.parts.output
    }

    /// Returns the last node, which reveals the output.
    pub fn last(&self) -> &Node {
        &self.parts.nodes[self.parts.nodes.len() - 1]
    }

    /// Tells whether the client's share of a tensor is a mask: of the input, of a step's output, and of
    /// what local maps make of such.
    pub fn is_masked(&self, id: TensorId) -> bool {
        self.masked[id]
    }

    /// The same `value` for every tensor.
    pub fn per_tensor<T: Clone>(&self, value: T) -> TensorMap<T> {
        TensorMap::new(value, self.parts.tensors.len())
    }

    /// Per tensor: [`is_masked`](Self::is_masked).
    pub fn masked(&self) -> &TensorMap<bool> {
        &self.masked
    }

    /// Says whether every step drops its bits exactly: then the private result is a function of the input
    /// alone, the fixed-point reference's.
    pub fn is_exact(&self) -> bool {
        let local =
            |node: &Node| matches!(&node.kind, NodeKind::Step(step) if step.rounding.is_local());
        !self.nodes().iter().any(local)
    }

    /// Counts, per tensor, how many errors of linear outputs its elements add up at most, each counted as
    /// often as it is added, and `2^shift` times where it is shifted. Guard bits have to take up so
    /// many (docs/protocol.md, 3.8).
    pub fn added_errors(&self) -> TensorMap<u32> {
        let mut errors = self.per_tensor(0u32);
        for node in self.nodes() {
            let inputs = node.inputs.iter().map(|input| errors[*input]);
            errors[node.output] = match &node.kind {
                NodeKind::Linear(_) => 1,
                NodeKind::Step(_) => 0,
                NodeKind::Local(LocalMap::Add { shifts }) => inputs
                    .zip(shifts)
                    .map(|(errors, shift)| errors.saturating_mul(1 << (*shift).min(31)))
                    .fold(0, u32::saturating_add),
                NodeKind::Local(LocalMap::SumPool(window)) => {
                    let taps = window.kernel[0].saturating_mul(window.kernel[1]);
                    // More than 2^32 are too many as well.
                    let taps = taps.min(u32::MAX as usize) as u32;
                    inputs.fold(0, u32::max).saturating_mul(taps)
                }
                NodeKind::Local(_) => inputs.fold(0, u32::max),
            };
        }
        errors
    }

    /// The same network without the names that its maker gave to nodes and tensors: nodes are numbered
    /// by kind (`linear 1`, `step 4`), tensors in all (`t7`).
    #[must_use]
    pub fn with_anonymous_names(mut self) -> Self {
        let [mut linear, mut steps, mut local] = [0; 3];
        for node in &mut self.parts.nodes {
            let (kind, count) = match &node.kind {
                NodeKind::Linear(_) => ("linear", &mut linear),
                NodeKind::Step(_) => ("step", &mut steps),
                NodeKind::Local(_) => ("local", &mut local),
            };
            *count += 1;
            node.name = format!("{kind} {count}");
        }
        for (number, tensor) in self.parts.tensors.iter_mut().enumerate() {
            tensor.name = format!("t{number}");
        }
        self
    }

    /// Returns the parts, to be changed and checked again.
    pub fn into_parts(self) -> ArchitectureParts {
        self.parts
    }
}

impl TryFrom<ArchitectureParts> for Architecture {
    type Error = ProtocolError;

    fn try_from(parts: ArchitectureParts) -> Result<Self, ProtocolError> {
        Self::new(parts)
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

/// A value for each tensor of an architecture; see [`Architecture::per_tensor`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorMap<T>(Vec<T>);

impl<T: Clone> TensorMap<T> {
    /// The same `value` for each of `count` tensors.
    pub fn new(value: T, count: usize) -> Self {
        Self(vec![value; count])
    }
}

impl<T> TensorMap<T> {
    /// Appends the value of one more tensor.
    pub fn push(&mut self, value: T) {
        self.0.push(value);
    }

    /// Returns all values with the tensors that they belong to.
    pub fn iter(&self) -> impl Iterator<Item = (TensorId, &T)> {
        self.0.iter().enumerate().map(|(index, value)| (TensorId(index), value))
    }
}

impl<T> Index<TensorId> for TensorMap<T> {
    type Output = T;

    fn index(&self, id: TensorId) -> &T {
        &self.0[id.0]
    }
}

impl<T> IndexMut<TensorId> for TensorMap<T> {
    fn index_mut(&mut self, id: TensorId) -> &mut T {
        &mut self.0[id.0]
    }
}
