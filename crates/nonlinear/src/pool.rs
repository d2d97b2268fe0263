//! Pooling as index lists: a tree of pairwise maxima per channel, and windows to sum.
//!
//! A maximum over a window is taken along rows, then along columns, and row maxima are shared by
//! all windows that contain them: 3x3 with stride 2 takes 6 comparisons per output, not 8. Padded
//! positions stay out of the tree.

#![expect(clippy::indexing_slicing, reason = "nodes are numbered as they are made")]

use std::collections::BTreeMap;

use gazelle_share::{TensorShape, Window};

/// A word of one channel: made by `level` (0: the inputs), at `index` among its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PoolNode {
    level: usize,
    index: usize,
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
        let span = |start: usize, before: usize, kernel: usize, limit: usize| {
            let first = start.saturating_sub(before);
            let end = (start + kernel).saturating_sub(before).min(limit);
            (first < end).then_some(first..end)
        };
        let mut tree = Self { counts: vec![input.len()], levels: Vec::new(), outputs: Vec::new() };
        // Maxima along the rows, for the rows that some window needs.
        let mut rows: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut lists: Vec<Vec<PoolNode>> = Vec::new();
        let mut columns: Vec<Vec<usize>> = Vec::new();
        for y in 0..output.height {
            for x in 0..output.width {
                let [kh, kw] = window.kernel;
                let ys = span(y * window.stride[0], window.pads.top, kh, input.height)?;
                let xs = span(x * window.stride[1], window.pads.left, kw, input.width)?;
                let mut column = Vec::with_capacity(ys.len());
                for row in ys {
                    let next = lists.len();
                    let list = *rows.entry((row, x)).or_insert(next);
                    if list == next {
                        let node =
                            |column| PoolNode { level: 0, index: input.index(0, row, column) };
                        lists.push(xs.clone().map(node).collect());
                    }
                    column.push(list);
                }
                columns.push(column);
            }
        }
        let rows = tree.reduce(lists)?;
        let lists = columns
            .into_iter()
            .map(|column| column.into_iter().map(|i| rows[i]).collect())
            .collect();
        tree.outputs = tree.reduce(lists)?;
        Some(tree)
    }

    /// Reduces each list to one word, all lists level by level.
    fn reduce(&mut self, mut lists: Vec<Vec<PoolNode>>) -> Option<Vec<PoolNode>> {
        while lists.iter().any(|list| list.len() > 1) {
            let level = self.counts.len();
            let mut pairs = Vec::new();
            for list in &mut lists {
                let old = std::mem::take(list);
                for pair in old.chunks(2) {
                    match *pair {
                        [a, b] => {
                            list.push(PoolNode { level, index: pairs.len() });
                            pairs.push((a, b));
                        }
                        [a] => list.push(a),
                        _ => {}
                    }
                }
            }
            self.counts.push(pairs.len());
            self.levels.push(pairs);
        }
        lists.into_iter().map(|list| list.first().copied()).collect()
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

    /// Number of levels.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Comparisons per channel.
    #[cfg(test)]
    fn comparisons(&self) -> usize {
        self.levels.iter().map(Vec::len).sum()
    }
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
    use gazelle_share::Pads;

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
        }
    }

    #[test]
    fn properties_a_window_inside_the_padding_is_refused() {
        let window = Window { kernel: [1, 1], stride: [1, 1], pads: Pads::all(1) };
        assert!(MaxTree::new(&window, TensorShape::new(1, 2, 2)).is_none());
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
