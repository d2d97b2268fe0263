//! Widths of a step's values between function and output.

use gazelle_share::Step;
use gazelle_share::step::StepFunction;

/// The words between function and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Width {
    /// Bits that hold every value, the sign included if there is one.
    pub(crate) bits: u32,
    /// Whether values may be negative.
    pub(crate) signed: bool,
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

/// Bits of every input share that matter to a circuit after local truncation: those that are dropped
/// exactly carry.
pub(crate) fn input_width(step: &Step) -> u32 {
    step.value_bits + step.carried_bits()
}
