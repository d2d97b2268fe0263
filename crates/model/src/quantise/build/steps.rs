//! Non-linear steps: how many bits each drops, and at which scale its result is.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{NodeKind, Rounding, Step, StepFunction, StepOutput};

use super::super::Candidate;
use super::super::scales::log2_ceil;
use super::{FoldedPool, NetworkDraft, log2};
use crate::error::ModelError;
use crate::graph::GraphNode;

/// What a step takes away from its input, and what is left.
struct Dropped {
    truncate: u32,
    scale: i32,
    bits: u32,
}

impl NetworkDraft<'_> {
    /// The tensor behind a step: rescaled if it is still open.
    pub(super) fn masked(&mut self, name: &str, id: usize) -> Result<usize, ModelError> {
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

    pub(super) fn rescale(&mut self, name: &str, input: usize, wanted: i32, bits: u32) -> usize {
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

    /// What a step of graph tensor `id`, the draft's `input`, drops so that its result fits.
    fn dropped(&self, node: &GraphNode, id: usize, input: usize) -> Dropped {
        let cap = self.caps[node.output];
        let wanted = self.fitting(id, node.output).min(cap);
        // A masked value keeps its bits unless it meets others in a concatenation.
        let wanted = if self.is_open(input) { wanted } else { cap.min(self.scale(input)) };
        let truncate = (self.scale(input) - wanted).max(0) as u32;
        let scale = self.scale(input) - truncate as i32;
        let bits = if self.is_open(input) {
            self.needed(id, scale)
        } else {
            self.value_bits(input).saturating_sub(truncate)
        };
        Dropped { truncate, scale, bits }
    }

    pub(super) fn step(
        &mut self,
        node: &GraphNode,
        id: usize,
        function: StepFunction,
        pool: FoldedPool,
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let Dropped { truncate, scale, bits } = self.dropped(node, id, input);
        let bits = bits.max(2);
        // Nothing is rounded where nothing is dropped: there the comparison is exact as well. And a small
        // value that is lost in front of the reveal is all that is lost: rarer than 6 sigma can tell.
        let told = self.told[node.output];
        let coarse = if truncate > 0 && !told { self.coarse(bits) } else { 0 };
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

    pub(super) fn clip(
        &mut self,
        node: &GraphNode,
        id: usize,
        high: f32,
        pool: FoldedPool,
    ) -> Result<usize, ModelError> {
        let input = self.value(id)?;
        let Dropped { truncate, scale, bits } = self.dropped(node, id, input);
        // Values that never reach the upper end need no clipping, but the plan must not tell.
        let end = ((f64::from(high) * f64::from(scale).exp2()).round() as i64).max(1);
        let bits = bits.max(end.ilog2() + 2).clamp(3, 40);
        let step = self.new_step(StepFunction::Clip { high: end }, input, truncate, bits);
        Ok(self.finish(node, step, input, scale, pool))
    }

    pub(super) fn square(
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

    /// The last step: the logits, rounded to the resolution.
    pub(super) fn reveal(&mut self) -> Result<(), ModelError> {
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
