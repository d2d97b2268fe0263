//! A width for every step: the cheapest that keep a logit's variance within a budget.
//!
//! Rounding to b bits puts a variance of `1/4 ulp^2` (against the reference that rounds to the
//! nearest) into each element; the sensitivity says what that does to a logit. Every further bit
//! divides it by 4 and costs each element of the step as much. Bits go greedily where they lower
//! the variance most per element.

use gazelle_share::LocalMap;

use super::Candidate;
use super::scales::scale_for;
use super::sensitivity::Sensitivity;
use crate::graph::{Graph, Op};

/// Least and largest width of a value.
pub(super) const WIDTHS: std::ops::RangeInclusive<u32> = 10..=20;

/// Bits above the least.
const MOST: usize = 10;

/// Width per graph tensor that a step writes, or that is rescaled; 0 for all others.
pub(super) fn allot(
    graph: &Graph,
    ranges: &[f64],
    sensitivity: &Sensitivity,
    candidate: Candidate,
    variance: f64,
) -> Option<Vec<u32>> {
    let mut widths = vec![0; graph.tensors.len()];
    let places = places(graph, ranges, sensitivity, candidate);
    let mut total: f64 = places.iter().map(|place| place.variance).sum();
    let mut left: Vec<(f64, usize)> = places.iter().map(|place| (place.variance, 0)).collect();
    while total > variance {
        // What one more bit at this place saves, per element.
        let best = (0..places.len())
            .filter(|i| left.get(*i).is_some_and(|(_, bits)| *bits < MOST))
            .max_by(|a, b| {
                let saving = |i: &usize| match (left.get(*i), places.get(*i)) {
                    (Some((now, _)), Some(place)) => now / place.elements,
                    _ => 0.0,
                };
                saving(a).total_cmp(&saving(b))
            })?;
        let (now, bits) = left.get_mut(best)?;
        total -= *now * 0.75;
        *now *= 0.25;
        *bits += 1;
    }
    for (place, (_, bits)) in places.iter().zip(&left) {
        if let Some(width) = widths.get_mut(place.tensor) {
            *width = WIDTHS.start() + *bits as u32;
        }
    }
    Some(widths)
}

struct Place {
    tensor: usize,
    elements: f64,
    /// Of a logit, at the least width.
    variance: f64,
}

fn places(
    graph: &Graph,
    ranges: &[f64],
    sensitivity: &Sensitivity,
    candidate: Candidate,
) -> Vec<Place> {
    let least = Candidate { value_bits: *WIDTHS.start(), ..candidate };
    let readers = graph.readers();
    let mut places = Vec::new();
    let mut open = vec![false; graph.tensors.len()];
    for node in &graph.nodes {
        let rounded = match &node.op {
            Op::Relu | Op::MaxPool { .. } | Op::Square | Op::Clip { .. } | Op::LeakyRelu { .. } => {
                node.inputs.first().copied().unwrap_or_default()
            }
            // Shares that still need a step, where a linear operator reads them: rescaled there.
            Op::Linear { .. } | Op::Local(_) | Op::AveragePool { .. } => {
                let is_open = matches!(node.op, Op::Linear { .. })
                    || !matches!(node.op, Op::Local(LocalMap::Concat))
                        && node.inputs.iter().any(|id| open.get(*id) == Some(&true));
                if let Some(slot) = open.get_mut(node.output) {
                    *slot = is_open;
                }
                let read = readers.get(node.output).is_some_and(|readers| {
                    readers.iter().any(|reader| {
                        let op = graph.nodes.get(*reader).map(|node| &node.op);
                        matches!(op, Some(Op::Linear { .. } | Op::Local(LocalMap::Concat)))
                    })
                });
                if !is_open || !read {
                    continue;
                }
                node.output
            }
            _ => continue,
        };
        let range = ranges.get(rounded).copied().unwrap_or(1.0);
        let ulp = f64::from(-scale_for(range, least)).exp2();
        let gain = sensitivity.gain(node.output);
        let elements = graph.shape(rounded).len() as f64;
        places.push(Place { tensor: node.output, elements, variance: gain * ulp * ulp / 4.0 });
    }
    places
}
