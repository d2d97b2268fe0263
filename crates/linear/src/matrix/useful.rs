//! Direct products at the useful coefficients only: what a server evaluates per inference.
//!
//! The GEMM of [`super::direct`] over columns of chosen words costs (terms x useful coefficients):
//! for one map per polynomial that is the plain convolution, where whole polynomials cost
//! (terms x N), with small maps, of which many channels share a polynomial, ten to forty times
//! more. (Hints need whole polynomials: they are multiplied by the client's secret.)

#![expect(
    clippy::indexing_slicing,
    reason = "exponents and positions are below N, columns and rows within the panel"
)]

use std::ops::Range;

use gazelle_ring::Polys;
use gazelle_ring::kernel::gemm::{ROWS, STRIP, block};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::direct::load;
use super::panel::Panel;

/// Columns of a packed panel, strips that share one expansion of the weights, groups of rows that
/// share one packed panel at most: as in [`super::direct`].
const COLUMNS: usize = 128;
const STRIPS: usize = 8;
const GROUPS: usize = 8;

/// The useful coefficients of one row and where they go.
pub(crate) struct Points<'a> {
    pub(crate) positions: &'a [u32],
    pub(crate) out: &'a mut [u64],
}

/// A panel's weights as they lie in memory.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// `[blocks / ROWS][columns][ROWS]`.
    Packed(&'a [[i32; ROWS]]),
    /// `[blocks][columns]`.
    Rows(&'a [i32]),
}

impl Weights<'_> {
    /// `out[column][lane]` for blocks `ROWS group ..` of the panel; missing blocks give zero.
    fn expand(&self, width: usize, group: usize, columns: Range<usize>, out: &mut [[i64; ROWS]]) {
        match self {
            Self::Packed(packed) => {
                let packed = &packed[group * width + columns.start..];
                for ((out, weights), _) in out.iter_mut().zip(packed).zip(columns) {
                    *out = weights.map(i64::from);
                }
            }
            Self::Rows(rows) => {
                out.fill([0; ROWS]);
                let rows = rows.chunks_exact(width.max(1)).skip(group * ROWS).take(ROWS);
                for (lane, row) in rows.enumerate() {
                    for (out, weight) in out.iter_mut().zip(&row[columns.clone()]) {
                        out[lane] = i64::from(*weight);
                    }
                }
            }
        }
    }
}

/// [`ROWS`] consecutive blocks of a panel: its number, and `[block][tile]` points.
struct Group<'a> {
    index: usize,
    blocks: Vec<Vec<Points<'a>>>,
}

/// Adds the products of one panel; `blocks[b][tile]` are the points of block `first_block + b`, the
/// requests of tile t are `first_request + t chunks ..`.
pub(crate) fn accumulate(
    panel: &Panel,
    weights: Weights<'_>,
    chunks: usize,
    (x, first_request): (&Polys, usize),
    blocks: Vec<Vec<Points<'_>>>,
) {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (local, tiles) in blocks.into_iter().enumerate() {
        match groups.last_mut().filter(|group| group.index == local / ROWS) {
            Some(group) => group.blocks.push(tiles),
            None => groups.push(Group { index: local / ROWS, blocks: vec![tiles] }),
        }
    }
    let share = groups.len().div_ceil(2 * rayon::current_num_threads()).clamp(1, GROUPS);
    groups.par_chunks_mut(share).for_each(|groups| {
        let tiles = groups.iter().flat_map(|group| &group.blocks).map(Vec::len).fold(0, usize::max);
        for tile in 0..tiles {
            // Blocks of a panel have the same structure: nearly always there is one list.
            let mut lists: Vec<&[u32]> = Vec::new();
            for tiles in groups.iter().flat_map(|group| &group.blocks) {
                if let Some(points) = tiles.get(tile)
                    && !lists.contains(&points.positions)
                {
                    lists.push(points.positions);
                }
            }
            for list in lists {
                multiply(panel, weights, (x, first_request + tile * chunks), list, tile, groups);
            }
        }
    });
}

/// One tile of a few groups, at the positions of `list`, for the rows that have that list.
fn multiply(
    panel: &Panel,
    weights: Weights<'_>,
    (x, first_request): (&Polys, usize),
    list: &[u32],
    tile: usize,
    groups: &mut [Group<'_>],
) {
    let width = panel.columns.len();
    let mut packed = vec![[0u64; STRIP]; STRIPS * COLUMNS];
    let mut expanded = Zeroizing::new(vec![[0i64; ROWS]; COLUMNS]);
    let mut sums = [[0u64; STRIP]; ROWS];
    let has_list =
        |tiles: &Vec<Points<'_>>| tiles.get(tile).is_some_and(|points| points.positions == list);
    let wanted: Vec<Vec<bool>> =
        groups.iter().map(|group| group.blocks.iter().map(has_list).collect()).collect();
    for strips in strips(list, x.degree()).chunks(STRIPS) {
        for first in (0..width).step_by(COLUMNS) {
            let columns = first..(first + COLUMNS).min(width);
            let count = columns.len();
            for (strip, packed) in strips.iter().zip(packed.chunks_mut(COLUMNS)) {
                strip.pack(x, first_request, &panel.columns[columns.clone()], list, packed);
            }
            for (group, wanted) in groups.iter_mut().zip(&wanted) {
                weights.expand(width, group.index, columns.clone(), &mut expanded[..count]);
                for (strip, packed) in strips.iter().zip(packed.chunks(COLUMNS)) {
                    block(&expanded[..count], &packed[..count], &mut sums);
                    let rows = group.blocks.iter_mut().zip(&sums).zip(wanted);
                    for ((tiles, sums), _) in rows.filter(|(_, wanted)| **wanted) {
                        strip.add(sums, list, tiles[tile].out);
                    }
                }
            }
        }
    }
}

/// Up to [`STRIP`] consecutive entries of a list of positions, computed together.
struct Strip {
    entries: Range<usize>,
    /// The first of the [`STRIP`] consecutive coefficients that are computed; `None`: just the
    /// positions themselves, collected one by one.
    window: Option<usize>,
}

/// Cuts a list: windows where at least three quarters of the coefficients are wanted (rows of a map
/// with a few words of padding between them), collected positions elsewhere.
fn strips(list: &[u32], degree: usize) -> Vec<Strip> {
    let mut strips = Vec::with_capacity(list.len().div_ceil(STRIP) + 1);
    let mut next = 0;
    while next < list.len() {
        let rest = &list[next..list.len().min(next + STRIP)];
        let start = (rest[0] as usize).min(degree - STRIP);
        let within = |pair: &[u32]| pair[0] < pair[1] && (pair[1] as usize) < start + STRIP;
        let covered = 1 + rest.windows(2).take_while(|pair| within(pair)).count();
        let (count, window) = if covered >= STRIP * 3 / 4 || covered == rest.len() {
            (covered, Some(start))
        } else {
            (rest.len(), None)
        };
        strips.push(Strip { entries: next..next + count, window });
        next += count;
    }
    strips
}

impl Strip {
    /// `packed[c]` = the strip's coefficients of column c; where positions are collected, what lies
    /// beyond the last is not read by anybody.
    fn pack(
        &self,
        x: &Polys,
        first_request: usize,
        columns: &[(u32, u32)],
        list: &[u32],
        packed: &mut [[u64; STRIP]],
    ) {
        for (slot, &(chunk, exponent)) in packed.iter_mut().zip(columns) {
            let x = x.poly(first_request + chunk as usize);
            let exponent = exponent as usize;
            if let Some(start) = self.window {
                load(x, exponent, start, slot);
                continue;
            }
            for (slot, position) in slot.iter_mut().zip(&list[self.entries.clone()]) {
                *slot = match (*position as usize).checked_sub(exponent) {
                    Some(index) => x[index],
                    None => x[*position as usize + x.len() - exponent].wrapping_neg(),
                };
            }
        }
    }

    /// Adds a row's sums to the words of its list.
    fn add(&self, sums: &[u64; STRIP], list: &[u32], out: &mut [u64]) {
        let out = &mut out[self.entries.clone()];
        match self.window {
            Some(start) if out.len() < STRIP => {
                for (out, position) in out.iter_mut().zip(&list[self.entries.clone()]) {
                    *out = out.wrapping_add(sums[*position as usize - start]);
                }
            }
            _ => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = out.wrapping_add(*sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_a_list_once_and_follow_rows() {
        // Rows of 56 with a pitch of 57, a comb, a run at the very end, an unordered tail.
        let rows = (0..10u32).flat_map(|row| (0..56).map(move |column| 57 * row + column));
        let comb = (700..900).step_by(5);
        let list: Vec<u32> = rows.chain(comb).chain(1010..1024).chain([3, 2, 1]).collect();
        let strips = strips(&list, 1024);
        let entries: Vec<usize> = strips.iter().flat_map(|strip| strip.entries.clone()).collect();
        assert_eq!(entries, (0..list.len()).collect::<Vec<_>>());
        for strip in &strips {
            assert!(strip.entries.len() <= STRIP);
            if let Some(start) = strip.window {
                assert!(start + STRIP <= 1024);
                let inside = |p: &u32| (start..start + STRIP).contains(&(*p as usize));
                assert!(list[strip.entries.clone()].iter().all(inside));
            }
        }
        // 560 useful words of 569 in 35 windows; the last 8, before the comb, are collected.
        assert_eq!(strips.iter().take_while(|strip| strip.window.is_some()).count(), 35);
    }

    #[test]
    fn both_layouts_of_weights_expand_alike() {
        let (blocks, width) = (11, 5);
        let weight = |block: usize, column: usize| (31 * block + column) as i32 - 100;
        let rows: Vec<i32> =
            (0..blocks).flat_map(|b| (0..width).map(move |c| weight(b, c))).collect();
        let mut packed = vec![[0; ROWS]; 2 * width];
        for (index, weight) in rows.iter().enumerate() {
            let (block, column) = (index / width, index % width);
            packed[block / ROWS * width + column][block % ROWS] = *weight;
        }
        for group in 0..2 {
            for columns in [0..5, 2..4, 4..5] {
                let (mut a, mut b) = ([[7; ROWS]; 5], [[9; ROWS]; 5]);
                let count = columns.len();
                Weights::Packed(&packed).expand(width, group, columns.clone(), &mut a[..count]);
                Weights::Rows(&rows).expand(width, group, columns, &mut b[..count]);
                assert_eq!(a[..count], b[..count]);
            }
        }
    }
}
