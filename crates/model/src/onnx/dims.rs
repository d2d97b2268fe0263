//! ONNX axes (batch first, any number) and the three axes of a [`TensorShape`].

use gazelle_share::TensorShape;

/// Elements of one tensor at most.
pub(super) const MAX_ELEMENTS: usize = 1 << 28;

/// Axes as the file has them. A leading axis of one is the batch (if another follows) and is not
/// part of the shape; axes behind the third lie along its columns, in the same order of elements.
pub(super) fn shape_of(dims: &[usize]) -> Result<TensorShape, String> {
    let wrong = || format!("a tensor of {dims:?}: empty or too large");
    let mut axes = [1usize; 3];
    for (i, dim) in dims.iter().skip(offset(dims)).enumerate() {
        if let Some(axis) = axes.get_mut(i.min(2)) {
            *axis = axis.checked_mul(*dim).ok_or_else(wrong)?;
        }
    }
    let [c, h, w] = axes;
    let shape = TensorShape::new(c, h, w);
    shape.checked_len(MAX_ELEMENTS).ok_or_else(wrong)?;
    Ok(shape)
}

/// Number of leading batch axes: 0 or 1.
pub(super) fn offset(dims: &[usize]) -> usize {
    usize::from(dims.len() > 1 && dims.first() == Some(&1))
}

/// The size of an axis, or another list's entry for it; none has size 0.
pub(super) fn size(list: &[usize], axis: usize) -> usize {
    // optional: operators refuse a size of 0
    list.get(axis).copied().unwrap_or_default()
}

/// The elements of a range; none where it lies beyond the end.
pub(super) fn part<T>(values: &[T], range: impl std::slice::SliceIndex<[T], Output = [T]>) -> &[T] {
    // optional: callers compare lengths
    values.get(range).unwrap_or_default()
}

/// A possibly negative axis.
pub(super) fn axis(value: i64, rank: usize) -> Result<usize, String> {
    let rank = rank as i64;
    let axis = if value < 0 { value.saturating_add(rank) } else { value };
    if (0..rank).contains(&axis) {
        Ok(axis as usize)
    } else {
        Err(format!("axis {value} of a tensor with {rank}"))
    }
}

/// Product of the axes, if not too large.
pub(super) fn count(dims: &[usize]) -> Result<usize, String> {
    let product = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    product
        .filter(|n| *n <= MAX_ELEMENTS)
        .ok_or_else(|| format!("a tensor of {dims:?} is too large"))
}

/// The axes of a `Reshape`: 0 copies, one -1 is inferred.
pub(super) fn reshaped(
    from: &[usize],
    wanted: &[i64],
    allow_zero: bool,
) -> Result<Vec<usize>, String> {
    let total = count(from)?;
    let mut dims = Vec::with_capacity(wanted.len());
    let mut inferred = None;
    for (i, value) in wanted.iter().enumerate() {
        let dim = match value {
            -1 if inferred.is_none() => {
                inferred = Some(i);
                1
            }
            0 if !allow_zero => *from.get(i).ok_or("reshape copies an axis that is not there")?,
            _ => usize::try_from(*value).map_err(|_| format!("reshape to {wanted:?}"))?,
        };
        dims.push(dim);
    }
    let known = count(&dims)?;
    if let Some(slot) = inferred.and_then(|i| dims.get_mut(i)) {
        // optional: beside an axis of size 0 any is 0
        *slot = total.checked_div(known).unwrap_or_default();
    }
    if count(&dims)? == total {
        Ok(dims)
    } else {
        Err(format!("reshape of {from:?} to {wanted:?}"))
    }
}

/// `NumPy`'s broadcasting of two lists of axes.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], i: usize| {
        // optional: what is not there is of size 1 in broadcasting
        (i + dims.len()).checked_sub(rank).and_then(|i| dims.get(i)).copied().unwrap_or(1)
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// For each element of `to` in order, the index of the element of `from` that broadcasts there.
pub(super) fn broadcast_indices(from: &[usize], to: &[usize]) -> Result<Vec<usize>, String> {
    let missing = to.len().checked_sub(from.len()).ok_or("too many axes to broadcast")?;
    let fits = |(from, to): (&usize, &usize)| *from == 1 || from == to;
    if !from.iter().zip(to.iter().skip(missing)).all(fits) {
        return Err(format!("{from:?} does not broadcast to {to:?}"));
    }
    let mut stride = 1;
    let mut strides = vec![0; to.len()];
    for (i, dim) in from.iter().enumerate().rev() {
        if let Some(slot) = strides.get_mut(i + missing)
            && *dim != 1
        {
            *slot = stride;
        }
        stride *= dim;
    }
    Ok(indices(to, &strides, 0, count(to)?))
}

/// Row-major walk over `dims`: `start + sum position_i strides_i`.
pub(super) fn indices(dims: &[usize], strides: &[usize], start: usize, total: usize) -> Vec<usize> {
    let mut result = Vec::with_capacity(total);
    let mut position = vec![0usize; dims.len()];
    let mut index = start;
    for _ in 0..total {
        result.push(index);
        for ((at, dim), stride) in position.iter_mut().zip(dims).zip(strides).rev() {
            *at += 1;
            index += stride;
            if *at < *dim {
                break;
            }
            index -= *at * stride;
            *at = 0;
        }
    }
    result
}
