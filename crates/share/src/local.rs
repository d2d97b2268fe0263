//! Maps that act on both parties' shares alike, without a message.

use serde::{Deserialize, Serialize};

use crate::shape::{TensorShape, Window};

/// A local map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalMap {
    /// The same elements in the same order under another shape (reshape, flatten).
    Reshape,
    /// Sum of all inputs, input i first shifted left by `shifts[i]` bits; modulo the output ring.
    /// Needs `ring_bits(input) + shift >= ring_bits(output)`.
    Add {
        /// Per input.
        shifts: Vec<u32>,
    },
    /// Concatenation along channels.
    Concat,
    /// Every `step[i]`-th position from `start[i]`, as many as the output shape says; axes are
    /// `[channel, row, column]`.
    Slice {
        /// First position.
        start: [usize; 3],
        /// Distance.
        step: [usize; 3],
    },
    /// Zeros before (the rest up to the output's shape behind), axes `[channel, row, column]`.
    Pad {
        /// Zeros before.
        before: [usize; 3],
    },
    /// Axes in another order: output axis i is input axis `axes[i]`.
    Permute {
        /// A permutation of 0, 1, 2.
        axes: [usize; 3],
    },
    /// Sums over windows.
    SumPool(Window),
}

impl LocalMap {
    /// Whether each output element is one input element, moved: masks pass through unchanged.
    pub fn is_relabelling(&self) -> bool {
        matches!(self, Self::Reshape | Self::Permute { .. } | Self::Concat)
    }

    /// The map on words modulo `2^output_bits`. Shapes must fit (see
    /// [`Architecture`](crate::Architecture)'s validation); missing elements count as zero.
    pub fn apply(
        &self,
        inputs: &[(&[u64], TensorShape)],
        output: TensorShape,
        output_bits: u32,
    ) -> Vec<u64> {
        let _ = (inputs, output, output_bits);
        Vec::new()
    }
}
