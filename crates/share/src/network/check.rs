//! What is checked of a network: every index, shape, width and ring condition.

use super::{Architecture, ArchitectureParts, LinearWeights, Node, NodeKind, TensorId};
use crate::error::ProtocolError;
use crate::linear::Guard;
use crate::local::LocalMap;
use crate::op::{LinearOp, MAX_ELEMENTS};
use crate::shape::TensorShape;
use crate::step::{MAX_RING_BITS, StepOutput};

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
/// A tensor's scale is at most so large, in either direction: f32 reaches from 2^-149 to 2^128.
const MAX_SCALE: i32 = 256;

impl ArchitectureParts {
    /// Per tensor, whether the client's share is a mask; see [`Architecture::new`].
    pub(super) fn check(&self) -> Result<Vec<bool>, ProtocolError> {
        self.check_tensors().map_err(ProtocolError::Plan)?;
        let mut masked: Vec<Option<bool>> = vec![None; self.tensors.len()];
        if let Some(input) = masked.first_mut() {
            *input = Some(true);
        }
        let mut macs = 0u64;
        let last = self.nodes.len().saturating_sub(1);
        for (index, node) in self.nodes.iter().enumerate() {
            let fail = |why: String| ProtocolError::Plan(format!("node {:?}: {why}", node.name));
            let is_masked = self.check_node(node, &masked).map_err(fail)?;
            let written =
                masked.get_mut(node.output.0).ok_or_else(|| fail("no such tensor".into()))?;
            if written.replace(is_masked).is_some() {
                return Err(fail(format!("tensor {} is written twice", node.output.0)));
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
        let written = |(id, masked): (usize, Option<bool>)| {
            masked.ok_or_else(|| ProtocolError::Plan(format!("tensor {id} is never written")))
        };
        masked.into_iter().enumerate().map(written).collect()
    }

    fn check_tensors(&self) -> Result<(), String> {
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
                || !(-MAX_SCALE..=MAX_SCALE).contains(&tensor.scale)
                || tensor.guard_bits > Guard::MAX_BITS
                || tensor.value_bits + tensor.guard_bits > tensor.ring_bits
            {
                return fail("ring, values or scale out of range");
            }
        }
        if total > MAX_TOTAL {
            return Err(format!("{total} elements are too many"));
        }
        let shifts = &self.input_shifts;
        if let Some(input) = self.tensors.first()
            && !shifts.is_empty()
            && shifts.len() != input.shape.channels
        {
            return Err("input shifts that do not fit".into());
        }
        match self.nodes.iter().find(|node| node.name.len() > MAX_NAME) {
            Some(_) => Err("a name is too long".into()),
            None => Ok(()),
        }
    }

    /// Tells whether the node's output is masked (`false`: shares that still need a step).
    fn check_node(&self, node: &Node, masked: &[Option<bool>]) -> Result<bool, String> {
        let tensor = |id: TensorId| self.tensors.get(id.0).ok_or(format!("no tensor {}", id.0));
        let output = tensor(node.output)?;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut all_masked = true;
        for id in &node.inputs {
            inputs.push(tensor(*id)?);
            match masked.get(id.0) {
                Some(Some(is_masked)) => all_masked &= is_masked,
                _ => return Err(format!("reads tensor {} before it is written", id.0)),
            }
        }
        if let NodeKind::Local(map) = &node.kind {
            let shapes: Vec<TensorShape> = inputs.iter().map(|tensor| tensor.shape).collect();
            map.check(&shapes, output.shape)?;
            for (i, input) in inputs.iter().enumerate() {
                // A summand without guard bits is shifted past them.
                let sum = matches!(map, LocalMap::Add { .. });
                if input.guard_bits > output.guard_bits
                    || (!sum && input.guard_bits != output.guard_bits)
                {
                    return Err("inputs and output differ in guard bits".into());
                }
                let shift = node.kind.shift(i);
                if input.ring_bits + shift < output.ring_bits {
                    return Err(format!(
                        "shares modulo 2^{} shifted by {shift} do not give shares modulo 2^{}",
                        input.ring_bits, output.ring_bits
                    ));
                }
            }
            return Ok(node.kind.is_masked(all_masked));
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
                if input.guard_bits != 0 {
                    return Err("a linear operator reads a tensor with guard bits".into());
                }
                if output.ring_bits > input.ring_bits + output.guard_bits {
                    return Err("the output ring is wider than the input ring".into());
                }
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
                if step.rounding.guard_bits() != input.guard_bits {
                    return Err("the step does not drop its input's guard bits".into());
                }
            }
            NodeKind::Local(_) => {}
        }
        Ok(node.kind.is_masked(all_masked))
    }
}

/// See [`super::Network::new`].
pub(super) fn weights(
    architecture: &Architecture,
    weights: &[LinearWeights],
) -> Result<(), ProtocolError> {
    let nodes = architecture.nodes();
    if weights.len() != nodes.len() {
        return Err(ProtocolError::Plan("weights and nodes differ in number".into()));
    }
    for (node, LinearWeights { weights, bias }) in nodes.iter().zip(weights) {
        let shape = architecture.tensor(node.output).shape;
        let full_bias = bias.len() == shape.channels || bias.len() == shape.len();
        let fits = match &node.kind {
            NodeKind::Linear(op) => weights.len() == op.weight_len() && full_bias,
            NodeKind::Local(LocalMap::AddBias) => weights.is_empty() && full_bias,
            _ => weights.is_empty() && bias.is_empty(),
        };
        if !fits {
            return Err(ProtocolError::Plan(format!("node {:?}: wrong weights", node.name)));
        }
    }
    Ok(())
}
