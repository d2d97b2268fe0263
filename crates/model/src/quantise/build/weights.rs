//! Linear layers: integers for their weights.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use gazelle_share::{LinearOp, LinearWeights, NodeKind, plain};
use rayon::prelude::*;

use super::NetworkDraft;
use crate::error::ModelError;
use crate::float;
use crate::graph::{Graph, GraphNode, Op};
use crate::quantise::Candidate;
use crate::quantise::scales::{log2_ceil, scale_for};

/// Log of the norm that an output's weights, as integers, may have in a narrow network: wider rings than most need
/// have parameters for it.
const NARROW_NORM_BITS: i32 = 16;

/// How large a layer's weights are: what every build asks, and no build changes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::quantise) struct WeightSizes {
    /// The sum of the squares.
    squares: f64,
    /// The largest absolute value.
    largest: f32,
    /// The largest Euclidean norm of the weights of one output channel.
    norm: f64,
}

impl WeightSizes {
    /// By node; nothing where there are no weights.
    pub(in crate::quantise) fn of(graph: &Graph) -> Vec<Self> {
        let of_node = |node: &GraphNode| {
            let Op::Linear { op, weights, .. } = &node.op else { return Self::default() };
            let square = |row: &[f32]| row.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
            let each = weights.len() / op.output_shape().channels.max(1);
            let rows: Vec<f64> = weights.par_chunks(each.max(1)).map(square).collect();
            Self {
                squares: rows.iter().sum(),
                largest: float::largest(weights),
                norm: rows.iter().copied().fold(0.0, f64::max).sqrt(),
            }
        };
        graph.nodes.par_iter().map(of_node).collect()
    }
}

/// `round(w 2^bits)`, halves away from zero; they fit.
fn integers(weights: &[f32], bits: i32) -> Vec<i32> {
    /// Weights that one task rounds.
    const TOGETHER: usize = 1 << 14;
    /// 2^52 and 2^51, whose last bit counts ones: what is added to it is rounded, halves to even.
    const ONES: f64 = 6_755_399_441_055_744.0;
    let unit = f64::from(bits).exp2();
    let mut integers = vec![0; weights.len()];
    // Without the conversions and rounding that not all processors have for vectors.
    let round = |(to, from): (&mut [i32], &[f32])| {
        plain::widest(|| {
            for (to, w) in to.iter_mut().zip(from) {
                let exact = f64::from(w.abs()) * unit;
                let even = (exact + ONES) - ONES;
                let away = if exact - even >= 0.5 { even + 1.0 } else { even };
                let size = (away + ONES).to_bits() as i32;
                *to = if *w < 0.0 { -size } else { size };
            }
        });
    };
    integers.par_chunks_mut(TOGETHER).zip(weights.par_chunks(TOGETHER)).for_each(round);
    integers
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
        (index, node): (usize, &GraphNode),
        id: usize,
        op: &LinearOp,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<usize, ModelError> {
        let input = self.masked(&node.name, id)?;
        // optional: a layer has sizes
        let sizes = self.sizes.get(index).copied().unwrap_or_default();
        let bits = self.fraction_bits(node, (id, input), (sizes, weights.len()));
        let scale = self.scale(input) + bits;
        let bias_unit = f64::from(scale).exp2();
        let weights = integers(weights, bits);
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
    fn fraction_bits(
        &self,
        node: &GraphNode,
        (id, input): (usize, usize),
        (sizes, weights): (WeightSizes, usize),
    ) -> i32 {
        let rms = (sizes.squares / weights.max(1) as f64).sqrt();
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
        let magnitude = log2_ceil(f64::from(sizes.largest));
        let most = wanted + 6 - magnitude.min(0);
        // An output's error: 2^-f / sqrt(12) times the norm of the inputs that it reads.
        let reads = (weights / self.graph.shape(node.output).channels.max(1)).max(1) as f64;
        let size = self.range(id) * reads.sqrt();
        let useful = output + 3 + log2_ceil(size);
        let bits = match self.fractions.and_then(|fractions| fractions.get(node.output)) {
            Some(beyond) => wanted + beyond,
            None => precise.max(wanted.min(precise + 3)).min(most),
        };
        let narrow = NARROW_NORM_BITS - log2_ceil(sizes.norm);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_weights_are_rounded_to_the_nearest_halves_away_from_zero() {
        let values = (0..4000).map(|i| ((i - 2000) as f32 / 8.0) * 1.0f32.max((i % 7) as f32));
        let tiny = [
            0.0,
            -0.0,
            1e-30,
            -1e-30,
            0.499_999_97,
            -0.499_999_97,
            0.5,
            -0.5,
            1.5,
            2.5,
            8_388_607.5,
        ];
        let weights: Vec<f32> = values.chain(tiny).collect();
        for bits in [-3, 0, 1, 5] {
            let expected: Vec<i32> = weights
                .iter()
                .map(|w| (f64::from(*w) * f64::from(bits).exp2()).round() as i32)
                .collect();
            assert_eq!(integers(&weights, bits), expected);
        }
    }
}
