//! From a network that rounds locally to one whose private result is the reference, bit for bit.
//!
//! Every linear output gets guard bits, which take up the error of ciphertexts, and every step drops
//! its bits exactly (docs/protocol.md, 3.8 and 5.9). The values stay those of the reference with
//! rounding to the nearest.

use gazelle_share::{
    Architecture, Guard, LinearWeights, LocalMap, Network, NodeKind, Rounding, StepFunction,
    TensorMap,
};

use super::rings;
use crate::error::ModelError;

/// Errors that one guarded value may add up: `2^(g-1) - 1` for the most guard bits that shares carry.
const MAX_ADDENDS: u32 = (1 << (Guard::MAX_BITS - 1)) - 1;

/// The same network with guard bits and exact steps; rings as wide as these need.
///
/// # Errors
/// [`ModelError::Quantise`] if a sum adds up more linear outputs than guard bits can take up, or a
/// ring gets too wide.
pub(super) fn exact(network: Network) -> Result<Network, ModelError> {
    let refuse = |error: gazelle_share::ProtocolError| ModelError::Quantise(error.to_string());
    let (architecture, mut weights) = network.into_parts();
    let aligned = align(&architecture, &mut weights)?;
    let guards = guards(&aligned)?;
    let masked = aligned.masked().clone();
    let mut parts = aligned.into_parts();
    for (tensor, (_, bits)) in parts.tensors.iter_mut().zip(guards.iter()) {
        tensor.guard_bits = *bits;
    }
    for (node, weights) in parts.nodes.iter_mut().zip(&mut weights) {
        let (input, after) = (node.input(), guards[node.output]);
        match &mut node.kind {
            NodeKind::Step(step) => {
                step.rounding = Rounding::Exact { guard_bits: guards[input] };
                if let StepFunction::CoarseRelu { .. } = step.function {
                    step.function = StepFunction::Relu;
                }
            }
            NodeKind::Local(LocalMap::Add { shifts }) => {
                for (shift, input) in shifts.iter_mut().zip(&node.inputs) {
                    *shift += after - guards[*input];
                }
            }
            NodeKind::Local(LocalMap::AddBias) => {
                weights.bias.iter_mut().for_each(|bias| *bias <<= after);
            }
            NodeKind::Local(_) | NodeKind::Linear(_) => {}
        }
    }
    rings::assign(&mut parts.tensors, &mut parts.nodes, &masked)?;
    let architecture = Architecture::new(parts).map_err(refuse)?;
    Network::new(architecture, weights).map_err(refuse)
}

/// Gives linear outputs that are shifted left before they are added their bits in the weights
/// instead: an error that is shifted would need as many guard bits more.
fn align(
    architecture: &Architecture,
    weights: &mut [LinearWeights],
) -> Result<Architecture, ModelError> {
    let mut readers = architecture.per_tensor(0u32);
    let mut writers = architecture.per_tensor(None);
    for (index, node) in architecture.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|input| readers[*input] += 1);
        writers[node.output] = matches!(node.kind, NodeKind::Linear(_)).then_some(index);
    }
    let masked = architecture.masked();
    let mut parts = architecture.clone().into_parts();
    for node in &mut parts.nodes {
        let NodeKind::Local(LocalMap::Add { shifts }) = &mut node.kind else { continue };
        for (shift, input) in shifts.iter_mut().zip(&node.inputs) {
            let (1, Some(writer)) = (readers[*input], writers[*input]) else { continue };
            let Some(weights) = weights.get_mut(writer) else { continue };
            let fits = |word: &i32| word.unsigned_abs().leading_zeros() > *shift + 1;
            if *shift == 0 || *shift > 30 || !weights.weights.iter().all(fits) {
                continue;
            }
            weights.weights.iter_mut().for_each(|word| *word <<= *shift);
            weights.bias.iter_mut().for_each(|word| *word <<= *shift);
            if let Some(tensor) = parts.tensors.get_mut(input.index()) {
                tensor.scale += *shift as i32;
            }
            *shift = 0;
        }
    }
    rings::assign(&mut parts.tensors, &mut parts.nodes, masked)?;
    Architecture::new(parts).map_err(|error| ModelError::Quantise(error.to_string()))
}

/// The guard bits of every tensor: enough for the errors that the steps which read it find added up.
/// Tensors that become each other by local maps have as many, and so have the outputs of linear
/// operators that read one tensor (they may share a request).
fn guards(architecture: &Architecture) -> Result<TensorMap<u32>, ModelError> {
    let addends = architecture.added_errors();
    for node in architecture.nodes() {
        if addends[node.output] > MAX_ADDENDS {
            let (name, count) = (&node.name, addends[node.output]);
            return Err(ModelError::Quantise(format!(
                "node {name:?} adds up the errors of {count} linear outputs, and guard bits take up \
                 {MAX_ADDENDS}: put a ReLU before it, or serve with --rounding local"
            )));
        }
    }
    let mut guards = architecture.per_tensor(0u32);
    loop {
        let before = guards.clone();
        let mut siblings = architecture.per_tensor(0u32);
        for node in architecture.nodes().iter().rev() {
            match &node.kind {
                NodeKind::Step(_) => {
                    let errors = addends[node.input()];
                    if errors > 0 {
                        // 2^(g-1) - 1 >= errors.
                        let bits = (errors + 1).next_power_of_two().ilog2() + 1;
                        guards[node.input()] = guards[node.input()].max(bits);
                    }
                }
                NodeKind::Local(_) => {
                    let open = |id: &&gazelle_share::TensorId| !architecture.is_masked(**id);
                    let all = || node.inputs.iter().chain([&node.output]).filter(open);
                    let most = all().map(|id| guards[*id]).fold(0, u32::max);
                    all().for_each(|id| guards[*id] = most);
                }
                NodeKind::Linear(_) => {
                    siblings[node.input()] = siblings[node.input()].max(guards[node.output]);
                }
            }
        }
        for node in architecture.nodes() {
            if let NodeKind::Linear(_) = &node.kind {
                guards[node.output] = siblings[node.input()];
            }
        }
        if guards == before {
            return Ok(guards);
        }
    }
}
