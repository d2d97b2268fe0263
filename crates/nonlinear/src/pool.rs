//! Pooling as index lists: a tree of pairwise maxima per channel, and windows to sum.
//!
//! A maximum over a window is taken along rows, then along columns, and row maxima are shared by
//! all windows that contain them: 3x3 with stride 2 takes 6 comparisons per output, not 8. Padded
//! positions stay out of the tree.

#![expect(clippy::indexing_slicing, reason = "nodes are numbered as they are made")]

use std::collections::BTreeMap;
use std::ops::Range;

use gazelle_share::{Pads, TensorShape, Window};

/// A word of one channel: made by `level` (0: the inputs), at `index` among its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PoolNode {
    level: usize,
    index: usize,
}

/// Lists one behind the other.
struct Lists<T> {
    items: Vec<T>,
    ends: Vec<usize>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Lists<T> {
    /// What was pushed since is a list; its number.
    fn finish(&mut self) -> usize {
        self.ends.push(self.items.len());
        self.ends.len() - 1
    }

    fn iter(&self) -> impl Iterator<Item = &[T]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.items[*start..*end])
    }
}

/// The tree of one channel.
#[derive(Debug, Clone)]
pub(crate) struct MaxTree {
    /// Words made per level; level 0 is the inputs.
    counts: Vec<usize>,
    /// `levels[i]` makes the words of level `i + 1`.
    levels: Vec<Vec<(PoolNode, PoolNode)>>,
    outputs: Vec<PoolNode>,
}

/// A tree over some channels: words are numbered in the order in which they are made, the inputs
/// `[channel, row, column]` first.
#[derive(Debug, Clone)]
pub(crate) struct MaxLevels {
    /// Per level: the words compared; pair i makes the next word.
    pub(crate) pairs: Vec<(Vec<u32>, Vec<u32>)>,
    /// Per level: the pairs whose smaller word is appended too, behind the larger ones.
    pub(crate) smaller: Vec<Vec<u32>>,
    /// The words that are the results `[channel, row, column]`.
    pub(crate) outputs: Vec<u32>,
}

impl MaxTree {
    /// The tree for `window` on one channel of `input`; `None` if a window lies in the padding.
    pub(crate) fn new(window: &Window, input: TensorShape) -> Option<Self> {
        let input = TensorShape { channels: 1, ..input };
        let output = window.output(input);
        let mut tree = Self { counts: vec![input.len()], levels: Vec::new(), outputs: Vec::new() };
        // Maxima along the rows, for the rows that some window needs: their numbers, by row and column of the
        // output.
        let mut row_lists: Vec<Vec<Option<usize>>> = vec![Vec::new(); input.height];
        let (mut lists, mut columns) = (Lists::default(), Lists::default());
        for y in 0..output.height {
            for x in 0..output.width {
                let [kh, kw] = window.kernel;
                let ys = span(y * window.stride[0], window.pads.top, kh, input.height)?;
                let xs = span(x * window.stride[1], window.pads.left, kw, input.width)?;
                for row in ys {
                    let numbers = &mut row_lists[row];
                    if numbers.is_empty() {
                        numbers.resize(output.width, None);
                    }
                    let list = *numbers[x].get_or_insert_with(|| {
                        let node =
                            |column| PoolNode { level: 0, index: input.index(0, row, column) };
                        lists.items.extend(xs.clone().map(node));
                        lists.finish()
                    });
                    columns.items.push(list);
                }
                columns.finish();
            }
        }
        let rows = tree.reduce(lists)?;
        let items = columns.items.into_iter().map(|list| rows[list]).collect();
        tree.outputs = tree.reduce(Lists { items, ends: columns.ends })?;
        Some(tree)
    }

    /// Reduces each list to one word, all lists level by level.
    fn reduce(&mut self, mut lists: Lists<PoolNode>) -> Option<Vec<PoolNode>> {
        while lists.iter().any(|list| list.len() > 1) {
            let level = self.counts.len();
            let mut pairs = Vec::new();
            let mut halves = Lists::default();
            for list in lists.iter() {
                for pair in list.chunks(2) {
                    match *pair {
                        [a, b] => {
                            halves.items.push(PoolNode { level, index: pairs.len() });
                            pairs.push((a, b));
                        }
                        [a] => halves.items.push(a),
                        _ => {}
                    }
                }
                halves.finish();
            }
            lists = halves;
            self.counts.push(pairs.len());
            self.levels.push(pairs);
        }
        lists.iter().map(|list| list.first().copied()).collect()
    }

    /// The tree for `channels` channels at once.
    pub(crate) fn expand(&self, channels: usize) -> MaxLevels {
        let mut bases = Vec::with_capacity(self.counts.len());
        let mut total = 0;
        for count in &self.counts {
            bases.push((total, *count));
            total += count * channels;
        }
        let id = |node: &PoolNode, channel: usize| {
            let (base, count) = bases[node.level];
            (base + channel * count + node.index) as u32
        };
        let smaller = vec![Vec::new(); self.levels.len()];
        let pairs = self
            .levels
            .iter()
            .map(|level| {
                (0..channels)
                    .flat_map(|c| level.iter().map(move |(a, b)| (c, a, b)))
                    .map(|(c, a, b)| (id(a, c), id(b, c)))
                    .unzip()
            })
            .collect();
        let outputs = (0..channels)
            .flat_map(|c| self.outputs.iter().map(move |n| (c, n)))
            .map(|(c, n)| id(n, c));
        MaxLevels { pairs, smaller, outputs: outputs.collect() }
    }

    /// Comparisons per channel.
    #[cfg(test)]
    fn comparisons(&self) -> usize {
        self.levels.iter().map(Vec::len).sum()
    }
}

/// Number of levels of a [`MaxTree`]; `None` if a window lies in the padding.
pub(crate) fn max_depth(window: &Window, input: TensorShape) -> Option<usize> {
    let output = window.output(input);
    let Pads { top, left, .. } = window.pads;
    let axes = [(output.height, top, input.height), (output.width, left, input.width)];
    let mut depth = 0;
    for (axis, (outputs, before, limit)) in axes.into_iter().enumerate() {
        let longest = (0..outputs).try_fold(0, |longest, at| {
            let span = span(at * window.stride[axis], before, window.kernel[axis], limit)?;
            Some(span.len().max(longest))
        })?;
        depth += longest.next_power_of_two().trailing_zeros() as usize;
    }
    Some(depth)
}

/// The positions of an axis that a window begun `before` padding covers, if any.
fn span(start: usize, before: usize, kernel: usize, limit: usize) -> Option<Range<usize>> {
    let first = start.saturating_sub(before);
    let end = (start + kernel).saturating_sub(before).min(limit);
    (first < end).then_some(first..end)
}

/// The outputs of a sum-pool whose windows hold the same number of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SumGroup {
    /// `terms[j][i]`: position j of the window of output `outputs[i]`.
    pub(crate) terms: Vec<Vec<u32>>,
    /// Output positions.
    pub(crate) outputs: Vec<u32>,
}

/// Windows of `window` on `input`, grouped by how many positions lie inside the image.
pub(crate) fn sum_groups(window: &Window, input: TensorShape) -> Vec<SumGroup> {
    let mut groups: BTreeMap<usize, SumGroup> = BTreeMap::new();
    for (output, positions) in window.gather(input).into_iter().enumerate() {
        let group = groups.entry(positions.len()).or_insert_with(|| SumGroup {
            terms: vec![Vec::new(); positions.len()],
            outputs: Vec::new(),
        });
        group.outputs.push(output as u32);
        for (term, position) in group.terms.iter_mut().zip(positions) {
            term.push(position as u32);
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maxima(window: &Window, input: TensorShape, values: &[i64]) -> Vec<i64> {
        let levels = MaxTree::new(window, input).unwrap().expand(input.channels);
        let mut words = values.to_vec();
        for (a, b) in &levels.pairs {
            let level: Vec<i64> =
                a.iter().zip(b).map(|(a, b)| words[*a as usize].max(words[*b as usize])).collect();
            words.extend(level);
        }
        levels.outputs.iter().map(|i| words[*i as usize]).collect()
    }

    #[test]
    fn known_answer_a_3x3_window_with_stride_2_takes_six_comparisons_per_output() {
        let window = Window { kernel: [3, 3], stride: [2, 2], pads: Pads::default() };
        let input = TensorShape::new(1, 113, 113);
        let outputs = window.output(input).len();
        let comparisons = MaxTree::new(&window, input).unwrap().comparisons();
        // 113 rows of 56 windows at 2 comparisons, then 56 x 56 columns at 2.
        assert_eq!(comparisons, 113 * 56 * 2 + outputs * 2);
    }

    #[test]
    fn conformance_the_tree_gives_the_maxima_of_the_windows() {
        for (kernel, stride, pads, shape) in [
            ([2, 2], [2, 2], Pads::default(), TensorShape::new(3, 4, 6)),
            ([3, 3], [2, 2], Pads::all(1), TensorShape::new(2, 7, 8)),
            (
                [3, 2],
                [1, 3],
                Pads { top: 0, left: 1, bottom: 2, right: 0 },
                TensorShape::new(2, 5, 9),
            ),
            ([1, 1], [1, 1], Pads::default(), TensorShape::new(2, 3, 3)),
        ] {
            let window = Window { kernel, stride, pads };
            let values: Vec<i64> =
                (0..shape.len() as i64).map(|i| (i * 7919 + 13) % 997 - 500).collect();
            let expected: Vec<i64> = window
                .gather(shape)
                .iter()
                .map(|w| w.iter().map(|i| values[*i]).max().unwrap())
                .collect();
            assert_eq!(maxima(&window, shape, &values), expected);
            let tree = MaxTree::new(&window, shape).unwrap();
            assert_eq!(max_depth(&window, shape), Some(tree.levels.len()));
        }
    }

    #[test]
    fn properties_a_window_inside_the_padding_is_refused() {
        let window = Window { kernel: [1, 1], stride: [1, 1], pads: Pads::all(1) };
        assert!(MaxTree::new(&window, TensorShape::new(1, 2, 2)).is_none());
        assert_eq!(max_depth(&window, TensorShape::new(1, 2, 2)), None);
    }

    #[test]
    fn adversarial_rows_that_no_window_needs_take_no_memory() {
        let pads = Pads { top: 0, left: 1023, bottom: 0, right: 1023 };
        let window = Window { kernel: [1, 1024], stride: [65_536, 1], pads };
        let tree = MaxTree::new(&window, TensorShape::new(1, 65_536, 1)).unwrap();
        assert_eq!((tree.outputs.len(), tree.comparisons()), (1024, 0));
    }

    #[test]
    fn conformance_sum_groups_cover_every_window_once() {
        let window = Window { kernel: [3, 3], stride: [2, 2], pads: Pads::all(1) };
        let shape = TensorShape::new(2, 5, 5);
        let mut windows = vec![Vec::new(); window.output(shape).len()];
        for group in sum_groups(&window, shape) {
            for term in &group.terms {
                for (position, output) in term.iter().zip(&group.outputs) {
                    windows[*output as usize].push(*position as usize);
                }
            }
        }
        assert_eq!(windows, window.gather(shape));
    }
}
