//! From a file to a [`Graph`]: constants are folded, every node becomes operations.

use std::collections::HashMap;
use std::rc::Rc;

use gazelle_share::TensorShape;
use prost::Message;

use super::attributes::Attributes;
use super::constant::Constant;
use super::dims::{self, shape_of};
use super::generated::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use super::{count, operators};
use crate::error::{ModelError, Unsupported};
use crate::graph::{Activation, Graph, Op};

/// Opsets that are understood.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;
/// Elements of all tensors together at most: a file of a few bytes must not ask for more.
const MAX_TOTAL: usize = 1 << 30;

/// Reads an ONNX file.
///
/// # Errors
/// [`ModelError::Malformed`] if the file is broken, [`ModelError::Unsupported`] with every node
/// that cannot be run.
pub fn import(bytes: &[u8]) -> Result<Graph, ModelError> {
    let malformed = |why: String| ModelError::Malformed(why);
    count::check(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|error| malformed(error.to_string()))?;
    let opset = model
        .opset_import
        .iter()
        .find(|opset| opset.domain.is_empty() || opset.domain == "ai.onnx")
        .map(|opset| opset.version)
        .ok_or_else(|| malformed("no ONNX opset".into()))?;
    if !OPSETS.contains(&opset) {
        return Err(malformed(format!("opset {opset}; {OPSETS:?} are understood")));
    }
    let proto = model.graph.ok_or_else(|| malformed("no graph".into()))?;
    Importer::new(&proto, opset).map_err(malformed)?.run(&proto)
}

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Value {
    Constant(Rc<Constant>),
    Tensor(Dynamic),
    /// The result of an unsupported node: already reported.
    Unknown,
}

/// A tensor that depends on the input.
#[derive(Clone, Debug)]
pub(super) struct Dynamic {
    pub(super) id: usize,
    pub(super) dims: Vec<usize>,
    /// Set behind a final softmax or sigmoid.
    pub(super) activation: Option<Activation>,
}

/// The graph under construction.
pub(super) struct Importer {
    pub(super) graph: Graph,
    pub(super) opset: i64,
    values: HashMap<String, Value>,
    unsupported: Vec<Unsupported>,
    elements: usize,
}

/// A node with its inputs looked up.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    pub(super) attributes: Attributes<'a>,
    pub(super) inputs: Vec<Option<Value>>,
    pub(super) outputs: usize,
}

impl Call<'_> {
    pub(super) fn constant(&self, index: usize) -> Result<Option<Rc<Constant>>, String> {
        match self.inputs.get(index) {
            Some(Some(Value::Constant(constant))) => Ok(Some(Rc::clone(constant))),
            None | Some(None) => Ok(None),
            _ => Err(format!("input {index} must be a constant")),
        }
    }

    pub(super) fn required(&self, index: usize) -> Result<Rc<Constant>, String> {
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
}

impl Importer {
    fn new(proto: &GraphProto, opset: i64) -> Result<Self, String> {
        let mut values = HashMap::new();
        for tensor in &proto.initializer {
            let constant = Constant::from_proto(tensor)?;
            values.insert(tensor.name.clone(), Value::Constant(Rc::new(constant)));
        }
        let inputs: Vec<&ValueInfoProto> =
            proto.input.iter().filter(|input| !values.contains_key(&input.name)).collect();
        let [input] = inputs.as_slice() else {
            return Err(format!("{} inputs; networks with one are understood", inputs.len()));
        };
        let dims = input_dims(input)?;
        let shape = shape_of(&dims)?;
        let graph = Graph::new(&input.name, shape, dims.clone());
        let tensor = Dynamic { id: 0, dims, activation: None };
        values.insert(input.name.clone(), Value::Tensor(tensor));
        Ok(Self { graph, opset, values, unsupported: Vec::new(), elements: shape.len() })
    }

    fn run(mut self, proto: &GraphProto) -> Result<Graph, ModelError> {
        for (index, node) in proto.node.iter().enumerate() {
            self.node(index, node)?;
        }
        if !self.unsupported.is_empty() {
            return Err(ModelError::Unsupported(self.unsupported));
        }
        let malformed = |why: &str| ModelError::Malformed(why.into());
        let [output] = proto.output.as_slice() else {
            let count = proto.output.len();
            return Err(ModelError::Malformed(format!("{count} outputs instead of one")));
        };
        match self.values.get(&output.name) {
            Some(Value::Tensor(tensor)) => {
                self.graph.output = tensor.id;
                self.graph.activation = tensor.activation;
                Ok(self.graph)
            }
            Some(_) => Err(malformed("the output does not depend on the input")),
            None => Err(malformed("no node writes the output")),
        }
    }

    fn node(&mut self, index: usize, node: &NodeProto) -> Result<(), ModelError> {
        let name = match (node.name.as_str(), node.output.first()) {
            ("", Some(output)) if !output.is_empty() => output.clone(),
            ("", _) => format!("{}_{index}", node.op_type),
            (name, _) => name.to_owned(),
        };
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            if input.is_empty() {
                inputs.push(None);
                continue;
            }
            let value = self.values.get(input).cloned().ok_or_else(|| {
                ModelError::Malformed(format!("node {name:?} reads {input:?} before it is written"))
            })?;
            inputs.push(Some(value));
        }
        let unknown = inputs.iter().flatten().any(|value| matches!(value, Value::Unknown));
        let attributes = Attributes::new(node);
        let call =
            Call { name: &name, op: &node.op_type, attributes, inputs, outputs: node.output.len() };
        let results = if !node.domain.is_empty() && node.domain != "ai.onnx" {
            Err(format!("operator of the domain {:?}", node.domain))
        } else if unknown {
            // Only the first unsupported node on a path is reported, and what no node can do.
            Ok(Vec::new())
        } else {
            operators::run(self, &call)
        };
        let results = results.unwrap_or_else(|why| {
            self.unsupported.push(Unsupported {
                node: name.clone(),
                op: node.op_type.clone(),
                why,
            });
            Vec::new()
        });
        for (i, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let value = results.get(i).cloned().unwrap_or(Value::Unknown);
            self.values.insert(output.clone(), value);
        }
        Ok(())
    }

    /// Appends an operation with these axes as output.
    pub(super) fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[&Dynamic],
        dims: Vec<usize>,
    ) -> Result<Dynamic, String> {
        if inputs.iter().any(|input| input.activation.is_some()) {
            return Err("something follows the final activation".into());
        }
        let shape: TensorShape = shape_of(&dims)?;
        self.elements = self.elements.saturating_add(shape.len());
        if self.elements > MAX_TOTAL {
            return Err("the network's tensors are too large".into());
        }
        let inputs = inputs.iter().map(|input| input.id).collect();
        let id = self.graph.push(name, op, inputs, shape);
        Ok(Dynamic { id, dims, activation: None })
    }
}

fn input_dims(input: &ValueInfoProto) -> Result<Vec<usize>, String> {
    let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(format!("input {:?} has no tensor type", input.name));
    };
    if tensor.elem_type != 1 {
        return Err(format!("input {:?} is not of type float", input.name));
    }
    let shape =
        tensor.shape.as_ref().ok_or_else(|| format!("input {:?} has no shape", input.name))?;
    if shape.dim.len() > 8 {
        return Err(format!("input {:?} has too many axes", input.name));
    }
    let mut dims = Vec::with_capacity(shape.dim.len());
    for (i, dim) in shape.dim.iter().enumerate() {
        let size = match &dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(size)) if *size > 0 => {
                *size as usize
            }
            // A free batch axis is one image.
            _ if i == 0 => 1,
            _ => return Err(format!("input {:?}: axis {i} has no fixed size", input.name)),
        };
        dims.push(size);
    }
    match dims.first() {
        Some(batch) if dims.len() > 1 && *batch > 1 => {
            Err(format!("a batch of {batch}; export the network with a batch of 1"))
        }
        _ => dims::count(&dims).map(|_| dims),
    }
}
