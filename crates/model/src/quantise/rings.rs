//! Ring widths: every consumer's condition, from the output backwards (protocol.md, 2 and 5.1).

use gazelle_share::{LocalMap, NodeKind, StepOutput};

use super::build::Draft;
use crate::error::ModelError;

/// Least width of any ring.
const MIN_RING: u32 = 8;
/// Passes over the network until nothing changes.
const MAX_PASSES: usize = 64;

/// Sets all ring widths of the draft and copies them into its steps.
pub(super) fn assign(draft: &mut Draft) -> Result<(), ModelError> {
    let mut rings = vec![MIN_RING; draft.tensors.len()];
    for pass in 0.. {
        let before = rings.clone();
        backwards(draft, &mut rings);
        level(draft, &mut rings);
        if rings == before {
            break;
        }
        if pass > MAX_PASSES {
            return Err(ModelError::Quantise("ring widths do not settle".into()));
        }
    }
    for ((tensor, ring), open) in draft.tensors.iter_mut().zip(&rings).zip(&draft.open) {
        tensor.ring_bits = *ring;
        // Of a masked sum the readers may need less than the largest sum would.
        tensor.value_bits = if *open { *ring } else { tensor.value_bits.min(*ring) };
    }
    for node in &mut draft.nodes {
        if let NodeKind::Step(step) = &mut node.kind {
            let ring = |id: Option<&usize>| id.and_then(|id| rings.get(*id)).copied();
            step.input_bits = ring(node.inputs.first()).unwrap_or(MIN_RING);
            if let StepOutput::Masked { bits } = &mut step.output {
                *bits = ring(Some(&node.output)).unwrap_or(MIN_RING);
            }
        }
    }
    Ok(())
}

fn raise(rings: &mut [u32], id: usize, bits: u32) {
    if let Some(ring) = rings.get_mut(id) {
        *ring = (*ring).max(bits);
    }
}

fn backwards(draft: &Draft, rings: &mut [u32]) {
    for node in draft.nodes.iter().rev() {
        let output = rings.get(node.output).copied().unwrap_or_default();
        match &node.kind {
            NodeKind::Linear(_) => {
                for id in &node.inputs {
                    raise(rings, *id, output);
                }
            }
            NodeKind::Step(step) => {
                for id in &node.inputs {
                    raise(rings, *id, step.wanted_bits());
                }
                match step.output {
                    StepOutput::Masked { .. } => raise(rings, node.output, step.result_bits()),
                    StepOutput::Reveal => {
                        if let Some(ring) = rings.get_mut(node.output) {
                            *ring = step.output_bits();
                        }
                    }
                }
            }
            NodeKind::Local(map) => {
                if *map == LocalMap::AddBias && draft.open.get(node.output) == Some(&false) {
                    let bits = draft.tensors.get(node.output).map_or(0, |t| t.value_bits);
                    raise(rings, node.output, bits);
                }
                for (i, id) in node.inputs.iter().enumerate() {
                    let shift = match map {
                        LocalMap::Add { shifts } => shifts.get(i).copied().unwrap_or_default(),
                        _ => 0,
                    };
                    raise(rings, *id, output.saturating_sub(shift));
                }
            }
        }
    }
}

/// Masked tensors that are relabellings of each other get one width: their masks are one.
fn level(draft: &Draft, rings: &mut [u32]) {
    for node in &draft.nodes {
        let NodeKind::Local(map) = &node.kind else { continue };
        if !map.is_relabelling() || draft.open.get(node.output) == Some(&true) {
            continue;
        }
        let widest = node
            .inputs
            .iter()
            .chain([&node.output])
            .filter_map(|id| rings.get(*id).copied())
            .max()
            .unwrap_or_default();
        node.inputs.iter().chain([&node.output]).for_each(|id| raise(rings, *id, widest));
    }
}
