//! The cheapest of the networks that some searches find, for exact rounding: there every bit that is
//! dropped costs traffic.

use rayon::prelude::*;

use super::fractions::{self, Fractions};
use super::search::{Searched, search};
use super::{CalibratedGraph, Options};
use crate::error::ModelError;

/// Passes over the network within the effort from which on more searches are begun.
const MANY_STARTS: u64 = 4;
/// Layers that are asked for fewer bits one by one, twice, once the rest is found.
const COSTLIEST: usize = 4;
/// The same of large networks, each time several layers together: every trial is a pass.
const COSTLIEST_OF_MANY: usize = 24;
const TOGETHER: usize = 4;

/// The cheapest of some searches: which one finds it depends on whether values or weights cause the
/// errors, and on how unlike the layers are.
pub(super) fn cheapest(
    prepared: &CalibratedGraph,
    options: &Options,
) -> Result<Searched, ModelError> {
    let offsets = fractions::offsets(&prepared.lowered, &prepared.calibration.sensitivity);
    let few = options.weight_bits.saturating_sub(2);
    let shared =
        |bits: u32| Fractions { bits: bits.max(2), offsets: Some(&offsets), variance: None };
    let by_norm = |bits: u32| Fractions::by_norm(bits.max(2));
    let many = options.effort / prepared.lowered.macs().max(1) >= MANY_STARTS;
    let starts = if many {
        vec![
            shared(few.saturating_sub(2)),
            shared(few),
            by_norm(few),
            shared(few.saturating_sub(1)),
            by_norm(few.saturating_sub(1)),
            by_norm(few.saturating_sub(2)),
            by_norm(few + 1),
        ]
    } else {
        // From `few` the next attempt leaps over one bit more.
        vec![shared(few), shared(few + 1), by_norm(few)]
    };
    let parts = options.watcher.parts("searching widths", starts.len());
    let found = starts.par_iter().map(|start| {
        let found = search(prepared, options, *start, None);
        parts.one();
        found
    });
    let found: Vec<_> = found.collect();
    match found.into_iter().flatten().min_by(|a, b| a.price.total_cmp(&b.price)) {
        Some(cheapest) if many => Ok(trim(prepared, options, cheapest)),
        Some(cheapest) => Ok(trim_many(prepared, options, cheapest)),
        None => search(prepared, options, Fractions::by_norm(options.weight_bits), None),
    }
}

/// Takes fraction bits from the layers that cost most, one at a time, as long as something gets cheaper.
fn trim(prepared: &CalibratedGraph, options: &Options, mut best: Searched) -> Searched {
    let mut costliest = fractions::by_cost(&prepared.lowered);
    costliest.truncate(COSTLIEST);
    let parts = options.watcher.parts("trimming widths", 2 * costliest.len());
    for tensor in costliest.repeat(2) {
        parts.one();
        best = with_less(prepared, options, best, &[tensor], false);
    }
    best
}

/// The same of layers that cost about as much, together, from where the best search ended.
fn trim_many(prepared: &CalibratedGraph, options: &Options, mut best: Searched) -> Searched {
    let mut costliest = fractions::by_cost(&prepared.lowered);
    costliest.truncate(COSTLIEST_OF_MANY);
    let parts = options.watcher.parts("trimming widths", costliest.len().div_ceil(TOGETHER));
    for tensors in costliest.chunks(TOGETHER) {
        parts.one();
        best = with_less(prepared, options, best, tensors, true);
    }
    best
}

/// The better of `best` and one whose layers that write these tensors have a fraction bit less.
///
/// - `goes_on`: with the values' widths of `best` to begin with.
fn with_less(
    prepared: &CalibratedGraph,
    options: &Options,
    best: Searched,
    tensors: &[usize],
    goes_on: bool,
) -> Searched {
    let bits = options.weight_bits;
    let report = &best.report;
    let mut offsets = fractions::found(&prepared.lowered, &report.weight_bits, bits);
    for tensor in tensors {
        if let Some(offset) = offsets.get_mut(*tensor) {
            *offset -= 1;
        }
    }
    let variance = goes_on.then_some(best.variance);
    let start = Fractions { bits, offsets: Some(&offsets), variance };
    match search(prepared, options, start, None) {
        Ok(found) if found.price < best.price => found,
        _ => best,
    }
}
