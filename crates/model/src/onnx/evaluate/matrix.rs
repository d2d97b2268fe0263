//! Matrix products: a blocked kernel for all of them, `Gemm`, `MatMul`.

use rayon::prelude::*;

use super::{Application, fused};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// Rows and columns of one tile, whose sums stay in registers.
const ROWS: usize = 4;
pub(super) const COLUMNS: usize = 8;
/// Terms added before a tile's sums are written back: a panel of the right factor stays in cache.
const DEPTH: usize = 256;
/// Panels that one task multiplies.
const PANELS: usize = 32;

/// `out[r, c] = sum_k a[r, k] b[k, c]`, row-major.
///
/// - `a`: `[rows, depth]`.
/// - `fill(first, panel)`: writes `b[k, first + j]` to `panel[k * COLUMNS + j]` for `j < COLUMNS`;
///   what lies beyond the columns is left alone. Panels come zeroed.
pub(super) fn product(
    [rows, depth, columns]: [usize; 3],
    a: &[f32],
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let width = PANELS * COLUMNS;
    let mut out = vec![0.0f32; rows * columns];
    if rows == 0 || depth == 0 || columns == 0 {
        return out;
    }
    let task = |first: usize| {
        let panels = (columns - first).div_ceil(COLUMNS).min(PANELS);
        let mut b = vec![0.0f32; panels * depth * COLUMNS];
        for (index, panel) in b.chunks_exact_mut(depth * COLUMNS).enumerate() {
            fill(first + index * COLUMNS, panel);
        }
        let mut sums = vec![0.0f32; panels * rows * COLUMNS];
        for start in (0..depth).step_by(DEPTH) {
            let end = (start + DEPTH).min(depth);
            let both = b.chunks_exact(depth * COLUMNS).zip(sums.chunks_exact_mut(rows * COLUMNS));
            for (panel, sums) in both {
                let panel = dims::part(panel, start * COLUMNS..end * COLUMNS);
                for (rows, sums) in a.chunks(ROWS * depth).zip(sums.chunks_mut(ROWS * COLUMNS)) {
                    tile(rows, depth, start, panel, sums);
                }
            }
        }
        sums
    };
    let firsts: Vec<usize> = (0..columns).step_by(width).collect();
    let parts: Vec<Vec<f32>> = firsts.par_iter().map(|first| task(*first)).collect();
    for (first, part) in firsts.into_iter().zip(parts) {
        for (index, panel) in part.chunks_exact(rows * COLUMNS).enumerate() {
            let from = first + index * COLUMNS;
            let used = COLUMNS.min(columns - from);
            for (row, sums) in out.chunks_exact_mut(columns).zip(panel.chunks_exact(COLUMNS)) {
                let target = row.iter_mut().skip(from).take(used);
                target.zip(sums).for_each(|(target, sum)| *target = *sum);
            }
        }
    }
    out
}

#[inline]
fn add_product(acc: &mut [f32; COLUMNS], a: f32, b: &[f32; COLUMNS]) {
    for (acc, b) in acc.iter_mut().zip(b) {
        *acc += a * b;
    }
}

/// Adds the products of up to [`ROWS`] rows of `a` with a panel's columns to `sums`.
fn tile(a: &[f32], depth: usize, start: usize, panel: &[f32], sums: &mut [f32]) {
    let terms = panel.len() / COLUMNS;
    let (panel, _) = panel.as_chunks::<COLUMNS>();
    let mut rows = a.chunks_exact(depth).map(|row| row.get(start..start + terms));
    let mut next = || rows.next().flatten();
    if let (Some(a0), Some(a1), Some(a2), Some(a3)) = (next(), next(), next(), next()) {
        let [mut c0, mut c1, mut c2, mut c3] = [[0.0f32; COLUMNS]; ROWS];
        for ((((b, a0), a1), a2), a3) in panel.iter().zip(a0).zip(a1).zip(a2).zip(a3) {
            add_product(&mut c0, *a0, b);
            add_product(&mut c1, *a1, b);
            add_product(&mut c2, *a2, b);
            add_product(&mut c3, *a3, b);
        }
        let acc = [c0, c1, c2, c3];
        sums.iter_mut().zip(acc.as_flattened()).for_each(|(sum, acc)| *sum += acc);
        return;
    }
    for (row, sums) in a.chunks_exact(depth).zip(sums.chunks_exact_mut(COLUMNS)) {
        let mut acc = [0.0f32; COLUMNS];
        for (b, a) in panel.iter().zip(row.iter().skip(start)) {
            add_product(&mut acc, *a, b);
        }
        sums.iter_mut().zip(acc).for_each(|(sum, acc)| *sum += acc);
    }
}

/// A matrix in memory as the right factor of [`product`]; `strides` of its rows and columns.
pub(super) fn fill_from(
    b: &[f32],
    [depth, columns]: [usize; 2],
    [down, right]: [usize; 2],
) -> impl Fn(usize, &mut [f32]) + Sync {
    move |first, panel| {
        for j in 0..COLUMNS.min(columns - first) {
            let at = (first + j) * right;
            for k in 0..depth {
                let slot = panel.get_mut(k * COLUMNS + j);
                if let (Some(slot), Some(value)) = (slot, b.get(at + k * down)) {
                    *slot = *value;
                }
            }
        }
    }
}

/// `alpha A' B' + beta C`, then the activation of a fused node.
pub(super) fn gemm(call: &Application<'_>) -> Result<Array, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let ([a_rows, a_columns], [b_rows, b_columns]) = (&*a.dims, &*b.dims) else {
        return Err(format!("Gemm of {:?} and {:?}: two matrices are needed", a.dims, b.dims));
    };
    let flag = |name| call.attributes.int(name, 0) != 0;
    let (alpha, beta) = (call.attributes.float("alpha", 1.0), call.attributes.float("beta", 1.0));
    let transposed;
    let (rows, depth, left) = if flag("transA") {
        transposed = a.transpose(&[1, 0])?;
        (*a_columns, *a_rows, transposed.as_floats()?)
    } else {
        (*a_rows, *a_columns, a.as_floats()?)
    };
    let (outer, columns, strides) = if flag("transB") {
        (*b_columns, *b_rows, [1, *b_columns])
    } else {
        (*b_rows, *b_columns, [*b_columns, 1])
    };
    if outer != depth {
        return Err(format!("Gemm of {:?} and {:?}: the sizes do not fit", a.dims, b.dims));
    }
    dims::count(&[rows, columns])?;
    call.bounded(&[rows, depth, columns])?;
    let right = b.as_floats()?;
    let mut y = product([rows, depth, columns], left, fill_from(right, [depth, columns], strides));
    for y in &mut y {
        *y *= alpha;
    }
    if let Some(c) = call.optional(2) {
        let c = c.broadcast_to(&[rows, columns])?;
        y.iter_mut().zip(c.as_floats()?).for_each(|(y, c)| *y += beta * c);
    }
    let act = fused(call)?;
    for y in &mut y {
        *y = act(*y);
    }
    Ok(Array::floats_of(vec![rows, columns], y))
}

/// `NumPy`'s matmul: batches broadcast, vectors are rows or columns.
pub(super) fn matmul(call: &Application<'_>) -> Result<Array, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let fit = || format!("MatMul of {:?} and {:?}: the sizes do not fit", a.dims, b.dims);
    let swapped = |tensor: &Array, name| -> Result<Array, String> {
        let rank = tensor.dims.len();
        if call.attributes.int(name, 0) == 0 || rank < 2 {
            return Ok(tensor.clone());
        }
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 1, rank - 2);
        tensor.transpose(&order)
    };
    let (a, b) = (swapped(a, "transA")?, swapped(b, "transB")?);
    let (row_vector, column_vector) = (a.dims.len() == 1, b.dims.len() == 1);
    let mut a_dims = a.dims.clone();
    let mut b_dims = b.dims.clone();
    if row_vector {
        a_dims.insert(0, 1);
    }
    if column_vector {
        b_dims.push(1);
    }
    let ([a_batch @ .., rows, depth], [b_batch @ .., inner, columns]) = (&*a_dims, &*b_dims) else {
        return Err(fit());
    };
    if depth != inner {
        return Err(fit());
    }
    let batch = dims::broadcast(a_batch, b_batch)?;
    let mut out_dims = batch.clone();
    if !row_vector {
        out_dims.push(*rows);
    }
    if !column_vector {
        out_dims.push(*columns);
    }
    let mut y = Vec::with_capacity(dims::count(&out_dims)?);
    call.bounded(&[y.capacity(), *depth])?;
    let (left, right) = (a.as_floats()?, b.as_floats()?);
    let lefts = dims::broadcast_indices(a_batch, &batch)?;
    let rights = dims::broadcast_indices(b_batch, &batch)?;
    for (i, j) in lefts.into_iter().zip(rights) {
        let left = dims::part(left, i * rows * depth..(i + 1) * rows * depth);
        let right = dims::part(right, j * depth * columns..);
        let fill = fill_from(right, [*depth, *columns], [*columns, 1]);
        y.extend(product([*rows, *depth, *columns], left, fill));
    }
    let alpha = call.attributes.float("alpha", 1.0);
    for y in &mut y {
        *y *= alpha;
    }
    Ok(Array::floats_of(out_dims, y))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn properties_the_blocked_product_is_the_sum_of_products(
            rows in 1usize..12,
            depth in 1usize..600,
            columns in 1usize..40,
        ) {
            let a: Vec<f32> = (0..rows * depth).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..depth * columns).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
            let got = product(
                [rows, depth, columns],
                &a,
                fill_from(&b, [depth, columns], [columns, 1]),
            );
            for r in 0..rows {
                for c in 0..columns {
                    // Small integers: exact in f32.
                    let sum: f32 = (0..depth).map(|k| a[r * depth + k] * b[k * columns + c]).sum();
                    prop_assert!((got[r * columns + c] - sum).abs() < 0.5);
                }
            }
        }
    }
}
