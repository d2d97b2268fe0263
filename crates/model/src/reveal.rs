//! What the client learns in the end: all logits, or the best classes alone.

use gazelle_share::step::MAX_RANKS;
use gazelle_share::{
    Architecture, LocalMap, Network, NodeKind, StepFunction, StepOutput, TensorId,
};

use crate::description::Reveal;
use crate::error::ModelError;

/// Fraction bits that the ranking sees beyond those of the reveal's resolution: nothing of them is
/// revealed, and ties become rare.
const FINER: u32 = 6;

/// Ends a quantised network in `reveal`: of [`Reveal::TopK`] the client learns the indices of the
/// `k` largest logits (at most all, and at most 64), largest first; of [`Reveal::Class`] the index of the largest.
/// [`Reveal::Logits`] changes nothing.
///
/// # Errors
/// [`ModelError::Quantise`] if the network does not end by revealing rounded logits.
pub fn reveal(network: &mut Network, reveal: Reveal, k: usize) -> Result<(), ModelError> {
    let architecture = &mut network.architecture;
    let fail = || ModelError::Quantise("the network does not end with its logits".into());
    let classes = classes(architecture);
    let function = match reveal {
        Reveal::Logits => return Ok(()),
        Reveal::TopK => StepFunction::TopK { k: k.clamp(1, classes.clamp(1, MAX_RANKS)) },
        Reveal::Class => StepFunction::ArgMax,
    };
    let node = architecture.nodes.last_mut().ok_or_else(fail)?;
    let NodeKind::Step(step) = &mut node.kind else { return Err(fail()) };
    if step.function != StepFunction::Round {
        return Err(fail());
    }
    let finer = step.truncate_bits.min(FINER);
    step.truncate_bits -= finer;
    step.value_bits += finer;
    step.function = function;
    // Comparing takes a bit more than revealing.
    let (input, bits) = (node.inputs.first().copied(), step.wanted_bits());
    step.input_bits = step.input_bits.max(bits);
    step.check().map_err(ModelError::Quantise)?;
    let output = architecture.tensors.get_mut(node.output).ok_or_else(fail)?;
    output.shape = step.output_shape();
    output.scale = 0;
    output.ring_bits = step.output_bits();
    output.value_bits = step.output_bits();
    if let Some(input) = input {
        widen(architecture, input, bits);
    }
    architecture.validate().map_err(|error| ModelError::Quantise(error.to_string()))
}

/// Makes a tensor's ring at least so wide, and with it every ring that it comes from.
fn widen(architecture: &mut Architecture, tensor: TensorId, bits: u32) {
    let mut rings: Vec<u32> = architecture.tensors.iter().map(|t| t.ring_bits).collect();
    let mut masked = vec![true; rings.len()];
    let raise = |rings: &mut [u32], id: TensorId, bits: u32| {
        if let Some(ring) = rings.get_mut(id) {
            *ring = (*ring).max(bits);
        }
    };
    raise(&mut rings, tensor, bits);
    for node in &architecture.nodes {
        let inputs = node.inputs.iter().all(|id| masked.get(*id).copied().unwrap_or(false));
        if let Some(slot) = masked.get_mut(node.output) {
            *slot = match node.kind {
                NodeKind::Linear(_) => false,
                NodeKind::Step(_) => true,
                NodeKind::Local(_) => inputs,
            };
        }
    }
    loop {
        let before = rings.clone();
        for node in architecture.nodes.iter().rev() {
            let output = rings.get(node.output).copied().unwrap_or_default();
            match &node.kind {
                NodeKind::Linear(_) => {
                    node.inputs.iter().for_each(|id| raise(&mut rings, *id, output));
                }
                NodeKind::Step(_) => {}
                NodeKind::Local(map) => {
                    let mut widest = output;
                    for (i, id) in node.inputs.iter().enumerate() {
                        let shift = match map {
                            LocalMap::Add { shifts } => shifts.get(i).copied().unwrap_or_default(),
                            _ => 0,
                        };
                        raise(&mut rings, *id, output.saturating_sub(shift));
                        widest = widest.max(rings.get(*id).copied().unwrap_or_default());
                    }
                    // One mask, one width.
                    if map.is_relabelling() && masked.get(node.output).copied().unwrap_or(false) {
                        node.inputs.iter().for_each(|id| raise(&mut rings, *id, widest));
                        raise(&mut rings, node.output, widest);
                    }
                }
            }
        }
        if rings == before {
            break;
        }
    }
    for ((tensor, ring), masked) in architecture.tensors.iter_mut().zip(&rings).zip(&masked) {
        tensor.ring_bits = *ring;
        if !masked {
            tensor.value_bits = *ring;
        }
    }
    for node in &mut architecture.nodes {
        let NodeKind::Step(step) = &mut node.kind else { continue };
        let ring = |id: Option<&TensorId>| id.and_then(|id| rings.get(*id)).copied();
        step.input_bits = ring(node.inputs.first()).unwrap_or(step.input_bits);
        if let StepOutput::Masked { bits } = &mut step.output {
            *bits = ring(Some(&node.output)).unwrap_or(*bits);
        }
    }
}

/// How many classes a network tells apart: elements of what its last step reads.
pub fn classes(architecture: &Architecture) -> usize {
    let logits = architecture.nodes.last().and_then(|node| node.inputs.first());
    logits.and_then(|id| architecture.tensors.get(*id)).map_or(0, |tensor| tensor.shape.len())
}

/// What a network reveals, by its last step.
pub fn revealed(architecture: &Architecture) -> Reveal {
    match architecture.nodes.last().map(|node| &node.kind) {
        Some(NodeKind::Step(step)) => match step.function {
            StepFunction::ArgMax => Reveal::Class,
            StepFunction::TopK { .. } => Reveal::TopK,
            _ => Reveal::Logits,
        },
        _ => Reveal::Logits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{self, Rounding};
    use crate::{Options, generate, import, quantise};

    #[test]
    fn properties_the_best_classes_are_those_of_the_logits() {
        let graph = import(&generate::mobilenet_v1(3, 32, 20, true)).unwrap();
        let options = Options { effort: 1, ..Options::default() };
        let network = quantise(&graph, &options).unwrap().network;
        assert_eq!(
            (classes(&network.architecture), revealed(&network.architecture)),
            (20, Reveal::Logits)
        );
        let image: Vec<f32> =
            (0..graph.input_shape().len()).map(|i| 0.5 + 0.5 * (i as f32 * 0.05).sin()).collect();
        let input = fixed::encode(&network.architecture, &image).unwrap();
        let run = |network: &Network| fixed::run(network, &input, Rounding::Nearest).unwrap();
        let logits = run(&network);
        for (what, k, count) in
            [(Reveal::Class, 9, 1), (Reveal::TopK, 4, 4), (Reveal::TopK, 99, 20)]
        {
            let mut other = network.clone();
            reveal(&mut other, what, k).unwrap();
            assert_eq!(other.validate().map_err(|error| error.to_string()), Ok(()));
            assert_eq!((classes(&other.architecture), revealed(&other.architecture)), (20, what));
            let ranked = run(&other);
            assert_eq!(ranked.len(), count);
            // In the order of the logits as far as their resolution tells.
            for pair in ranked.windows(2) {
                assert!(logits[pair[0] as usize] >= logits[pair[1] as usize]);
            }
            assert_eq!(logits[ranked[0] as usize], *logits.iter().max().unwrap());
            assert!(reveal(&mut other, Reveal::Class, 1).is_err());
        }
    }
}
