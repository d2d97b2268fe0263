//! A node with its inputs looked up, and the graph that its operations are appended to: what every
//! operator works with.

use std::sync::Arc;

use gazelle_share::TensorShape;

use super::attributes::Attributes;
use super::dims::shape_of;
use super::evaluate::{Application, Arithmetic};
use super::node::FileNode;
use super::program::FileGraph;
use super::tensor::Array;
use crate::graph::{Activation, Graph, Op};

/// Elements of all tensors together at most: a file of a few bytes must not ask for more.
const MAX_TOTAL: usize = 1 << 30;
/// Multiply-adds that all constants together may take.
pub(super) const MAX_FOLDED: u64 = 1 << 32;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Value {
    Constant(Arc<Array>),
    Tensor(Dynamic),
    /// Behind the final activation.
    Activated(Activated),
    /// Between `QuantizeLinear` and `DequantizeLinear`.
    Quantised(QuantisedTensor),
    /// The result of an unsupported node: already reported.
    Unknown,
}

/// A tensor that depends on the input.
#[derive(Clone, Debug)]
pub(super) struct Dynamic {
    pub(super) id: usize,
    pub(super) dims: Vec<usize>,
}

/// What stands behind a final activation.
#[derive(Clone, Debug)]
pub(super) struct Activated {
    /// What the activation reads, moved as its result is moved.
    pub(super) logits: Dynamic,
    pub(super) activation: Activation,
    /// Whether clients read what the activation gives: it was moved or reshaped since, or its
    /// logits mean nothing to them.
    pub(super) moved: bool,
    /// The activation's node, and others that the logits do not pass through.
    pub(super) nodes: Vec<String>,
    /// The activation's operator.
    pub(super) op: String,
}

/// A private tensor behind `QuantizeLinear`.
#[derive(Clone, Debug)]
pub(super) struct QuantisedTensor {
    /// `scale (q - zero)`, within the quantised type's range.
    pub(super) real: Dynamic,
    pub(super) scale: f32,
    pub(super) zero: f32,
}

/// A node with its inputs looked up.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    /// Of the operator; empty for ONNX's own.
    pub(super) domain: &'a str,
    pub(super) attributes: Attributes<'a>,
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) outputs: usize,
}

impl Call<'_> {
    /// The same node with other inputs.
    pub(super) fn with_inputs(&self, inputs: Vec<Option<Value>>) -> Self {
        let Call { name, op, domain, attributes, outputs, .. } = *self;
        Call { name, op, domain, attributes, inputs, outputs }
    }

    pub(super) fn constant(&self, index: usize) -> Result<Option<Arc<Array>>, String> {
        match self.inputs.get(index) {
            Some(Some(Value::Constant(constant))) => Ok(Some(Arc::clone(constant))),
            None | Some(None) => Ok(None),
            _ => Err(format!("input {index} must be a constant")),
        }
    }

    pub(super) fn required(&self, index: usize) -> Result<Arc<Array>, String> {
        self.constant(index)?.ok_or_else(|| format!("input {index} is missing"))
    }

    pub(super) fn tensor(&self, index: usize) -> Result<Dynamic, String> {
        match self.inputs.get(index) {
            Some(Some(Value::Tensor(tensor))) => Ok(tensor.clone()),
            Some(Some(_)) => Err(format!("input {index} must depend on the network's input")),
            _ => Err(format!("input {index} is missing")),
        }
    }

    pub(super) fn all_constant(&self) -> bool {
        self.inputs.iter().flatten().all(|value| matches!(value, Value::Constant(_)))
    }

    /// The node for the evaluator, if all inputs are constants.
    pub(super) fn application(&self, opset: i64) -> Result<Application<'_>, String> {
        let inputs = (0..self.inputs.len()).map(|index| self.constant(index));
        Ok(Application {
            op: self.op,
            domain: self.domain,
            opset,
            attributes: self.attributes,
            inputs: inputs.collect::<Result<_, _>>()?,
            outputs: self.outputs,
            arithmetic: Arithmetic::AsWritten,
            limit: MAX_FOLDED,
        })
    }
}

/// The graph under construction.
pub(super) struct Importer<'a> {
    pub(super) graph: Graph,
    /// Of the node at hand.
    pub(super) opset: i64,
    elements: usize,
    program: &'a FileGraph,
}

impl<'a> Importer<'a> {
    /// Begins with the program's input, of this shape and these axes.
    pub(super) fn new(program: &'a FileGraph, shape: TensorShape, dims: Vec<usize>) -> Self {
        let graph = Graph::new(&program.input, shape, dims);
        Self { graph, opset: 0, elements: shape.len(), program }
    }

    /// Counts elements that are kept.
    ///
    /// # Errors
    /// If the network holds too many.
    pub(super) fn count(&mut self, elements: usize, what: &str) -> Result<(), String> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > MAX_TOTAL {
            return Err(format!("the {what} are too large"));
        }
        Ok(())
    }

    /// Whether one node alone reads the input.
    pub(super) fn input_read_once(&self) -> bool {
        let input = &self.program.input;
        let reads = self.program.nodes.iter().flat_map(FileNode::reads);
        reads.filter(|name| name == input).count() == 1 && self.program.output != *input
    }

    /// Appends an operation with these axes as output.
    pub(super) fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[&Dynamic],
        dims: Vec<usize>,
    ) -> Result<Dynamic, String> {
        let shape: TensorShape = shape_of(&dims)?;
        self.count(shape.len(), "network's tensors")?;
        let inputs = inputs.iter().map(|input| input.id).collect();
        let id = self.graph.push(name, op, inputs, shape);
        Ok(Dynamic { id, dims })
    }
}
