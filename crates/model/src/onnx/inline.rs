//! Functions that a file defines itself, replaced by their nodes.

use std::collections::HashMap;

use super::generated::{AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto};

/// Functions within functions at most.
const MAX_DEPTH: usize = 32;
/// Nodes at most, after all functions were replaced.
const MAX_NODES: usize = 1 << 16;

/// The version of each domain's operators; ONNX's own domain is the empty one.
#[derive(Debug, Clone, Default)]
pub(super) struct Opsets(HashMap<String, i64>);

impl Opsets {
    pub(super) fn new(list: &[OperatorSetIdProto]) -> Self {
        Self(list.iter().map(|entry| (plain(&entry.domain).to_owned(), entry.version)).collect())
    }

    pub(super) fn of(&self, domain: &str) -> Option<i64> {
        self.0.get(plain(domain)).copied()
    }
}

/// The domain, empty for ONNX's own under either of its names.
pub(super) fn plain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// A node and the version of its domain's operators.
#[derive(Debug, Clone)]
pub(super) struct Versioned {
    pub(super) node: NodeProto,
    pub(super) opset: i64,
}

/// Replaces calls of functions by their nodes, in calls' subgraphs too.
pub(super) struct Inliner<'a> {
    functions: HashMap<(&'a str, &'a str, &'a str), &'a FunctionProto>,
    calls: usize,
    nodes: usize,
}

impl<'a> Inliner<'a> {
    pub(super) fn new(functions: &'a [FunctionProto]) -> Self {
        let key = |f: &'a FunctionProto| (plain(&f.domain), f.name.as_str(), f.overload.as_str());
        Self { functions: functions.iter().map(|f| (key(f), f)).collect(), calls: 0, nodes: 0 }
    }

    /// All nodes of a list, in place of calls their functions' nodes.
    pub(super) fn expand(
        &mut self,
        nodes: Vec<NodeProto>,
        opsets: &Opsets,
        depth: usize,
    ) -> Result<Vec<Versioned>, String> {
        let mut result = Vec::with_capacity(nodes.len());
        for node in nodes {
            let key = (plain(&node.domain), node.op_type.as_str(), node.overload.as_str());
            let Some(function) = self.functions.get(&key).copied() else {
                self.nodes += 1;
                if self.nodes > MAX_NODES {
                    return Err(format!("the graph has more than {MAX_NODES} nodes"));
                }
                let domain = &node.domain;
                let opset = opsets.of(domain).ok_or_else(|| {
                    format!("the file names no version of the operators {domain:?}, which it uses")
                })?;
                result.push(Versioned { node, opset });
                continue;
            };
            if depth >= MAX_DEPTH {
                return Err(format!("function {:?} is nested too deeply", function.name));
            }
            let mut inner = Opsets::new(&function.opset_import);
            for (domain, version) in &opsets.0 {
                inner.0.entry(domain.clone()).or_insert(*version);
            }
            let body = self.body(function, &node);
            result.extend(self.expand(body, &inner, depth + 1)?);
        }
        Ok(result)
    }

    /// A function's nodes with the call's names and attributes.
    fn body(&mut self, function: &FunctionProto, call: &NodeProto) -> Vec<NodeProto> {
        self.calls += 1;
        let shown = if call.name.is_empty() { function.name.as_str() } else { &call.name };
        let mut names: HashMap<&str, String> = HashMap::new();
        for (formal, actual) in function.input.iter().zip(&call.input) {
            names.insert(formal, actual.clone());
        }
        // Inputs that the call leaves out.
        for formal in function.input.iter().skip(call.input.len()) {
            names.insert(formal, String::new());
        }
        for (formal, actual) in function.output.iter().zip(&call.output) {
            if !actual.is_empty() {
                names.insert(formal, actual.clone());
            }
        }
        let renaming = Renaming { names, prefix: format!("{shown}#{}/", self.calls) };
        let mut nodes = Vec::with_capacity(function.node.len());
        for node in &function.node {
            let mut node = renaming.node(node);
            node.name = format!(
                "{shown}/{}",
                if node.name.is_empty() { &node.op_type } else { &node.name }
            );
            bind(&mut node, function, call);
            nodes.push(node);
        }
        // An output that is an input as it stands.
        for (formal, actual) in function.output.iter().zip(&call.output) {
            let pairs = || function.input.iter().zip(&call.input);
            if let Some((_, source)) = pairs().find(|(input, _)| *input == formal)
                && !actual.is_empty()
            {
                nodes.push(NodeProto {
                    op_type: "Identity".into(),
                    name: format!("{shown}/{formal}"),
                    input: vec![source.clone()],
                    output: vec![actual.clone()],
                    ..NodeProto::default()
                });
            }
        }
        nodes
    }
}

/// Attributes that refer to the call's get its values, or the function's defaults, or go.
fn bind(node: &mut NodeProto, function: &FunctionProto, call: &NodeProto) {
    let find = |list: &[AttributeProto], name: &str| list.iter().find(|a| a.name == name).cloned();
    let attributes = std::mem::take(&mut node.attribute);
    for mut attribute in attributes {
        if !attribute.ref_attr_name.is_empty() {
            let wanted = &attribute.ref_attr_name;
            let value =
                find(&call.attribute, wanted).or_else(|| find(&function.attribute_proto, wanted));
            let Some(value) = value else { continue };
            attribute = AttributeProto { name: attribute.name, ..value };
        }
        if let Some(graph) = &mut attribute.g {
            for node in &mut graph.node {
                bind(node, function, call);
            }
        }
        node.attribute.push(attribute);
    }
}

struct Renaming<'a> {
    names: HashMap<&'a str, String>,
    prefix: String,
}

impl Renaming<'_> {
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(name) => name.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{}{name}", self.prefix),
        }
    }

    fn node(&self, node: &NodeProto) -> NodeProto {
        let mut node = node.clone();
        let names = node.input.iter_mut().chain(node.output.iter_mut());
        names.for_each(|name| *name = self.name(name));
        for attribute in &mut node.attribute {
            if let Some(graph) = &mut attribute.g {
                self.graph(graph);
            }
        }
        node
    }

    fn graph(&self, graph: &mut GraphProto) {
        for tensor in &mut graph.initializer {
            tensor.name = self.name(&tensor.name);
        }
        for value in graph.input.iter_mut().chain(graph.output.iter_mut()) {
            value.name = self.name(&value.name);
        }
        for node in &mut graph.node {
            *node = self.node(node);
        }
    }
}
