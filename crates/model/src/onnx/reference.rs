//! The f32 reference: the graph as it stands in the file, evaluated node by node.
//!
//! It shares the reading of the file with the importer, nothing of its lowering and no pass; and with the
//! graph's evaluation the blocked matrix product ([`gazelle_share::plain::product`]), which is held against
//! the textbook's sum by tests of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::attributes::Attributes;
use super::evaluate::{self, Application, Arithmetic};
use super::node::{Branch, FileNode};
use super::program::FileGraph;
use super::tensor::{Array, ElementType};
use crate::error::{ModelError, Unsupported};

/// Elements of all tensors that one run may write.
const MAX_ELEMENTS: usize = 1 << 31;
/// Multiply-adds that one run may take.
const MAX_WORK: u64 = 1 << 38;

/// A network as its file has it.
#[derive(Debug, Clone)]
pub struct Reference {
    pub(super) program: Arc<FileGraph>,
    /// Images that one run takes: the file's fixed batch.
    pub(super) batch: usize,
    /// The node of the final activation, and those behind it that its logits do not pass through.
    pub(super) activation: Vec<String>,
    /// Inputs and their logits in f32 throughout, as far as the file was run on them when it was checked.
    pub(super) known: Arc<Mutex<Vec<KnownLogits>>>,
}

/// Inputs whose logits are remembered.
const KNOWN: usize = 4;

/// An input and its logits.
type KnownLogits = (Vec<f32>, Vec<f32>);

/// Values by name.
type Values = HashMap<String, Arc<Array>>;

/// Sees each value that a node writes: the node, the value's name, the value.
type OnValue<'a> = &'a mut dyn FnMut(&FileNode, &str, &Array) -> Result<(), ModelError>;

struct Evaluator<'a> {
    arithmetic: Arithmetic,
    /// Left out: their result is their input.
    identity: &'a [String],
    elements: usize,
    work: u64,
}

impl Reference {
    /// The output before the final activation, for one image: what the private computation gives.
    ///
    /// - `input`: row-major, without the batch axis.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the input does not fit; [`ModelError::Unsupported`] names a node that
    /// cannot be computed.
    pub fn logits(&self, input: &[f32]) -> Result<Vec<f32>, ModelError> {
        let run = self.run(Arithmetic::AsWritten);
        self.evaluate(run, input, &[], &mut |_, _, _| Ok(()))
    }

    /// The logits where quantised values are clipped but not rounded: what the private computation
    /// comes near to.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub(crate) fn unrounded(&self, input: &[f32]) -> Result<Vec<f32>, ModelError> {
        // optional: what another thread left is whole
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, logits)) = known.iter().find(|(known, _)| known == input) {
            return Ok(logits.clone());
        }
        drop(known);
        self.evaluate(self.run(Arithmetic::Exact), input, &[], &mut |_, _, _| Ok(()))
    }

    /// Whether the file rounds values on the way (`QuantizeLinear`).
    pub(crate) fn rounds(&self) -> bool {
        self.program.nodes.iter().any(|node| node.op() == "QuantizeLinear")
    }

    /// The file's output itself.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub(crate) fn output(&self, input: &[f32]) -> Result<Vec<f32>, ModelError> {
        let run = Evaluator { identity: &[], ..self.run(Arithmetic::AsWritten) };
        self.evaluate(run, input, &[], &mut |_, _, _| Ok(()))
    }

    /// The file's output in f32 throughout.
    ///
    /// - `logits`: of the same input, from [`observed`](Self::observed).
    pub(super) fn output_exactly(
        &self,
        input: &[f32],
        logits: Arc<Array>,
    ) -> Result<Vec<f32>, ModelError> {
        let mut run = Evaluator { identity: &[], ..self.run(Arithmetic::Exact) };
        let program = &*self.program;
        let last =
            program.nodes.iter().find(|node| node.outputs().any(|name| *name == program.output));
        // An activation that is the last node is all that is left to be done.
        if let (Some(node), [activation]) = (last, &*self.activation)
            && node.name == *activation
            && node.op() != "ReduceL2"
            && self.batch == 1
            && let Some(read) = node.proto.input.first()
        {
            let mut values: Values = program.constants.clone();
            values.insert(read.clone(), logits);
            let nodes = std::slice::from_ref(node);
            run.nodes(nodes, &program.output, &mut values, &mut |_, _, _| Ok(()))?;
            let y = values.remove(&program.output);
            let y =
                y.ok_or_else(|| ModelError::whole(format!("no node writes {:?}", program.output)))?;
            return self.of_one(&y);
        }
        self.evaluate(run, input, &[], &mut |_, _, _| Ok(()))
    }

    /// The logits in f32 throughout (see [`Arithmetic::Exact`]), of the whole batch and of the input, with
    /// every value on the way shown; `beside` are the other images of a fixed batch, the input again where
    /// there are none.
    pub(super) fn observed(
        &self,
        input: &[f32],
        beside: &[Vec<f32>],
        observer: OnValue<'_>,
    ) -> Result<(Arc<Array>, Vec<f32>), ModelError> {
        let y = self.tensor(self.run(Arithmetic::Exact), input, beside, observer)?;
        let logits = self.of_one(&y)?;
        if self.batch == 1 {
            // optional: as above
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() < KNOWN {
                known.push((input.to_vec(), logits.clone()));
            }
        }
        Ok((y, logits))
    }

    fn run(&self, arithmetic: Arithmetic) -> Evaluator<'_> {
        Evaluator { arithmetic, identity: &self.activation, elements: 0, work: 0 }
    }

    fn evaluate(
        &self,
        run: Evaluator<'_>,
        input: &[f32],
        beside: &[Vec<f32>],
        observer: OnValue<'_>,
    ) -> Result<Vec<f32>, ModelError> {
        let y = self.tensor(run, input, beside, observer)?;
        self.of_one(&y)
    }

    /// The first image's part of what the whole batch gives.
    fn of_one(&self, y: &Array) -> Result<Vec<f32>, ModelError> {
        let mut values = y.floats();
        if !values.len().is_multiple_of(self.batch) {
            let why = format!("an output of {:?} for a batch of {}", y.dims, self.batch);
            return Err(ModelError::whole(why));
        }
        values.truncate(values.len() / self.batch);
        Ok(values)
    }

    /// The output of all images of the batch.
    fn tensor(
        &self,
        mut run: Evaluator<'_>,
        input: &[f32],
        beside: &[Vec<f32>],
        observer: OnValue<'_>,
    ) -> Result<Arc<Array>, ModelError> {
        let program = &*self.program;
        let expected = program.input_dims.iter().product::<usize>() / self.batch;
        if input.len() != expected {
            let got = input.len();
            return Err(ModelError::Input(format!("expected {expected} elements, got {got}")));
        }
        if let Some(at) = input.iter().position(|x| !x.is_finite()) {
            return Err(ModelError::Input(format!("element {at} is not a finite number")));
        }
        let mut all = input.to_vec();
        let others = beside.iter().map(Vec::as_slice).chain(std::iter::repeat(input));
        others.take(self.batch - 1).for_each(|image| all.extend_from_slice(image));
        let image = Array::floats_of(program.input_dims.clone(), all);
        let mut values: Values = program.constants.clone();
        values.insert(program.input.clone(), Arc::new(image));
        run.nodes(&program.nodes, &program.output, &mut values, observer)?;
        values
            .remove(&program.output)
            .ok_or_else(|| ModelError::whole(format!("no node writes {:?}", program.output)))
    }

    /// The axes of the output for the whole batch, by a run on zeros.
    pub(super) fn output_dims(&self) -> Result<Vec<usize>, ModelError> {
        let elements = self.program.input_dims.iter().product::<usize>() / self.batch;
        let zeros = vec![0.0; elements];
        let run = self.run(Arithmetic::Exact);
        Ok(self.tensor(run, &zeros, &[], &mut |_, _, _| Ok(()))?.dims.clone())
    }
}

impl Evaluator<'_> {
    /// All nodes in order; values are dropped behind their last reader.
    fn nodes(
        &mut self,
        nodes: &[FileNode],
        output: &str,
        values: &mut Values,
        observer: OnValue<'_>,
    ) -> Result<(), ModelError> {
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            for name in node.reads() {
                last.insert(name, index);
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            let results = self.node(node, values, observer)?;
            for (name, value) in node.outputs().zip(results) {
                if !name.is_empty() && (last.contains_key(name) || name == output) {
                    observer(node, name, &value)?;
                    values.insert(name.to_owned(), value);
                }
            }
            for name in node.reads() {
                if last.get(name) == Some(&index) && name != output {
                    values.remove(name);
                }
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        node: &FileNode,
        values: &mut Values,
        observer: OnValue<'_>,
    ) -> Result<Vec<Arc<Array>>, ModelError> {
        let fail = |why: String| {
            let (node, op) = (node.name.clone(), node.op().to_owned());
            ModelError::Unsupported(vec![Unsupported { node, op, why }])
        };
        let inputs: Vec<Option<Arc<Array>>> =
            node.proto.input.iter().map(|name| values.get(name).cloned()).collect();
        let left_out = self.identity.contains(&node.name);
        // The root of a sum of squares: the sum is what is left.
        let of_squares = left_out && node.op() == "ReduceL2";
        if left_out && !of_squares {
            return Ok(inputs.into_iter().flatten().take(1).collect());
        }
        if node.op() == "If" && node.domain().is_empty() {
            let condition = inputs.first().and_then(Option::as_ref);
            let condition = condition.and_then(|value| value.int_list().first().copied());
            let Some(condition) = condition else { return Err(fail("no condition".into())) };
            let name = if condition != 0 { "then_branch" } else { "else_branch" };
            let branch = node.branch(name).ok_or_else(|| fail(format!("no {name}")))?;
            return self.block(branch, values, observer).map_err(|error| match error {
                ModelError::Unsupported(_) => error,
                error => fail(error.to_string()),
            });
        }
        let call = Application {
            op: if of_squares { "ReduceSumSquare" } else { node.op() },
            domain: node.domain(),
            opset: node.opset,
            attributes: Attributes::new(&node.proto),
            inputs,
            outputs: node.proto.output.len(),
            arithmetic: self.arithmetic,
            limit: MAX_WORK.saturating_sub(self.work),
        };
        self.work = self.work.saturating_add(evaluate::work(&call));
        let results = evaluate::run(&call).map_err(fail)?;
        for result in &results {
            self.elements = self.elements.saturating_add(result.len());
        }
        if self.elements > MAX_ELEMENTS {
            return Err(fail("the network's tensors are too large".into()));
        }
        Ok(results.into_iter().map(Arc::new).collect())
    }

    fn block(
        &mut self,
        block: &Branch,
        values: &Values,
        observer: OnValue<'_>,
    ) -> Result<Vec<Arc<Array>>, ModelError> {
        let mut inner = values.clone();
        inner.extend(block.constants.iter().map(|(name, value)| (name.clone(), Arc::clone(value))));
        // What the block's outputs need is kept by naming each of them last.
        let mut kept = Values::new();
        for output in &block.outputs {
            let mut own = inner.clone();
            self.nodes(&block.nodes, output, &mut own, observer)?;
            let value = own.remove(output);
            let value =
                value.ok_or_else(|| ModelError::whole(format!("nothing writes {output:?}")))?;
            kept.insert(output.clone(), value);
        }
        Ok(block.outputs.iter().filter_map(|name| kept.get(name).cloned()).collect())
    }
}

/// Whether a value can be compared with what a private network computes.
pub(super) fn comparable(value: &Array) -> bool {
    matches!(value.kind, ElementType::Float | ElementType::Half | ElementType::Brain)
}
