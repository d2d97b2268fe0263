//! Inputs that are held to their range whoever sends them: the network's first step clips.
//!
//! Before the first operator every element becomes `clip(x - low, 0, high - low) + low`, with the range in
//! fixed point, so that a client that does not follow the protocol can ask for nothing but an input in the range
//! (where channels differ in width, the widest's for all).

use gazelle_share::{
    Architecture, LinearWeights, LocalMap, Network, Node, NodeKind, ProtocolError, Rounding, Step,
    StepFunction, StepOutput, Tensor, TensorId,
};

use crate::error::ModelError;
use crate::range::InputRange;

/// What nodes and tensors are called here; nothing else begins so.
const LOWERED: &str = "input from zero";
const CLIPPED: &str = "input in range";
const RAISED: &str = "input";

/// Puts the clip in front of an exact network.
///
/// Cost: b + l - 2 AND gates, garbled, per input element, and b - 1 for the upper end.
///
/// # Errors
/// [`ModelError::Quantise`] if the input's ring has no room for the range.
pub fn hold_input(network: &mut Network, range: &InputRange) -> Result<(), ModelError> {
    let refuse = |error: ProtocolError| ModelError::Quantise(error.to_string());
    let architecture = network.architecture();
    let input = architecture.input().clone();
    range.check_for(input.shape.channels)?;
    let code = |channel: usize, x: f32| -> i64 {
        (f64::from(x) * f64::from(architecture.input_scale(channel)).exp2()).round() as i64
    };
    let ends: Vec<(i64, i64)> = (0..input.shape.channels)
        .map(|channel| {
            let (low, high) = range.of(channel);
            (code(channel, low), code(channel, high))
        })
        .collect();
    let high = ends.iter().map(|(low, high)| high - low).fold(1, i64::max);
    let value_bits = 65 - high.leading_zeros();
    let raised: Vec<i64> = ends.iter().map(|(low, _)| *low).collect();
    let lowered: Vec<i64> = raised.iter().map(|low| -low).collect();
    let mut weights: Vec<LinearWeights> = Vec::new();
    let mut parts = architecture.clone().into_parts();
    let mut nodes: Vec<Node> = Vec::new();
    let mut last = TensorId::INPUT;
    let mut add = |name: &str, kind: NodeKind, bias: Vec<i64>, value_bits: u32| {
        let tensor = Tensor { name: name.to_owned(), value_bits, ..input.clone() };
        parts.tensors.push(tensor);
        let output = TensorId::new(parts.tensors.len() - 1);
        nodes.push(Node { name: name.to_owned(), kind, inputs: vec![last], output });
        weights.push(LinearWeights { weights: Vec::new(), bias });
        last = output;
    };
    let shifted = raised.iter().any(|low| *low != 0);
    if shifted {
        add(LOWERED, NodeKind::Local(LocalMap::AddBias), lowered, value_bits.max(input.value_bits));
    }
    let clip = Step {
        function: StepFunction::Clip { high },
        input: input.shape,
        input_bits: input.ring_bits,
        truncate_bits: 0,
        rounding: Rounding::Exact { guard_bits: 0 },
        value_bits,
        sum_pool: None,
        output: StepOutput::Masked { bits: input.ring_bits },
    };
    add(CLIPPED, NodeKind::Step(clip), Vec::new(), value_bits);
    if shifted {
        add(RAISED, NodeKind::Local(LocalMap::AddBias), raised, input.value_bits);
    }
    for node in &mut parts.nodes {
        for input in node.inputs.iter_mut().filter(|input| **input == TensorId::INPUT) {
            *input = last;
        }
    }
    nodes.append(&mut parts.nodes);
    parts.nodes = nodes;
    weights.extend(network.layers().map(|(_, weights)| weights.clone()));
    *network = Network::new(Architecture::new(parts).map_err(refuse)?, weights).map_err(refuse)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{self, Rounding as Nearest};
    use crate::{Options, generate, import, quantise};

    #[test]
    fn properties_inputs_in_the_range_are_as_before_and_others_are_moved_into_it() {
        let graph = import(&generate::mobilenet_v1(3, 32, 20, true)).unwrap();
        let plain = quantise(&graph, &Options { effort: 1, ..Options::default() }).unwrap().network;
        let [channels, plane] = {
            let shape = plain.architecture().input().shape;
            [shape.channels, shape.height * shape.width]
        };
        let ends: [Vec<[f32; 2]>; 3] = [
            vec![[0.0, 1.0]],
            vec![[-1.0, 1.0]],
            (0..channels).map(|c| [-0.25 * c as f32, 0.75]).collect(),
        ];
        for ends in ends {
            let range = InputRange::new(ends).unwrap();
            let mut held = plain.clone();
            hold_input(&mut held, &range).unwrap();
            assert!(held.architecture().is_exact());
            let run = |network: &Network, x: &[f32]| {
                let codes = fixed::encode(network.architecture(), x).unwrap();
                fixed::run(network, &codes, Nearest::Nearest).unwrap()
            };
            let image: Vec<f32> = (0..channels * plane)
                .map(|i| {
                    let (low, high) = range.of(i / plane);
                    low + (high - low) * (0.5 + 0.5 * (i as f32 * 0.05).sin())
                })
                .collect();
            assert_eq!(run(&held, &image), run(&plain, &image));
            // Above the range: as its upper end, where all channels are as wide.
            if range.of(0) == range.of(channels - 1) {
                let (low, high) = range.of(0);
                let beyond = run(&held, &vec![1.2 * high; channels * plane]);
                assert_eq!(beyond, run(&plain, &vec![high; channels * plane]));
                let below = run(&held, &vec![low - 0.2; channels * plane]);
                assert_eq!(below, run(&plain, &vec![low; channels * plane]));
            }
        }
    }
}
