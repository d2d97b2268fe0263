//! A fixed-point network: the public architecture and the server's weights.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::ProtocolError;
use crate::local::LocalMap;
use crate::op::{LinearOp, MAX_ELEMENTS};
use crate::shape::TensorShape;
use crate::step::{MAX_RING_BITS, Step, StepOutput};

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

/// A linear node's integer weights, at scale 2^fw, and bias, at the output tensor's scale; bias alone
/// for [`LocalMap::AddBias`]. Wiped on drop, never printed.
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

/// Nodes and tensors of one network at most, each.
const MAX_NODES: usize = 1 << 14;
/// Readers over all nodes at most.
const MAX_EDGES: usize = 1 << 16;
/// Elements over all tensors at most.
const MAX_TOTAL: usize = 1 << 31;
/// Multiply-adds over all nodes at most.
const MAX_TOTAL_MACS: u64 = 1 << 42;
/// Longest name.
const MAX_NAME: usize = 1 << 10;

impl Architecture {
    /// Checks everything that a description from a stranger may get wrong: every index, shape,
    /// width and ring condition (protocol.md 2 and 5.1). Work is bounded by the description's own
    /// size. All other methods on parts of an architecture need one that passes.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] names the node and what does not hold.
    pub fn validate(&self) -> Result<(), ProtocolError> {
        self.validate_tensors().map_err(ProtocolError::Plan)?;
        let mut masked: Vec<Option<bool>> = vec![None; self.tensors.len()];
        if let Some(input) = masked.first_mut() {
            *input = Some(true);
        }
        let mut macs = 0u64;
        let last = self.nodes.len().saturating_sub(1);
        for (index, node) in self.nodes.iter().enumerate() {
            let fail = |why: String| ProtocolError::Plan(format!("node {:?}: {why}", node.name));
            let is_masked = self.validate_node(node, &masked).map_err(fail)?;
            let written =
                masked.get_mut(node.output).ok_or_else(|| fail("no such tensor".into()))?;
            if written.replace(is_masked).is_some() {
                return Err(fail(format!("tensor {} is written twice", node.output)));
            }
            let reveals =
                matches!(&node.kind, NodeKind::Step(step) if step.output == StepOutput::Reveal);
            if reveals != (index == last) || (reveals && node.output != self.output) {
                return Err(fail(
                    "only the last node reveals, and what it reveals is the output".into(),
                ));
            }
            if let NodeKind::Linear(op) = &node.kind {
                macs = macs.saturating_add(op.macs());
            }
        }
        if macs > MAX_TOTAL_MACS {
            return Err(ProtocolError::Plan(format!("{macs} multiply-adds are too many")));
        }
        match masked.iter().position(Option::is_none) {
            Some(id) => Err(ProtocolError::Plan(format!("tensor {id} is never written"))),
            None => Ok(()),
        }
    }

    /// Input shape.
    pub fn input_shape(&self) -> Option<TensorShape> {
        self.tensors.first().map(|tensor| tensor.shape)
    }

    fn validate_tensors(&self) -> Result<(), String> {
        let edges: usize = self.nodes.iter().map(|node| node.inputs.len()).sum();
        let counts = [self.tensors.len(), self.nodes.len()];
        if counts.iter().any(|n| !(1..=MAX_NODES).contains(n)) || edges > MAX_EDGES {
            return Err(format!("{counts:?} tensors and nodes with {edges} inputs"));
        }
        let mut total = 0usize;
        for tensor in &self.tensors {
            let fail = |why: &str| Err(format!("tensor {:?}: {why}", tensor.name));
            if tensor.name.len() > MAX_NAME {
                return Err("a name is too long".into());
            }
            let Some(len) = tensor.shape.checked_len(MAX_ELEMENTS) else {
                return fail("empty or too large");
            };
            total = total.saturating_add(len);
            if !(2..=MAX_RING_BITS).contains(&tensor.ring_bits)
                || !(1..=tensor.ring_bits).contains(&tensor.value_bits)
                || !(-64..=64).contains(&tensor.scale)
            {
                return fail("ring, values or scale out of range");
            }
        }
        if total > MAX_TOTAL {
            return Err(format!("{total} elements are too many"));
        }
        match self.nodes.iter().find(|node| node.name.len() > MAX_NAME) {
            Some(_) => Err("a name is too long".into()),
            None => Ok(()),
        }
    }

    /// Whether the node's output is masked (`false`: shares that still need a step).
    fn validate_node(&self, node: &Node, masked: &[Option<bool>]) -> Result<bool, String> {
        let tensor = |id: TensorId| self.tensors.get(id).ok_or(format!("no tensor {id}"));
        let output = tensor(node.output)?;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut all_masked = true;
        for id in &node.inputs {
            inputs.push(tensor(*id)?);
            match masked.get(*id) {
                Some(Some(is_masked)) => all_masked &= is_masked,
                _ => return Err(format!("reads tensor {id} before it is written")),
            }
        }
        if let NodeKind::Local(map) = &node.kind {
            let shapes: Vec<TensorShape> = inputs.iter().map(|tensor| tensor.shape).collect();
            map.check(&shapes, output.shape)?;
            for (i, input) in inputs.iter().enumerate() {
                let shift = match map {
                    LocalMap::Add { shifts } => shifts.get(i).copied().unwrap_or_default(),
                    _ => 0,
                };
                if input.ring_bits + shift < output.ring_bits {
                    return Err(format!(
                        "shares modulo 2^{} shifted by {shift} do not give shares modulo 2^{}",
                        input.ring_bits, output.ring_bits
                    ));
                }
            }
            return Ok(all_masked);
        }
        let [input] = inputs.as_slice() else {
            return Err(format!("reads {} tensors instead of one", inputs.len()));
        };
        match &node.kind {
            NodeKind::Linear(op) => {
                op.check()?;
                let fits = match op {
                    LinearOp::Conv(conv) => conv.input == input.shape,
                    LinearOp::FullyConnected { inputs, .. } => *inputs == input.shape.len(),
                };
                if !fits || op.output_shape() != output.shape {
                    return Err("the operator's shapes are not its tensors'".into());
                }
                if !all_masked {
                    return Err("a linear operator needs a masked input".into());
                }
                if output.ring_bits > input.ring_bits {
                    return Err("the output ring is wider than the input ring".into());
                }
                Ok(false)
            }
            NodeKind::Step(step) => {
                step.check()?;
                if step.input != input.shape
                    || step.input_bits != input.ring_bits
                    || step.output_shape() != output.shape
                    || step.output_bits() != output.ring_bits
                {
                    return Err("the step's shapes or widths are not its tensors'".into());
                }
                Ok(true)
            }
            NodeKind::Local(_) => Ok(all_masked),
        }
    }
}

impl Network {
    /// [`Architecture::validate`], and that every linear node has its weights and bias, every
    /// [`LocalMap::AddBias`] its bias.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] names the node.
    pub fn validate(&self) -> Result<(), ProtocolError> {
        self.architecture.validate()?;
        let nodes = &self.architecture.nodes;
        if self.weights.len() != nodes.len() {
            return Err(ProtocolError::Plan("weights and nodes differ in number".into()));
        }
        for (node, weights) in nodes.iter().zip(&self.weights) {
            let fits = match (&node.kind, weights) {
                (NodeKind::Linear(op), Some(weights)) => {
                    let output = op.output_shape();
                    let bias = weights.bias.len();
                    weights.weights.len() == op.weight_len()
                        && (bias == output.channels || bias == output.len())
                }
                (NodeKind::Local(LocalMap::AddBias), Some(weights)) => {
                    let output = self.architecture.tensors.get(node.output).map(|t| t.shape);
                    let bias = weights.bias.len();
                    weights.weights.is_empty()
                        && output.is_some_and(|shape| bias == shape.channels || bias == shape.len())
                }
                (NodeKind::Linear(_) | NodeKind::Local(LocalMap::AddBias), None) => false,
                (_, weights) => weights.is_none(),
            };
            if !fits {
                return Err(ProtocolError::Plan(format!("node {:?}: wrong weights", node.name)));
            }
        }
        Ok(())
    }
}

/// Architecture and weights; `weights[i]` belongs to `nodes[i]` where that is linear or adds a bias.
#[derive(Debug, Clone)]
pub struct Network {
    /// The public part.
    pub architecture: Architecture,
    /// The server's part.
    pub weights: Vec<Option<LinearWeights>>,
}
