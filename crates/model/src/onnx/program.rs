//! A file made ready: weights read, functions replaced by their nodes, the nodes that the chosen
//! output needs in an order in which they can be computed. Nothing is lowered yet.

use std::collections::HashSet;
use std::sync::Arc;

use super::ImportOptions;
use super::generated::{GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto, type_proto};
use super::inline::{Inliner, Opsets, Versioned};
use super::node::{Branch, Constants, FileNode};
use super::tensor::type_name;
use super::{dims, order, read};
use crate::error::ModelError;

/// Opsets whose operators are known to mean what is computed here.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;
/// Newer ones that changed nothing of what is supported.
const UNCHANGED_UP_TO: i64 = 26;

/// A file ready to be lowered or evaluated.
#[derive(Debug)]
pub(super) struct FileGraph {
    /// The input's name.
    pub(super) input: String,
    /// Its axes as the file fixes them, the batch included.
    pub(super) input_dims: Vec<usize>,
    pub(super) constants: Constants,
    pub(super) nodes: Vec<FileNode>,
    /// The chosen output.
    pub(super) output: String,
    /// The file's other outputs.
    pub(super) others: Vec<String>,
    /// What a user should know, though it is no fault.
    pub(super) warnings: Vec<String>,
}

impl FileGraph {
    /// # Errors
    /// [`ModelError::Unsupported`] with what the file has and what is needed.
    pub(super) fn new(mut model: ModelProto, options: &ImportOptions) -> Result<Self, ModelError> {
        let whole = |why: String| ModelError::whole(why);
        let mut warnings = Vec::new();
        let opsets = Opsets::new(&model.opset_import);
        let graph = model.graph.take().ok_or_else(|| whole("the file has no graph".into()))?;
        check_opset(&opsets, &mut warnings).map_err(whole)?;
        if let Some(sparse) = graph.sparse_initializer.first() {
            let why = format!("sparse weights (of {:?}): store them densely", sparse.dims);
            return Err(whole(why));
        }
        let GraphProto { node, initializer, input, output, .. } = graph;
        let mut constants = Constants::new();
        for mut tensor in initializer {
            let value = read::tensor(&tensor).map_err(whole)?;
            constants.insert(std::mem::take(&mut tensor.name), Arc::new(value));
        }
        let mut inliner = Inliner::new(&model.functions);
        let nodes = inliner.expand(node, &opsets, 0).map_err(whole)?;
        let nodes = prepared(nodes, &mut inliner, 0).map_err(whole)?;
        let inputs: Vec<&ValueInfoProto> =
            input.iter().filter(|input| !constants.contains_key(&input.name)).collect();
        let chosen = choose(&output, &inputs, &nodes, options).map_err(whole)?;
        let known = |name: &str| {
            constants.contains_key(name) || inputs.iter().any(|input| input.name == name)
        };
        let wanted = [chosen.clone()];
        let nodes = order::sorted(nodes, &wanted, known).map_err(whole)?;
        let reached = nodes.iter().flat_map(FileNode::reads).any(|name| name == chosen)
            || known(&chosen)
            || nodes.iter().any(|node| node.outputs().any(|name| name == chosen));
        if !reached {
            return Err(whole(format!("no node writes the output {chosen:?}")));
        }
        let used: HashSet<&str> =
            nodes.iter().flat_map(FileNode::reads).chain([chosen.as_str()]).collect();
        let read: Vec<&&ValueInfoProto> =
            inputs.iter().filter(|input| used.contains(input.name.as_str())).collect();
        let input = match (read.as_slice(), inputs.first()) {
            ([input], _) => input,
            ([], Some(first)) => first,
            ([], None) => return Err(whole("the network has no input".into())),
            (several, _) => {
                let names: Vec<&str> = several.iter().map(|input| input.name.as_str()).collect();
                let why = format!(
                    "the output {chosen:?} depends on {} inputs ({}): networks with one are \
                     supported; make the others constants, or choose another output",
                    names.len(),
                    names.join(", ")
                );
                return Err(whole(why));
            }
        };
        let input_dims = input_dims(input, options).map_err(whole)?;
        for name in inputs.iter().map(|input| &input.name).filter(|name| **name != input.name) {
            warnings.push(format!("the input {name:?} is not used"));
        }
        let others = output.iter().map(|o| o.name.clone()).filter(|name| *name != chosen).collect();
        constants.retain(|name, _| used.contains(name.as_str()));
        let input = input.name.clone();
        Ok(Self { input, input_dims, constants, nodes, output: chosen, others, warnings })
    }
}

fn check_opset(opsets: &Opsets, warnings: &mut Vec<String>) -> Result<(), String> {
    let opset = opsets.of("").ok_or("the file names no version of the ONNX operators")?;
    if OPSETS.contains(&opset) {
        return Ok(());
    }
    if !(1..=UNCHANGED_UP_TO).contains(&opset) {
        return Err(format!(
            "opset {opset}: 1 to {UNCHANGED_UP_TO} are understood; export with opset 17 or convert \
             with onnx.version_converter"
        ));
    }
    warnings.push(format!(
        "opset {opset} is {} than what this program was made for ({} to {}); every node means the \
         same there as far as is known",
        if opset < *OPSETS.start() { "older" } else { "newer" },
        OPSETS.start(),
        OPSETS.end()
    ));
    Ok(())
}

/// Graphs within graphs at most.
const MAX_DEPTH: usize = 8;

/// Names nodes and makes the graphs within them ready.
fn prepared(
    nodes: Vec<Versioned>,
    inliner: &mut Inliner<'_>,
    depth: usize,
) -> Result<Vec<FileNode>, String> {
    let mut result = Vec::with_capacity(nodes.len());
    for (index, Versioned { node: mut proto, opset }) in nodes.into_iter().enumerate() {
        let name = match (proto.name.as_str(), proto.output.first()) {
            ("", Some(output)) if !output.is_empty() => output.clone(),
            ("", _) => format!("{}_{index}", proto.op_type),
            (name, _) => name.to_owned(),
        };
        let mut branches = Vec::new();
        for attribute in &mut proto.attribute {
            let Some(graph) = attribute.g.take() else { continue };
            if depth >= MAX_DEPTH {
                return Err(format!("node {name:?} holds graphs nested too deeply"));
            }
            let block = block(graph, opset, inliner, depth + 1)?;
            branches.push((attribute.name.clone(), block));
        }
        result.push(FileNode { name, opset, proto, branches });
    }
    Ok(result)
}

fn block(
    graph: GraphProto,
    opset: i64,
    inliner: &mut Inliner<'_>,
    depth: usize,
) -> Result<Branch, String> {
    let mut constants = Constants::new();
    for tensor in &graph.initializer {
        constants.insert(tensor.name.clone(), Arc::new(read::tensor(tensor)?));
    }
    let versions = [super::generated::OperatorSetIdProto { domain: String::new(), version: opset }];
    let nodes = inliner.expand(graph.node, &Opsets::new(&versions), 0)?;
    let nodes = prepared(nodes, inliner, depth)?;
    let own: HashSet<String> = nodes
        .iter()
        .flat_map(FileNode::outputs)
        .map(str::to_owned)
        .chain(graph.input.iter().map(|input| input.name.clone()))
        .collect();
    let outputs: Vec<String> = graph.output.into_iter().map(|output| output.name).collect();
    let written = |name: &str| own.contains(name) || constants.contains_key(name);
    let mut outer: Vec<String> = nodes
        .iter()
        .flat_map(FileNode::reads)
        .chain(outputs.iter().map(String::as_str))
        .filter(|name| !written(name))
        .map(str::to_owned)
        .collect();
    outer.sort_unstable();
    outer.dedup();
    let nodes = order::sorted(nodes, &outputs, |name| {
        constants.contains_key(name)
            || outer.binary_search_by(|o| o.as_str().cmp(name)).is_ok()
            || graph.input.iter().any(|input| input.name == name)
    })?;
    Ok(Branch { constants, nodes, outputs, outer })
}

/// The output that was asked for, or the first of floats that depends on an input.
fn choose(
    outputs: &[ValueInfoProto],
    inputs: &[&ValueInfoProto],
    nodes: &[FileNode],
    options: &ImportOptions,
) -> Result<String, String> {
    let names = || outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = &options.output {
        return if outputs.iter().any(|output| output.name == *wanted) {
            Ok(wanted.clone())
        } else {
            Err(format!("there is no output {wanted:?}: the file has {}", names()))
        };
    }
    // Nodes may be out of order: repeat until nothing is added.
    let mut depends: HashSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    loop {
        let before = depends.len();
        for node in nodes {
            if node.reads().any(|name| depends.contains(name)) {
                depends.extend(node.outputs());
            }
        }
        if depends.len() == before {
            break;
        }
    }
    let floats = |output: &&ValueInfoProto| {
        matches!(element_type(output), None | Some(0 | 1 | 10 | 11 | 16))
    };
    let dependent = || outputs.iter().filter(|output| depends.contains(output.name.as_str()));
    let first = dependent().find(floats).or_else(|| dependent().next()).or(outputs.first());
    first.map(|output| output.name.clone()).ok_or_else(|| "the file has no output".into())
}

fn element_type(value: &ValueInfoProto) -> Option<i32> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    Some(tensor.elem_type)
}

fn input_dims(input: &ValueInfoProto, options: &ImportOptions) -> Result<Vec<usize>, String> {
    let name = &input.name;
    let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(format!("the input {name:?} is no tensor"));
    };
    if !matches!(tensor.elem_type, 1 | 10 | 11 | 16) {
        return Err(format!(
            "the input {name:?} is of type {}: networks that take floats are supported; cut off \
             the conversion at the beginning of the graph",
            type_name(i64::from(tensor.elem_type))
        ));
    }
    let given = options.input_shape.iter().find(|(of, _)| of.as_ref().is_none_or(|of| of == name));
    let given = given.map(|(_, dims)| dims.as_slice());
    if let (Some((Some(other), _)), None) = (options.input_shape.first(), given) {
        return Err(format!("there is no input {other:?}: the network reads {name:?}"));
    }
    let Some(shape) = tensor.shape.as_ref() else {
        return given.map(<[usize]>::to_vec).ok_or_else(|| {
            format!(
                "the input {name:?} has no shape: give one with --input-shape {name}=1,3,224,224"
            )
        });
    };
    let rank = shape.dim.len();
    if rank > 8 {
        return Err(format!("the input {name:?} has {rank} axes: at most 8 are understood"));
    }
    if let Some(given) = given.filter(|given| given.len() != rank) {
        let sizes = given.len();
        return Err(format!(
            "--input-shape gives {sizes} sizes, the input {name:?} has {rank} axes"
        ));
    }
    let (mut sizes, mut free) = (Vec::with_capacity(rank), Vec::new());
    for (axis, dim) in shape.dim.iter().enumerate() {
        let given = given.and_then(|given| given.get(axis)).copied();
        let (fixed, symbol) = match &dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(size)) if *size > 0 => {
                let size = usize::try_from(*size).map_err(|_| format!("an axis of {size}"))?;
                (Some(size), size.to_string())
            }
            Some(tensor_shape_proto::dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
                (None, symbol.clone())
            }
            _ => (None, "?".into()),
        };
        match (fixed, given) {
            (Some(fixed), Some(given)) if fixed != given && !(axis == 0 && given == 1) => {
                return Err(format!(
                    "--input-shape says {given} for axis {axis} of the input {name:?}, the file {fixed}"
                ));
            }
            (Some(fixed), _) => sizes.push(fixed),
            (None, Some(given)) => sizes.push(given),
            // A free batch axis is one image.
            (None, None) if axis == 0 && rank > 1 => sizes.push(1),
            (None, None) => {
                free.push(symbol.clone());
                sizes.push(1);
            }
        }
    }
    if !free.is_empty() {
        let shown = shape.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(size)) if *size > 0 => {
                size.to_string()
            }
            _ if axis == 0 && rank > 1 => "1".into(),
            Some(tensor_shape_proto::dimension::Value::DimParam(symbol)) if !symbol.is_empty() => {
                symbol.clone()
            }
            _ => "?".into(),
        });
        let shown: Vec<String> = shown.collect();
        return Err(format!(
            "the input {name:?} leaves sizes open ({}): give numbers with --input-shape {name}={}",
            free.join(", "),
            shown.join(",")
        ));
    }
    dims::count(&sizes).map(|_| sizes)
}
