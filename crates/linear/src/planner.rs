//! Chooses packings and parameters: the fewest bits plus a price for compute.
//!
//! ```text
//! cost = requests h N + l pinned + (l + k) N       request bits per inference
//!      + responses (l + k - d) N / J               hint bits
//!      + bits_per_ns * nanoseconds of compute
//! ```
//!
//! with J the inferences per setup (J = 1 for a revealed layer). `search` compares tilings,
//! `budget` gives h and d.
//!
//! Source: docs/protocol.md, sections 3.6, 3.7 and 9.

mod budget;
mod search;

use std::ops::RangeInclusive;

use gazelle_he::public_coin::Parameters;
use gazelle_share::{LinearGroup, LinearOp, LinearWeights};
use serde::{Deserialize, Serialize};

use crate::error::LinearError;
use crate::packing::Packing;
use crate::plan::{GroupPlan, PackingPlan, tolerates, weight_norm};
use crate::planner::budget::{Budget, Weighing, noise_bits};
use crate::planner::search::{Found, Search};
use crate::stride_one::as_conv;

/// What things cost; plain numbers, for one core, at N = 2048 where they are per polynomial. The
/// defaults were measured on a Zen 4 core at 3.7 GHz (`examples/layers.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Bits that are worth one nanosecond of one core.
    pub bits_per_ns: f64,
    /// A 64-bit multiply-add.
    pub multiply_add_ns: f64,
    /// A Fourier-domain product of polynomials, accumulated.
    pub fourier_product_ns: f64,
    /// A Fourier transform with its conversion.
    pub fourier_transform_ns: f64,
    /// Everything else about a request, both parties.
    pub request_ns: f64,
    /// Everything else about a response, both parties.
    pub response_ns: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            bits_per_ns: 0.01,
            multiply_add_ns: 0.03,
            fourier_product_ns: 130.0,
            fourier_transform_ns: 1200.0,
            request_ns: 30_000.0,
            response_ns: 15_000.0,
        }
    }
}

const DEGREES: [usize; 2] = [2048, 4096];

/// Squared norm of each map's weights.
pub(crate) fn map_norms(op: &LinearOp, weights: &LinearWeights) -> Result<Vec<f64>, LinearError> {
    let conv = as_conv(op)?;
    let per_map = op.weight_len() / conv.maps;
    if weights.weights.len() != op.weight_len() || per_map == 0 {
        let (expected, got) = (op.weight_len(), weights.weights.len());
        return Err(LinearError::Plan(format!("{got} weights, the operator has {expected}")));
    }
    let square = |w: &i32| f64::from(*w).powi(2);
    Ok(weights.weights.chunks_exact(per_map).map(|map| map.iter().map(square).sum()).collect())
}

/// The cheapest plan of one group with its cost; `norms[op]` from [`map_norms`].
pub(crate) fn plan_group(
    group: &LinearGroup,
    norms: &[Vec<f64>],
    prices: &Prices,
    inferences: f64,
) -> Result<(f64, GroupPlan), LinearError> {
    let truncate_bits = group.truncate_bits.iter().copied().min().unwrap_or(0);
    let nothing = || LinearError::NoParameters { ring_bits: group.ring_bits, truncate_bits };
    let inferences = if group.revealed { 1.0 } else { inferences.max(1.0) };
    let partitions = partitions(&group.ops)?;
    let mut best: Option<(f64, GroupPlan)> = None;
    for degree in DEGREES {
        // Choose tilings with the largest noise space k: there the server's noise F uses the
        // smallest part of the error budget.
        let all_noise_bits = noise_bits(degree, group, truncate_bits);
        let Some(largest) = all_noise_bits.clone().last() else { continue };
        // FFT products round: near the largest moduli only direct ones are exact enough.
        let budgets = [true, false].map(|fourier| Budget::new(degree, largest, group, fourier));
        for partition in &partitions {
            let mut cheapest = None;
            for budget in budgets.iter().flatten() {
                let search = Search { group, norms, prices, inferences, degree, budget };
                let Some(packings) = pack(&search, partition)? else { continue };
                cheapest = settle(&search, all_noise_bits.clone(), partition, &packings);
                if cheapest.is_some() {
                    break;
                }
            }
            let Some((cost, plan)) = cheapest else { continue };
            if best.as_ref().is_none_or(|(cheapest, _)| cost < *cheapest) {
                best = Some((cost, plan));
            }
        }
    }
    best.ok_or_else(nothing)
}

/// A part of a partition: operators that share a packing, and the phases that may suit them.
struct Part {
    ops: Vec<usize>,
    phases: Vec<[usize; 2]>,
}

/// Ways to divide a group's operators over packings: by input shape, and by input shape and stride.
fn partitions(ops: &[LinearOp]) -> Result<Vec<Vec<Part>>, LinearError> {
    let convs = ops.iter().map(as_conv).collect::<Result<Vec<_>, _>>()?;
    let mut by_shape: Vec<Part> = Vec::new();
    let mut by_stride: Vec<Part> = Vec::new();
    for (i, conv) in convs.iter().enumerate() {
        let same_shape = |part: &&mut Part| {
            part.ops.first().and_then(|&j| convs.get(j)).is_some_and(|c| c.input == conv.input)
        };
        let alone = || Part { ops: vec![i], phases: vec![conv.stride] };
        match by_shape.iter_mut().find(same_shape) {
            Some(part) => {
                part.ops.push(i);
                for phase in &mut part.phases {
                    *phase = [lcm(phase[0], conv.stride[0]), lcm(phase[1], conv.stride[1])];
                }
            }
            None => by_shape.push(alone()),
        }
        let same_stride = |part: &&mut Part| part.phases.contains(&conv.stride);
        match by_stride.iter_mut().filter(same_stride).find(same_shape) {
            Some(part) => part.ops.push(i),
            None => by_stride.push(alone()),
        }
    }
    // The packing that holds most elements comes first: it is the one with free coefficients.
    by_stride.sort_by_key(|part| part.phases.first().map(|phase| phase[0] * phase[1]));
    let mut partitions =
        if by_stride.len() == by_shape.len() { vec![by_shape] } else { vec![by_shape, by_stride] };
    // Phase 1 suits every stride.
    for part in partitions.iter_mut().flatten() {
        if !part.phases.contains(&[1, 1]) {
            part.phases.push([1, 1]);
        }
    }
    Ok(partitions)
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// A part's packing.
struct Packed {
    phase: [usize; 2],
    found: Found,
}

/// The cheapest packing of every part, with its phase; nothing if one does not fit.
fn pack(search: &Search<'_>, partition: &[Part]) -> Result<Option<Vec<Packed>>, LinearError> {
    let mut packings = Vec::with_capacity(partition.len());
    for (number, part) in partition.iter().enumerate() {
        let mut best: Option<Packed> = None;
        for &phase in &part.phases {
            let Some(found) = search.find(&part.ops, phase, number == 0)? else { continue };
            if best.as_ref().is_none_or(|best| found.cost < best.found.cost) {
                best = Some(Packed { phase, found });
            }
        }
        let Some(best) = best else { return Ok(None) };
        packings.push(best);
    }
    Ok(Some(packings))
}

/// k, h and d for all packings together, and the cost with `pb`.
fn settle(
    search: &Search<'_>,
    all_noise_bits: RangeInclusive<u32>,
    partition: &[Part],
    packings: &[Packed],
) -> Option<(f64, GroupPlan)> {
    let group = search.group;
    let mut norm_quarter_bits = vec![0u8; group.ops.len()];
    let mut weighing = Weighing { requests: 0.0, responses: 0.0 };
    for (part, Packed { found, .. }) in partition.iter().zip(packings) {
        let packing = &found.packing;
        weighing.requests += packing.requests() as f64;
        for (local, (&op, &quarters)) in part.ops.iter().zip(&found.norm_quarter_bits).enumerate() {
            weighing.responses += packing.responses(local) as f64 / search.inferences;
            if let Some(slot) = norm_quarter_bits.get_mut(op) {
                *slot = quarters;
            }
        }
    }
    let norms = norm_quarter_bits.iter().map(|bits| (f64::from(*bits) / 4.0).exp2()).enumerate();
    // The cheapest (bits per coefficient, parameters) at one k.
    let at = |noise_bits: u32, fourier: bool| {
        let budget = Budget::new(search.degree, noise_bits, group, fourier)?;
        let (bits, quarters, dropped) = budget.choose(&norms, weighing)?;
        let holds = |p: &Parameters| {
            norm_quarter_bits
                .iter()
                .zip(&group.truncate_bits)
                .all(|(&norm, &t)| tolerates(group, t, *p, weight_norm(norm, fourier)))
        };
        let parameters = budget.parameters(quarters, dropped, holds)?;
        Some((bits + f64::from(parameters.modulus_bits()), parameters))
    };
    // Room for FFT products, if they fit: they are the cheaper ones.
    let (fourier, parameters) = [true, false].into_iter().find_map(|fourier| {
        let all = all_noise_bits.clone().filter_map(|k| at(k, fourier));
        let cheapest = all.min_by(|(a, _), (b, _)| a.total_cmp(b));
        cheapest.map(|(_, parameters)| (fourier, parameters))
    })?;
    let cost = packings.iter().map(|packed| packed.found.cost).sum::<f64>()
        + f64::from(parameters.modulus_bits()) * search.degree as f64;
    let packings = partition
        .iter()
        .zip(packings)
        .map(|(part, Packed { phase, found })| PackingPlan {
            ops: part.ops.iter().map(|&op| op as u32).collect(),
            phase: phase.map(|p| p as u32),
            tile: found.tile.map(|t| t as u32),
            channels: found.channels as u32,
            maps: found.maps.iter().map(|&m| m as u32).collect(),
        })
        .collect();
    Some((cost, GroupPlan { parameters, packings, norm_quarter_bits, fourier }))
}

/// The largest squared norm of a response of operator `op`.
pub(crate) fn block_norm(packing: &Packing, op: usize, norms: &[f64]) -> f64 {
    (0..packing.blocks(op))
        .map(|block| packing.maps_of_block(op, block).filter_map(|map| norms.get(map)).sum::<f64>())
        .fold(0.0, f64::max)
}
