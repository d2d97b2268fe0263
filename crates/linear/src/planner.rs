//! Chooses packings and parameters: the fewest bits plus a price for compute.
//!
//! ```text
//! cost = requests h N + l pinned + (l + k) N       request bits per inference
//!      + responses (l + k - d) N / J               hint bits
//!      + bits_per_ns * nanoseconds of compute
//! ```
//!
//! with J the inferences per setup (J = 1 for a revealed layer). `search` compares packings,
//! `budget` gives h and d.
//!
//! Source: docs/protocol.md, sections 3.6, 3.7 and 9.

mod budget;
pub(crate) mod prices;
mod search;

pub(crate) use prices::Prices;

use std::ops::RangeInclusive;

use gazelle_he::public_coin::Parameters;
use gazelle_share::{Conv2d, LinearGroup, LinearOp};

use crate::accept::{tolerates, weight_norm};
use crate::error::LinearError;
use crate::operator::as_conv;
use crate::packing::PackingScheme;
use crate::plan::GroupPlan;
use crate::planner::budget::{Budget, Weighing, noise_bits};
use crate::planner::search::{Found, Search};

const DEGREES: [usize; 2] = [2048, 4096];

/// The cheapest plan of one group with its cost; `norms[op]` from
/// [`map_norms`](crate::operator::map_norms).
pub(crate) fn plan_group(
    scheme: &dyn PackingScheme,
    group: &LinearGroup,
    norms: &[Vec<f64>],
    prices: &Prices,
    inferences: f64,
) -> Result<(f64, GroupPlan), LinearError> {
    let Some(truncate_bits) = group.truncate_bits.iter().copied().min() else {
        return Err(LinearError::Operator("a group without operators"));
    };
    let inferences = if group.revealed { 1.0 } else { inferences.max(1.0) };
    let partitions = partitions(&group.ops)?;
    let mut best: Option<(f64, GroupPlan)> = None;
    for degree in DEGREES {
        // Choose tilings with the largest noise space k: there the noise that no choice of h and d
        // changes uses the smallest part of the error budget.
        let all_noise_bits = noise_bits(degree, group, truncate_bits);
        let Some(largest) = all_noise_bits.clone().last() else { continue };
        // FFT products round: near the largest moduli only direct ones are exact enough.
        let budgets = [true, false].map(|fourier| Budget::new(degree, largest, group, fourier));
        for partition in &partitions {
            let mut cheapest = None;
            for budget in budgets.iter().flatten() {
                let search = Search { scheme, group, norms, prices, inferences, degree, budget };
                let Some(packings) = pack(&search, partition)? else { continue };
                cheapest = settle(&search, all_noise_bits.clone(), packings);
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
    best.map_or_else(
        || {
            let packed = partitions.iter().any(|parts| packs(scheme, group, parts));
            Err(if packed {
                LinearError::NoParameters {
                    name: group.name.clone(),
                    ring_bits: group.ring_bits,
                    truncate_bits,
                }
            } else {
                LinearError::Operator("the packing scheme has nothing for it")
            })
        },
        Ok,
    )
}

/// Whether the scheme packs every part, at some degree.
fn packs(scheme: &dyn PackingScheme, group: &LinearGroup, parts: &[Vec<usize>]) -> bool {
    parts.iter().all(|part| {
        let ops: Vec<_> = part.iter().filter_map(|&op| group.ops.get(op)).collect();
        let some = |degree| {
            let mut any = false;
            scheme.candidates(&ops, degree, &mut |_, _| any = true).is_ok() && any
        };
        DEGREES.into_iter().any(some)
    })
}

/// Ways to divide a group's operators over packings: by input shape, and by input shape and stride.
/// Each part is a list of operators' numbers.
fn partitions(ops: &[LinearOp]) -> Result<Vec<Vec<Vec<usize>>>, LinearError> {
    let convs = ops.iter().map(as_conv).collect::<Result<Vec<_>, _>>()?;
    let parts = |same: &dyn Fn(&Conv2d, &Conv2d) -> bool| {
        let mut parts: Vec<(&Conv2d, Vec<usize>)> = Vec::new();
        for (number, conv) in convs.iter().enumerate() {
            match parts.iter_mut().find(|(first, _)| same(first, conv)) {
                Some((_, part)) => part.push(number),
                None => parts.push((conv, vec![number])),
            }
        }
        parts
    };
    let by_shape = parts(&|a, b| a.input == b.input);
    let mut by_stride = parts(&|a, b| a.input == b.input && a.stride == b.stride);
    // The packing that holds most elements comes first: it is the one with free coefficients.
    by_stride.sort_by_key(|(first, _)| first.stride.iter().product::<usize>());
    let both =
        if by_stride.len() == by_shape.len() { vec![by_shape] } else { vec![by_shape, by_stride] };
    let numbers = |parts: Vec<(&Conv2d, Vec<usize>)>| parts.into_iter().map(|(_, p)| p).collect();
    Ok(both.into_iter().map(numbers).collect())
}

/// The cheapest packing of every part; nothing if one does not fit.
fn pack(search: &Search<'_>, partition: &[Vec<usize>]) -> Result<Option<Vec<Found>>, LinearError> {
    let parts = partition.iter().enumerate();
    parts.map(|(number, ops)| search.find(ops, number == 0)).collect()
}

/// k, h and d for all packings together, and the cost with `pb`.
fn settle(
    search: &Search<'_>,
    all_noise_bits: RangeInclusive<u32>,
    packings: Vec<Found>,
) -> Option<(f64, GroupPlan)> {
    let group = search.group;
    let mut norm_quarter_bits = vec![0u8; group.ops.len()];
    let mut weighing = Weighing { requests: 0.0, responses: 0.0 };
    for found in &packings {
        weighing.requests += found.requests as f64;
        for op in &found.ops {
            weighing.responses += op.responses as f64 / search.inferences;
            *norm_quarter_bits.get_mut(op.number)? = op.norm_quarter_bits;
        }
    }
    let norms = norm_quarter_bits.iter().map(|bits| (f64::from(*bits) / 4.0).exp2()).enumerate();
    // The cheapest (bits per coefficient, parameters) at one k.
    let at = |noise_bits: u32, fourier: bool| {
        let budget = Budget::new(search.degree, noise_bits, group, fourier)?;
        let (bits, quarters, dropped) = budget.choose(&norms, weighing, |_| false)?;
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
    let cost = packings.iter().map(|found| found.cost).sum::<f64>()
        + f64::from(parameters.modulus_bits()) * search.degree as f64;
    let packings = packings.into_iter().map(|found| found.plan).collect();
    Some((cost, GroupPlan { parameters, packings, norm_quarter_bits, fourier }))
}
