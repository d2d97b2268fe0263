//! From the lowered graph to fixed-point nodes.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

mod weights;

use std::collections::HashMap;

use gazelle_share::{
    Architecture, ArchitectureParts, LinearWeights, LocalMap, Network, Node, NodeKind, Rounding,
    Step, StepFunction, StepOutput, Tensor, TensorId, TensorMap, TensorShape, Window,
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
    graph: &Graph,
    ranges: &[f64],
    input: &InputPlan,
    candidate: Candidate,
    (widths, fractions): (&[u32], Option<&[i32]>),
) -> Result<Built, ModelError> {
    let mut builder = NetworkDraft {
        graph,
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
    };
    builder.input(input);
    let readers = graph.readers();
    for node in &graph.nodes {
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
        builder.node(node, pool)?;
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

type FoldedPool = Option<(Window, f32, usize)>;

struct NetworkDraft<'a> {
    graph: &'a Graph,
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

    fn node(&mut self, node: &GraphNode, pool: FoldedPool) -> Result<(), ModelError> {
        let first = node.input();
        let output = match &node.op {
            Op::Linear { op, weights, bias } => self.linear(node, first, op, weights, bias)?,
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

    fn local(&mut self, node: &GraphNode, map: LocalMap, inputs: Vec<usize>, scale: i32) -> usize {
        let open = inputs.iter().any(|id| self.is_open(*id));
        let growth = match &map {
            LocalMap::SumPool(window) => taps_bits(window),
            _ => 0,
        };
        let bits = inputs.iter().map(|id| self.value_bits(*id)).fold(1, u32::max) + growth;
        let shape = self.graph.shape(node.output);
        let output = self.tensor(&node.name, shape, scale, bits, open);
        self.emit(&node.name, NodeKind::Local(map), inputs, output);
        output
    }

    /// Constants on the server's share.
    fn add_bias(
        &mut self,
        node: &GraphNode,
        id: usize,
        shift: &[f32],
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let scale = self.scale(input);
        let unit = f64::from(scale).exp2();
        let bias = shift.iter().map(|b| (f64::from(*b) * unit).round() as i64).collect();
        let output = self.local(node, LocalMap::AddBias, vec![input], scale);
        let bits = self.needed(node.output, scale);
        if !self.is_open(output) {
            self.draft.tensors[output].value_bits = bits;
        }
        if let Some(slot) = self.draft.weights.last_mut() {
            *slot = LinearWeights { weights: Vec::new(), bias };
        }
        Ok(output)
    }

    /// The tensor behind a step: rescaled if it is still open.
    fn masked(&mut self, name: &str, id: usize) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        if !self.is_open(input) {
            return Ok(input);
        }
        if let Some(done) = self.rescaled.get(&id) {
            return Ok(*done);
        }
        let cap = self.caps[id];
        let wanted = self.fitting(id, id).min(cap);
        let bits = self.needed(id, wanted.min(self.scale(input)));
        let output = self.rescale(&format!("{name}/rescale"), input, wanted, bits);
        self.rescaled.insert(id, output);
        Ok(output)
    }

    fn rescale(&mut self, name: &str, input: usize, wanted: i32, bits: u32) -> usize {
        let truncate = (self.scale(input) - wanted).max(0);
        let scale = self.scale(input) - truncate;
        let step = self.new_step(StepFunction::Rescale, input, truncate as u32, bits);
        let output = self.tensor(name, self.shape(input), scale, bits, false);
        self.emit(name, NodeKind::Step(step), vec![input], output);
        output
    }

    fn new_step(&self, function: StepFunction, input: usize, truncate: u32, bits: u32) -> Step {
        Step {
            function,
            input: self.shape(input),
            input_bits: 0,
            truncate_bits: truncate,
            rounding: Rounding::Local,
            value_bits: bits,
            sum_pool: None,
            output: StepOutput::Masked { bits: 0 },
        }
    }

    fn step(
        &mut self,
        node: &GraphNode,
        id: usize,
        function: StepFunction,
        pool: FoldedPool,
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let cap = self.caps[node.output];
        let wanted = self.fitting(id, node.output).min(cap);
        // A masked value keeps its bits unless it meets others in a concatenation.
        let wanted = if self.is_open(input) { wanted } else { cap.min(self.scale(input)) };
        let truncate = (self.scale(input) - wanted).max(0) as u32;
        let scale = self.scale(input) - truncate as i32;
        let bits = if self.is_open(input) {
            self.needed(id, scale)
        } else {
            self.value_bits(input).saturating_sub(truncate).max(2)
        };
        // Nothing is rounded where nothing is dropped: there the comparison is exact as well.
        let coarse = if truncate > 0 { self.coarse(bits) } else { 0 };
        let function = match (function, coarse) {
            (StepFunction::Relu, drop_bits @ 1..) => StepFunction::CoarseRelu { drop_bits },
            (function, _) => function,
        };
        let step = self.new_step(function, input, truncate, bits);
        Ok(self.finish(node, step, input, scale, pool))
    }

    /// Low bits that a ReLU's comparison leaves out. Losing values below `2^s` costs `8^s rho / 12`
    /// ulp^2, where rho, the density of values at 0, halves with each bit of width, against the
    /// `1/4` of rounding: a tenth of that or so, for values spread over an eighth of their range.
    fn coarse(&self, bits: u32) -> u32 {
        let Candidate { coarse, margin, .. } = self.candidate;
        if coarse && margin > 0 { bits.saturating_sub(margin + 3) / 3 } else { 0 }
    }

    fn clip(
        &mut self,
        node: &GraphNode,
        id: usize,
        high: f32,
        pool: FoldedPool,
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        // Values that never reach the upper end need no clipping, but the plan must not tell.
        let cap = self.caps[node.output];
        let wanted = self.fitting(id, node.output).min(cap);
        let wanted = if self.is_open(input) { wanted } else { cap.min(self.scale(input)) };
        let truncate = (self.scale(input) - wanted).max(0) as u32;
        let scale = self.scale(input) - truncate as i32;
        let end = ((f64::from(high) * f64::from(scale).exp2()).round() as i64).max(1);
        let bits = if self.is_open(input) {
            self.needed(id, scale)
        } else {
            self.value_bits(input).saturating_sub(truncate)
        };
        let bits = bits.max(end.ilog2() + 2).clamp(3, 40);
        let step = self.new_step(StepFunction::Clip { high: end }, input, truncate, bits);
        Ok(self.finish(node, step, input, scale, pool))
    }

    fn square(
        &mut self,
        node: &GraphNode,
        id: usize,
        pool: FoldedPool,
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let wanted = self.fitting(id, node.output);
        let truncate = (self.scale(input) - wanted).max(0);
        let bits = if self.is_open(input) {
            self.needed(id, self.scale(input) - truncate)
        } else {
            self.value_bits(input).saturating_sub(truncate as u32).max(2)
        };
        let doubled = 2 * (self.scale(input) - truncate);
        let cap = self.caps[node.output];
        let wanted = self.fitting(node.output, node.output).min(cap);
        let drop_bits = (doubled - wanted).clamp(0, 2 * bits as i32 - 2);
        let function = StepFunction::Square { drop_bits: drop_bits as u32 };
        let step = self.new_step(function, input, truncate as u32, bits);
        Ok(self.finish(node, step, input, doubled - drop_bits, pool))
    }

    /// Emits a step with the average pool that follows it, if any.
    fn finish(
        &mut self,
        node: &GraphNode,
        mut step: Step,
        input: usize,
        scale: i32,
        pool: FoldedPool,
    ) -> usize {
        let mut scale = scale;
        if let Some((window, divisor, _)) = pool {
            step.sum_pool = Some(window);
            scale += log2(divisor);
        }
        let (shape, bits) = (step.output_shape(), step.result_bits());
        let output = self.tensor(&node.name, shape, scale, bits, false);
        self.emit(&node.name, NodeKind::Step(step), vec![input], output);
        if let Some((_, _, pooled)) = pool {
            self.values.insert(pooled, output);
        }
        output
    }

    fn add(&mut self, node: &GraphNode) -> Result<usize, ModelError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            inputs.push(self.value(*id)?);
        }
        let scale = inputs.iter().map(|id| self.scale(*id)).fold(i32::MIN, i32::max);
        if self.candidate.exact {
            self.settle(node, &mut inputs, scale);
        }
        let shifts: Vec<u32> = inputs.iter().map(|id| (scale - self.scale(*id)) as u32).collect();
        if shifts.iter().any(|shift| *shift >= 40) {
            let why = format!("node {:?} adds values of very different size", node.name);
            return Err(ModelError::Quantise(why));
        }
        let widths = inputs.iter().zip(&shifts).map(|(id, shift)| self.value_bits(*id) + shift);
        let bits = widths.fold(1, u32::max) + (inputs.len() as u32).next_power_of_two().ilog2();
        let open = inputs.iter().any(|id| self.is_open(*id));
        let shape = self.graph.shape(node.output);
        let output = self.tensor(&node.name, shape, scale, bits, open);
        self.emit(&node.name, NodeKind::Local(LocalMap::Add { shifts }), inputs, output);
        Ok(output)
    }

    /// Takes the error of ciphertexts out of open addends that would be shifted far: guard bits would
    /// have to take up `2^shift` times as much.
    fn settle(&mut self, node: &GraphNode, inputs: &mut [usize], scale: i32) {
        const FAR: i32 = 4;
        for (input, id) in inputs.iter_mut().zip(&node.inputs) {
            let own = self.scale(*input);
            if self.is_open(*input) && scale - own > FAR {
                let bits = self.needed(*id, own);
                *input = self.rescale(&format!("{}/settle", node.name), *input, own, bits);
            }
        }
    }

    fn concat(&mut self, node: &GraphNode) -> Result<usize, ModelError> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            inputs.push(self.masked(&node.name, *id)?);
        }
        let scale = inputs.iter().map(|id| self.scale(*id)).fold(i32::MAX, i32::min);
        for id in &mut inputs {
            if self.scale(*id) > scale {
                let dropped = (self.scale(*id) - scale) as u32;
                let bits = self.value_bits(*id).saturating_sub(dropped).max(2);
                *id = self.rescale(&format!("{}/rescale", node.name), *id, scale, bits);
            }
        }
        Ok(self.local(node, LocalMap::Concat, inputs, scale))
    }

    /// The last step: the logits, rounded to the resolution.
    fn reveal(&mut self) -> Result<(), ModelError> {
        let input = self.value(self.graph.output)?;
        let wanted = self.candidate.resolution;
        let truncate = (self.scale(input) - wanted).max(0);
        let scale = self.scale(input) - truncate;
        let range = self.range(self.graph.output);
        let bits = log2_ceil(range) + scale + 1 + self.candidate.margin as i32;
        if bits > 40 {
            let why = format!("logits up to {range:e} in steps of 2^{}", -scale);
            return Err(ModelError::Quantise(why));
        }
        let bits = bits.max(2) as u32;
        let mut step = self.new_step(StepFunction::Round, input, truncate as u32, bits);
        step.output = StepOutput::Reveal;
        let output = self.tensor("output", self.shape(input), scale, bits, false);
        self.emit("reveal", NodeKind::Step(step), vec![input], output);
        Ok(())
    }
}

fn taps_bits(window: &Window) -> u32 {
    (window.kernel[0] * window.kernel[1]).next_power_of_two().ilog2()
}

/// Of a power of two.
fn log2(divisor: f32) -> i32 {
    divisor.log2().round() as i32
}
