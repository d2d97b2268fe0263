//! Whose mask is whose: protocol.md, section 5.7.
//!
//! A *root* is the input or a step's output. Each root's mask has exactly one source: the fresh
//! mask of one linear group that reads it through relabellings only, or the client's own PRG. So
//! every re-share output's mask is fresh given all others. Masks of local maps of masked tensors
//! are derived by the same maps; groups that read those, and further groups, are given theirs.

use gazelle_share::{Architecture, LinearGroup, LinearOp, MaskKind, NodeKind, TensorId, TensorMap};

use crate::error::GazelleError;
use crate::plan::{FreshMask, GroupPlace, Plan};

/// Decides every group's [`MaskKind`], sorts the groups (fresh ones first) and returns the roots
/// whose masks the client draws.
pub(crate) fn assign(
    architecture: &Architecture,
    groups: &mut Vec<LinearGroup>,
    places: &mut Vec<GroupPlace>,
) -> Vec<TensorId> {
    let roots = roots(architecture);
    let mut free = roots.clone();
    let mut both: Vec<(LinearGroup, GroupPlace)> = groups.drain(..).zip(places.drain(..)).collect();
    let mut candidates: Vec<&mut (LinearGroup, GroupPlace)> = both.iter_mut().collect();
    candidates.sort_by_key(|(group, _)| cost_of_pinning(group));
    for (group, place) in candidates {
        let Some(fresh) = relabelling(architecture, &roots, place.tensor) else { continue };
        let fits = |root: &TensorId| {
            free[*root] && architecture.tensor(*root).ring_bits == group.ring_bits
        };
        if fresh.roots.iter().all(fits) {
            for root in &fresh.roots {
                free[*root] = false;
            }
            group.mask = MaskKind::Fresh;
            place.fresh = Some(fresh);
        }
    }
    both.sort_by_key(|(group, _)| group.mask == MaskKind::Given);
    (*groups, *places) = both.into_iter().unzip();
    free.iter().filter(|(_, free)| **free).map(|(root, _)| root).collect()
}

/// Asserts the mask rule on a finished plan: every root's mask has exactly one source and every
/// fresh mask fills its roots exactly.
pub(crate) fn assert_rule(plan: &Plan) -> Result<(), GazelleError> {
    let architecture = plan.architecture();
    let mut sources = architecture.per_tensor(0u32);
    for root in plan.drawn() {
        sources[*root] += 1;
    }
    for (group, place) in plan.groups().iter().zip(plan.places()) {
        let Some(fresh) = &place.fresh else {
            if group.mask == MaskKind::Fresh {
                return Err(broken(&group.name, "a fresh mask that fills no tensor"));
            }
            continue;
        };
        let mut len = 0;
        for root in &fresh.roots {
            sources[*root] += 1;
            len += architecture.tensor(*root).shape.len();
        }
        let mut seen = vec![false; len];
        // optional: without positions they stay where they are
        let positions: Vec<usize> = fresh.positions.clone().unwrap_or_else(|| (0..len).collect());
        for position in &positions {
            match seen.get_mut(*position) {
                Some(slot) if !*slot => *slot = true,
                _ => return Err(broken(&group.name, "its mask is not one-to-one")),
            }
        }
        let covers = |op: &LinearOp| op.input_len() == len;
        if positions.len() != len || !group.ops.iter().all(covers) {
            return Err(broken(&group.name, "its mask does not cover its tensors"));
        }
    }
    let roots = roots(architecture);
    for (tensor, count) in sources.iter() {
        if *count != u32::from(roots[tensor]) {
            let name = &architecture.tensor(tensor).name;
            return Err(broken(name, &format!("{count} sources of its mask")));
        }
    }
    Ok(())
}

fn broken(name: &str, what: &str) -> GazelleError {
    GazelleError::Plan(format!("{name}: the mask rule does not hold: {what}"))
}

/// Returns the input and the masked outputs of steps.
fn roots(architecture: &Architecture) -> TensorMap<bool> {
    let mut roots = architecture.per_tensor(false);
    roots[TensorId::INPUT] = true;
    for node in architecture.nodes() {
        if matches!(node.kind, NodeKind::Step(_)) {
            roots[node.output] = architecture.is_masked(node.output);
        }
    }
    roots
}

/// Returns the lower, the more a group gains from a mask of its own: dense reads of large kernels first
/// (a strided 1x1 kernel pins only the pixels that it reads).
fn cost_of_pinning(group: &LinearGroup) -> (usize, usize) {
    match group.ops.first() {
        Some(LinearOp::Conv(conv)) => {
            (conv.stride.iter().product(), usize::MAX - conv.kernel.iter().product::<usize>())
        }
        _ => (1, usize::MAX),
    }
}

/// How `tensor` is a relabelling of distinct roots in the same ring, if it is one.
fn relabelling(
    architecture: &Architecture,
    roots: &TensorMap<bool>,
    tensor: TensorId,
) -> Option<FreshMask> {
    let mut found = Vec::new();
    let origins = origins(architecture, roots, tensor, &mut found)?;
    let mut distinct = found.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != found.len() {
        return None;
    }
    let identity = origins.iter().enumerate().all(|(index, origin)| index as u64 == *origin);
    let positions =
        (!identity).then(|| origins.into_iter().map(|origin| origin as usize).collect());
    Some(FreshMask { roots: found, positions })
}

/// For each element of `tensor`: its index in the roots laid end to end, in the order in which
/// they are met; nothing if a map on the way is not a relabelling.
fn origins(
    architecture: &Architecture,
    roots: &TensorMap<bool>,
    tensor: TensorId,
    found: &mut Vec<TensorId>,
) -> Option<Vec<u64>> {
    let shape = |id: TensorId| architecture.tensor(id).shape;
    if roots[tensor] {
        let offset: usize = found.iter().map(|root| shape(*root).len()).sum();
        found.push(tensor);
        return Some((offset as u64..(offset + shape(tensor).len()) as u64).collect());
    }
    let node = architecture.nodes().iter().find(|node| node.output == tensor)?;
    let NodeKind::Local(map) = &node.kind else { return None };
    if !map.is_relabelling() {
        return None;
    }
    let mut parts = Vec::new();
    for input in &node.inputs {
        parts.push((origins(architecture, roots, *input, found)?, shape(*input)));
    }
    let inputs: Vec<_> = parts.iter().map(|(part, shape)| (part.as_slice(), *shape)).collect();
    Some(map.apply(&inputs, shape(tensor), 64))
}
