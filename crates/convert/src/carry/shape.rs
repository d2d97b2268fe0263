//! Which tree carries are computed with: the cheapest of a given height.
//!
//! A tree of height L over n bits is a leaf (two bits; one, if n = 1), or a merge of a *high* part and
//! a *low* part of at least two bits, both of height L - 1 at most. The high part may also be a bare
//! bit: with p = s ^ c, g = s c the carry g ^ p g' is c ^ p (c ^ g'), so that the merge alone is paid.
//!
//! | | bits, on- and offline | OTs |
//! |---|---|---|
//! | leaf of two bits | 8 | 2 |
//! | leaf of one bit | 2 | 1 |
//! | merge whose p is wanted | 6 | 2 |
//! | merge whose p is not: of the lowest part | 4 | 2 |
//!
//! An OT counts as a bit and a half, about what it costs on the wire. Of equally cheap trees the one with
//! the smallest high part is taken. High parts always need p; low parts only if the merge's p is wanted.

#![expect(clippy::indexing_slicing, reason = "tables have a row for every width up to n")]

/// A node that a tree begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// Two bits: (g, p) from a correlation.
    Pair,
    /// One bit: the same, if the tree has no other.
    One,
    /// One bit that costs nothing: p = s ^ c is shared as it is, and the merge above does without g.
    Bit,
}

impl LeafKind {
    /// Bits that the server opens of it, and the client if its number is an online value.
    pub(super) fn opened(self) -> usize {
        match self {
            Self::Pair => 2,
            Self::One => 1,
            Self::Bit => 0,
        }
    }
}

/// Where a node behind a level comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// It was there before.
    Keep,
    /// A merge of two neighbours; `bit`: whether the higher one is a [`LeafKind::Bit`].
    Merge {
        /// See above.
        bit: bool,
    },
}

/// Twice the bits, and three for each OT.
const PAIR: u32 = 2 * 8 + 3 * 2;
const ONE: u32 = 2 * 2 + 3;
const MERGE: [u32; 2] = [2 * 4 + 3 * 2, 2 * 6 + 3 * 2];

/// The first nodes with their lowest bits, and what every level makes of its nodes.
pub(super) type Shape = (Vec<(LeafKind, usize)>, Vec<Vec<Join>>);

/// Levels that n bits need at least: two-bit leaves are merged in pairs.
pub(crate) fn least_levels(bits: u32) -> usize {
    bits.div_ceil(2).next_power_of_two().trailing_zeros() as usize
}

/// The cheapest tree of at most `levels` levels over `bits` >= 1 bits.
pub(super) fn cheapest(bits: usize, keeps_p: bool, levels: usize) -> Shape {
    let mut growth = Growth { table: table(bits, levels), leaves: Vec::new(), merges: Vec::new() };
    let (_, height) = growth.grow(bits, keeps_p, levels, 0);
    let mut nodes: Vec<usize> = (0..growth.leaves.len()).collect();
    let mut joins = Vec::with_capacity(height);
    for level in 1..=height {
        let (mut level_joins, mut left) = (Vec::new(), Vec::new());
        let mut next = nodes.iter().copied().peekable();
        while let Some(low) = next.next() {
            let merge = growth.merges.iter().find(|merge| (merge.level, merge.low) == (level, low));
            level_joins.push(match merge {
                // The high part is the next node.
                Some(merge) => {
                    next.next();
                    Join::Merge { bit: merge.bit }
                }
                None => Join::Keep,
            });
            left.push(low);
        }
        joins.push(level_joins);
        nodes = left;
    }
    (growth.leaves, joins)
}

/// How the cheapest tree of some width, height and purpose begins.
#[derive(Clone, Copy)]
struct Best {
    cost: u32,
    /// Bits of the high part; 0 for a leaf.
    high: usize,
    /// The height that both parts may have.
    below: usize,
}

/// By levels, whether p is wanted, and bits.
type Table = Vec<[Vec<Option<Best>>; 2]>;

fn table(bits: usize, levels: usize) -> Table {
    let leaf = |width| match width {
        1 => Some(Best { cost: ONE, high: 0, below: 0 }),
        2 => Some(Best { cost: PAIR, high: 0, below: 0 }),
        _ => None,
    };
    let leaves: Vec<Option<Best>> = (0..=bits).map(leaf).collect();
    let mut table: Table = vec![[leaves.clone(), leaves]];
    for below in 0..levels {
        let last = &table[below];
        let mut now = last.clone();
        for (keeps_p, best) in now.iter_mut().enumerate() {
            for (width, best) in best.iter_mut().enumerate().skip(3) {
                for high in 1..=width - 2 {
                    let above = match high {
                        1 => Some(0),
                        _ => last[1][high].map(|part| part.cost),
                    };
                    let parts = above.zip(last[keeps_p][width - high].map(|part| part.cost));
                    let Some((above, low)) = parts else { continue };
                    let cost = above + low + MERGE[keeps_p];
                    if best.is_none_or(|best| cost < best.cost) {
                        *best = Some(Best { cost, high, below });
                    }
                }
            }
        }
        table.push(now);
    }
    table
}

/// A merge of the nodes that begin with the leaves `low` and, next to it, another one.
struct Merged {
    level: usize,
    low: usize,
    bit: bool,
}

struct Growth {
    table: Table,
    leaves: Vec<(LeafKind, usize)>,
    merges: Vec<Merged>,
}

impl Growth {
    /// Adds the tree over `bits` bits from bit `start` on; returns its first leaf and its height.
    fn grow(&mut self, bits: usize, keeps_p: bool, levels: usize, start: usize) -> (usize, usize) {
        let first = self.leaves.len();
        let best = self.table[levels][usize::from(keeps_p)][bits];
        let Some(Best { high, below, .. }) = best.filter(|best| best.high > 0) else {
            debug_assert!(bits <= 2, "the height suffices for the width");
            let kind = if bits == 1 { LeafKind::One } else { LeafKind::Pair };
            self.leaves.push((kind, start));
            return (first, 0);
        };
        let (_, low_height) = self.grow(bits - high, keeps_p, below, start);
        let top = start + bits - high;
        let high_height = if high == 1 {
            self.leaves.push((LeafKind::Bit, top));
            0
        } else {
            self.grow(high, true, below, top).1
        };
        let level = 1 + low_height.max(high_height);
        self.merges.push(Merged { level, low: first, bit: high == 1 });
        (first, level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits (with the client's share known offline) and OTs of the cheapest trees, by hand: 9 bits are
    /// (1 over 1 over 2) over (2 over 1 over 2).
    #[test]
    fn known_answer_costs_of_the_cheapest_trees() {
        let cost = |bits: usize, keeps_p, levels| {
            table(bits, levels)[levels][usize::from(keeps_p)][bits].unwrap().cost
        };
        for (bits, keeps_p, levels, wanted) in [
            (1, false, 0, (2, 1)),
            (2, true, 0, (8, 2)),
            (3, false, 1, (12, 4)),
            (3, true, 1, (14, 4)),
            (4, false, 1, (20, 6)),
            (4, false, 2, (16, 6)),
            (9, false, 3, (48, 16)),
            (9, false, 4, (44, 16)),
            (11, true, 3, (68, 20)),
            (11, true, 4, (66, 20)),
            (11, false, 3, (62, 20)),
        ] {
            assert_eq!(cost(bits, keeps_p, levels), 2 * wanted.0 + 3 * wanted.1, "{bits} {levels}");
        }
    }

    #[test]
    fn properties_every_width_has_a_tree_of_the_least_height_that_covers_each_bit_once() {
        for bits in 1..=64u32 {
            for spare in 0..3 {
                let levels = least_levels(bits) + spare;
                for keeps_p in [false, true] {
                    let (leaves, joins) = cheapest(bits as usize, keeps_p, levels);
                    assert!(joins.len() <= levels);
                    let mut next = 0;
                    for (kind, start) in &leaves {
                        assert_eq!(*start, next);
                        next += if *kind == LeafKind::Pair { 2 } else { 1 };
                    }
                    assert_eq!(next, bits as usize);
                    let merges = joins.iter().flatten().filter(|join| **join != Join::Keep).count();
                    assert_eq!(merges + 1, leaves.len());
                    assert_eq!(joins.last().map_or(1, Vec::len), 1, "one node is left");
                }
            }
        }
    }
}
