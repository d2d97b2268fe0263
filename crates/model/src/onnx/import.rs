//! From a program to a [`Graph`]: constants are folded, every node becomes operations.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gazelle_share::LinearOp;

use super::attributes::Attributes;
use super::call::{Call, Dynamic, Importer, MAX_FOLDED, Value};
use super::dims::shape_of;
use super::evaluate;
use super::node::{Branch, FileNode};
use super::program::FileGraph;
use super::tensor::{Array, Data};
use super::{batch, final_activation, operators, quantised};
use crate::error::{ModelError, Unsupported};
use crate::graph::{Graph, Op};

/// A program on its way to a graph.
struct Lowering<'a> {
    importer: Importer<'a>,
    /// The file's fixed batch; the graph is for one image.
    batch: usize,
    values: HashMap<String, Value>,
    /// The graph's tensor for each value of the file.
    places: HashMap<String, usize>,
    unsupported: Vec<Unsupported>,
    /// Activations reported as being inside the network.
    reported: HashSet<String>,
    folded: u64,
    program: &'a FileGraph,
}

/// A graph and how it belongs to the file.
pub(super) struct LoweredGraph {
    pub(super) graph: Graph,
    /// The graph's tensor for each value of the file that has one.
    pub(super) places: HashMap<String, usize>,
    /// The node of the final activation, and those behind it that its logits do not pass through.
    pub(super) activation: Vec<String>,
}

/// Lowers a program for one image; `batch` is what the file's input holds.
///
/// # Errors
/// [`ModelError::Unsupported`] with every node that cannot be run.
pub(super) fn lower(program: &FileGraph, batch: usize) -> Result<LoweredGraph, ModelError> {
    let mut dims = program.input_dims.clone();
    if batch > 1
        && let Some(first) = dims.first_mut()
    {
        *first = 1;
    }
    let shape = shape_of(&dims).map_err(|why| {
        ModelError::whole(format!("the input {:?} of {dims:?}: {why}", program.input))
    })?;
    let mut values: HashMap<String, Value> = program
        .constants
        .iter()
        .map(|(name, value)| (name.clone(), Value::Constant(Arc::clone(value))))
        .collect();
    values.insert(program.input.clone(), Value::Tensor(Dynamic { id: 0, dims: dims.clone() }));
    let lowering = Lowering {
        importer: Importer::new(program, shape, dims),
        batch,
        values,
        places: HashMap::from([(program.input.clone(), 0)]),
        unsupported: Vec::new(),
        reported: HashSet::new(),
        folded: 0,
        program,
    };
    lowering.run()
}

impl Lowering<'_> {
    fn run(mut self) -> Result<LoweredGraph, ModelError> {
        let program = self.program;
        for node in &program.nodes {
            self.node(node)?;
        }
        if !self.unsupported.is_empty() {
            return Err(ModelError::Unsupported(self.unsupported));
        }
        let whole = |why: String| ModelError::whole(why);
        let name = &program.output;
        let mut activation = Vec::new();
        match self.values.get(name).cloned() {
            Some(Value::Tensor(tensor)) => self.importer.graph.output = tensor.id,
            Some(Value::Activated(activated)) => {
                self.importer.graph.output = activated.logits.id;
                self.importer.graph.activation = Some(activated.activation);
                self.importer.graph.activated_output = activated.moved;
                activation = activated.nodes;
            }
            Some(Value::Constant(constant)) => self.constant_output(&constant).map_err(whole)?,
            Some(Value::Quantised(_)) => {
                let why =
                    format!("the output {name:?} is quantised: put a DequantizeLinear behind");
                return Err(whole(why));
            }
            Some(Value::Unknown) | None => {
                return Err(whole(format!("no node writes the output {name:?}")));
            }
        }
        Ok(LoweredGraph { graph: self.importer.graph, places: self.places, activation })
    }

    /// An output that no input changes: a layer of zeros with the output as its bias.
    fn constant_output(&mut self, constant: &Array) -> Result<(), String> {
        let bias = constant.finite()?;
        let (inputs, outputs) = (self.importer.graph.input_shape().len(), bias.len());
        let op = LinearOp::FullyConnected { inputs, outputs };
        op.check()?;
        let x = Dynamic { id: 0, dims: self.importer.graph.input_dims.clone() };
        let op = Op::Linear { op, weights: vec![0.0; inputs * outputs], bias };
        let name = self.program.output.clone();
        self.importer.graph.output = self.importer.push(&name, op, &[&x], vec![1, outputs])?.id;
        Ok(())
    }

    fn node(&mut self, node: &FileNode) -> Result<(), ModelError> {
        let mut inputs = Vec::with_capacity(node.proto.input.len());
        for input in &node.proto.input {
            if input.is_empty() {
                inputs.push(None);
                continue;
            }
            let value = self.values.get(input).cloned().ok_or_else(|| {
                let name = &node.name;
                ModelError::whole(format!("node {name:?} reads {input:?} before it is written"))
            })?;
            inputs.push(Some(value));
        }
        self.importer.opset = node.opset;
        let call = Call {
            name: &node.name,
            op: node.op(),
            domain: node.domain(),
            attributes: Attributes::new(&node.proto),
            inputs,
            outputs: node.proto.output.len(),
        };
        let unknown = call.inputs.iter().flatten().any(|value| matches!(value, Value::Unknown));
        let results = if unknown {
            // Only the first unsupported node on a path is reported.
            if self.unsupported.is_empty() {
                let why = "reads a result that is not computed, as the indices of a MaxPool or the \
                           mask of a Dropout";
                let (node, op) = (call.name.to_owned(), call.op.to_owned());
                self.unsupported.push(Unsupported { node, op, why: why.into() });
            }
            Vec::new()
        } else if call.op == "If" && call.domain.is_empty() {
            self.choose(node, &call)?
        } else {
            self.results(node, &call)
        };
        // Outputs that the operator does not have stand for nothing known.
        let results = results.into_iter().chain(std::iter::repeat(Value::Unknown));
        for (output, value) in node.outputs().zip(results).filter(|(name, _)| !name.is_empty()) {
            if let Value::Tensor(tensor) = &value {
                self.places.insert(output.to_owned(), tensor.id);
            }
            self.values.insert(output.to_owned(), value);
        }
        Ok(())
    }

    /// What a node's outputs stand for; none if the node was reported as unsupported.
    fn results(&mut self, node: &FileNode, call: &Call<'_>) -> Vec<Value> {
        let is = |test: fn(&Value) -> bool| call.inputs.iter().flatten().any(test);
        let result = if is(|value| matches!(value, Value::Activated(_))) {
            match final_activation::behind(&mut self.importer, call) {
                Ok(values) => Ok(values),
                Err(misplaced) => {
                    if self.reported.insert(misplaced.node.clone()) {
                        self.unsupported.push(misplaced);
                    }
                    return Vec::new();
                }
            }
        } else if is(|value| matches!(value, Value::Quantised(_)))
            || (call.op == "QuantizeLinear" && !call.all_constant())
        {
            quantised::run(&mut self.importer, call)
        } else {
            self.lower(node, call)
        };
        match result {
            Ok(values) => values,
            Err(why) => {
                let (node, op) = (call.name.to_owned(), call.op.to_owned());
                self.unsupported.push(Unsupported { node, op, why });
                Vec::new()
            }
        }
    }

    fn lower(&mut self, node: &FileNode, call: &Call<'_>) -> Result<Vec<Value>, String> {
        let first = call.inputs.first();
        if let ("Shape" | "Size", "", Some(Some(Value::Tensor(x)))) = (call.op, call.domain, first)
        {
            return Ok(vec![Value::Constant(Arc::new(shape(call, &x.dims)))]);
        }
        if call.all_constant() {
            return self.fold(call);
        }
        finite_weights(node, call)?;
        let mut call = call.with_inputs(call.inputs.clone());
        if self.batch > 1 {
            call = batch::for_one_image(&call, self.batch);
        }
        if self.importer.opset < 7 && call.domain.is_empty() {
            call = batch::from_old_opset(&call)?;
        }
        self.operator(&call)
    }

    fn operator(&mut self, call: &Call<'_>) -> Result<Vec<Value>, String> {
        match final_activation::begin(&mut self.importer, call) {
            Some(result) => result,
            None => operators::run(&mut self.importer, call),
        }
    }

    /// An operator on constants: what exporters leave of shape arithmetic.
    fn fold(&mut self, call: &Call<'_>) -> Result<Vec<Value>, String> {
        let application = call.application(self.importer.opset)?;
        self.folded = self.folded.saturating_add(evaluate::work(&application));
        if self.folded > MAX_FOLDED {
            return Err("the arithmetic on constants is too large".into());
        }
        let results = evaluate::run(&application)?;
        let elements: usize = results.iter().map(Array::len).sum();
        self.importer.count(elements, "constants")?;
        Ok(results.into_iter().map(|tensor| Value::Constant(Arc::new(tensor))).collect())
    }

    /// `If` with a condition that is known: the branch's nodes in its place.
    fn choose(&mut self, node: &FileNode, call: &Call<'_>) -> Result<Vec<Value>, ModelError> {
        let condition = call.constant(0).ok().flatten();
        let condition = condition.and_then(|value| value.int_list().first().copied());
        let name = if condition == Some(0) { "else_branch" } else { "then_branch" };
        let (Some(_), Some(block)) = (condition, node.branch(name)) else {
            let why = "the condition depends on the image, or a branch is missing: only conditions \
                       that are constants or follow from shapes are supported";
            let (node, op) = (call.name.to_owned(), call.op.to_owned());
            self.unsupported.push(Unsupported { node, op, why: why.into() });
            return Ok(Vec::new());
        };
        self.block(block)
    }

    fn block(&mut self, block: &Branch) -> Result<Vec<Value>, ModelError> {
        for (name, value) in &block.constants {
            self.values.insert(name.clone(), Value::Constant(Arc::clone(value)));
        }
        for node in &block.nodes {
            self.node(node)?;
        }
        let value = |name: &String| {
            let value = self.values.get(name).cloned();
            value.ok_or_else(|| ModelError::whole(format!("no node writes {name:?}")))
        };
        block.outputs.iter().map(value).collect()
    }
}

fn shape(call: &Call<'_>, dims: &[usize]) -> Array {
    if call.op == "Size" {
        return Array::ints(Vec::new(), vec![dims.iter().product::<usize>() as i64]);
    }
    evaluate::shape_of(call.attributes, dims)
}

/// Weights that are not numbers are refused by their name; bounds may be infinite.
fn finite_weights(node: &FileNode, call: &Call<'_>) -> Result<(), String> {
    if matches!(call.op, "Clip" | "Max" | "Min") {
        return Ok(());
    }
    for (name, value) in node.proto.input.iter().zip(&call.inputs) {
        if let Some(Value::Constant(constant)) = value
            && let Data::Float(values) = &constant.data
            && let Some((at, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite())
        {
            return Err(format!(
                "the weights {name:?} hold {value} at element {at}: they must be finite"
            ));
        }
    }
    Ok(())
}
