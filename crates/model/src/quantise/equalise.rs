//! Units between powers of two: every tensor is scaled by a factor in [1, 2) of its own, so that
//! ranges lie close under a power of two and no width is wasted.
//!
//! ReLU, clipping, pools and local maps are positively homogeneous: what they connect shares one
//! factor. Linear operators take the quotient of their output's and input's factor into their
//! weights. The network computes the same function; input and output keep factor 1.

use super::calibrate::Calibration;
use super::scales::{find, log2_ceil, union};
use crate::graph::{Graph, Op};

/// Factors tried: `2^(j / STEPS)`.
const STEPS: i32 = 16;

/// Scales the graph, and the calibration with it.
pub(super) fn equalise(graph: &mut Graph, calibration: &mut Calibration) {
    let factors = factors(graph, &calibration.ranges);
    let of = |id: usize| factors.get(id).copied().unwrap_or(1.0);
    for node in &mut graph.nodes {
        let input = of(node.inputs.first().copied().unwrap_or_default());
        let output = of(node.output);
        match &mut node.op {
            Op::Linear { weights, bias, .. } => {
                let quotient = (output / input) as f32;
                for w in weights.iter_mut() {
                    *w *= quotient;
                }
                for b in bias.iter_mut() {
                    *b *= output as f32;
                }
            }
            Op::Clip { low, high } => {
                *low *= output as f32;
                *high *= output as f32;
            }
            _ => {}
        }
    }
    for (id, range) in calibration.ranges.iter_mut().enumerate() {
        *range *= of(id);
        calibration.sensitivity.rescale(id, of(id));
    }
}

fn factors(graph: &Graph, ranges: &[f64]) -> Vec<f64> {
    let mut classes: Vec<usize> = (0..graph.tensors.len()).collect();
    let mut frozen = vec![0, graph.output];
    for node in &graph.nodes {
        match &node.op {
            Op::Relu
            | Op::Clip { .. }
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::Local(_) => {
                for id in &node.inputs {
                    union(&mut classes, *id, node.output);
                }
            }
            Op::Linear { .. } => {}
            // Not homogeneous of degree one.
            Op::Square | Op::Affine { .. } | Op::LeakyRelu { .. } | Op::Multiply => {
                frozen.push(node.output);
                frozen.extend(&node.inputs);
            }
        }
    }
    let frozen: Vec<usize> = frozen.into_iter().map(|id| find(&mut classes, id)).collect();
    // Per class: (range, elements) of the values that steps round.
    let mut rounded: Vec<Vec<(f64, f64)>> = vec![Vec::new(); graph.tensors.len()];
    for node in &graph.nodes {
        let id = match &node.op {
            Op::Relu | Op::Clip { .. } | Op::MaxPool { .. } => {
                node.inputs.first().copied().unwrap_or_default()
            }
            _ => continue,
        };
        let range = ranges.get(id).copied().unwrap_or_default();
        let class = find(&mut classes, id);
        if let Some(list) = rounded.get_mut(class)
            && range > 0.0
        {
            list.push((range, graph.shape(id).len() as f64));
        }
    }
    (0..graph.tensors.len())
        .map(|id| {
            let class = find(&mut classes, id);
            let list = rounded.get(class).map(Vec::as_slice).unwrap_or_default();
            if frozen.contains(&class) { 1.0 } else { best(list) }
        })
        .collect()
}

/// The factor that wastes the fewest bits over all elements.
fn best(rounded: &[(f64, f64)]) -> f64 {
    let waste = |exponent: f64| -> f64 {
        let factor = exponent.exp2();
        let bits = |range: f64| f64::from(log2_ceil(range * factor)) - exponent;
        rounded.iter().map(|(range, elements)| elements * bits(*range)).sum()
    };
    let exponents = (0..STEPS).map(|j| f64::from(j) / f64::from(STEPS));
    let best = exponents.min_by(|a, b| waste(*a).total_cmp(&waste(*b)));
    best.unwrap_or_default().exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_a_range_just_above_a_power_of_two_is_stretched_to_the_next() {
        // 1.05 needs two bits' worth of range; 1.9 times it needs no more.
        let factor = best(&[(1.05, 10.0)]);
        assert!(factor * 1.05 <= 2.0 && factor * 1.05 > 1.9, "{factor}");
        assert!((best(&[]) - 1.0).abs() < 1e-9);
        // The larger tensor decides.
        let factor = best(&[(1.05, 1.0), (1.9, 1000.0)]);
        assert!(factor * 1.9 <= 2.0, "{factor}");
    }
}
