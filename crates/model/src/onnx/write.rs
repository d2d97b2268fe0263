//! Writing ONNX files: for generated networks and for tests.

use prost::Message;

use super::generated::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

/// A model under construction.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    graph: GraphProto,
    opset: i64,
}

/// An attribute's value.
#[derive(Debug, Clone)]
pub(crate) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    #[cfg(test)]
    Float(f32),
    #[cfg(test)]
    String(&'static str),
}

impl Writer {
    /// A model with the input `x` of these axes.
    pub(crate) fn new(opset: i64, input: &[i64]) -> Self {
        let mut graph = GraphProto { name: "generated".into(), ..GraphProto::default() };
        graph.input.push(value_info("x", input));
        Self { graph, opset }
    }

    /// Adds a constant of floats.
    pub(crate) fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let mut tensor = tensor(name, 1, dims);
        tensor.raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(tensor);
    }

    /// Adds a constant list of integers.
    #[cfg(test)]
    pub(crate) fn ints(&mut self, name: &str, values: &[i64]) {
        let mut tensor = tensor(name, 7, &[values.len() as i64]);
        tensor.int64_data = values.to_vec();
        self.graph.initializer.push(tensor);
    }

    /// Adds a node; its name is its first output's.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let strings = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: strings(inputs),
            output: strings(outputs),
            // optional: a node without outputs has no name
            name: outputs.first().copied().unwrap_or_default().into(),
            op_type: op.into(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            ..NodeProto::default()
        });
    }

    /// The file, with this value as the output.
    pub(crate) fn finish(mut self, output: &str) -> Vec<u8> {
        self.graph.output.push(ValueInfoProto { name: output.into(), r#type: None });
        let model = ModelProto {
            ir_version: 8,
            producer_name: "gazelle".into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: self.opset }],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |size: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*size)),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)) };
    ValueInfoProto { name: name.into(), r#type: Some(kind) }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut proto = AttributeProto { name: name.into(), ..AttributeProto::default() };
    match value {
        Attribute::Int(i) => (proto.i, proto.r#type) = (*i, 2),
        Attribute::Ints(ints) => (proto.ints, proto.r#type) = (ints.clone(), 7),
        #[cfg(test)]
        Attribute::Float(f) => (proto.f, proto.r#type) = (*f, 1),
        #[cfg(test)]
        Attribute::String(s) => (proto.s, proto.r#type) = (s.as_bytes().to_vec(), 3),
    }
    proto
}

/// A tensor without values.
pub(super) fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
    let mut tensor = TensorProto::default();
    name.clone_into(&mut tensor.name);
    tensor.data_type = data_type;
    tensor.dims.extend(dims);
    tensor
}
