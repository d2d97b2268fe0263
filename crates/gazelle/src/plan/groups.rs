//! Linear groups: the operators that read one masked tensor with one request.

use std::collections::HashMap;

use gazelle_share::{
    Architecture, Guard, LinearGroup, LinearOp, MaskKind, NodeKind, StepOutput, TensorId, TensorMap,
};

use crate::error::GazelleError;
use crate::plan::GroupPlace;

/// Returns all groups, masks still undecided ([`MaskKind::Given`]), in the order of their first nodes.
pub(crate) fn linear_groups(
    architecture: &Architecture,
) -> Result<(Vec<LinearGroup>, Vec<GroupPlace>), GazelleError> {
    let mut groups: Vec<LinearGroup> = Vec::new();
    let mut places: Vec<GroupPlace> = Vec::new();
    let mut known: HashMap<(TensorId, LinearOp), usize> = HashMap::new();
    let fates = fates(architecture);
    let exact = architecture.is_exact();
    for (id, node) in architecture.node_ids().zip(architecture.nodes()) {
        let NodeKind::Linear(op) = &node.kind else { continue };
        let tensor = node.input();
        let ring_bits = architecture.tensor(tensor).ring_bits;
        let guard_bits = architecture.tensor(node.output).guard_bits;
        // With guard bits nothing but exact steps keeps the ciphertexts' error from the client.
        if guard_bits > 0 && !exact {
            return Err(GazelleError::Plan(format!(
                "{}: guard bits in a network that also rounds locally",
                node.name
            )));
        }
        let fate = fates[node.output];
        let Some(truncate) = fate.truncate else {
            return Err(GazelleError::Plan(format!("{}: its output is never used", node.name)));
        };
        let place = *known.entry((tensor, op.reader())).or_insert_with(|| {
            groups.push(LinearGroup {
                name: node.name.clone(),
                ring_bits,
                ops: Vec::new(),
                truncate_bits: Vec::new(),
                mask: MaskKind::Given,
                revealed: false,
                guard: Guard { bits: guard_bits, addends: 1 },
            });
            places.push(GroupPlace { tensor, nodes: Vec::new(), fresh: None });
            places.len() - 1
        });
        let (Some(group), Some(place)) = (groups.get_mut(place), places.get_mut(place)) else {
            continue;
        };
        if !group.ops.is_empty() {
            group.name = format!("{}+{}", group.name, node.name);
        }
        group.ops.push(op.clone());
        group.truncate_bits.push(truncate);
        group.revealed |= fate.revealed && guard_bits == 0;
        if group.guard.bits != guard_bits {
            return Err(GazelleError::Plan(format!(
                "{}: operators that share a request differ in guard bits",
                node.name
            )));
        }
        group.guard.addends = group.guard.addends.max(fate.addends);
        place.nodes.push(id);
    }
    Ok((groups, places))
}

/// What happens to a linear output further on.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// The fewest bits dropped on any way to a step; nothing if no step reads it.
    truncate: Option<u32>,
    /// Whether a step that reads it reveals to the client.
    revealed: bool,
    /// The most errors of linear outputs that a step which reads it finds added up.
    addends: u32,
}

/// Per tensor, by one walk from the end.
fn fates(architecture: &Architecture) -> TensorMap<Fate> {
    let addends = architecture.added_errors();
    let mut fates = architecture.per_tensor(Fate::default());
    for node in architecture.nodes().iter().rev() {
        let after = fates[node.output];
        for (position, input) in node.inputs.iter().enumerate() {
            let fate = match &node.kind {
                NodeKind::Linear(_) => continue,
                NodeKind::Step(step) => Fate {
                    truncate: Some(step.truncate_bits),
                    revealed: matches!(step.output, StepOutput::Reveal),
                    addends: addends[*input],
                },
                NodeKind::Local(_) => Fate {
                    truncate: after
                        .truncate
                        .map(|bits| bits.saturating_sub(node.kind.shift(position))),
                    revealed: after.revealed,
                    addends: after.addends,
                },
            };
            let slot = &mut fates[*input];
            slot.truncate = match (slot.truncate, fate.truncate) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            slot.revealed |= fate.revealed;
            slot.addends = slot.addends.max(fate.addends);
        }
    }
    fates
}
