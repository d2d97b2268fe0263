//! What the client learns in the end: all logits, or the best classes alone.

use gazelle_share::{Architecture, Network, NodeKind, StepFunction};

use crate::description::Reveal;
use crate::error::ModelError;

/// Fraction bits that the ranking sees beyond those of the reveal's resolution: nothing of them is
/// revealed, and ties become rare.
const FINER: u32 = 6;

/// Ends a quantised network in `reveal`: of [`Reveal::TopK`] the client learns the indices of the
/// `k` largest logits (at most all), largest first; of [`Reveal::Class`] the index of the largest.
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
        Reveal::TopK => StepFunction::TopK { k: k.clamp(1, classes.max(1)) },
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
    step.check().map_err(ModelError::Quantise)?;
    let output = architecture.tensors.get_mut(node.output).ok_or_else(fail)?;
    output.shape = step.output_shape();
    output.scale = 0;
    output.ring_bits = step.output_bits();
    output.value_bits = step.output_bits();
    Ok(())
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
