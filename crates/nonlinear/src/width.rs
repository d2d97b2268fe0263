//! Widths of a step's values, and the conditions that every backend checks.

use gazelle_share::step::{MAX_CLASSES, MAX_RANKS, StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step, TensorShape};

/// The words between function and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Width {
    /// Bits that hold every value, the sign included if there is one.
    pub(crate) bits: u32,
    /// Whether values may be negative.
    pub(crate) signed: bool,
}

/// Shape after the function, before a sum-pool.
pub(crate) fn function_shape(step: &Step) -> TensorShape {
    step.function_shape()
}

/// Width of one value after the function.
pub(crate) fn function_width(step: &Step) -> Width {
    let b = step.value_bits;
    match step.function {
        StepFunction::Relu
        | StepFunction::CoarseRelu { .. }
        | StepFunction::Clip { .. }
        | StepFunction::MaxPool { relu: true, .. } => Width { bits: b - 1, signed: false },
        StepFunction::Square { drop_bits } => {
            Width { bits: (2 * b - 1 - drop_bits.min(2 * b - 2)).max(1), signed: false }
        }
        StepFunction::ArgMax | StepFunction::TopK { .. } => {
            Width { bits: step.index_bits(), signed: false }
        }
        StepFunction::MaxPool { relu: false, .. } | StepFunction::Rescale | StepFunction::Round => {
            Width { bits: b, signed: true }
        }
    }
}

/// Width of the result: wider than [`function_width`] by what the largest sum needs.
pub(crate) fn result_width(step: &Step) -> Width {
    let width = function_width(step);
    let terms = step.sum_pool.map_or(1, |window| window.kernel.iter().product::<usize>());
    Width { bits: width.bits + terms.next_power_of_two().trailing_zeros(), ..width }
}

/// Bits of every input share that matter after local truncation.
pub(crate) fn input_width(step: &Step) -> u32 {
    match step.function {
        // Round adds exactly: it needs the low bits too.
        StepFunction::Round => step.value_bits + step.truncate_bits,
        _ => step.value_bits,
    }
}

/// Checks what all backends need; bounded work for any step that decodes.
pub(crate) fn check(index: usize, step: &Step) -> Result<(), ProtocolError> {
    let refuse = |why: &str| Err(ProtocolError::Plan(format!("non-linear step {index}: {why}")));
    let (b, t, l) = (step.value_bits, step.truncate_bits, step.input_bits);
    if !(2..=48).contains(&b) || !(2..=62).contains(&l) || t >= l || b + t > l {
        return refuse("value bits and truncated bits do not fit the ring");
    }
    if let StepOutput::Masked { bits } = step.output
        && !(1..=62).contains(&bits)
    {
        return refuse("the output ring is too wide");
    }
    if let StepFunction::MaxPool { window, .. } = &step.function
        && !window_fits(window, step.input)
    {
        return refuse("a window does not fit the image");
    }
    if let Some(k) = step.ranked() {
        let n = step.input.len();
        if !(1..=MAX_CLASSES).contains(&n) || !(1..=n.min(MAX_RANKS)).contains(&k) {
            return refuse("the values to rank are too many");
        }
        if step.output != StepOutput::Reveal || step.sum_pool.is_some() {
            return refuse("indices are revealed, and not summed");
        }
    }
    if let Some(window) = &step.sum_pool
        && !window_fits(window, function_shape(step))
    {
        return refuse("a window does not fit the image");
    }
    if let StepFunction::Square { drop_bits } = step.function
        && (b > 31 || drop_bits > 2 * b - 2)
    {
        return refuse("the square is too wide");
    }
    if let StepFunction::CoarseRelu { drop_bits } = step.function
        && drop_bits > b - 2
    {
        return refuse("nothing is left to compare");
    }
    if let StepFunction::Clip { high } = step.function
        && !(1..1i64 << (b - 1)).contains(&high)
    {
        return refuse("the upper end of clipping does not fit the value");
    }
    if result_width(step).bits > 62 {
        return refuse("the result is too wide");
    }
    Ok(())
}

fn window_fits(window: &gazelle_share::Window, input: TensorShape) -> bool {
    let ([kh, kw], [sh, sw]) = (window.kernel, window.stride);
    let pads = window.pads;
    sh > 0
        && sw > 0
        && (1..=1 << 16).contains(&kh)
        && (1..=1 << 16).contains(&kw)
        && pads.top.max(pads.bottom) < kh
        && pads.left.max(pads.right) < kw
        && input.height + pads.top + pads.bottom >= kh
        && input.width + pads.left + pads.right >= kw
}
