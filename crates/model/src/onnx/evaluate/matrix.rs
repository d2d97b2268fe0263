//! Matrix products: `Gemm`, `MatMul`.

use gazelle_share::plain;

use super::{Application, fused};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// Columns that the right factor is asked for together.
pub(super) const COLUMNS: usize = plain::COLUMNS;

/// `out[r, c] = sum_k a[r, k] b[k, c]`, row-major.
///
/// - `a`: `[rows, depth]`.
/// - `fill(first, column, panel)`: writes `b[first + k, column + j]` to `panel[k][j]`, as far as there are such
///   columns.
pub(super) fn product(
    sizes: [usize; 3],
    a: &[f32],
    fill: impl Fn(usize, usize, &mut [[f32; COLUMNS]]) + Sync,
) -> Vec<f32> {
    let [rows, _, columns] = sizes;
    let mut out = vec![0.0f32; rows * columns];
    product_into(sizes, a, fill, &[], &mut out);
    out
}

/// The same, and what is added to each row, if something is.
pub(super) fn product_into(
    [rows, depth, columns]: [usize; 3],
    a: &[f32],
    fill: impl Fn(usize, usize, &mut [[f32; COLUMNS]]) + Sync,
    bias: &[f32],
    out: &mut [f32],
) {
    let left = |row: usize, first: usize, to: &mut [f32]| {
        let from = dims::part(a, row * depth + first..(row + 1) * depth);
        to.iter_mut().zip(from).for_each(|(to, a)| *to = *a);
    };
    let put = |[row, _]: [usize; 2], sums: &[f32], to: &mut [f32]| match bias.get(row) {
        Some(bias) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum + bias),
        None => to.copy_from_slice(sums),
    };
    plain::product_with([rows, depth, columns], left, fill, put, out);
}

/// A matrix in memory as the right factor of [`product`]; `strides` of its rows and columns.
pub(super) fn fill_from(
    b: &[f32],
    columns: usize,
    [down, right]: [usize; 2],
) -> impl Fn(usize, usize, &mut [[f32; COLUMNS]]) + Sync {
    move |first, column, panel| {
        let count = COLUMNS.min(columns - column);
        for (k, row) in panel.iter_mut().enumerate() {
            let own = dims::part(b, (first + k) * down + column * right..);
            let own = own.iter().step_by(right.max(1)).take(count);
            row.iter_mut().zip(own).for_each(|(to, b)| *to = *b);
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
    let mut y = product([rows, depth, columns], left, fill_from(right, columns, strides));
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
        let fill = fill_from(right, *columns, [*columns, 1]);
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
                fill_from(&b, columns, [columns, 1]),
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
