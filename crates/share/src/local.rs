//! Maps that act on both parties' shares alike, without a message.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::shape::{TensorShape, Window};
use crate::shares::ring_mask;

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
    /// Positions axis by axis, axes `[channel, row, column]`: `y[c, r, k] = x[a(c), b(r), d(k)]`,
    /// zero where one of the three is nothing. Repeats, reverses, reflects, tiles and enlarges.
    Select {
        /// Per axis a, b, d: as many entries as the output has positions there; no entry keeps the
        /// axis as it is.
        axes: [Vec<Option<u32>>; 3],
    },
    /// Axes in another order: output axis i is input axis `axes[i]`.
    Permute {
        /// A permutation of 0, 1, 2.
        axes: [usize; 3],
    },
    /// Sums over windows.
    SumPool(Window),
    /// Adds the server's own constants, one per channel or element: to the server's share, after
    /// this map, which is the identity ([`add_bias`]).
    AddBias,
}

impl LocalMap {
    /// Tells whether each output element is one input element, moved: masks pass through unchanged.
    pub fn is_relabelling(&self) -> bool {
        matches!(self, Self::Reshape | Self::Permute { .. } | Self::Concat | Self::AddBias)
    }

    /// The map on words modulo `2^output_bits` (1..=64): what each party does to its share. Shapes
    /// must fit (see [`check`](Self::check)); missing elements count as zero.
    pub fn apply(
        &self,
        inputs: &[(&[u64], TensorShape)],
        output: TensorShape,
        output_bits: u32,
    ) -> Vec<u64> {
        let mask = ring_mask(output_bits);
        let mut words = self
            .apply_with(inputs, output, |sum, word, shift| sum.wrapping_add(word << (shift & 63)));
        for word in &mut words {
            *word &= mask;
        }
        words
    }

    /// Returns the map in any arithmetic; `add(sum, x, shift)` is `sum + x 2^shift`.
    pub fn apply_with<T: Copy + Default + Send + Sync + Zeroize>(
        &self,
        inputs: &[(&[T], TensorShape)],
        output: TensorShape,
        add: impl Fn(T, T, u32) -> T + Sync,
    ) -> Vec<T> {
        let Some(&(first, shape)) = inputs.first() else {
            return vec![T::default(); output.len()];
        };
        let mut words = match self {
            Self::Reshape | Self::AddBias => first.to_vec(),
            Self::Concat => {
                // Room for all: what is left behind by one that grows may be shares.
                let mut words = Vec::with_capacity(output.len());
                for (some, _) in inputs {
                    words.extend_from_slice(some);
                }
                words
            }
            Self::Add { shifts } => {
                let mut sum = vec![T::default(); output.len()];
                let block = |(block, sum): (usize, &mut [T])| {
                    for ((words, _), shift) in inputs.iter().zip(shifts) {
                        // optional: missing elements count as zero
                        let words = words.get(block * BLOCK..).unwrap_or_default();
                        sum.iter_mut().zip(words).for_each(|(s, w)| *s = add(*s, *w, *shift));
                    }
                };
                if sum.len() < PARALLEL {
                    sum.chunks_mut(BLOCK).enumerate().for_each(block);
                } else {
                    sum.par_chunks_mut(BLOCK).enumerate().for_each(block);
                }
                sum
            }
            Self::Slice { start, step } => remap(output, |at| {
                let from =
                    |axis: usize| start.get(axis)?.checked_add(at.get(axis)? * step.get(axis)?);
                word(first, shape, [from(0)?, from(1)?, from(2)?])
            }),
            Self::Pad { before } => remap(output, |at| {
                let from = |axis: usize| at.get(axis)?.checked_sub(*before.get(axis)?);
                word(first, shape, [from(0)?, from(1)?, from(2)?])
            }),
            Self::Select { axes } => remap(output, |at| {
                let from = |axis: usize| -> Option<usize> {
                    let (list, at) = (axes.get(axis)?, *at.get(axis)?);
                    if list.is_empty() { Some(at) } else { Some((*list.get(at)?)? as usize) }
                };
                word(first, shape, [from(0)?, from(1)?, from(2)?])
            }),
            Self::Permute { axes } => remap(output, |at| {
                let mut from = [0; 3];
                for (position, axis) in at.iter().zip(axes) {
                    *from.get_mut(*axis)? = *position;
                }
                word(first, shape, from)
            }),
            Self::SumPool(window) => window.fold(shape, first, |a, b| add(a, *b, 0)),
        };
        words.resize(output.len(), T::default());
        words
    }

    /// Checks that the map can act on these inputs and give this many elements.
    /// `wanted` is the output's shape, which [`Reshape`](Self::Reshape), [`Slice`](Self::Slice)
    /// and [`Pad`](Self::Pad) leave open; work bounded by the map's own size.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, inputs: &[TensorShape], wanted: TensorShape) -> Result<(), String> {
        let count =
            if matches!(self, Self::Add { .. } | Self::Concat) { 1..=MAX_INPUTS } else { 1..=1 };
        if !count.contains(&inputs.len()) {
            return Err(format!("a local map of {} inputs", inputs.len()));
        }
        let Some(&input) = inputs.first() else { return Err("no input".into()) };
        let fits = match self {
            Self::Reshape => input.len() == wanted.len(),
            Self::AddBias => input == wanted,
            Self::Add { shifts } => {
                shifts.len() == inputs.len()
                    && shifts.iter().all(|shift| *shift < 64)
                    && inputs.iter().all(|shape| *shape == wanted)
            }
            Self::Concat => {
                let channels = inputs.iter().try_fold(0usize, |sum, s| sum.checked_add(s.channels));
                channels == Some(wanted.channels)
                    && inputs.iter().all(|s| (s.height, s.width) == (wanted.height, wanted.width))
            }
            Self::Slice { start, step } => {
                let axes = start.iter().zip(step).zip(input.axes()).zip(wanted.axes());
                axes.into_iter().all(|(((start, step), from), to)| {
                    let last =
                        (to - 1).checked_mul(*step).and_then(|last| last.checked_add(*start));
                    *step > 0 && last.is_some_and(|last| last < from)
                })
            }
            Self::Pad { before } => {
                before.iter().zip(input.axes()).zip(wanted.axes()).all(|((before, from), to)| {
                    before.checked_add(from).is_some_and(|end| end <= to)
                })
            }
            Self::Select { axes } => {
                axes.iter().zip(input.axes()).zip(wanted.axes()).all(|((list, from), to)| {
                    let inside = |at: &Option<u32>| at.is_none_or(|at| (at as usize) < from);
                    if list.is_empty() {
                        from == to
                    } else {
                        list.len() == to && list.iter().all(inside)
                    }
                })
            }
            Self::Permute { axes } => {
                let mut sorted = *axes;
                sorted.sort_unstable();
                let from = input.axes();
                sorted == [0, 1, 2]
                    && axes.iter().zip(wanted.axes()).all(|(axis, to)| from.get(*axis) == Some(&to))
            }
            Self::SumPool(window) => window.checked_output(input) == Some(wanted),
        };
        if fits { Ok(()) } else { Err(format!("{self:?} does not map {inputs:?} to {wanted:?}")) }
    }
}

/// Adds a bias, one per channel or one per element, modulo `2^bits` (1..=64): what the server does
/// to its share behind [`LocalMap::AddBias`].
pub fn add_bias(shape: TensorShape, bias: &[i64], words: &mut [u64], bits: u32) {
    let mask = ring_mask(bits);
    let plane = if bias.len() == shape.len() { 1 } else { shape.height * shape.width };
    for (words, b) in words.chunks_mut(plane.max(1)).zip(bias) {
        for word in words {
            *word = word.wrapping_add(*b as u64) & mask;
        }
    }
}

/// Elements that are added up together.
const BLOCK: usize = 1 << 12;
/// Elements from which on all threads take part.
const PARALLEL: usize = 1 << 16;

/// Inputs of one [`Add`](LocalMap::Add) or [`Concat`](LocalMap::Concat) at most.
const MAX_INPUTS: usize = 1024;

fn word<T: Copy>(words: &[T], shape: TensorShape, [c, y, x]: [usize; 3]) -> Option<T> {
    let inside = c < shape.channels && y < shape.height && x < shape.width;
    if inside { words.get(shape.index(c, y, x)).copied() } else { None }
}

fn remap<T: Default>(output: TensorShape, source: impl Fn([usize; 3]) -> Option<T>) -> Vec<T> {
    let mut words = Vec::with_capacity(output.len());
    for c in 0..output.channels {
        for y in 0..output.height {
            // optional: zeros where nothing moves to
            words.extend((0..output.width).map(|x| source([c, y, x]).unwrap_or_default()));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Pads;

    const SHAPE: TensorShape = TensorShape { channels: 2, height: 2, width: 3 };
    const WORDS: [u64; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn apply(map: &LocalMap, output: TensorShape) -> Vec<u64> {
        map.check(&[SHAPE], output).unwrap();
        map.apply(&[(&WORDS, SHAPE)], output, 8)
    }

    #[test]
    fn known_answer_slice_takes_every_second_column() {
        let map = LocalMap::Slice { start: [1, 0, 0], step: [1, 1, 2] };
        assert_eq!(apply(&map, TensorShape::new(1, 2, 2)), [6, 8, 9, 11]);
    }

    #[test]
    fn known_answer_pad_adds_zero_channels_and_rows() {
        let map = LocalMap::Pad { before: [1, 0, 1] };
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11];
        assert_eq!(apply(&map, TensorShape::new(3, 2, 4)), expected);
    }

    #[test]
    fn known_answer_select_repeats_reverses_and_leaves_out() {
        let list = |list: &[Option<u32>]| list.to_vec();
        let reversed = list(&[Some(2), Some(1), Some(0)]);
        let map = LocalMap::Select { axes: [list(&[Some(1)]), vec![], reversed] };
        assert_eq!(apply(&map, TensorShape::new(1, 2, 3)), [8, 7, 6, 11, 10, 9]);
        let map = LocalMap::Select { axes: [vec![], list(&[Some(0); 2]), list(&[None, Some(1)])] };
        assert_eq!(apply(&map, TensorShape::new(2, 2, 2)), [0, 1, 0, 1, 0, 7, 0, 7]);
    }

    #[test]
    fn known_answer_permute_to_channels_last() {
        let map = LocalMap::Permute { axes: [1, 2, 0] };
        let expected = [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11];
        assert_eq!(apply(&map, TensorShape::new(2, 3, 2)), expected);
    }

    #[test]
    fn known_answer_add_shifts_and_wraps() {
        let map = LocalMap::Add { shifts: vec![0, 6] };
        map.check(&[SHAPE; 2], SHAPE).unwrap();
        let sum = map.apply(&[(&WORDS, SHAPE), (&WORDS, SHAPE)], SHAPE, 8);
        let expected: Vec<u64> = (0..12).map(|i| (i + 64 * i) % 256).collect();
        assert_eq!(sum, expected);
    }

    #[test]
    fn known_answer_a_bias_is_added_to_one_share_by_channel_or_element() {
        assert_eq!(apply(&LocalMap::AddBias, SHAPE), WORDS);
        let mut words = WORDS;
        add_bias(SHAPE, &[-1, 250], &mut words, 8);
        assert_eq!(words, [255, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5]);
        let each: Vec<i64> = (0..12).map(|i| -i).collect();
        let mut words = WORDS;
        add_bias(SHAPE, &each, &mut words, 8);
        assert_eq!(words, [0; 12]);
        assert!(LocalMap::AddBias.check(&[SHAPE], TensorShape::new(4, 1, 3)).is_err());
        assert!(LocalMap::AddBias.check(&[SHAPE; 2], SHAPE).is_err());
    }

    #[test]
    fn known_answer_sum_pool_and_concat() {
        let window =
            Window { kernel: [2, 2], stride: [1, 1], pads: Pads { right: 1, ..Pads::default() } };
        let sums = apply(&LocalMap::SumPool(window), TensorShape::new(2, 1, 3));
        assert_eq!(sums, [8, 12, 7, 32, 36, 19]);
        let both = LocalMap::Concat.apply(
            &[(&WORDS, SHAPE), (&WORDS, SHAPE)],
            TensorShape::new(4, 2, 3),
            3,
        );
        let expected: Vec<u64> = WORDS.iter().chain(&WORDS).map(|w| w % 8).collect();
        assert_eq!(both, expected);
    }

    #[test]
    fn adversarial_maps_that_do_not_fit_are_refused() {
        let huge = LocalMap::Slice { start: [usize::MAX, 0, 0], step: [1, 1, 1] };
        assert!(huge.check(&[SHAPE], SHAPE).is_err());
        assert!(LocalMap::Slice { start: [0; 3], step: [0; 3] }.check(&[SHAPE], SHAPE).is_err());
        assert!(LocalMap::Pad { before: [0, usize::MAX, 0] }.check(&[SHAPE], SHAPE).is_err());
        let select = |list: Vec<Option<u32>>| LocalMap::Select { axes: [list, vec![], vec![]] };
        assert!(select(vec![None, Some(2)]).check(&[SHAPE], SHAPE).is_err());
        assert!(select(vec![Some(0)]).check(&[SHAPE], SHAPE).is_err());
        assert!(select(vec![]).check(&[SHAPE], TensorShape::new(1, 2, 3)).is_err());
        assert!(LocalMap::Permute { axes: [0, 0, 7] }.check(&[SHAPE], SHAPE).is_err());
        assert!(LocalMap::Add { shifts: vec![64] }.check(&[SHAPE], SHAPE).is_err());
        assert!(LocalMap::Concat.check(&[], SHAPE).is_err());
        let window = Window { kernel: [0, 1], stride: [0, 0], pads: Pads::all(usize::MAX) };
        assert!(LocalMap::SumPool(window).check(&[SHAPE], SHAPE).is_err());
    }
}
