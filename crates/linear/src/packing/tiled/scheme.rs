//! The scheme of tiles: which phases, tiles, `C_w` and `M_w` are worth pricing.

use gazelle_share::LinearOp;

use super::geometry::Geometry;
use super::stride_one::StrideOne;
use super::{Domain, Tiled};
use crate::error::LinearError;
use crate::operator::as_conv;
use crate::packing::{Candidate, Estimate, OpEstimate, Packing, PackingScheme};
use crate::plan::PackingPlan;

/// Coefficient packing by tiles: convolutions of any stride, padding, dilation and number of groups,
/// and fully connected layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles;

impl PackingScheme for Tiles {
    fn name(&self) -> &'static str {
        "public-coin"
    }

    fn candidates(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        visit: &mut dyn FnMut(usize, &Candidate),
    ) -> Result<(), LinearError> {
        let mut families = phases(ops)?.into_iter().enumerate();
        families.try_for_each(|(number, phase)| {
            candidates(ops, degree, phase, &mut |candidate| visit(number, candidate))
        })
    }

    fn packing(
        &self,
        ops: &[&LinearOp],
        degree: usize,
        plan: &PackingPlan,
    ) -> Result<Box<dyn Packing>, LinearError> {
        Ok(Box::new(Tiled::new(ops, degree, plan)?))
    }
}

/// The phases that suit all operators: the least common multiple of their strides, where every
/// output is dense, and 1, where a layer without a stride shares its request.
fn phases(ops: &[&LinearOp]) -> Result<Vec<[usize; 2]>, LinearError> {
    let mut dense = [1, 1];
    for op in ops {
        let stride = as_conv(op)?.stride;
        dense = [lcm(dense[0], stride[0]), lcm(dense[1], stride[1])];
    }
    Ok(if dense == [1, 1] { vec![dense] } else { vec![dense, [1, 1]] })
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// All tilings in one phase that fit a polynomial.
fn candidates(
    ops: &[&LinearOp],
    degree: usize,
    phase: [usize; 2],
    visit: &mut dyn FnMut(&Candidate),
) -> Result<(), LinearError> {
    let domain = Domain::new(ops, phase)?;
    let pixels = domain.pixels(phase);
    let extents = domain.extents();
    let mut candidate = Candidate::default();
    candidate.plan.phase = phase.map(|p| p as u32);
    for columns in divisions(extents[1]) {
        let mut fits_any_rows = false;
        for rows in divisions(extents[0]) {
            let tile = [rows, columns];
            let Ok(geometry) = Geometry::new(&domain.ops, pixels, tile, 1) else {
                continue;
            };
            if geometry.block > degree {
                continue;
            }
            fits_any_rows = true;
            let most = 1 + (degree - geometry.block) / geometry.channel.max(1);
            for width in divisions(domain.channels()) {
                if width > most {
                    continue;
                }
                let block = geometry.block + (width - 1) * geometry.channel;
                let widened = Geometry { width, block, ..geometry };
                candidate.plan.tile = tile.map(|t| t as u32);
                with_all_maps(&domain, degree, &widened, &mut candidate, visit);
            }
        }
        // Narrower tiles only mean more halo once whole rows fit with room to spare.
        if fits_any_rows && columns * 8 < extents[1] {
            break;
        }
    }
    Ok(())
}

/// - `candidate`: with phase and tile; the same memory serves all that are shown.
fn with_all_maps(
    domain: &Domain,
    degree: usize,
    geometry: &Geometry,
    candidate: &mut Candidate,
    visit: &mut dyn FnMut(&Candidate),
) {
    let largest = domain.ops.iter().map(StrideOne::maps).fold(1, usize::max);
    let most = geometry.most_maps(degree).min(largest);
    let mut cap = 1;
    while cap <= most {
        estimate(domain, degree, geometry, cap, &mut candidate.estimate);
        let PackingPlan { channels, maps, .. } = &mut candidate.plan;
        *channels = geometry.width as u32;
        maps.clear();
        maps.extend(candidate.estimate.ops.iter().map(|op| op.maps as u32));
        visit(candidate);
        // Steps grow with `cap`: the price changes little between neighbours.
        cap = if cap == most { most + 1 } else { (cap + 1 + cap / 3).min(most) };
    }
}

/// - `cap`: maps in a response at most.
fn estimate(
    domain: &Domain,
    degree: usize,
    geometry: &Geometry,
    cap: usize,
    estimate: &mut Estimate,
) {
    let channels = domain.channels();
    let chunks = channels.div_ceil(geometry.width);
    let of_op = |op: &StrideOne| {
        let conv = &op.conv;
        // Balanced: as few blocks as `cap` allows, then as few maps as those blocks allow.
        let all_maps = op.maps();
        let maps = all_maps.div_ceil(all_maps.div_ceil(cap.min(all_maps)));
        let per_group = (conv.maps / conv.groups).max(1);
        let groups_read = maps.div_ceil(per_group).min(conv.groups);
        let channels_read = channels * groups_read / conv.groups;
        let blocks = all_maps.div_ceil(maps);
        let products = blocks * channels_read.div_ceil(geometry.width).min(chunks);
        OpEstimate { maps, all_maps, products }
    };
    estimate.ops.clear();
    estimate.ops.extend(domain.ops.iter().map(of_op));
    let most_maps = estimate.ops.iter().map(|op| op.maps).fold(1, usize::max);
    let tail = (2 * (most_maps - 1) * geometry.block).min(degree - geometry.block);
    estimate.tiles = geometry.tiles();
    estimate.chunks = chunks;
    estimate.marked = geometry.tiles() * chunks * (geometry.block + tail);
    estimate.held = channels * geometry.rows.data * geometry.columns.data;
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
