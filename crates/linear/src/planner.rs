//! Chooses packings and parameters: the fewest bits plus a price for compute.
//!
//! ```text
//! cost = requests h N + l pinned + (l + k) N       request bits per inference
//!      + responses (l + k - d) N / J               hint bits
//!      + bits_per_ns * nanoseconds of compute
//! ```
//!
//! with J the inferences per setup (J = 1 for a revealed layer). Tilings are compared by closed
//! formulas; the exact norms of the chosen one then give h and d.
//!
//! Source: docs/protocol.md, sections 3.6, 3.7 and 9.

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::parameters::{
    MIN_NOISE_AND_TRUNCATED_BITS, MIN_NOISE_BITS, max_modulus_bits,
};
use gazelle_share::{LinearGroup, LinearOp, LinearWeights, MaskKind};
use serde::{Deserialize, Serialize};

use crate::error::LinearError;
use crate::geometry::Geometry;
use crate::packing::{Domain, Packing, Shape};
use crate::plan::{GroupPlan, PackingPlan, weight_norm};
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
            multiply_add_ns: 0.04,
            fourier_product_ns: 450.0,
            fourier_transform_ns: 1700.0,
            request_ns: 60_000.0,
            response_ns: 85_000.0,
        }
    }
}

/// Noise space and truncated bits together that the planner aims for: F's 2^20 is then invisible
/// beside the budget `2^{k+t-2} / 6`, and a larger k would only make `pb` longer.
const TARGET_NOISE_AND_TRUNCATED_BITS: u32 = 30;

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

/// The cheapest plan of one group; `norms[op]` from [`map_norms`].
pub(crate) fn plan_group(
    group: &LinearGroup,
    norms: &[Vec<f64>],
    prices: &Prices,
    inferences: f64,
) -> Result<GroupPlan, LinearError> {
    let truncate_bits = group.truncate_bits.iter().copied().min().unwrap_or(0);
    let nothing = || LinearError::NoParameters { ring_bits: group.ring_bits, truncate_bits };
    let inferences = if group.revealed { 1.0 } else { inferences.max(1.0) };
    let mut best: Option<(f64, GroupPlan)> = None;
    for degree in DEGREES {
        let Some(noise_bits) = noise_bits(degree, group.ring_bits, truncate_bits) else { continue };
        let search = Search { group, norms, prices, inferences, degree, noise_bits, truncate_bits };
        for parts in partitions(&group.ops)? {
            let Some((cost, plan)) = search.plan(&parts)? else { continue };
            if best.as_ref().is_none_or(|(cheapest, _)| cost < *cheapest) {
                best = Some((cost, plan));
            }
        }
    }
    best.map(|(_, plan)| plan).ok_or_else(nothing)
}

/// k for a degree, ring and truncation; `None` if there is none.
fn noise_bits(degree: usize, ring_bits: u32, truncate_bits: u32) -> Option<u32> {
    let most = max_modulus_bits(degree)?.checked_sub(ring_bits)?;
    // At N = 2048 the last two bits under the cap are for rings that need them.
    let usual = if degree == 2048 { most.saturating_sub(2) } else { most };
    let least = MIN_NOISE_BITS.max(MIN_NOISE_AND_TRUNCATED_BITS.saturating_sub(truncate_bits));
    let wanted = least.max(TARGET_NOISE_AND_TRUNCATED_BITS.saturating_sub(truncate_bits));
    let tight = usual + truncate_bits < MIN_NOISE_AND_TRUNCATED_BITS + 2;
    let k = wanted.min(if tight { most } else { usual.max(least) });
    (k >= least && k <= most).then_some(k)
}

/// A part of a partition: operators that share a packing, and its phase.
struct Part {
    ops: Vec<usize>,
    phase: [usize; 2],
}

/// Ways to divide a group's operators over packings: by input shape with a common phase, and by
/// input shape and stride.
fn partitions(ops: &[LinearOp]) -> Result<Vec<Vec<Part>>, LinearError> {
    let convs = ops.iter().map(as_conv).collect::<Result<Vec<_>, _>>()?;
    let mut by_shape: Vec<Part> = Vec::new();
    let mut by_stride: Vec<Part> = Vec::new();
    for (i, conv) in convs.iter().enumerate() {
        let same_shape = |part: &&mut Part| {
            part.ops.first().and_then(|&j| convs.get(j)).is_some_and(|c| c.input == conv.input)
        };
        match by_shape.iter_mut().find(same_shape) {
            Some(part) => {
                part.ops.push(i);
                part.phase =
                    [lcm(part.phase[0], conv.stride[0]), lcm(part.phase[1], conv.stride[1])];
            }
            None => by_shape.push(Part { ops: vec![i], phase: conv.stride }),
        }
        match by_stride.iter_mut().filter(|p| p.phase == conv.stride).find(same_shape) {
            Some(part) => part.ops.push(i),
            None => by_stride.push(Part { ops: vec![i], phase: conv.stride }),
        }
    }
    // The packing that holds most elements comes first: it is the one with free coefficients.
    by_stride.sort_by_key(|part| part.phase[0] * part.phase[1]);
    if by_stride.len() == by_shape.len() {
        return Ok(vec![by_shape]);
    }
    Ok(vec![by_shape, by_stride])
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

struct Search<'a> {
    group: &'a LinearGroup,
    norms: &'a [Vec<f64>],
    prices: &'a Prices,
    inferences: f64,
    degree: usize,
    noise_bits: u32,
    truncate_bits: u32,
}

/// A candidate's closed-form figures.
struct Candidate {
    cost: f64,
    tile: [usize; 2],
    channels: usize,
    maps: Vec<usize>,
}

impl Search<'_> {
    /// The best plan for one partition, with its cost, or nothing if it does not fit.
    fn plan(&self, parts: &[Part]) -> Result<Option<(f64, GroupPlan)>, LinearError> {
        let l = f64::from(self.group.ring_bits);
        let mut cost = (l + f64::from(self.noise_bits)) * self.degree as f64;
        let mut packings = Vec::with_capacity(parts.len());
        let mut norm_quarter_bits = vec![0u8; self.group.ops.len()];
        let (mut requests, mut responses) = (0, 0);
        for (number, part) in parts.iter().enumerate() {
            let ops: Vec<&LinearOp> =
                part.ops.iter().filter_map(|&op| self.group.ops.get(op)).collect();
            let domain = Domain::new(&ops, part.phase)?;
            let pinned = number > 0 || self.group.mask == MaskKind::Given;
            let norms: Vec<f64> = part.ops.iter().map(|&op| self.largest_norm(op)).collect();
            let Some(best) = self.search(&domain, part.phase, pinned, &norms) else {
                return Ok(None);
            };
            cost += best.cost;
            let shape = Shape {
                degree: self.degree,
                phase: part.phase,
                tile: best.tile,
                channels: best.channels,
            };
            let packing = Packing::new(&ops, shape, &best.maps)?;
            requests += packing.requests();
            for (local, &op) in part.ops.iter().enumerate() {
                responses += packing.responses(local);
                let norm =
                    block_norm(&packing, local, self.norms.get(op).map_or(&[], Vec::as_slice));
                if let Some(quarters) = norm_quarter_bits.get_mut(op) {
                    *quarters = (4.0 * norm.max(1.0).log2()).ceil() as u8;
                }
            }
            packings.push(PackingPlan {
                ops: part.ops.iter().map(|&op| op as u32).collect(),
                phase: part.phase.map(|p| p as u32),
                tile: best.tile.map(|t| t as u32),
                channels: best.channels as u32,
                maps: best.maps.iter().map(|&m| m as u32).collect(),
            });
        }
        let found = [true, false].into_iter().find_map(|fourier| {
            let parameters = self.parameters(&norm_quarter_bits, fourier, requests, responses)?;
            Some((fourier, parameters))
        });
        let Some((fourier, parameters)) = found else { return Ok(None) };
        Ok(Some((cost, GroupPlan { parameters, packings, norm_quarter_bits, fourier })))
    }

    fn largest_norm(&self, op: usize) -> f64 {
        self.norms.get(op).map_or(0.0, |norms| norms.iter().copied().fold(0.0, f64::max))
    }

    /// h and d of least traffic within the error bound of every operator.
    fn parameters(
        &self,
        norm_quarter_bits: &[u8],
        fourier: bool,
        requests: usize,
        responses: usize,
    ) -> Option<Parameters> {
        let holds = |p: &Parameters| {
            norm_quarter_bits
                .iter()
                .zip(&self.group.truncate_bits)
                .all(|(&norm, &t)| p.holds(t, weight_norm(norm, fourier)))
        };
        let k = self.noise_bits;
        let smallest = if self.group.revealed { k } else { 1 };
        let mut best: Option<(f64, Parameters)> = None;
        for kept in smallest..=k {
            let fits = |dropped: &u32| {
                Parameters::new(self.degree, self.group.ring_bits, k, kept, *dropped)
                    .ok()
                    .filter(holds)
            };
            let most = self.group.ring_bits + k;
            let Some(parameters) = (0..most).rev().find_map(|dropped| fits(&dropped)) else {
                continue;
            };
            let price = requests as f64 * f64::from(kept)
                + responses as f64 * f64::from(parameters.hint_bits()) / self.inferences;
            if best.as_ref().is_none_or(|(cheapest, _)| price < *cheapest) {
                best = Some((price, parameters));
            }
        }
        best.map(|(_, parameters)| parameters)
    }

    /// h and l + k - d by closed formulas, each part taking half of the noise variance.
    fn estimate(&self, norm_squared: f64) -> (f64, f64) {
        let (l, k, t) = (self.group.ring_bits, self.noise_bits, self.truncate_bits);
        let room = f64::from(k + t) - 2.0 - 6f64.log2() - 0.5;
        let kept = f64::from(k) + 0.5 * (norm_squared.max(1.0) / 12.0).log2() - room;
        let kept = if self.group.revealed { f64::from(k) } else { kept };
        let dropped = (room - 0.5 * (self.degree as f64 / 18.0).log2()).floor();
        let hint = f64::from(l + k) - dropped.clamp(0.0, f64::from(l + k) - 1.0);
        (kept.ceil().clamp(1.0, f64::from(k)), hint)
    }

    /// The cheapest tile, `C_w` and `M_w` of a packing.
    fn search(
        &self,
        domain: &Domain,
        phase: [usize; 2],
        pinned: bool,
        norms: &[f64],
    ) -> Option<Candidate> {
        let pixels = domain.pixels(phase);
        let extent = |axis: usize| {
            domain.ops.iter().filter_map(|op| op.extent().get(axis).copied()).max().unwrap_or(1)
        };
        let mut best: Option<Candidate> = None;
        for columns in divisions(extent(1)) {
            let mut fits_any_rows = false;
            for rows in divisions(extent(0)) {
                let tile = [rows, columns];
                let Ok(geometry) = Geometry::new(&domain.ops, pixels, tile, 1) else { continue };
                if geometry.block > self.degree {
                    continue;
                }
                fits_any_rows = true;
                let most = 1 + (self.degree - geometry.block) / geometry.channel.max(1);
                for channels in divisions(domain.channels()) {
                    if channels > most {
                        continue;
                    }
                    let widened = Geometry {
                        width: channels,
                        block: geometry.block + (channels - 1) * geometry.channel,
                        ..geometry
                    };
                    self.try_maps(domain, &widened, tile, pinned, norms, &mut best);
                }
            }
            // Narrower tiles only mean more halo once whole rows fit with room to spare.
            if fits_any_rows && columns * 8 < extent(1) {
                break;
            }
        }
        best
    }

    fn try_maps(
        &self,
        domain: &Domain,
        geometry: &Geometry,
        tile: [usize; 2],
        pinned: bool,
        norms: &[f64],
        best: &mut Option<Candidate>,
    ) {
        let largest = domain.ops.iter().map(crate::stride_one::StrideOne::maps).max().unwrap_or(1);
        let most = geometry.most_maps(self.degree).min(largest);
        let mut cap = 1;
        while cap <= most {
            // Balanced: as few blocks as `cap` allows, then as few maps as those blocks allow.
            let maps: Vec<usize> = domain
                .ops
                .iter()
                .map(|op| op.maps().div_ceil(op.maps().div_ceil(cap.min(op.maps()))))
                .collect();
            let cost = self.cost(domain, geometry, &maps, pinned, norms);
            if best.as_ref().is_none_or(|b| cost < b.cost) {
                *best = Some(Candidate { cost, tile, channels: geometry.width, maps });
            }
            cap = if cap == most { most + 1 } else { (cap + 1 + cap / 3).min(most) };
        }
    }

    fn cost(
        &self,
        domain: &Domain,
        geometry: &Geometry,
        maps: &[usize],
        pinned: bool,
        norms: &[f64],
    ) -> f64 {
        let n = self.degree as f64;
        let tiles = geometry.tiles() as f64;
        let channels = domain.channels();
        let chunks = channels.div_ceil(geometry.width);
        let requests = tiles * chunks as f64;
        let most_maps = maps.iter().copied().max().unwrap_or(1);
        let tail = (2 * (most_maps - 1) * geometry.block).min(self.degree - geometry.block);
        let unique = channels as f64
            * (geometry.rows.data * geometry.columns.data) as f64
            * f64::from(u8::from(!pinned));
        let pinned = (requests * (geometry.block + tail) as f64 - unique).max(0.0);
        let mut kept: f64 = 1.0;
        let mut responses = 0.0;
        let mut products_ns = 0.0;
        let mut hint: f64 = 0.0;
        let scale = n / 2048.0;
        let p = self.prices;
        for ((op, &maps), norm) in domain.ops.iter().zip(maps).zip(norms) {
            let (h, bits) = self.estimate(norm * maps as f64);
            kept = kept.max(h);
            hint = hint.max(bits);
            let blocks = op.maps().div_ceil(maps);
            responses += tiles * blocks as f64;
            let area = op.conv.kernel[0] * op.conv.kernel[1];
            let terms = (op.maps() * op.conv.input.channels / op.conv.groups * area) as f64;
            let per_group = (op.conv.maps / op.conv.groups).max(1);
            let groups_read = maps.div_ceil(per_group).min(op.conv.groups);
            let channels_read = channels * groups_read / op.conv.groups;
            let products = (blocks * channels_read.div_ceil(geometry.width).min(chunks)) as f64;
            let direct = tiles * terms * n * p.multiply_add_ns;
            let fourier = tiles * products * p.fourier_product_ns * scale
                + (products + requests + tiles * blocks as f64) * p.fourier_transform_ns * scale;
            products_ns += direct.min(fourier);
        }
        let once = 1.0 / self.inferences;
        let bits = requests * kept * n
            + f64::from(self.group.ring_bits) * pinned
            + responses * hint * n * once;
        let compute_ns = (products_ns + responses * p.response_ns * scale) * (1.0 + once)
            + requests * p.request_ns * scale;
        bits + compute_ns * p.bits_per_ns
    }
}

/// `ceil(total / i)` for i = 1, 2, ..: sizes of even parts, each once, descending.
fn divisions(total: usize) -> impl Iterator<Item = usize> {
    let mut parts = Some(1usize);
    std::iter::from_fn(move || {
        let size = total.div_ceil(parts?);
        // The smallest number of parts that makes them smaller.
        parts = (size > 1).then(|| total.div_ceil(size - 1));
        Some(size)
    })
}

/// The largest squared norm of a response of operator `op`.
pub(crate) fn block_norm(packing: &Packing, op: usize, norms: &[f64]) -> f64 {
    (0..packing.blocks(op))
        .map(|block| packing.maps_of_block(op, block).filter_map(|map| norms.get(map)).sum::<f64>())
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisions_are_all_even_part_sizes() {
        let expected: Vec<usize> = {
            let mut sizes: Vec<usize> = (1..=20).map(|i| 20usize.div_ceil(i)).collect();
            sizes.dedup();
            sizes
        };
        assert_eq!(divisions(20).collect::<Vec<_>>(), expected);
        assert_eq!(divisions(1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_noise_space_respects_the_security_caps() {
        assert_eq!(noise_bits(2048, 24, 10), Some(20));
        assert_eq!(noise_bits(2048, 34, 14), Some(14));
        assert_eq!(noise_bits(2048, 37, 13), Some(13));
        assert_eq!(noise_bits(2048, 37, 12), Some(13));
        assert_eq!(noise_bits(2048, 37, 11), None);
        assert_eq!(noise_bits(4096, 37, 12), Some(18));
        assert_eq!(noise_bits(4096, 48, 12), Some(14));
    }
}
