//! Ring widths: every consumer's condition, from the output backwards (protocol.md, 2 and 5.1).

#![expect(clippy::indexing_slicing, reason = "a network's ids are places in it")]

use gazelle_share::{LocalMap, Node, NodeKind, StepOutput, Tensor, TensorId, TensorMap};

use crate::error::ModelError;

/// Least width of any ring.
const MIN_RING: u32 = 8;
/// Passes over the network until nothing changes.
const MAX_PASSES: usize = 64;

/// Sets the least ring widths with which all steps can be computed, and copies them into the steps;
/// `masked` says of which tensors the client's share is a mask.
pub(crate) fn assign(
    tensors: &mut [Tensor],
    nodes: &mut [Node],
    masked: &TensorMap<bool>,
) -> Result<(), ModelError> {
    let mut rings = TensorMap::new(MIN_RING, tensors.len());
    // Whatever reads it, the input itself must fit.
    raise(&mut rings[TensorId::INPUT], tensors[0].value_bits);
    for pass in 0.. {
        let before = rings.clone();
        backwards(tensors, nodes, masked, &mut rings);
        level(nodes, masked, &mut rings);
        if rings == before {
            break;
        }
        if pass > MAX_PASSES {
            return Err(ModelError::Quantise("ring widths do not settle".into()));
        }
    }
    for (tensor, (id, ring)) in tensors.iter_mut().zip(rings.iter()) {
        tensor.ring_bits = *ring;
        // Of a masked sum the readers may need less than the largest sum would.
        let room = *ring - tensor.guard_bits;
        tensor.value_bits = if masked[id] { tensor.value_bits.min(room) } else { room };
    }
    for node in nodes {
        let (input, output) = (rings[node.input()], rings[node.output]);
        if let NodeKind::Step(step) = &mut node.kind {
            step.input_bits = input;
            if let StepOutput::Masked { bits } = &mut step.output {
                *bits = output;
            }
        }
    }
    Ok(())
}

fn raise(ring: &mut u32, bits: u32) {
    *ring = (*ring).max(bits);
}

fn backwards(
    tensors: &[Tensor],
    nodes: &[Node],
    masked: &TensorMap<bool>,
    rings: &mut TensorMap<u32>,
) {
    for node in nodes.iter().rev() {
        let output = rings[node.output];
        match &node.kind {
            NodeKind::Linear(_) => {
                let guard = tensors[node.output.index()].guard_bits;
                raise(&mut rings[node.input()], output - guard);
            }
            NodeKind::Step(step) => {
                raise(&mut rings[node.input()], step.wanted_bits());
                match step.output {
                    StepOutput::Masked { .. } => {
                        raise(&mut rings[node.output], step.result_bits());
                    }
                    StepOutput::Reveal => rings[node.output] = step.output_bits(),
                }
            }
            NodeKind::Local(map) => {
                if *map == LocalMap::AddBias && masked[node.output] {
                    raise(&mut rings[node.output], tensors[node.output.index()].value_bits);
                }
                for (i, id) in node.inputs.iter().enumerate() {
                    raise(&mut rings[*id], output.saturating_sub(node.kind.shift(i)));
                }
            }
        }
    }
}

/// Masked tensors that are relabellings of each other get one width: their masks are one.
fn level(nodes: &[Node], masked: &TensorMap<bool>, rings: &mut TensorMap<u32>) {
    for node in nodes {
        let NodeKind::Local(map) = &node.kind else { continue };
        if !map.is_relabelling() || !masked[node.output] {
            continue;
        }
        let widest = node.inputs.iter().fold(rings[node.output], |bits, id| bits.max(rings[*id]));
        for id in node.inputs.iter().chain([&node.output]) {
            rings[*id] = widest;
        }
    }
}
