//! What the client learns in the end: all logits, or the best classes alone.

use gazelle_share::step::MAX_RANKS;
use gazelle_share::{Architecture, Network, NodeKind, ProtocolError, StepFunction, Tensor};

use crate::description::Reveal;
use crate::error::ModelError;
use crate::quantise::rings;

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
    let fail = || ModelError::Quantise("the network does not end with its logits".into());
    let refuse = |error: ProtocolError| ModelError::Quantise(error.to_string());
    let architecture = network.architecture();
    let function = match reveal {
        Reveal::Logits => return Ok(()),
        Reveal::TopK => StepFunction::TopK { k: k.clamp(1, classes(architecture).min(MAX_RANKS)) },
        Reveal::Class => StepFunction::ArgMax,
    };
    let masked = architecture.masked().clone();
    let mut parts = architecture.clone().into_parts();
    let node = parts.nodes.last_mut().ok_or_else(fail)?;
    let NodeKind::Step(step) = &mut node.kind else { return Err(fail()) };
    if step.function != StepFunction::Round {
        return Err(fail());
    }
    let finer = step.truncate_bits.min(FINER);
    step.truncate_bits -= finer;
    step.value_bits += finer;
    step.function = function;
    let (shape, bits) = (step.output_shape(), step.output_bits());
    let output = parts.tensors.get_mut(node.output.index()).ok_or_else(fail)?;
    *output = Tensor { shape, scale: 0, value_bits: bits, ..output.clone() };
    // Comparing takes a wider ring than revealing.
    rings::assign(&mut parts.tensors, &mut parts.nodes, &masked)?;
    network.set_architecture(Architecture::new(parts).map_err(refuse)?).map_err(refuse)
}

/// How many classes a network tells apart: elements of what its last step reads.
pub fn classes(architecture: &Architecture) -> usize {
    architecture.tensor(architecture.last().input()).shape.len()
}

/// What a network reveals, by its last step.
pub fn revealed(architecture: &Architecture) -> Reveal {
    match &architecture.last().kind {
        NodeKind::Step(step) => match step.function {
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
            (classes(network.architecture()), revealed(network.architecture())),
            (20, Reveal::Logits)
        );
        let image: Vec<f32> =
            (0..graph.input_shape().len()).map(|i| 0.5 + 0.5 * (i as f32 * 0.05).sin()).collect();
        let input = fixed::encode(network.architecture(), &image).unwrap();
        let run = |network: &Network| fixed::run(network, &input, Rounding::Nearest).unwrap();
        let logits = run(&network);
        for (what, k, count) in
            [(Reveal::Class, 9, 1), (Reveal::TopK, 4, 4), (Reveal::TopK, 99, 20)]
        {
            let mut other = network.clone();
            reveal(&mut other, what, k).unwrap();
            assert_eq!((classes(other.architecture()), revealed(other.architecture())), (20, what));
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
