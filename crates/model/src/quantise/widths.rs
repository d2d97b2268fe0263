//! A width for every step: the cheapest that keep a logit's variance within a budget.
//!
//! Rounding at scale s puts a variance of `1/4 ulp^2` (against the reference that rounds to the
//! nearest) into each element; the sensitivity says what that does to a logit. Every further bit
//! divides it by 4 and costs traffic in proportion to the step's elements. Bits go greedily where
//! they lower the variance most for their cost, which is what a Lagrange multiplier would choose.
//! Tensors that meet in a concatenation have one scale and get their bits together.

#![expect(clippy::indexing_slicing, reason = "a graph's ids are places in it: `Graph::check`")]

use super::Candidate;
use super::places::places;
use super::scales::{classes, find, log2_ceil, scale_for};
use super::sensitivity::Sensitivity;
use crate::graph::Graph;

/// Least and largest width of a value.
pub(super) const WIDTHS: std::ops::RangeInclusive<u32> = 8..=21;

/// Tensors that share a scale.
#[derive(Default)]
struct WidthGroup {
    /// `(tensor, range)`.
    places: Vec<(usize, f64)>,
    scale: i32,
    /// Of a logit, at this scale.
    variance: f64,
    cost: f64,
    /// Bits that may still be added.
    left: u32,
}

/// Width per graph tensor that a step writes, or that is rescaled; 0 for all others.
pub(super) fn allot(
    graph: &Graph,
    ranges: &[f64],
    sensitivity: &Sensitivity,
    candidate: Candidate,
    variance: f64,
) -> Option<Vec<u32>> {
    let mut groups = groups(graph, ranges, sensitivity, candidate);
    let mut total: f64 = groups.iter().map(|group| group.variance).sum();
    while total > variance {
        // What one more bit saves for its cost.
        let saving = |group: &&mut WidthGroup| group.variance / group.cost;
        let best = groups
            .iter_mut()
            .filter(|group| group.left > 0)
            .max_by(|a, b| saving(a).total_cmp(&saving(b)))?;
        total -= best.variance * 0.75;
        best.variance *= 0.25;
        best.scale += 1;
        best.left -= 1;
    }
    let mut widths = vec![0; graph.tensors.len()];
    for group in &groups {
        for (tensor, range) in &group.places {
            let width = group.scale + log2_ceil(*range) + 1 + candidate.margin as i32;
            widths[*tensor] = width.clamp(4, *WIDTHS.end() as i32) as u32;
        }
    }
    Some(widths)
}

fn groups(
    graph: &Graph,
    ranges: &[f64],
    sensitivity: &Sensitivity,
    candidate: Candidate,
) -> Vec<WidthGroup> {
    let widest = Candidate { value_bits: *WIDTHS.end(), ..candidate };
    let mut classes = classes(graph);
    let mut groups: Vec<WidthGroup> = graph.tensors.iter().map(|_| WidthGroup::default()).collect();
    for place in places(graph) {
        let range = ranges[place.rounded];
        let class = find(&mut classes, place.tensor);
        let group = &mut groups[class];
        let most = scale_for(range, widest);
        group.scale = if group.places.is_empty() { most } else { group.scale.min(most) };
        group.places.push((place.tensor, range));
        group.variance += place.bias * sensitivity.gain(place.tensor) / 4.0;
        group.cost += place.cost;
    }
    groups.retain(|group| !group.places.is_empty());
    for group in &mut groups {
        group.left = WIDTHS.end() - WIDTHS.start();
        group.scale -= group.left as i32;
        let ulp = f64::from(-group.scale).exp2();
        group.variance *= ulp * ulp;
    }
    groups
}
