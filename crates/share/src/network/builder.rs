//! Writes a network node by node.

use super::{
    Architecture, ArchitectureParts, LinearWeights, Network, Node, NodeKind, Tensor, TensorId,
};
use crate::error::ProtocolError;
use crate::local::LocalMap;
use crate::op::{Conv2d, LinearOp};
use crate::rounding::Rounding;
use crate::shape::{Pads, TensorShape, Window};
use crate::step::{Step, StepFunction, StepOutput};

/// Writes a network in which all tensors but the output have one ring, all values one width, and
/// all steps drop as many bits. [`build`](Self::build) checks it; before, nothing is checked.
///
/// Methods return the tensor that the new node writes.
///
/// # Panics
/// Methods panic on a tensor that this builder did not return.
#[derive(Debug, Clone)]
pub struct NetworkBuilder {
    ring_bits: u32,
    value_bits: u32,
    truncate_bits: u32,
    parts: ArchitectureParts,
    weights: Vec<LinearWeights>,
}

impl NetworkBuilder {
    /// A network whose input has this `shape`; values of `value_bits`, shared modulo
    /// `2^ring_bits`, of which every step drops `truncate_bits`.
    pub fn new(input: TensorShape, ring_bits: u32, truncate_bits: u32, value_bits: u32) -> Self {
        let parts = ArchitectureParts {
            tensors: vec![],
            nodes: vec![],
            output: TensorId::INPUT,
            input_shifts: vec![],
        };
        let mut builder = Self { ring_bits, value_bits, truncate_bits, parts, weights: Vec::new() };
        builder.tensor("input", input, ring_bits);
        builder
    }

    fn tensor(&mut self, name: &str, shape: TensorShape, ring_bits: u32) -> TensorId {
        let value_bits = self.value_bits.min(ring_bits);
        let name = name.to_owned();
        self.parts.tensors.push(Tensor {
            name,
            shape,
            scale: 0,
            ring_bits,
            value_bits,
            guard_bits: 0,
        });
        TensorId(self.parts.tensors.len() - 1)
    }

    fn node(
        &mut self,
        name: &str,
        kind: NodeKind,
        inputs: &[TensorId],
        output: TensorShape,
        weights: LinearWeights,
    ) -> TensorId {
        let reveals = matches!(&kind, NodeKind::Step(step) if step.output == StepOutput::Reveal);
        let ring_bits = if reveals { self.value_bits } else { self.ring_bits };
        let output = self.tensor(name, output, ring_bits);
        self.parts.nodes.push(Node { name: name.into(), kind, inputs: inputs.to_vec(), output });
        self.weights.push(weights);
        output
    }

    /// Returns the shape of a tensor written so far.
    #[expect(clippy::indexing_slicing, reason = "documented: the builder returned the id")]
    pub fn shape(&self, tensor: TensorId) -> TensorShape {
        self.parts.tensors[tensor.0].shape
    }

    /// A linear operator.
    pub fn linear(
        &mut self,
        name: &str,
        op: LinearOp,
        input: TensorId,
        weights: LinearWeights,
    ) -> TensorId {
        let shape = op.output_shape();
        self.node(name, NodeKind::Linear(op), &[input], shape, weights)
    }

    /// `maps` square kernels over `input`, undilated, in one group: what [`linear`](Self::linear)
    /// takes.
    pub fn conv(
        &self,
        input: TensorId,
        maps: usize,
        kernel: usize,
        stride: usize,
        pads: Pads,
    ) -> LinearOp {
        LinearOp::Conv(Conv2d {
            input: self.shape(input),
            maps,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pads,
            dilation: [1; 2],
            groups: 1,
        })
    }

    /// A matrix with `outputs` rows: what [`linear`](Self::linear) takes.
    pub fn fully_connected(&self, input: TensorId, outputs: usize) -> LinearOp {
        LinearOp::FullyConnected { inputs: self.shape(input).len(), outputs }
    }

    /// A local map to this shape.
    pub fn local(
        &mut self,
        name: &str,
        map: LocalMap,
        inputs: &[TensorId],
        output: TensorShape,
    ) -> TensorId {
        self.node(name, NodeKind::Local(map), inputs, output, LinearWeights::default())
    }

    /// Adds the server's own constants, one per channel or element.
    pub fn add_bias(&mut self, name: &str, input: TensorId, bias: Vec<i64>) -> TensorId {
        let own = LinearWeights { weights: Vec::new(), bias };
        let map = NodeKind::Local(LocalMap::AddBias);
        self.node(name, map, &[input], self.shape(input), own)
    }

    /// A non-linear step whose result is shared anew.
    pub fn step(
        &mut self,
        name: &str,
        function: StepFunction,
        input: TensorId,
        sum_pool: Option<Window>,
    ) -> TensorId {
        let output = StepOutput::Masked { bits: self.ring_bits };
        let step = self.new_step(function, input, sum_pool, output);
        let shape = step.output_shape();
        self.node(name, NodeKind::Step(step), &[input], shape, LinearWeights::default())
    }

    fn new_step(
        &self,
        function: StepFunction,
        input: TensorId,
        sum_pool: Option<Window>,
        output: StepOutput,
    ) -> Step {
        Step {
            function,
            input: self.shape(input),
            input_bits: self.ring_bits,
            truncate_bits: self.truncate_bits,
            rounding: Rounding::Local,
            value_bits: self.value_bits,
            sum_pool,
            output,
        }
    }

    /// Reveals `input`, rounded, which ends the network.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] names a node that does not fit.
    pub fn build(mut self, input: TensorId) -> Result<Network, ProtocolError> {
        let step = self.new_step(StepFunction::Round, input, None, StepOutput::Reveal);
        let shape = step.output_shape();
        let none = LinearWeights::default();
        self.parts.output = self.node("output", NodeKind::Step(step), &[input], shape, none);
        Network::new(Architecture::new(self.parts)?, self.weights)
    }
}
