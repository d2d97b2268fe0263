//! How a step is cut into chunks: what is garbled, or advances through a chain, as one piece.
//!
//! Pools act on channels alone, so a chunk of a pooled step is some channels; of another step, some
//! elements. Values that are ranked are compared with each other: one chunk.

use std::ops::Range;

use gazelle_share::step::StepFunction;
use gazelle_share::{Step, TensorShape};

/// A part of a step that needs nothing of the others.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Channels or elements; parts with as many have the same shape.
    pub(crate) units: usize,
    pub(crate) inputs: Range<usize>,
    pub(crate) outputs: Range<usize>,
}

/// Whether a step reads windows.
pub(crate) fn is_pooled(step: &Step) -> bool {
    matches!(step.function, StepFunction::MaxPool { .. }) || step.sum_pool.is_some()
}

/// The parts of a step, of about `size` inputs and at least one unit.
pub(crate) fn split(step: &Step, size: usize) -> Vec<Part> {
    let (all_inputs, all_outputs) = (step.input.len(), step.output_shape().len());
    if step.ranked().is_some() {
        return vec![Part { units: 1, inputs: 0..all_inputs, outputs: 0..all_outputs }];
    }
    let plane = |shape: TensorShape| shape.height * shape.width;
    let (units, inputs, outputs) = if is_pooled(step) {
        (step.input.channels, plane(step.input), plane(step.output_shape()))
    } else {
        (all_inputs, 1, 1)
    };
    let per_part = (size / inputs.max(1)).max(1).min(units.max(1));
    let part = |start: usize| {
        let end = units.min(start + per_part);
        Part {
            units: end - start,
            inputs: start * inputs..end * inputs,
            outputs: start * outputs..end * outputs,
        }
    };
    (0..units).step_by(per_part).map(part).collect()
}
