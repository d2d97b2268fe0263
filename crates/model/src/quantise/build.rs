//! From the lowered graph to fixed-point nodes.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

mod local;
mod steps;
mod weights;

pub(super) use weights::{WeightSizes, is_wide};

use std::collections::HashMap;

use gazelle_share::{
    Architecture, ArchitectureParts, LinearWeights, LocalMap, Network, Node, NodeKind,
    StepFunction, Tensor, TensorId, TensorMap, TensorShape, Window,
};

use super::input::InputPlan;
use super::scales::{caps, log2_ceil, scale_for};
use super::{Candidate, rings};
use crate::error::ModelError;
use crate::graph::{Graph, GraphNode, Op, all_ones};

/// A network under construction.
pub(super) struct Draft {
    pub(super) tensors: Vec<Tensor>,
    pub(super) nodes: Vec<Node>,
    pub(super) weights: Vec<LinearWeights>,
    /// Whether a linear operator may read a tensor; of the others, the shares still need a step.
    pub(super) masked: TensorMap<bool>,
}

/// A finished network, the widths of its steps and the fraction bits of its weights.
pub(super) struct Built {
    pub(super) network: Network,
    pub(super) step_bits: Vec<(String, u32)>,
    pub(super) weight_bits: Vec<(String, i32)>,
}

/// Errors of ciphertexts that a window of an exact network sums up at most.
const MOST_ERRORS_SUMMED: usize = 16;

pub(super) fn build(
    (graph, sizes): (&Graph, &[WeightSizes]),
    ranges: &[f64],
    input: &InputPlan,
    candidate: Candidate,
    (widths, fractions): (&[u32], Option<&[i32]>),
) -> Result<Built, ModelError> {
    let mut builder = NetworkDraft {
        graph,
        sizes,
        ranges,
        caps: caps(graph, ranges, candidate, widths),
        candidate,
        widths,
        fractions,
        draft: Draft {
            tensors: vec![],
            nodes: vec![],
            weights: vec![],
            masked: TensorMap::default(),
        },
        values: HashMap::new(),
        rescaled: HashMap::new(),
        weight_bits: Vec::new(),
        told: told(graph),
    };
    builder.input(input);
    let readers = graph.readers();
    for (index, node) in graph.nodes.iter().enumerate() {
        // An average pool right behind its only source is part of that step.
        if builder.values.contains_key(&node.output) {
            continue;
        }
        let pool = readers
            .get(node.output)
            .and_then(|readers| match readers.as_slice() {
                [reader] => graph.nodes.get(*reader),
                _ => None,
            })
            .and_then(|reader| match reader.op {
                Op::AveragePool { window, divisor } => Some((window, divisor, reader.output)),
                _ => None,
            });
        builder.node((index, node), pool)?;
    }
    builder.reveal()?;
    let mut draft = builder.draft;
    rings::assign(&mut draft.tensors, &mut draft.nodes, &draft.masked)?;
    let refuse = |error: gazelle_share::ProtocolError| ModelError::Quantise(error.to_string());
    let output = TensorId::new(draft.tensors.len() - 1);
    let parts = ArchitectureParts {
        tensors: draft.tensors,
        nodes: draft.nodes,
        output,
        input_shifts: input.shifts.clone(),
    };
    let architecture = Architecture::new(parts).map_err(refuse)?;
    let width = |node: &Node| match &node.kind {
        NodeKind::Step(step) => Some((node.name.clone(), step.value_bits)),
        _ => None,
    };
    let step_bits = architecture.nodes().iter().filter_map(width).collect();
    let network = Network::new(architecture, draft.weights).map_err(refuse)?;
    Ok(Built { network, step_bits, weight_bits: builder.weight_bits })
}

/// By tensor: whether what is revealed is made of its values without a linear layer in between.
fn told(graph: &Graph) -> Vec<bool> {
    let mut told = vec![false; graph.tensors.len()];
    told[graph.output] = true;
    for node in graph.nodes.iter().rev() {
        if told[node.output] && !matches!(node.op, Op::Linear { .. }) {
            node.inputs.iter().for_each(|input| told[*input] = true);
        }
    }
    told
}

type FoldedPool = Option<(Window, f32, usize)>;

struct NetworkDraft<'a> {
    graph: &'a Graph,
    /// By node.
    sizes: &'a [WeightSizes],
    ranges: &'a [f64],
    caps: Vec<i32>,
    candidate: Candidate,
    /// Per graph tensor that a step writes, or that is rescaled.
    widths: &'a [u32],
    /// By tensor of a linear layer: bits beyond the candidate's, if shared out.
    fractions: Option<&'a [i32]>,
    draft: Draft,
    /// Graph tensor to draft tensor.
    values: HashMap<usize, usize>,
    /// Graph tensor to its rescaled draft tensor.
    rescaled: HashMap<usize, usize>,
    weight_bits: Vec<(String, i32)>,
    /// By graph tensor: whether it reaches the reveal through no linear layer.
    told: Vec<bool>,
}

impl NetworkDraft<'_> {
    /// The scale at which a tensor's values fit its width with the margin.
    fn fitting(&self, range_of: usize, width_of: usize) -> i32 {
        let value_bits = match self.widths[width_of] {
            0 => self.candidate.value_bits,
            width => width,
        };
        scale_for(self.range(range_of), Candidate { value_bits, ..self.candidate })
    }

    /// Bits that values of this tensor need at a scale, margin and sign included.
    fn needed(&self, range_of: usize, scale: i32) -> u32 {
        let bits = log2_ceil(self.range(range_of)) + scale + 1 + self.candidate.margin as i32;
        bits.clamp(4, 40) as u32
    }

    fn range(&self, id: usize) -> f64 {
        self.ranges[id]
    }

    fn tensor(
        &mut self,
        name: &str,
        shape: TensorShape,
        scale: i32,
        bits: u32,
        open: bool,
    ) -> usize {
        let name = name.chars().take(200).collect();
        let (ring_bits, value_bits) = (bits, bits);
        self.draft.tensors.push(Tensor {
            name,
            shape,
            scale,
            ring_bits,
            value_bits,
            guard_bits: 0,
        });
        self.draft.masked.push(!open);
        self.draft.tensors.len() - 1
    }

    fn emit(&mut self, name: &str, kind: NodeKind, inputs: Vec<usize>, output: usize) {
        let name = name.chars().take(200).collect();
        let inputs = inputs.into_iter().map(TensorId::new).collect();
        self.draft.nodes.push(Node { name, kind, inputs, output: TensorId::new(output) });
        self.draft.weights.push(LinearWeights::default());
    }

    fn shape(&self, id: usize) -> TensorShape {
        self.draft.tensors[id].shape
    }

    fn scale(&self, id: usize) -> i32 {
        self.draft.tensors[id].scale
    }

    fn value_bits(&self, id: usize) -> u32 {
        self.draft.tensors[id].value_bits
    }

    fn is_open(&self, id: usize) -> bool {
        !self.draft.masked[TensorId::new(id)]
    }

    fn input(&mut self, plan: &InputPlan) {
        let scale = plan.bits as i32 - 1 - log2_ceil(self.range(0));
        let shape = self.graph.input_shape();
        let name = self.graph.tensors[0].name.clone();
        // One bit more: the range's end itself must fit, and inputs beyond the calibration's.
        let bits = (plan.bits + 1).max(plan.bits_for(scale));
        let id = self.tensor(&name, shape, scale, bits, false);
        self.values.insert(0, id);
    }

    fn value(&self, id: usize) -> Result<usize, ModelError> {
        let lost = || ModelError::Quantise(format!("tensor {id} is read before it is written"));
        self.values.get(&id).copied().ok_or_else(lost)
    }

    fn node(
        &mut self,
        (index, node): (usize, &GraphNode),
        pool: FoldedPool,
    ) -> Result<(), ModelError> {
        let first = node.input();
        let output = match &node.op {
            Op::Linear { op, weights, bias } => {
                self.linear((index, node), first, op, weights, bias)?
            }
            Op::Relu => self.step(node, first, StepFunction::Relu, pool)?,
            Op::Clip { high, .. } => self.clip(node, first, *high, pool)?,
            Op::MaxPool { window, relu } => {
                let function = StepFunction::MaxPool { window: *window, relu: *relu };
                self.step(node, first, function, pool)?
            }
            Op::Square => self.square(node, first, pool)?,
            Op::AveragePool { window, divisor } => {
                // As for sums in `settle`.
                let many = window.kernel[0] * window.kernel[1] > MOST_ERRORS_SUMMED;
                let input = if self.candidate.exact && many {
                    self.masked(&node.name, first)?
                } else {
                    self.value(first)?
                };
                let scale = self.scale(input) + log2(*divisor);
                self.local(node, LocalMap::SumPool(*window), vec![input], scale)
            }
            Op::Local(LocalMap::Add { .. }) => self.add(node)?,
            Op::Local(LocalMap::Concat) => self.concat(node)?,
            Op::Local(map) => {
                let input = self.value(first)?;
                self.local(node, map.clone(), vec![input], self.scale(input))
            }
            Op::Affine { scale, shift } if all_ones(scale) => self.add_bias(node, first, shift)?,
            Op::Affine { .. } | Op::LeakyRelu { .. } | Op::Multiply => {
                let why = format!("node {:?} was not lowered", node.name);
                return Err(ModelError::Quantise(why));
            }
        };
        self.values.insert(node.output, output);
        Ok(())
    }
}

/// Of a power of two.
fn log2(divisor: f32) -> i32 {
    divisor.log2().round() as i32
}
