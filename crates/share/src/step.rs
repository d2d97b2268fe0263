//! Non-linear steps: what happens between two linear layers.

mod prepare;

use serde::{Deserialize, Serialize};

use crate::linear::Guard;
use crate::op::MAX_ELEMENTS;
use crate::rounding::Rounding;
use crate::shape::{TensorShape, Window};

/// A non-linear step on a shared tensor over `Z_{2^input_bits}`:
///
/// 1. the value `x` is divided by `2^truncate_bits` as [`rounding`](Self::rounding) says, giving `v`
///    with `-2^(value_bits - 1) <= v < 2^(value_bits - 1)`;
/// 2. `function` is applied;
/// 3. `sum_pool` sums over windows (average pooling: the divisor is in the next weights);
/// 4. the result is shared anew under a mask, or revealed to the client.
///
/// Requires `input_bits >= value_bits + dropped_bits()`, one more where a max-pool, [`ArgMax`] or
/// [`TopK`] follows: see [`needed_bits`](Self::needed_bits).
///
/// [`ArgMax`] and [`TopK`] are always revealed, and then the client learns indices alone: a network
/// that tells only its class ends in one of them instead of [`Round`].
///
/// [`ArgMax`]: StepFunction::ArgMax
/// [`TopK`]: StepFunction::TopK
/// [`Round`]: StepFunction::Round
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Which function.
    pub function: StepFunction,
    /// Shape of the input.
    pub input: TensorShape,
    /// Ring width l of the input's shares.
    pub input_bits: u32,
    /// Bits t dropped before the function, of the value (guard bits below it not counted).
    pub truncate_bits: u32,
    /// How they are dropped.
    #[serde(default, skip_serializing_if = "Rounding::is_local")]
    pub rounding: Rounding,
    /// Bits b that hold `v`, sign included.
    pub value_bits: u32,
    /// Sum over windows after the function.
    pub sum_pool: Option<Window>,
    /// Where the result goes.
    pub output: StepOutput,
}

/// The function of a [`Step`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepFunction {
    /// `max(v, 0)`.
    Relu,
    /// `max(v, 0)`, but a v in `[0, 2^drop_bits)` may become 0. Sharing-based backends compare
    /// without these bits, which is cheaper. For `v >= -2^(value_bits - 1) + 2^drop_bits`: no such
    /// negative v becomes anything but 0, and smaller ones wrap.
    CoarseRelu {
        /// Low bits left out of the comparison, at most `value_bits - 2`.
        drop_bits: u32,
    },
    /// `min(max(v, 0), high)`, `0 < high < 2^(value_bits - 1)`.
    Clip {
        /// Upper end, at the scale of `v`.
        high: i64,
    },
    /// Maximum over windows, then `max(., 0)` if `relu`.
    MaxPool {
        /// The windows.
        window: Window,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// `v^2 / 2^drop_bits`, rounded up or down; `v^2` if `drop_bits` is 0. [`Step::apply`] and
    /// circuits round to the nearest, halves up; shares are shifted, as in 1., without bias.
    Square {
        /// Bits dropped from the square.
        drop_bits: u32,
    },
    /// `v`, signed (linear layer into linear layer).
    Rescale,
    /// `v = floor((x + 2^(t-1)) / 2^t)` exactly (t = `truncate_bits`; `v = x` if t is 0): the only
    /// function without stochastic truncation. Used to reveal rounded logits.
    Round,
    /// The index of the largest `v` over the flattened input, the lowest of equals; one element.
    /// Needs [`StepOutput::Reveal`] and no sum-pool.
    ArgMax,
    /// The indices of the `k` largest `v` over the flattened input, largest first, the lower index
    /// first among equals; k elements. Needs [`StepOutput::Reveal`] and no sum-pool.
    TopK {
        /// How many, at least 1 and at most the input's length.
        k: usize,
    },
}

/// Where a [`Step`]'s result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepOutput {
    /// Shared under the client's mask r over `Z_{2^bits}`: C holds r, S holds z - r.
    Masked {
        /// Ring width of the new shares.
        bits: u32,
    },
    /// The client learns the values: signed, `value_bits` bits; indices, [`Step::index_bits`] and
    /// a sign that is never set.
    Reveal,
}

impl Step {
    /// Returns the shape of the result.
    pub fn output_shape(&self) -> TensorShape {
        let shape = self.function_shape();
        match self.sum_pool {
            Some(window) => window.output(shape),
            None => shape,
        }
    }

    /// Returns the width of the result's ring: the new shares', or `value_bits` if revealed.
    pub fn output_bits(&self) -> u32 {
        match self.output {
            StepOutput::Masked { bits } => bits,
            StepOutput::Reveal if self.ranked().is_some() => self.index_bits() + 1,
            StepOutput::Reveal => self.value_bits,
        }
    }

    /// Returns how many indices the step gives, if it gives indices: 1 for [`StepFunction::ArgMax`].
    pub fn ranked(&self) -> Option<usize> {
        match self.function {
            StepFunction::ArgMax => Some(1),
            StepFunction::TopK { k } => Some(k),
            _ => None,
        }
    }

    /// Returns bits of an unsigned index into the input, at least 1.
    pub fn index_bits(&self) -> u32 {
        self.input.len().next_power_of_two().trailing_zeros().max(1)
    }

    /// Returns the least width of the input's ring (for [`StepFunction::Round`] a smaller one also serves
    /// where the values are small).
    pub fn needed_bits(&self) -> u32 {
        let bits = self.value_bits + self.dropped_bits();
        match (&self.function, self.output) {
            (StepFunction::Rescale, StepOutput::Masked { .. }) => bits + 1,
            _ => bits + (self.truncated_bits() - self.value_bits),
        }
    }

    /// Width of the input's ring with which every backend computes the step: a square's shares
    /// must be extended as signed values, unless they are wide.
    pub fn wanted_bits(&self) -> u32 {
        let square = matches!(self.function, StepFunction::Square { .. });
        self.needed_bits() + u32::from(square)
    }

    /// Returns the shape between the function and the sum-pool.
    pub fn function_shape(&self) -> TensorShape {
        match &self.function {
            StepFunction::MaxPool { window, .. } => window.output(self.input),
            StepFunction::ArgMax => TensorShape::vector(1),
            StepFunction::TopK { k } => TensorShape::vector(*k),
            _ => self.input,
        }
    }

    /// Returns bits that hold every possible result, sign included.
    pub fn result_bits(&self) -> u32 {
        let function = match self.function {
            StepFunction::Square { drop_bits } => {
                (2 * self.value_bits - 1).saturating_sub(drop_bits).max(1) + 1
            }
            StepFunction::ArgMax | StepFunction::TopK { .. } => self.index_bits() + 1,
            _ => self.value_bits,
        };
        let taps = match self.sum_pool {
            Some(window) => window.kernel[0] as u64 * window.kernel[1] as u64,
            None => 1,
        };
        function + taps.next_power_of_two().trailing_zeros()
    }

    /// Tells whether shapes and widths fit together; bounded work for any contents. The other methods
    /// need a step that passes.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        let (l, b) = (self.input_bits, self.value_bits);
        let guard = self.rounding.guard_bits();
        if guard > Guard::MAX_BITS {
            return Err(format!("{guard} guard bits"));
        }
        if self.truncate_bits >= MAX_RING_BITS {
            return Err(format!("{} bits dropped", self.truncate_bits));
        }
        let t = self.dropped_bits();
        if !(2..=MAX_RING_BITS).contains(&l) || t >= l || !(2..=l).contains(&b) {
            return Err(format!("ring of {l} bits, {t} dropped, values of {b}"));
        }
        self.input.checked_len(MAX_ELEMENTS).ok_or("the input is too large, or empty")?;
        let mut shape = self.input;
        let mut needed = self.needed_bits();
        let mut work = 0u64;
        match &self.function {
            StepFunction::MaxPool { window, .. } => {
                shape = window.checked_output(shape).ok_or("the max-pool's windows do not fit")?;
                work = window.taps(self.input);
            }
            StepFunction::Square { drop_bits } if b > 31 || *drop_bits > 2 * b - 2 => {
                return Err(format!("{drop_bits} bits dropped from a square of {b}-bit values"));
            }
            StepFunction::CoarseRelu { drop_bits } if drop_bits + 2 > b => {
                return Err(format!("{b}-bit values compared without {drop_bits} bits"));
            }
            StepFunction::CoarseRelu { .. } if !self.rounding.is_local() => {
                return Err("a coarse comparison is not exact".into());
            }
            StepFunction::Clip { high } if !(1..1i64 << (b - 1)).contains(high) => {
                return Err(format!("clipping {b}-bit values at {high}"));
            }
            StepFunction::ArgMax | StepFunction::TopK { .. } => self.check_ranked()?,
            _ => {}
        }
        if let Some(window) = &self.sum_pool {
            window.checked_output(shape).ok_or("the sum-pool's windows do not fit")?;
            work = work.saturating_add(window.taps(shape));
        }
        if work > MAX_TAPS {
            return Err("pooling takes too much work".into());
        }
        if self.function == StepFunction::Round {
            needed = if guard > 0 { b + t } else { b.max(t + 2).min(l) };
        }
        if self.result_bits() > MAX_RESULT_BITS {
            return Err(format!("results of {} bits", self.result_bits()));
        }
        if needed > l {
            return Err(format!("a ring of {l} bits, but {needed} are needed"));
        }
        match self.output {
            StepOutput::Masked { bits } if !(2..=MAX_RING_BITS).contains(&bits) => {
                Err(format!("an output ring of {bits} bits"))
            }
            StepOutput::Masked { bits } if bits < self.result_bits() => {
                Err(format!("results of {} bits in a ring of {bits}", self.result_bits()))
            }
            _ => Ok(()),
        }
    }

    fn check_ranked(&self) -> Result<(), String> {
        // optional: an arg max is a ranking of one
        let (n, k) = (self.input.len(), self.ranked().unwrap_or(1));
        if n > MAX_CLASSES {
            return Err(format!("ranking {n} values"));
        }
        if !(1..=n.min(MAX_RANKS)).contains(&k) {
            return Err(format!("the {k} largest of {n} values"));
        }
        if self.sum_pool.is_some() || self.output != StepOutput::Reveal {
            return Err("indices are revealed, and not summed".into());
        }
        Ok(())
    }

    /// Function and sum-pool on exact signed values `v` (already truncated): the definition.
    pub fn apply(&self, values: &[i64]) -> Vec<i64> {
        let half = match self.function {
            StepFunction::Square { drop_bits } => (1i64 << drop_bits) >> 1,
            _ => 0,
        };
        self.apply_rounded(values, || half)
    }

    /// Where the step does to each value alone nothing but keep it within bounds: these.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        if self.sum_pool.is_some() {
            return None;
        }
        match self.function {
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => Some((0, i64::MAX)),
            StepFunction::Clip { high } => Some((0, high)),
            StepFunction::Rescale | StepFunction::Round => Some((i64::MIN, i64::MAX)),
            _ => None,
        }
    }

    /// As [`apply`](Self::apply), rounding each square's dropped bits by adding `below()`, in
    /// `[0, 2^drop_bits)`, before they are cut off: to the nearest if that is the half, up or down if it
    /// is random.
    pub fn apply_rounded(&self, values: &[i64], mut below: impl FnMut() -> i64) -> Vec<i64> {
        let after: Vec<i64> = match &self.function {
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => {
                values.iter().map(|v| (*v).max(0)).collect()
            }
            StepFunction::Clip { high } => values.iter().map(|v| (*v).max(0).min(*high)).collect(),
            StepFunction::MaxPool { window, relu } => {
                let mut maxima = window.fold_in_any_order(self.input, values, |a, b| a.max(*b));
                if *relu {
                    for v in &mut maxima {
                        *v = (*v).max(0);
                    }
                }
                maxima
            }
            StepFunction::Square { drop_bits } => values
                .iter()
                .map(|v| v.wrapping_mul(*v).wrapping_add(below()) >> drop_bits)
                .collect(),
            StepFunction::Rescale | StepFunction::Round => values.to_vec(),
            StepFunction::ArgMax => largest(values, 1),
            StepFunction::TopK { k } => largest(values, *k),
        };
        let Some(pool) = self.sum_pool else { return after };
        pool.fold(self.function_shape(), &after, |a, b| a.wrapping_add(*b))
    }

    /// Width of the ring after truncation: `value_bits`, one more where values are compared with
    /// each other (max-pool, indices).
    pub(crate) fn truncated_bits(&self) -> u32 {
        let compares = matches!(
            self.function,
            StepFunction::MaxPool { .. } | StepFunction::ArgMax | StepFunction::TopK { .. }
        );
        self.value_bits + u32::from(compares)
    }
}

/// Ring width at most (protocol.md, section 1).
pub(crate) const MAX_RING_BITS: u32 = 48;

/// Bits of a result at most, shared or revealed.
const MAX_RESULT_BITS: u32 = 62;
/// Input elements read by one pool at most.
const MAX_TAPS: u64 = 1 << 32;
/// Values ranked by one step at most.
pub(crate) const MAX_CLASSES: usize = 1 << 14;
/// Indices that one step gives at most.
pub const MAX_RANKS: usize = 64;

/// Returns the indices of the k largest values, largest first, the lower index first among equals.
fn largest(values: &[i64], k: usize) -> Vec<i64> {
    let mut ranked: Vec<(usize, &i64)> = values.iter().enumerate().collect();
    ranked.sort_by_key(|(index, value)| (std::cmp::Reverse(**value), *index));
    ranked.into_iter().take(k).map(|(index, _)| index as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Pads;

    fn relu() -> Step {
        Step {
            function: StepFunction::Relu,
            input: TensorShape::new(1, 2, 2),
            input_bits: 20,
            truncate_bits: 8,
            rounding: Rounding::Local,
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 20 },
        }
    }

    #[test]
    fn known_answer_functions_on_small_values() {
        let values = [-3, 5, 4, -1];
        let window = Window { kernel: [2, 2], stride: [2, 2], pads: Pads::default() };
        assert_eq!(relu().apply(&values), [0, 5, 4, 0]);
        assert_eq!(Step { sum_pool: Some(window), ..relu() }.apply(&values), [9]);
        let pool = |relu_too| StepFunction::MaxPool { window, relu: relu_too };
        assert_eq!(Step { function: pool(false), ..relu() }.apply(&[-3, -5, -4, -7]), [-3]);
        assert_eq!(Step { function: pool(true), ..relu() }.apply(&[-3, -5, -4, -7]), [0]);
        let clip = Step { function: StepFunction::Clip { high: 4 }, ..relu() };
        assert_eq!(clip.apply(&values), [0, 4, 4, 0]);
        assert_eq!(clip.check(), Ok(()));
        assert!(Step { value_bits: 3, ..clip }.check().is_err());
        let square = |drop_bits| Step { function: StepFunction::Square { drop_bits }, ..relu() };
        assert_eq!(square(0).apply(&values), [9, 25, 16, 1]);
        assert_eq!(square(1).apply(&values), [5, 13, 8, 1]);
        assert_eq!(Step { function: StepFunction::Rescale, ..relu() }.apply(&values), values);
        for function in [
            StepFunction::Relu,
            StepFunction::CoarseRelu { drop_bits: 2 },
            StepFunction::Clip { high: 4 },
            StepFunction::Rescale,
            StepFunction::Round,
        ] {
            let step = Step { function, ..relu() };
            let (low, high) = step.bounds().unwrap();
            assert_eq!(step.apply(&values), values.map(|v| v.max(low).min(high)));
            assert_eq!(Step { sum_pool: Some(window), ..step }.bounds(), None);
        }
        assert_eq!(Step { function: pool(true), ..relu() }.bounds(), None);
        assert_eq!(square(1).bounds(), None);
    }

    #[test]
    fn known_answer_indices_of_the_largest_with_ties_to_the_lower_index() {
        let ranked = |function| Step {
            function,
            input: TensorShape::vector(5),
            input_bits: 21,
            output: StepOutput::Reveal,
            ..relu()
        };
        let values = [-3, 7, 7, -1, 6];
        let first = ranked(StepFunction::ArgMax);
        assert_eq!(first.apply(&values), [1]);
        assert_eq!(ranked(StepFunction::TopK { k: 4 }).apply(&values), [1, 2, 4, 3]);
        assert_eq!((first.check(), first.output_bits(), first.index_bits()), (Ok(()), 4, 3));
        assert_eq!(first.output_shape(), TensorShape::vector(1));
        assert_eq!(ranked(StepFunction::TopK { k: 4 }).output_shape(), TensorShape::vector(4));
        // A difference needs one bit more; indices are not shared; k fits.
        assert!(Step { input_bits: 20, ..first.clone() }.check().is_err());
        assert!(Step { output: StepOutput::Masked { bits: 20 }, ..first }.check().is_err());
        for k in [0, 6, usize::MAX] {
            assert!(ranked(StepFunction::TopK { k }).check().is_err(), "k = {k}");
        }
    }

    #[test]
    fn properties_ring_conditions_are_enforced() {
        assert_eq!(relu().check(), Ok(()));
        assert!(Step { input_bits: 19, ..relu() }.check().is_err());
        let window = Window { kernel: [2, 2], stride: [2, 2], pads: Pads::default() };
        let pool = Step { function: StepFunction::MaxPool { window, relu: true }, ..relu() };
        assert!(pool.check().is_err(), "a max-pool needs one bit more");
        assert_eq!(Step { input_bits: 21, ..pool }.check(), Ok(()));
        assert!(Step { output: StepOutput::Masked { bits: 11 }, ..relu() }.check().is_err());
        let sum = Step { sum_pool: Some(window), ..relu() };
        assert!(Step { output: StepOutput::Masked { bits: 13 }, ..sum.clone() }.check().is_err());
        assert_eq!(Step { output: StepOutput::Masked { bits: 14 }, ..sum }.check(), Ok(()));
        assert!(Step { input_bits: 64, ..relu() }.check().is_err());
        assert!(Step { truncate_bits: 200, ..relu() }.check().is_err());
        assert!(
            Step { function: StepFunction::Square { drop_bits: 99 }, ..relu() }.check().is_err()
        );
    }
}
