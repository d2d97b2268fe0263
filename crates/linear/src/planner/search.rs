//! The cheapest candidate of a packing scheme.
//!
//! Closed formulas rank all candidates; the best few of each family are laid out, so that pinned
//! coefficients and norms are the exact ones.

use std::collections::HashMap;

use gazelle_share::{LinearGroup, LinearOp, MaskKind};

use super::budget::{Budget, Weighing};
use super::prices::Prices;
use crate::error::LinearError;
use crate::operator::as_conv;
use crate::packing::{Candidate, Estimate, Packing, PackingScheme, block_norm};
use crate::plan::PackingPlan;

/// Candidates of a family that are laid out in full.
const FINALISTS: usize = 12;

/// What the search of one packing depends on.
pub(super) struct Search<'a> {
    pub(super) scheme: &'a dyn PackingScheme,
    pub(super) group: &'a LinearGroup,
    /// By operator of the group: squared norm of each map's weights.
    pub(super) norms: &'a [Vec<f64>],
    pub(super) prices: &'a Prices,
    /// Inferences per setup; 1 for a revealed group.
    pub(super) inferences: f64,
    pub(super) degree: usize,
    pub(super) budget: &'a Budget,
}

/// A packing with what it costs.
pub(super) struct Found {
    pub(super) cost: f64,
    pub(super) plan: PackingPlan,
    pub(super) requests: usize,
    /// By operator of the packing.
    pub(super) ops: Vec<FoundOp>,
}

/// An operator of a [`Found`] packing.
pub(super) struct FoundOp {
    /// Its number in the group.
    pub(super) number: usize,
    pub(super) responses: usize,
    /// `ceil(4 log2)` of the largest squared norm of a response.
    pub(super) norm_quarter_bits: u8,
}

/// An operator that is searched for.
struct SearchTarget<'a> {
    number: usize,
    op: &'a LinearOp,
    /// Squared norm of each map.
    norms: &'a [f64],
    /// Weights of one map.
    per_map: usize,
    /// Largest squared norm of a response by its maps, as plans state it, as far as known.
    known: HashMap<(usize, usize), f64>,
    /// That of the candidate at hand.
    stated: f64,
}

impl Search<'_> {
    /// The cheapest packing of `ops`; nothing if none fits.
    ///
    /// - `first`: no other packing of the group defines masks before this one.
    pub(super) fn find(&self, ops: &[usize], first: bool) -> Result<Option<Found>, LinearError> {
        let mut wanted = Vec::with_capacity(ops.len());
        for &number in ops {
            let missing = LinearError::Operator("an operator has no norms");
            let (op, norms) =
                self.group.ops.get(number).zip(self.norms.get(number)).ok_or(missing)?;
            let conv = as_conv(op)?;
            wanted.push(SearchTarget {
                number,
                op,
                norms,
                per_map: op.weight_len() / conv.maps,
                known: HashMap::new(),
                stated: 0.0,
            });
        }
        let operators: Vec<&LinearOp> = wanted.iter().map(|wanted| wanted.op).collect();
        // Every element is pinned to an earlier packing's mask or a given one.
        let pinned = !first || self.group.mask == MaskKind::Given;
        let mut best: Option<Found> = None;
        for family in self.finalists(&operators, pinned, &mut wanted)? {
            for Candidate { mut plan, estimate } in family {
                let limit = best.as_ref().map_or(f64::INFINITY, |best| best.cost);
                // Dearer even if it needed no pin: it need not be laid out.
                if self.cost(&mut wanted, &estimate, 0.0, limit).is_none_or(|cost| cost >= limit) {
                    continue;
                }
                plan.ops = ops.iter().map(|&op| op as u32).collect();
                let packing = self.scheme.packing(&operators, self.degree, &plan)?;
                // The first packing defines masks for what it holds, so that many positions need no pin.
                let held = if pinned { 0 } else { packing.elements() };
                let pins = packing.marked().saturating_sub(held) as f64;
                let cost = self.cost(&mut wanted, &estimate, pins, limit);
                if let Some(cost) = cost.filter(|cost| *cost < limit) {
                    best = Some(Self::found(cost, plan, &*packing, &wanted));
                }
            }
        }
        Ok(best)
    }

    fn found(
        cost: f64,
        plan: PackingPlan,
        packing: &dyn Packing,
        wanted: &[SearchTarget<'_>],
    ) -> Found {
        let of_op = |(local, wanted): (usize, &SearchTarget<'_>)| FoundOp {
            number: wanted.number,
            responses: packing.responses(local),
            norm_quarter_bits: quarters(block_norm(packing, local, wanted.norms)),
        };
        let ops = wanted.iter().enumerate().map(of_op).collect();
        Found { cost, plan, requests: packing.requests(), ops }
    }

    /// The best candidates of each family by their closed formulas, cheapest first.
    fn finalists(
        &self,
        operators: &[&LinearOp],
        pinned: bool,
        wanted: &mut [SearchTarget<'_>],
    ) -> Result<Vec<Vec<Candidate>>, LinearError> {
        let mut families: Vec<Vec<(f64, Candidate)>> = Vec::new();
        self.scheme.candidates(operators, self.degree, &mut |family, candidate| {
            if families.len() <= family {
                families.resize_with(family + 1, Vec::new);
            }
            let Some(best) = families.get_mut(family) else { return };
            let held = if pinned { 0 } else { candidate.estimate.held };
            let pins = candidate.estimate.marked.saturating_sub(held) as f64;
            let last = best.get(FINALISTS - 1);
            let limit = last.map_or(f64::INFINITY, |(cost, _)| *cost);
            let cost = self.cost(wanted, &candidate.estimate, pins, limit);
            let Some(cost) = cost else { return };
            let at = best.partition_point(|(other, _)| *other <= cost);
            if at < FINALISTS {
                best.truncate(FINALISTS - 1);
                best.insert(at, (cost, candidate.clone()));
            }
        })?;
        let candidates = |family: Vec<(f64, Candidate)>| {
            family.into_iter().map(|(_, candidate)| candidate).collect()
        };
        Ok(families.into_iter().map(candidates).collect())
    }

    /// Bits plus the price of compute, without `pb`; nothing if the error bound cannot be met, or where it
    /// is clear at once that the limit is.
    fn cost(
        &self,
        wanted: &mut [SearchTarget<'_>],
        estimate: &Estimate,
        pins: f64,
        limit: f64,
    ) -> Option<f64> {
        let n = self.degree as f64;
        let scale = n / 2048.0;
        let tiles = estimate.tiles as f64;
        let requests = tiles * estimate.chunks as f64;
        let p = self.prices;
        let mut responses = 0.0;
        let (mut useful_ns, mut whole_ns) = (0.0, 0.0);
        for (wanted, of_op) in wanted.iter_mut().zip(&estimate.ops) {
            wanted.stated = wanted.norm(of_op.maps, of_op.all_maps);
            let rows = tiles * of_op.all_maps.div_ceil(of_op.maps.max(1)) as f64;
            responses += rows;
            let per_output = wanted.per_map as f64;
            let products = of_op.products as f64;
            let fourier = tiles * products * p.fourier_product_ns * scale
                + (products + requests + rows) * p.fourier_transform_ns * scale;
            // Terms of one response meet all of its useful coefficients, other maps' included.
            let outputs = wanted.op.output_shape().len() as f64;
            let useful = outputs * per_output * of_op.maps as f64 * p.multiply_add_ns;
            // When it compiles, the server takes the cheaper way for each operator: direct sums of the useful
            // coefficients, or products by FFT.
            useful_ns += useful.min(fourier);
            let terms = of_op.all_maps as f64 * per_output;
            whole_ns += (tiles * terms * n * p.multiply_add_ns).min(fourier);
        }
        // Hints serve all inferences of a setup: their part of the price is divided among those planned for.
        let once = 1.0 / self.inferences;
        let weighing = Weighing { requests, responses: responses * once };
        let compute_ns = useful_ns
            + whole_ns * once
            + responses * p.response_ns * scale * (1.0 + once)
            + requests * p.request_ns * scale;
        let whole = |bits: f64| {
            bits * n + f64::from(self.group.ring_bits) * pins + compute_ns * p.bits_per_ns
        };
        if whole(self.budget.least(weighing)) >= limit {
            return None;
        }
        let norms = wanted.iter().map(|wanted| (wanted.number, wanted.stated));
        let (bits, ..) = self.budget.choose(&norms, weighing, |bits| whole(bits) >= limit)?;
        Some(whole(bits))
    }
}

impl SearchTarget<'_> {
    /// The largest squared norm of a response of `maps` of `all_maps` consecutive maps, as plans state it.
    fn norm(&mut self, maps: usize, all_maps: usize) -> f64 {
        let norms = self.norms;
        *self.known.entry((maps, all_maps)).or_insert_with(|| {
            let of_map = |map: usize| norms.get(map % norms.len());
            let largest = (0..all_maps)
                .step_by(maps.max(1))
                .map(|first| (first..(first + maps).min(all_maps)).filter_map(of_map).sum())
                .fold(0.0, f64::max);
            (f64::from(quarters(largest)) / 4.0).exp2()
        })
    }
}

/// `ceil(4 log2)`, as plans state norms.
fn quarters(norm: f64) -> u8 {
    (4.0 * norm.max(1.0).log2()).ceil() as u8
}
