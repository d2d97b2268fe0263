//! Pools over windows and over whole planes.

use rayon::prelude::*;

use super::Application;
use super::window::{self, Windows};
use crate::onnx::dims;
use crate::onnx::tensor::{Array, Data};

/// Batch times channels, and the spatial axes.
fn planes(x: &Array) -> Result<(usize, &[usize]), String> {
    match &*x.dims {
        [batch, channels, spatial @ ..] if !spatial.is_empty() => Ok((batch * channels, spatial)),
        dims => Err(format!("a pool needs batch, channels and space, this tensor is {dims:?}")),
    }
}

fn windows(call: &Application<'_>, spatial: &[usize]) -> Result<Windows, String> {
    if call.attributes.ints("kernel_shape").is_none_or(<[i64]>::is_empty) {
        return Err("kernel_shape is missing".into());
    }
    let kernel = window::sizes(call, "kernel_shape", spatial.len())?;
    let dilated = call.attributes.list("dilations").iter().any(|dilation| *dilation > 1);
    if dilated && call.text("auto_pad", "NOTSET").starts_with("SAME") {
        return Err("auto_pad with dilations, which programs read differently".into());
    }
    let windows = Windows::new(call, spatial, kernel)?;
    let planes: usize = call.input(0)?.dims.iter().take(2).product();
    let sizes = [dims::count(&windows.output)?, dims::count(&windows.kernel)?, planes];
    call.bounded(&sizes)?;
    Ok(windows)
}

fn pooled_dims(x: &Array, windows: &Windows) -> Vec<usize> {
    x.dims.iter().take(2).chain(&windows.output).copied().collect()
}

/// Planes that one task pools.
const PLANES: usize = 16;

/// Maximum, and where it is in the whole tensor if somebody wants to know.
pub(super) fn max_pool(call: &Application<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let (_, spatial) = planes(x)?;
    let windows = windows(call, spatial)?;
    let size: usize = spatial.iter().product();
    let dims = pooled_dims(x, &windows);
    if call.outputs > 1 && call.attributes.int("storage_order", 0) != 0 {
        return Err("indices in column-major order".into());
    }
    let values = x.to_floats();
    let mut indices = None;
    let maxima = if call.outputs > 1 || !windows.overlap() {
        let best = with_places(&windows, &values, size);
        if call.outputs > 1 {
            let places = best.iter().map(|(_, at)| *at as i64).collect();
            indices = Some(Array::ints(dims.clone(), places));
        }
        best.into_iter().map(|(value, _)| value).collect()
    } else {
        windows.maxima(&values)
    };
    let mut y = Array::floats_of(dims, maxima);
    if let (Data::Float(values), Data::Int(_)) = (&y.data, &x.data) {
        y.data = Data::Int(values.iter().map(|value| *value as i64).collect());
    }
    y.kind = x.kind;
    Ok(std::iter::once(y).chain(indices).collect())
}

/// The largest value of each window, the first of equals, and where it is.
///
/// - `values`: planes of `size` elements.
fn with_places(windows: &Windows, values: &[f32], size: usize) -> Vec<(f32, usize)> {
    let total: usize = windows.output.iter().product();
    // A window's places serve several planes.
    let some = |(chunk, values): (usize, &[f32])| {
        let count = values.len() / size.max(1);
        let mut result = vec![(f32::MIN, 0); count * total];
        let mut index = 0;
        windows.visit(|_, inside| {
            let own = result.iter_mut().skip(index).step_by(total.max(1));
            for (plane, (best, values)) in own.zip(values.chunks(size.max(1))).enumerate() {
                for at in inside {
                    if let Some(value) = values.get(*at) {
                        // Which it is cannot be foreseen: a choice is quicker than a branch.
                        let better = *value > best.0;
                        best.0 = if better { *value } else { best.0 };
                        best.1 = if better { *at } else { best.1 };
                    }
                }
                best.1 += (chunk * PLANES + plane) * size;
            }
            index += 1;
        });
        result
    };
    let best =
        values.par_chunks(PLANES.saturating_mul(size).max(1)).enumerate().flat_map_iter(some);
    best.collect()
}

/// Mean over the window: over what lies on the input, or on its padding too.
pub(super) fn average_pool(call: &Application<'_>) -> Result<Array, String> {
    let x = call.input(0)?;
    let (_, spatial) = planes(x)?;
    let windows = windows(call, spatial)?;
    let include = call.attributes.int("count_include_pad", 0) != 0;
    let size: usize = spatial.iter().product();
    let plane = |values: &[f32]| {
        let mut result = Vec::new();
        windows.visit(|covered, inside| {
            let sum: f32 = inside.iter().filter_map(|at| values.get(*at)).sum();
            let count = if include { covered } else { inside.len() };
            result.push(if count == 0 { 0.0 } else { sum / count as f32 });
        });
        result
    };
    let y = x.as_floats()?.par_chunks(size.max(1)).flat_map_iter(plane).collect();
    Ok(Array::floats_of(pooled_dims(x, &windows), y))
}

fn global(call: &Application<'_>, act: impl Fn(&[f32]) -> f32) -> Result<Array, String> {
    let x = call.input(0)?;
    let (_, spatial) = planes(x)?;
    let size: usize = spatial.iter().product();
    let y: Vec<f32> = x.as_floats()?.chunks(size.max(1)).map(act).collect();
    let mut dims: Vec<usize> = x.dims.iter().take(2).copied().collect();
    dims.resize(x.dims.len(), 1);
    Ok(Array::floats_of(dims, y))
}

pub(super) fn global_average(call: &Application<'_>) -> Result<Array, String> {
    global(call, |plane| plane.iter().sum::<f32>() / plane.len() as f32)
}

pub(super) fn global_max(call: &Application<'_>) -> Result<Array, String> {
    global(call, |plane| plane.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[kernel, stride, dilation, before, behind, input, output]` of each axis.
    fn windows(axes: &[[usize; 7]]) -> Windows {
        let [kernel, stride, dilation, before, behind, input, output] =
            std::array::from_fn(|at| axes.iter().map(|axis| axis[at]).collect());
        Windows { input, kernel, stride, dilation, before, behind, output }
    }

    #[test]
    fn properties_maxima_axis_by_axis_are_those_of_whole_windows() {
        for axes in [
            &[[3, 2, 1, 0, 0, 9, 4], [3, 2, 1, 1, 1, 8, 4]][..],
            &[[3, 1, 1, 1, 1, 7, 7], [3, 3, 1, 1, 2, 10, 4], [1, 1, 1, 0, 0, 3, 3]],
            // The last windows lie in the padding alone.
            &[[2, 1, 1, 0, 3, 4, 4], [4, 2, 1, 3, 3, 11, 7]],
            &[[5, 1, 1, 2, 2, 13, 13]],
        ] {
            let windows = windows(axes);
            assert!(windows.overlap());
            let size: usize = windows.input.iter().product();
            let values: Vec<f32> =
                (0..3 * size).map(|i| ((i * 7919 + 13) % 997) as f32 - 700.0).collect();
            let expected = with_places(&windows, &values, size);
            let expected: Vec<f32> = expected.into_iter().map(|(value, _)| value).collect();
            assert_eq!(windows.maxima(&values), expected);
        }
    }

    #[test]
    fn adversarial_windows_that_would_take_more_memory_than_the_planes_go_one_by_one() {
        // 131,073 windows along the first axis, one along the second: 32 GiB in between.
        let padded = [1, 1, 1, 65_536, 65_536, 1, 131_073];
        assert!(!windows(&[padded, [1, 65_536, 1, 0, 0, 65_536, 1]]).overlap());
        assert!(!windows(&[[2, 2, 1, 0, 0, 4, 2], [1, 2, 1, 0, 0, 4, 2]]).overlap());
        // 65,537 columns for each of one.
        assert!(!windows(&[[2, 2, 1, 0, 0, 4, 2], [2, 1, 65_536, 0, 0, 65_537, 1]]).overlap());
    }
}
