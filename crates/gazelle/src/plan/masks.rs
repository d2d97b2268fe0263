//! Whose mask is whose: protocol.md, section 5.7.
//!
//! A *root* is the input or a step's output. Each root's mask has exactly one source: the fresh
//! mask of one linear group that reads it through relabellings only, or the client's own PRG. So
//! every re-share output's mask is fresh given all others. Masks of local maps of masked tensors
//! are derived by the same maps; groups that read those, and further groups, are given theirs.

use gazelle_share::{
    Architecture, LinearGroup, LinearOp, LocalMap, MaskKind, NodeKind, StepOutput, TensorId,
};

use crate::error::GazelleError;
use crate::plan::{FreshMask, GroupPlace, Plan};

/// Per tensor: whether the client's share of it is a mask (the input, a step's output, or a local
/// map of such only).
pub(crate) fn masked_tensors(architecture: &Architecture) -> Result<Vec<bool>, GazelleError> {
    let mut masked = vec![false; architecture.tensors.len()];
    let mut reveals = 0;
    if let Some(input) = masked.first_mut() {
        *input = true;
    }
    for node in &architecture.nodes {
        let now = match &node.kind {
            NodeKind::Linear(_) => false,
            NodeKind::Step(step) => {
                reveals += usize::from(matches!(step.output, StepOutput::Reveal));
                matches!(step.output, StepOutput::Masked { .. })
            }
            NodeKind::Local(_) => {
                node.inputs.iter().all(|input| masked.get(*input).copied().unwrap_or(false))
            }
        };
        if let Some(slot) = masked.get_mut(node.output) {
            *slot = now;
        }
    }
    if reveals == 1 {
        Ok(masked)
    } else {
        Err(GazelleError::Plan(format!("{reveals} steps reveal something; one must")))
    }
}

/// Decides every group's [`MaskKind`], sorts the groups (fresh ones first) and returns the roots
/// whose masks the client draws.
pub(crate) fn assign(
    architecture: &Architecture,
    groups: &mut Vec<LinearGroup>,
    places: &mut Vec<GroupPlace>,
) -> Result<Vec<TensorId>, GazelleError> {
    let roots = roots(architecture);
    let mut free: Vec<bool> = roots.clone();
    let mut candidates: Vec<usize> = (0..groups.len()).collect();
    candidates
        .sort_by_key(|index| groups.get(*index).map(|group| (cost_of_pinning(group), *index)));
    for index in candidates {
        let (Some(group), Some(place)) = (groups.get_mut(index), places.get_mut(index)) else {
            continue;
        };
        let Some(fresh) = relabelling(architecture, &roots, place.tensor)? else { continue };
        let fits = fresh.roots.iter().all(|root| {
            free.get(*root).copied().unwrap_or(false)
                && architecture.tensors.get(*root).is_some_and(|t| t.ring_bits == group.ring_bits)
        });
        if fits {
            for root in &fresh.roots {
                if let Some(slot) = free.get_mut(*root) {
                    *slot = false;
                }
            }
            group.mask = MaskKind::Fresh;
            place.fresh = Some(fresh);
        }
    }
    let mut both: Vec<(LinearGroup, GroupPlace)> = groups.drain(..).zip(places.drain(..)).collect();
    both.sort_by_key(|(group, _)| group.mask == MaskKind::Given);
    for (group, place) in both {
        groups.push(group);
        places.push(place);
    }
    Ok((0..free.len()).filter(|root| free.get(*root).copied().unwrap_or(false)).collect())
}

/// Asserts the mask rule on a finished plan: every root's mask has exactly one source and every
/// fresh mask fills its roots exactly.
pub(crate) fn assert_rule(plan: &Plan) -> Result<(), GazelleError> {
    let architecture = plan.architecture();
    let mut sources = vec![0u32; architecture.tensors.len()];
    for root in plan.drawn() {
        if let Some(slot) = sources.get_mut(*root) {
            *slot += 1;
        }
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
            if let Some(slot) = sources.get_mut(*root) {
                *slot += 1;
            }
            len += architecture.tensors.get(*root).map_or(0, |tensor| tensor.shape.len());
        }
        let mut seen = vec![false; len];
        let positions: Vec<usize> = fresh.positions.clone().unwrap_or_else(|| (0..len).collect());
        for position in &positions {
            match seen.get_mut(*position) {
                Some(slot) if !*slot => *slot = true,
                _ => return Err(broken(&group.name, "its mask is not one-to-one")),
            }
        }
        let wanted = group.ops.first().map_or(0, LinearOp::input_len);
        if positions.len() != len || wanted != len {
            return Err(broken(&group.name, "its mask does not cover its tensors"));
        }
    }
    for (tensor, (is_root, count)) in roots(architecture).into_iter().zip(sources).enumerate() {
        if count != u32::from(is_root) {
            let name = architecture.tensors.get(tensor).map_or("", |tensor| &tensor.name);
            return Err(broken(name, &format!("{count} sources of its mask")));
        }
    }
    Ok(())
}

fn broken(name: &str, what: &str) -> GazelleError {
    GazelleError::Plan(format!("{name}: the mask rule does not hold: {what}"))
}

/// The input and the masked outputs of steps.
fn roots(architecture: &Architecture) -> Vec<bool> {
    let mut roots = vec![false; architecture.tensors.len()];
    let outputs = architecture.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Step(step) if matches!(step.output, StepOutput::Masked { .. }) => {
            Some(node.output)
        }
        _ => None,
    });
    for root in std::iter::once(0).chain(outputs) {
        if let Some(slot) = roots.get_mut(root) {
            *slot = true;
        }
    }
    roots
}

/// The lower, the more a group gains from a mask of its own: dense reads of large kernels first
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
    roots: &[bool],
    tensor: TensorId,
) -> Result<Option<FreshMask>, GazelleError> {
    let mut found = Vec::new();
    let Some(origins) = origins(architecture, roots, tensor, &mut found)? else { return Ok(None) };
    let mut distinct = found.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() != found.len() {
        return Ok(None);
    }
    let identity = origins.iter().enumerate().all(|(index, origin)| index as u64 == *origin);
    let positions =
        (!identity).then(|| origins.into_iter().map(|origin| origin as usize).collect());
    Ok(Some(FreshMask { roots: found, positions }))
}

/// For each element of `tensor`: its index in the roots laid end to end, in the order in which
/// they are met; nothing if a map on the way is not a relabelling.
fn origins(
    architecture: &Architecture,
    roots: &[bool],
    tensor: TensorId,
    found: &mut Vec<TensorId>,
) -> Result<Option<Vec<u64>>, GazelleError> {
    let missing = || GazelleError::Plan("a tensor that no node writes".into());
    let of = |id: TensorId| architecture.tensors.get(id).ok_or_else(missing);
    let target = of(tensor)?;
    if roots.get(tensor).copied().unwrap_or(false) {
        let mut offset = 0;
        for root in found.iter() {
            offset += of(*root)?.shape.len();
        }
        found.push(tensor);
        return Ok(Some((offset as u64..(offset + target.shape.len()) as u64).collect()));
    }
    let node = architecture.nodes.iter().find(|node| node.output == tensor).ok_or_else(missing)?;
    let NodeKind::Local(map) = &node.kind else { return Ok(None) };
    if !is_relabelling(map) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for input in &node.inputs {
        let Some(part) = origins(architecture, roots, *input, found)? else { return Ok(None) };
        parts.push((part, of(*input)?.shape));
    }
    let inputs: Vec<_> = parts.iter().map(|(part, shape)| (part.as_slice(), *shape)).collect();
    Ok(Some(map.apply(&inputs, target.shape, 64)))
}

fn is_relabelling(map: &LocalMap) -> bool {
    map.is_relabelling()
}
