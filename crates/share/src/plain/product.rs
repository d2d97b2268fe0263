//! Blocked matrix products, over all threads: what convolutions come down to.

#![expect(clippy::indexing_slicing, reason = "blocks are cut to what is left")]

use rayon::prelude::*;

use super::element::{COLUMNS, Element, ROWS, Row, TERMS};

/// Terms added before a tile's sums are written back: a panel of the right factor stays in cache.
const DEPTH: usize = 256;
/// Panels that one task multiplies.
const PANELS: usize = 8;
/// Below this many multiply-adds one thread does all.
const PARALLEL_MACS: usize = 1 << 20;
/// Rows that a task has at least, where columns are few: each makes the right factor's panels again.
const FEWEST_ROWS: usize = 64;

/// `out[r, c] = sum_k a[r, k] b[k, c]`, row-major, each sum in the order of its terms: on every processor
/// the same bits, floating point included.
///
/// - `left(r, first, row)`: writes `a[r, first + k]` to `row[k]`.
/// - `right(first, column, panel)`: writes `b[first + k, column + j]` to `panel[k][j]`, as far as there are
///   such columns; what lies beyond is used for nothing.
/// - `out`: `rows * columns` elements; what is in it is replaced.
pub fn product<E: Element>(
    sizes: [usize; 3],
    left: impl Fn(usize, usize, &mut [E]) + Sync,
    right: impl Fn(usize, usize, &mut [[E; COLUMNS]]) + Sync,
    out: &mut [E::Sum],
) {
    product_with(sizes, left, right, |_, sums, to| to.copy_from_slice(sums), out);
}

/// The same, with something done to the sums while they are at hand: on any thread, once for each place of
/// `out`.
///
/// - `put([row, column], sums, to)`: writes what is made of some sums of a row to `to`, their places.
pub fn product_with<E: Element, T: Send>(
    [rows, depth, columns]: [usize; 3],
    left: impl Fn(usize, usize, &mut [E]) + Sync,
    right: impl Fn(usize, usize, &mut [[E; COLUMNS]]) + Sync,
    put: impl Fn([usize; 2], &[E::Sum], &mut [T]) + Sync,
    out: &mut [T],
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let width = PANELS * COLUMNS;
    let wide = columns.div_ceil(width);
    let alone = rows.saturating_mul(depth).saturating_mul(columns) < PARALLEL_MACS;
    let high = if alone {
        1
    } else {
        let tasks = 4 * rayon::current_num_threads();
        tasks.div_ceil(wide).min(rows.div_ceil(FEWEST_ROWS))
    };
    let each = rows.div_ceil(high.max(1)).next_multiple_of(ROWS);
    // Each task has its part of some rows.
    let mut tasks = Vec::with_capacity(wide * high);
    for (band, out) in out.chunks_mut(each * columns).enumerate() {
        let first_task = tasks.len();
        tasks.extend((0..wide).map(|part| (band * each, part * width, Vec::with_capacity(each))));
        for row in out.chunks_mut(columns) {
            let own = tasks.iter_mut().skip(first_task);
            own.zip(row.chunks_mut(width)).for_each(|((_, _, parts), part)| parts.push(part));
        }
    }
    let task = |(row, column, parts): (usize, usize, Vec<&mut [T]>)| {
        let left = |r: usize, first: usize, terms: &mut [E]| left(row + r, first, terms);
        let right = |first, panel, terms: &mut [_]| right(first, column + panel * COLUMNS, terms);
        let put =
            |r: usize, c: usize, sums: &[_], to: &mut [_]| put([row + r, column + c], sums, to);
        tiles(depth, left, right, put, parts);
    };
    if alone {
        tasks.into_iter().for_each(task);
    } else {
        tasks.into_par_iter().for_each(task);
    }
}

/// The product, tile by tile.
///
/// - `out`: by row.
fn tiles<E: Element, T>(
    depth: usize,
    left: impl Fn(usize, usize, &mut [E]),
    right: impl Fn(usize, usize, &mut [Row<E>]),
    put: impl Fn(usize, usize, &[E::Sum], &mut [T]),
    mut out: Vec<&mut [T]>,
) {
    let zeros = [Row::<E::Sum>::default(); ROWS];
    // optional: nothing is to be written
    let panels = out.first().map_or(0, |row| row.len().div_ceil(COLUMNS));
    let bands = out.len().div_ceil(ROWS);
    // Sums that more terms are to be added to, by rows and panel.
    let mut sums = vec![zeros; if depth > DEPTH { bands * panels } else { 0 }];
    let mut factors = vec![Row::<E>::default(); panels * DEPTH.min(depth.next_multiple_of(TERMS))];
    for start in (0..depth.max(1)).step_by(DEPTH) {
        let terms = DEPTH.min(depth - start);
        let done = start + terms == depth;
        // Terms beyond the last are zeros, which change no sum.
        let padded = terms.next_multiple_of(TERMS);
        let factors = &mut factors[..panels * padded];
        for (index, panel) in factors.chunks_exact_mut(padded.max(1)).enumerate() {
            let (some, beyond) = panel.split_at_mut(terms);
            right(start, index, some);
            beyond.fill(Row::<E>::default());
            E::arrange(panel);
        }
        let mut own = [[[E::default(); TERMS]; ROWS]; DEPTH / TERMS];
        let own = &mut own[..padded / TERMS];
        for (band, out) in out.chunks_mut(ROWS).enumerate() {
            for r in 0..ROWS {
                let mut line = [E::default(); DEPTH];
                if r < out.len() {
                    left(band * ROWS + r, start, &mut line[..terms]);
                }
                for (own, terms) in own.iter_mut().zip(line.as_chunks::<TERMS>().0) {
                    own[r] = *terms;
                }
            }
            for panel in 0..panels {
                let mut tile = zeros;
                let kept = sums.get_mut(band * panels + panel);
                if let Some(kept) = &kept {
                    tile = **kept;
                }
                E::add_tile(own, &factors[panel * padded..][..padded], &mut tile);
                if done {
                    let column = panel * COLUMNS;
                    for ((r, out), sums) in out.iter_mut().enumerate().zip(&tile) {
                        let count = COLUMNS.min(out.len() - column);
                        let to = &mut out[column..][..count];
                        put(band * ROWS + r, column, &sums[..count], to);
                    }
                } else if let Some(kept) = kept {
                    *kept = tile;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn properties_the_blocked_product_is_the_sum_of_products_in_order(
            rows in 1usize..80,
            depth in 0usize..600,
            columns in 1usize..300,
        ) {
            let a: Vec<f32> = (0..rows * depth).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..depth * columns).map(|i| (i as f32 * 1.3).cos()).collect();
            let mut got = vec![f32::NAN; rows * columns];
            product(
                [rows, depth, columns],
                |r, first, to| to.copy_from_slice(&a[r * depth + first..][..to.len()]),
                |first, column, panel| {
                    for (k, row) in panel.iter_mut().enumerate() {
                        let from = &b[(first + k) * columns + column..];
                        row.iter_mut().zip(&from[..COLUMNS.min(columns - column)])
                            .for_each(|(to, from)| *to = *from);
                    }
                },
                &mut got,
            );
            for r in 0..rows {
                for c in 0..columns {
                    let sum = (0..depth)
                        .fold(0.0f32, |sum, k| sum + a[r * depth + k] * b[k * columns + c]);
                    prop_assert_eq!(got[r * columns + c].to_bits(), sum.to_bits());
                }
            }
        }
    }
}
