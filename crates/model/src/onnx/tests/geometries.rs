//! Convolutions and pools of every small geometry, imported and lowered, against the definition.

use crate::graph::Graph;
use crate::onnx::import;
use crate::onnx::write::{Attribute, Writer};
use crate::{float, passes};

/// What one axis of a window does.
#[derive(Debug, Clone, Copy)]
struct OneAxis {
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: [usize; 2],
    ceil: bool,
}

impl OneAxis {
    /// Windows, if at least one fits: ONNX's formula; with `ceil`, without those that would begin
    /// in the padding behind.
    fn windows(&self) -> Option<usize> {
        let span = self.dilation * (self.kernel - 1) + 1;
        let room = (self.size + self.pads[0] + self.pads[1]).checked_sub(span)?;
        let mut count = if self.ceil { room.div_ceil(self.stride) } else { room / self.stride } + 1;
        if self.ceil && (count - 1) * self.stride >= self.size + self.pads[0] {
            count -= 1;
        }
        Some(count)
    }

    /// Places of a window's taps, from the axis's first element on.
    fn taps(self, window: usize) -> impl Iterator<Item = i64> {
        let start = (window * self.stride) as i64 - self.pads[0] as i64;
        (0..self.kernel).map(move |tap| start + (tap * self.dilation) as i64)
    }

    fn inside(&self, at: i64) -> Option<usize> {
        usize::try_from(at).ok().filter(|at| *at < self.size)
    }
}

/// Every axis with these most values, pads before and behind on their own below `pads(kernel)`.
fn all_axes(
    kernels: usize,
    sizes: usize,
    dilations: usize,
    pads: impl Fn(usize) -> usize,
    ceils: &[bool],
) -> Vec<OneAxis> {
    let mut axes = Vec::new();
    for (kernel, size) in (1..=kernels).flat_map(|k| (1..=sizes).map(move |s| (k, s))) {
        for (stride, dilation) in (1..=3).flat_map(|s| (1..=dilations).map(move |d| (s, d))) {
            for before in 0..pads(kernel) {
                for behind in 0..pads(kernel) {
                    for ceil in ceils {
                        let pads = [before, behind];
                        let axis = OneAxis { size, kernel, stride, dilation, pads, ceil: *ceil };
                        axes.extend(axis.windows().map(|_| axis));
                    }
                }
            }
        }
    }
    axes
}

fn wave(len: usize, f: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * f + 1.0).sin()).collect()
}

fn integers(list: &[usize]) -> Vec<i64> {
    list.iter().map(|value| *value as i64).collect()
}

/// Attributes of a window over rows and columns.
fn window(rows: OneAxis, columns: OneAxis, dilated: bool) -> Vec<(&'static str, Attribute)> {
    let both = |of: fn(OneAxis) -> usize| Attribute::Ints(integers(&[of(rows), of(columns)]));
    let pads = [rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1]];
    let mut list = vec![
        ("kernel_shape", both(|axis| axis.kernel)),
        ("strides", both(|axis| axis.stride)),
        ("pads", Attribute::Ints(integers(&pads))),
    ];
    if dilated {
        list.push(("dilations", both(|axis| axis.dilation)));
    }
    list
}

fn agree(graph: &Graph, x: &[f32], expected: &[f32], what: &dyn Fn() -> String) {
    let lowered = passes::lower(graph).unwrap();
    for graph in [graph, &lowered] {
        let got = float::run(graph, x).unwrap();
        assert_eq!(got.len(), expected.len(), "{}", what());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 2e-4, "{}: {got}, not {expected}", what());
        }
    }
}

/// A pool by its definition; `mean` of what is inside, or of the padding too.
fn pool(x: &[f32], rows: OneAxis, columns: OneAxis, mean: Option<bool>) -> Option<Vec<f32>> {
    let mut values = Vec::new();
    for plane in x.chunks(rows.size * columns.size) {
        for (r, c) in
            (0..rows.windows()?).flat_map(|r| (0..columns.windows().unwrap()).map(move |c| (r, c)))
        {
            let mut inside = Vec::new();
            let mut counted = 0;
            for (y, x) in rows.taps(r).flat_map(|y| columns.taps(c).map(move |x| (y, x))) {
                let padded = |axis: OneAxis, at: i64| at < (axis.size + axis.pads[1]) as i64;
                counted += usize::from(padded(rows, y) && padded(columns, x));
                if let (Some(y), Some(x)) = (rows.inside(y), columns.inside(x)) {
                    inside.push(plane[y * columns.size + x]);
                }
            }
            if inside.is_empty() {
                return None;
            }
            values.push(match mean {
                None => inside.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Some(include) => {
                    let count = if include { counted } else { inside.len() };
                    inside.iter().sum::<f32>() / count as f32
                }
            });
        }
    }
    Some(values)
}

#[test]
fn known_answer_pools_of_all_small_geometries_are_as_defined() {
    for dilations in [1, 2] {
        let axes = all_axes(4, 7, dilations, |kernel| kernel, &[false, true]);
        for (i, rows) in axes.iter().enumerate() {
            // The columns walk through the same list at another pace; one `ceil_mode` for both.
            let columns = OneAxis { ceil: rows.ceil, ..axes[i * 7919 % axes.len()] };
            let opset = [11, 13, 19, 22][i % 4];
            let dilated = rows.dilation > 1 || columns.dilation > 1;
            for mean in [None, Some(false), Some(true)] {
                if columns.windows().is_none() || (dilated && mean.is_some() && opset < 19) {
                    continue;
                }
                let dims = [1, 2, rows.size, columns.size];
                let x = wave(dims.iter().product(), 0.7);
                let mut writer = Writer::new(opset, &integers(&dims));
                let mut attributes = window(*rows, columns, dilated);
                attributes.push(("ceil_mode", Attribute::Int(i64::from(rows.ceil))));
                if let Some(include) = mean {
                    attributes.push(("count_include_pad", Attribute::Int(i64::from(include))));
                }
                let op = if mean.is_none() { "MaxPool" } else { "AveragePool" };
                writer.node(op, &["x"], &["y"], &attributes);
                let what = || format!("{op} {mean:?} {rows:?} {columns:?}");
                match (pool(&x, *rows, columns, mean), import(&writer.finish("y"))) {
                    (Some(expected), Ok(graph)) => agree(&graph, &x, &expected, &what),
                    // A window in the padding alone: its mean is no number.
                    (None, Err(_)) => {}
                    (expected, graph) => panic!("{}: {expected:?} {:?}", what(), graph.err()),
                }
            }
        }
    }
}

/// A convolution by its definition: kernel `[maps, channels / groups, rows, columns]`.
fn convolve(
    x: &[f32],
    kernel: &[f32],
    [channels, maps, groups]: [usize; 3],
    rows: OneAxis,
    columns: OneAxis,
) -> Vec<f32> {
    let in_group = channels / groups;
    let mut values = Vec::new();
    for map in 0..maps {
        let first = map / (maps / groups) * in_group;
        for r in 0..rows.windows().unwrap() {
            for c in 0..columns.windows().unwrap() {
                let mut sum = 0.0;
                for channel in 0..in_group {
                    for (i, y) in rows.taps(r).enumerate() {
                        for (j, z) in columns.taps(c).enumerate() {
                            let (Some(y), Some(z)) = (rows.inside(y), columns.inside(z)) else {
                                continue;
                            };
                            let at = (map * in_group + channel) * rows.kernel + i;
                            let weight = kernel[at * columns.kernel + j];
                            let at = (first + channel) * rows.size + y;
                            sum += weight * x[at * columns.size + z];
                        }
                    }
                }
                values.push(sum);
            }
        }
    }
    values
}

fn check_convolution(
    sizes: [usize; 3],
    rows: OneAxis,
    columns: OneAxis,
    pads: Option<&'static str>,
) {
    let [channels, maps, groups] = sizes;
    let x_dims = [1, channels, rows.size, columns.size];
    let w_dims = [maps, channels / groups, rows.kernel, columns.kernel];
    let x = wave(x_dims.iter().product(), 0.7);
    let w = wave(w_dims.iter().product(), 1.3);
    let mut writer = Writer::new(17, &integers(&x_dims));
    writer.floats("w", &integers(&w_dims), &w);
    let mut attributes = window(rows, columns, true);
    attributes.push(("group", Attribute::Int(groups as i64)));
    if let Some(auto) = pads {
        attributes.retain(|(name, _)| *name != "pads");
        attributes.push(("auto_pad", Attribute::String(auto)));
    }
    writer.node("Conv", &["x", "w"], &["y"], &attributes);
    let what = || format!("{sizes:?} {rows:?} {columns:?} {pads:?}");
    let graph = import(&writer.finish("y")).unwrap();
    agree(&graph, &x, &convolve(&x, &w, sizes, rows, columns), &what);
}

#[test]
fn known_answer_convolutions_of_all_small_geometries_are_as_defined() {
    let axes = all_axes(7, 6, 3, |kernel| kernel + 1, &[false]);
    let sizes = [[1, 1, 1], [2, 3, 1], [4, 2, 2], [3, 3, 3], [2, 4, 2]];
    for (i, rows) in axes.iter().enumerate() {
        let columns = if i % 3 == 0 { *rows } else { axes[i * 7919 % axes.len()] };
        check_convolution(sizes[i % sizes.len()], *rows, columns, None);
    }
}

#[test]
fn known_answer_convolutions_that_choose_their_padding_are_as_defined() {
    for base in all_axes(7, 6, 1, |_| 1, &[false]).into_iter().chain(
        // Kernels beyond the map, which only padding lets fit.
        (1..=6).map(|size| OneAxis {
            size,
            kernel: 7,
            stride: 1,
            dilation: 1,
            pads: [0, 0],
            ceil: false,
        }),
    ) {
        for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
            let covered = (base.size.div_ceil(base.stride) - 1) * base.stride + base.kernel;
            let total = covered.saturating_sub(base.size);
            let pads = match auto {
                "SAME_UPPER" => [total / 2, total - total / 2],
                "SAME_LOWER" => [total - total / 2, total / 2],
                _ => [0, 0],
            };
            let axis = OneAxis { pads, ..base };
            if axis.windows().is_some() {
                check_convolution([2, 3, 1], axis, axis, Some(auto));
            }
        }
    }
}
