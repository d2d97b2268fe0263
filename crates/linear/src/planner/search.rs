//! The cheapest tile, `C_w` and `M_w` of one packing.
//!
//! Closed formulas rank all tilings; the best few are laid out, so that pinned coefficients and
//! norms are the exact ones.

use gazelle_share::{LinearGroup, LinearOp, MaskKind};

use super::Prices;
use super::budget::{Budget, Weighing};
use crate::error::LinearError;
use crate::geometry::Geometry;
use crate::packing::{Domain, Packing, Shape};

/// Tilings that are laid out in full.
const FINALISTS: usize = 12;

/// What the search of one packing depends on.
pub(super) struct Search<'a> {
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
    pub(super) packing: Packing,
    pub(super) tile: [usize; 2],
    pub(super) channels: usize,
    pub(super) maps: Vec<usize>,
    /// By operator of the packing: `ceil(4 log2)` of the largest squared norm of a response.
    pub(super) norm_quarter_bits: Vec<u8>,
}

/// A tiling by its closed formulas.
struct Candidate {
    cost: f64,
    tile: [usize; 2],
    channels: usize,
    maps: Vec<usize>,
}

/// One packing that is searched for.
struct Sought<'a> {
    domain: Domain,
    /// Numbers in the group.
    ops: &'a [usize],
    /// Every element is pinned, to an earlier packing's mask or a given one.
    pinned: bool,
    /// By operator of the packing: largest squared norm by `M_w`, as far as known.
    norms: Vec<Vec<Option<f64>>>,
}

impl Search<'_> {
    /// The cheapest packing of `ops` in `phase`; nothing if none fits.
    ///
    /// - `first`: no other packing of the group defines masks before this one.
    pub(super) fn find(
        &self,
        ops: &[usize],
        phase: [usize; 2],
        first: bool,
    ) -> Result<Option<Found>, LinearError> {
        let operators: Vec<&LinearOp> =
            ops.iter().filter_map(|&op| self.group.ops.get(op)).collect();
        let domain = Domain::new(&operators, phase)?;
        let pinned = !first || self.group.mask == MaskKind::Given;
        let norms = vec![Vec::new(); domain.ops.len()];
        let mut sought = Sought { domain, ops, pinned, norms };
        let mut best: Option<Found> = None;
        for candidate in self.candidates(&mut sought, phase) {
            let Candidate { tile, channels, maps, .. } = candidate;
            let shape = Shape { degree: self.degree, phase, tile, channels };
            let packing = Packing::new(&operators, shape, &maps)?;
            let held = if pinned { 0 } else { packing.elements() };
            let pins = (packing.marked() - held) as f64;
            let Some(cost) = self.cost(&mut sought, &counts(&packing), channels, &maps, pins)
            else {
                continue;
            };
            if best.as_ref().is_none_or(|best| cost < best.cost) {
                let norm_quarter_bits = maps
                    .iter()
                    .enumerate()
                    .map(|(local, &maps)| quarters(self.norm(&mut sought, local, maps)))
                    .collect();
                best = Some(Found { cost, packing, tile, channels, maps, norm_quarter_bits });
            }
        }
        Ok(best)
    }

    /// The best tilings by the closed formulas, cheapest first.
    fn candidates(&self, sought: &mut Sought<'_>, phase: [usize; 2]) -> Vec<Candidate> {
        let pixels = sought.domain.pixels(phase);
        let extent = |axis: usize, domain: &Domain| {
            domain.ops.iter().filter_map(|op| op.extent().get(axis).copied()).max().unwrap_or(1)
        };
        let extents = [extent(0, &sought.domain), extent(1, &sought.domain)];
        let mut best: Vec<Candidate> = Vec::new();
        for columns in divisions(extents[1]) {
            let mut fits_any_rows = false;
            for rows in divisions(extents[0]) {
                let tile = [rows, columns];
                let Ok(geometry) = Geometry::new(&sought.domain.ops, pixels, tile, 1) else {
                    continue;
                };
                if geometry.block > self.degree {
                    continue;
                }
                fits_any_rows = true;
                let most = 1 + (self.degree - geometry.block) / geometry.channel.max(1);
                for channels in divisions(sought.domain.channels()) {
                    if channels > most {
                        continue;
                    }
                    let widened = Geometry {
                        width: channels,
                        block: geometry.block + (channels - 1) * geometry.channel,
                        ..geometry
                    };
                    self.try_maps(sought, &widened, tile, &mut best);
                }
            }
            // Narrower tiles only mean more halo once whole rows fit with room to spare.
            if fits_any_rows && columns * 8 < extents[1] {
                break;
            }
        }
        best
    }

    fn try_maps(
        &self,
        sought: &mut Sought<'_>,
        geometry: &Geometry,
        tile: [usize; 2],
        best: &mut Vec<Candidate>,
    ) {
        let of_op: Vec<usize> =
            sought.domain.ops.iter().map(crate::stride_one::StrideOne::maps).collect();
        let most = geometry.most_maps(self.degree).min(of_op.iter().copied().max().unwrap_or(1));
        let mut cap = 1;
        while cap <= most {
            // Balanced: as few blocks as `cap` allows, then as few maps as those blocks allow.
            let maps: Vec<usize> =
                of_op.iter().map(|&of_op| of_op.div_ceil(of_op.div_ceil(cap.min(of_op)))).collect();
            let chunks = sought.domain.channels().div_ceil(geometry.width);
            let counts = Counts { tiles: geometry.tiles(), chunks };
            let most_maps = maps.iter().copied().max().unwrap_or(1);
            let tail = (2 * (most_maps - 1) * geometry.block).min(self.degree - geometry.block);
            let held = sought.domain.channels() * geometry.rows.data * geometry.columns.data;
            let held = if sought.pinned { 0 } else { held };
            let marked = geometry.tiles() * chunks * (geometry.block + tail);
            let pins = marked.saturating_sub(held) as f64;
            if let Some(cost) = self.cost(sought, &counts, geometry.width, &maps, pins) {
                let at = best.partition_point(|other| other.cost <= cost);
                if at < FINALISTS {
                    best.truncate(FINALISTS - 1);
                    best.insert(at, Candidate { cost, tile, channels: geometry.width, maps });
                }
            }
            cap = if cap == most { most + 1 } else { (cap + 1 + cap / 3).min(most) };
        }
    }

    /// Bits plus the price of compute, without `pb`; nothing if the error bound cannot be met.
    fn cost(
        &self,
        sought: &mut Sought<'_>,
        counts: &Counts,
        width: usize,
        maps: &[usize],
        pins: f64,
    ) -> Option<f64> {
        let n = self.degree as f64;
        let scale = n / 2048.0;
        let tiles = counts.tiles as f64;
        let requests = tiles * counts.chunks as f64;
        let channels = sought.domain.channels();
        let p = self.prices;
        let mut responses = 0.0;
        let (mut useful_ns, mut whole_ns) = (0.0, 0.0);
        let mut norms = Vec::with_capacity(maps.len());
        for (local, &maps) in maps.iter().enumerate() {
            let norm = self.norm(sought, local, maps);
            let (Some(op), Some(&number)) = (sought.domain.ops.get(local), sought.ops.get(local))
            else {
                continue;
            };
            norms.push((number, (f64::from(quarters(norm)) / 4.0).exp2()));
            let blocks = op.maps().div_ceil(maps);
            let rows = tiles * blocks as f64;
            responses += rows;
            let area = op.conv.kernel[0] * op.conv.kernel[1];
            let per_output = (op.conv.input.channels / op.conv.groups * area) as f64;
            let per_group = (op.conv.maps / op.conv.groups).max(1);
            let groups_read = maps.div_ceil(per_group).min(op.conv.groups);
            let channels_read = channels * groups_read / op.conv.groups;
            let products = (blocks * channels_read.div_ceil(width).min(counts.chunks)) as f64;
            let fourier = tiles * products * p.fourier_product_ns * scale
                + (products + requests + rows) * p.fourier_transform_ns * scale;
            // Terms of one response meet all of its useful coefficients, other maps' included.
            let outputs = op.output.len() as f64;
            let useful = outputs * per_output * maps as f64 * p.multiply_add_ns;
            useful_ns += useful.min(fourier);
            let terms = op.maps() as f64 * per_output;
            whole_ns += (tiles * terms * n * p.multiply_add_ns).min(fourier);
        }
        let once = 1.0 / self.inferences;
        let weighing = Weighing { requests, responses: responses * once };
        let (bits, ..) = self.budget.choose(&norms.iter().copied(), weighing)?;
        let bits = bits * n + f64::from(self.group.ring_bits) * pins;
        let compute_ns = useful_ns
            + whole_ns * once
            + responses * p.response_ns * scale * (1.0 + once)
            + requests * p.request_ns * scale;
        Some(bits + compute_ns * p.bits_per_ns)
    }

    /// The largest squared norm of a response of `maps` maps.
    fn norm(&self, sought: &mut Sought<'_>, local: usize, maps: usize) -> f64 {
        let (Some(op), Some(known)) = (sought.domain.ops.get(local), sought.norms.get_mut(local))
        else {
            return 0.0;
        };
        if known.len() <= maps {
            known.resize(maps + 1, None);
        }
        let norms = sought.ops.get(local).and_then(|&op| self.norms.get(op));
        let norms = norms.map_or(&[][..], Vec::as_slice);
        let compute = || {
            let of_map = |map: usize| norms.get(op.map(map).1).copied().unwrap_or(0.0);
            (0..op.maps())
                .step_by(maps.max(1))
                .map(|first| (first..(first + maps).min(op.maps())).map(of_map).sum())
                .fold(0.0, f64::max)
        };
        known.get_mut(maps).map_or(0.0, |slot| *slot.get_or_insert_with(compute))
    }
}

/// Tiles, and request polynomials of a tile.
struct Counts {
    tiles: usize,
    chunks: usize,
}

fn counts(packing: &Packing) -> Counts {
    Counts { tiles: packing.tiles(), chunks: packing.chunks() }
}

/// `ceil(4 log2)`, as plans state norms.
fn quarters(norm: f64) -> u8 {
    (4.0 * norm.max(1.0).log2()).ceil() as u8
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
}
