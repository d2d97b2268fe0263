//! Linear layers: integers for their weights.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LinearOp, LinearWeights, NodeKind};

use super::NetworkDraft;
use crate::error::ModelError;
use crate::graph::{GraphNode, Op};
use crate::quantise::Candidate;
use crate::quantise::scales::{log2_ceil, scale_for};

/// Log of the norm that an output's weights, as integers, may have in a narrow network: wider rings than most need
/// have parameters for it.
const NARROW_NORM_BITS: i32 = 16;

/// The largest Euclidean norm of the weights of one output channel.
fn largest_norm(node: &GraphNode, weights: &[f32]) -> f64 {
    let Op::Linear { op, .. } = &node.op else { return 0.0 };
    let each = weights.len() / op.output_shape().channels.max(1);
    let square = |row: &[f32]| row.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>();
    weights.chunks(each.max(1)).map(square).fold(0.0, f64::max).sqrt()
}

/// Whether a layer's integers have norms that a narrow network would not have.
pub(in crate::quantise) fn is_wide(op: &LinearOp, weights: &LinearWeights) -> bool {
    let each = weights.weights.len() / op.output_shape().channels.max(1);
    let square = |row: &[i32]| row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    let most = f64::from(2 * NARROW_NORM_BITS).exp2();
    weights.weights.chunks(each.max(1)).any(|row| square(row) > most)
}

impl NetworkDraft<'_> {
    pub(super) fn linear(
        &mut self,
        node: &GraphNode,
        id: usize,
        op: &LinearOp,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<usize, ModelError> {
        let input = self.masked(&node.name, id)?;
        let bits = self.fraction_bits(node, (id, input), weights);
        let scale = self.scale(input) + bits;
        let (weight_unit, bias_unit) = (f64::from(bits).exp2(), f64::from(scale).exp2());
        let weights =
            weights.iter().map(|w| (f64::from(*w) * weight_unit).round() as i32).collect();
        let bias = bias.iter().map(|b| (f64::from(*b) * bias_unit).round() as i64).collect();
        let output = self.tensor(&node.name, op.output_shape(), scale, 1, true);
        self.emit(&node.name, NodeKind::Linear(op.clone()), vec![input], output);
        if let Some(slot) = self.draft.weights.last_mut() {
            *slot = LinearWeights { weights, bias };
        }
        self.weight_bits.push((node.name.clone(), bits));
        Ok(output)
    }

    /// Fraction bits of a layer's weights, negative where weights are huge: rounding them should
    /// cost less than a thousandth of their norm. The candidate's number is meant for weights of
    /// about 0.3; larger ones get up to 3 bits more than their norm asks for, to come near it. The
    /// largest weight takes no more than the candidate's bits and 7, none is finer than the output
    /// can tell, unless the output's scale needs it, and all fit i32. Where bits were shared out among the
    /// layers (`fractions`), they count from the candidate's number instead of the norm. A narrow
    /// candidate bounds the norms that a ciphertext's error is multiplied by.
    fn fraction_bits(&self, node: &GraphNode, (id, input): (usize, usize), weights: &[f32]) -> i32 {
        let squares: f64 = weights.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
        let rms = (squares / weights.len().max(1) as f64).sqrt();
        let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        let wanted = self.candidate.weight_bits as i32;
        let value_bits = self.width_behind(node.output);
        let output = scale_for(self.range(node.output), Candidate { value_bits, ..self.candidate });
        let finest = if self.is_revealed(node.output) { self.candidate.resolution } else { output };
        let output = output.max(finest);
        let reach = output + 2 - self.scale(input);
        if rms <= 0.0 {
            return wanted.max(reach);
        }
        // rounding error 2^-f / sqrt(12) <= rms / 2^(wanted - 1)
        let precise = wanted - 1 - (rms * 12f64.sqrt()).log2().floor() as i32;
        let magnitude = log2_ceil(f64::from(largest));
        let most = wanted + 6 - magnitude.min(0);
        // An output's error: 2^-f / sqrt(12) times the norm of the inputs that it reads.
        let reads = (weights.len() / self.graph.shape(node.output).channels.max(1)).max(1) as f64;
        let size = self.range(id) * reads.sqrt();
        let useful = output + 3 + log2_ceil(size);
        let bits = match self.fractions.and_then(|fractions| fractions.get(node.output)) {
            Some(beyond) => wanted + beyond,
            None => precise.max(wanted.min(precise + 3)).min(most),
        };
        let narrow = NARROW_NORM_BITS - log2_ceil(largest_norm(node, weights));
        let bits = if self.candidate.narrow { bits.min(narrow) } else { bits };
        bits.min(useful).max(reach).min(29 - magnitude)
    }

    /// The largest width of a step that reads this tensor, through local maps.
    fn width_behind(&self, id: usize) -> u32 {
        let mut reached = vec![id];
        let mut width = self.candidate.value_bits;
        for node in &self.graph.nodes {
            if !node.inputs.iter().any(|input| reached.contains(input)) {
                continue;
            }
            let own = self.widths[node.output];
            width = width.max(own);
            if matches!(node.op, Op::Local(_) | Op::AveragePool { .. } | Op::Affine { .. }) {
                reached.push(node.output);
            }
        }
        width.max(self.widths[id])
    }

    /// Whether a tensor is the output, or becomes it through local maps alone.
    fn is_revealed(&self, id: usize) -> bool {
        let mut reached = vec![id];
        for node in &self.graph.nodes {
            let local =
                matches!(node.op, Op::Local(_) | Op::AveragePool { .. } | Op::Affine { .. });
            if local && node.inputs.iter().any(|input| reached.contains(input)) {
                reached.push(node.output);
            }
        }
        reached.contains(&self.graph.output)
    }
}
