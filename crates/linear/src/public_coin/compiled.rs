//! What a server shares between sessions, and what both parties derive from a plan.

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::noise::inferences_per_setup;
use gazelle_share::{LinearGroup, LinearWeights, Misuse, ProtocolError};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::error::LinearError;
use crate::layout::GroupLayout;
use crate::matrix::{GroupMatrix, Resources};
use crate::operator::map_norms;
use crate::packing::{PackingScheme, block_norm};
use crate::plan::{GroupPlan, LinearPlan};
use crate::public_coin::PublicCoin;

/// A group as both parties see it.
pub(super) struct GroupState {
    pub(super) group: LinearGroup,
    pub(super) parameters: Parameters,
    pub(super) layout: GroupLayout,
    /// Plan-wide index of the first request polynomial.
    pub(super) first_index: u64,
    /// Pinned coefficients of all requests.
    pub(super) pinned: usize,
}

/// A model's linear layers, ready to serve any number of sessions.
pub struct Compiled {
    pub(super) groups: Vec<CompiledGroup>,
    pub(super) plan_digest: [u8; 32],
}

/// One group with its weights.
pub(super) struct CompiledGroup {
    pub(super) state: GroupState,
    pub(super) matrix: GroupMatrix,
    pub(super) weight_digest: [u8; 32],
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compiled {{ {} groups, .. }}", self.groups.len())
    }
}

impl Compiled {
    pub(super) fn new(
        protocol: &PublicCoin,
        groups: &[LinearGroup],
        plan: &LinearPlan,
        weights: &[Vec<&LinearWeights>],
    ) -> Result<Self, LinearError> {
        let PublicCoin { scheme, ref prices, transform_bytes, .. } = *protocol;
        let states = states(scheme, groups, plan)?;
        let compile = |((state, plan), weights): ((GroupState, &GroupPlan), &Vec<_>)| {
            check_norms(&state, plan, weights)?;
            let norm_quarters = plan.norm_quarter_bits.iter().copied().fold(0, u8::max);
            let resources = Resources {
                prices,
                fourier: plan.fourier,
                modulus_bits: state.parameters.modulus_bits(),
                norm_bits: u32::from(norm_quarters).div_ceil(4),
            };
            let matrix = GroupMatrix::new(&state.layout, weights, &resources)?;
            Ok(CompiledGroup { state, matrix, weight_digest: digest_weights(weights) })
        };
        let mut groups = states
            .into_par_iter()
            .zip(&plan.groups)
            .zip(weights)
            .map(compile)
            .collect::<Result<Vec<_>, LinearError>>()?;
        let mut bytes = transform_bytes;
        for group in &mut groups {
            group.matrix.keep_transforms(prices, &mut bytes);
        }
        Ok(Self { groups, plan_digest: digest_plan(plan) })
    }

    /// Of the plan and all weights.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 compiled linear layers");
        hasher.update(&self.plan_digest);
        for group in &self.groups {
            hasher.update(&group.weight_digest);
        }
        *hasher.finalize().as_bytes()
    }

    /// Bytes of weights and transforms held.
    pub fn memory_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.matrix.memory_bytes()).sum()
    }
}

/// Checks the plan and lays out every group.
pub(super) fn states(
    scheme: &dyn PackingScheme,
    groups: &[LinearGroup],
    plan: &LinearPlan,
) -> Result<Vec<GroupState>, LinearError> {
    let layouts = plan.check(scheme, groups)?;
    let mut first_index = 0;
    let mut states = Vec::with_capacity(groups.len());
    for ((group, plan), layout) in groups.iter().zip(&plan.groups).zip(layouts) {
        let requests = layout.requests as u64;
        states.push(GroupState {
            group: group.clone(),
            parameters: plan.parameters,
            pinned: layout.pinned(),
            layout,
            first_index,
        });
        first_index += requests;
    }
    Ok(states)
}

/// The weights must keep the bound that the plan states in public.
fn check_norms(
    state: &GroupState,
    plan: &GroupPlan,
    weights: &[&LinearWeights],
) -> Result<(), LinearError> {
    let bad = |what: &str| Err(LinearError::Plan(format!("group {}: {what}", state.group.name)));
    for placed in &state.layout.packings {
        for (local, &(op, _)) in placed.ops.iter().enumerate() {
            let (Some(weights), Some(bits)) = (weights.get(op), plan.norm_quarter_bits.get(op))
            else {
                return bad("weights are missing");
            };
            let Some(operator) = state.group.ops.get(op) else {
                return bad("an operator is missing");
            };
            let norms = map_norms(operator, weights)?;
            let norm = block_norm(&*placed.packing, local, &norms);
            if norm > (f64::from(*bits) / 4.0).exp2() * (1.0 + 1e-9) {
                return bad("the weights are larger than the plan says");
            }
        }
    }
    Ok(())
}

fn digest_weights(weights: &[&LinearWeights]) -> [u8; 32] {
    /// Weights hashed together: many, since that is what the hash is fast on.
    const TOGETHER: usize = 1 << 14;
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 linear group weights");
    // Room for all, so that no copy of weights is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::<u8>::with_capacity(4 * TOGETHER));
    for weights in weights {
        hasher.update(&(weights.weights.len() as u64).to_le_bytes());
        for chunk in weights.weights.chunks(TOGETHER) {
            bytes.clear();
            for w in chunk {
                bytes.extend_from_slice(&w.to_le_bytes());
            }
            hasher.update(&bytes);
        }
    }
    let digest = *hasher.finalize().as_bytes();
    hasher.zeroize();
    digest
}

/// Every number of the plan, in order.
pub(super) fn digest_plan(plan: &LinearPlan) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 linear plan");
    let mut number = |n: u64| {
        hasher.update(&n.to_le_bytes());
    };
    number(u64::from(plan.inferences_per_setup));
    number(plan.groups.len() as u64);
    for group in &plan.groups {
        let p = group.parameters;
        number(p.degree() as u64);
        for bits in [p.ring_bits(), p.noise_bits(), p.kept_quarters()] {
            number(u64::from(bits));
        }
        number(u64::from(p.dropped_bits()) | u64::from(p.guard_bits()) << 32);
        number(group.norm_quarter_bits.len() as u64);
        group.norm_quarter_bits.iter().for_each(|bits| number(u64::from(*bits)));
        number(u64::from(group.fourier));
        number(group.packings.len() as u64);
        for packing in &group.packings {
            number(packing.ops.len() as u64);
            packing.ops.iter().for_each(|op| number(u64::from(*op)));
            for n in [packing.phase, packing.tile].as_flattened() {
                number(u64::from(*n));
            }
            number(u64::from(packing.channels));
            packing.maps.iter().for_each(|maps| number(u64::from(*maps)));
        }
    }
    *hasher.finalize().as_bytes()
}

/// Refuses an inference that would use hints more often than they may serve.
pub(super) fn check_inference(state: &GroupState, inference: u64) -> Result<(), ProtocolError> {
    let most = inferences_per_setup(&state.parameters);
    if state.group.revealed || inference < most {
        return Ok(());
    }
    Err(Misuse::Exhausted { group: state.group.name.clone(), most }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_share::{LinearOp, LinearProtocol, MaskKind};

    #[test]
    fn hints_serve_no_more_inferences_than_the_fresh_noise_covers() {
        let group = |revealed| LinearGroup {
            name: "g".into(),
            ring_bits: 24,
            ops: vec![LinearOp::FullyConnected { inputs: 3, outputs: 2 }],
            truncate_bits: vec![10],
            mask: MaskKind::Fresh,
            revealed,
            guard: gazelle_share::Guard::NONE,
        };
        let weights = LinearWeights { weights: vec![1, -2, 3, 4, 5, 6], bias: vec![0, 0] };
        for revealed in [false, true] {
            let groups = [group(revealed)];
            let plan = crate::PublicCoin::default().plan(&groups, &[vec![&weights]]).unwrap();
            let states = states(&crate::packing::Tiles, &groups, &plan).unwrap();
            let most = inferences_per_setup(&plan.groups[0].parameters);
            assert!(check_inference(&states[0], most - 1).is_ok());
            assert_eq!(check_inference(&states[0], most).is_ok(), revealed);
        }
    }
}
