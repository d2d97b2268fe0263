//! Non-linear steps: what happens between two linear layers.

use serde::{Deserialize, Serialize};

use crate::shape::{TensorShape, Window};

/// A non-linear step on a shared tensor over `Z_{2^input_bits}`:
///
/// 1. the value `x` is divided by `2^truncate_bits`, rounded up or down (stochastically, by local
///    shifts of the shares: S adds `2^t - 1`, both shift right as unsigned; [`StepFunction::Round`]
///    instead rounds exactly to the nearest, halves up), giving `v` with
///    `-2^(value_bits - 1) <= v < 2^(value_bits - 1)`;
/// 2. `function` is applied;
/// 3. `sum_pool` sums over windows (average pooling: the divisor is in the next weights);
/// 4. the result is shared anew under a mask, or revealed to the client.
///
/// Requires `input_bits >= value_bits + truncate_bits`, one more where a max-pool follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// Which function.
    pub function: StepFunction,
    /// Shape of the input.
    pub input: TensorShape,
    /// Ring width l of the input's shares.
    pub input_bits: u32,
    /// Bits t dropped before the function.
    pub truncate_bits: u32,
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
    /// Maximum over windows, then `max(., 0)` if `relu`.
    MaxPool {
        /// The windows.
        window: Window,
        /// Whether a ReLU follows.
        relu: bool,
    },
    /// `floor((v^2 + 2^(drop_bits - 1)) / 2^drop_bits)`; `v^2` if `drop_bits` is 0.
    Square {
        /// Bits dropped from the square.
        drop_bits: u32,
    },
    /// `v`, signed (linear layer into linear layer).
    Rescale,
    /// `v = floor((x + 2^(t-1)) / 2^t)` exactly (t = `truncate_bits`; `v = x` if t is 0): the only
    /// function without stochastic truncation. Used to reveal rounded logits.
    Round,
}

/// Where a [`Step`]'s result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StepOutput {
    /// Shared under the client's mask r over `Z_{2^bits}`: C holds r, S holds z - r.
    Masked {
        /// Ring width of the new shares.
        bits: u32,
    },
    /// The client learns the values (signed, `value_bits` bits).
    Reveal,
}

impl Step {
    /// Shape of the result.
    pub fn output_shape(&self) -> TensorShape {
        let shape = match &self.function {
            StepFunction::MaxPool { window, .. } => window.output(self.input),
            _ => self.input,
        };
        self.sum_pool.map_or(shape, |window| window.output(shape))
    }

    /// Width of the result's ring: the new shares', or `value_bits` if revealed.
    pub fn output_bits(&self) -> u32 {
        match self.output {
            StepOutput::Masked { bits } => bits,
            StepOutput::Reveal => self.value_bits,
        }
    }

    /// Function and sum-pool on exact signed values `v` (already truncated): the definition.
    pub fn apply(&self, values: &[i64]) -> Vec<i64> {
        let at = |i: &usize| values.get(*i).copied().unwrap_or_default();
        let after: Vec<i64> = match &self.function {
            StepFunction::Relu => values.iter().map(|v| (*v).max(0)).collect(),
            StepFunction::MaxPool { window, relu } => window
                .gather(self.input)
                .iter()
                .map(|w| w.iter().map(at).max().unwrap_or_default())
                .map(|v| if *relu { v.max(0) } else { v })
                .collect(),
            StepFunction::Square { drop_bits: 0 } => values.iter().map(|v| v * v).collect(),
            StepFunction::Square { drop_bits } => {
                values.iter().map(|v| (v * v + (1 << (drop_bits - 1))) >> drop_bits).collect()
            }
            StepFunction::Rescale | StepFunction::Round => values.to_vec(),
        };
        let Some(pool) = self.sum_pool else { return after };
        let shape = match &self.function {
            StepFunction::MaxPool { window, .. } => window.output(self.input),
            _ => self.input,
        };
        let at = |i: &usize| after.get(*i).copied().unwrap_or_default();
        pool.gather(shape).iter().map(|w| w.iter().map(at).sum()).collect()
    }
}
