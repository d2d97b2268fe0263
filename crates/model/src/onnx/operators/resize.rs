//! `Resize` and `Upsample`: nearest pixels are chosen, others are a matrix along each axis.

use super::matrix::{Contraction, Label, along};
use super::selection::{AxisPositions, select};
use crate::onnx::call::{Call, Dynamic, Importer};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// Entries of a matrix over rows and columns at once; larger ones go axis by axis.
const MOST_ENTRIES: usize = 1 << 20;

/// How one axis is resized.
struct ResizedAxis {
    place: usize,
    from: usize,
    to: usize,
    /// As the file gives it, or from the sizes.
    scale: f32,
}

/// The node's settings.
struct Settings {
    coordinates: String,
    mode: String,
    nearest: String,
}

impl Settings {
    fn read(importer: &Importer<'_>, call: &Call<'_>) -> Result<Self, String> {
        let text = |name: &str, default: &str| {
            let given = call.attributes.string(name).filter(|text| !text.is_empty());
            // optional: an attribute may be left out
            given.unwrap_or_else(|| default.to_owned())
        };
        let mode = match text("mode", "nearest").as_str() {
            "bilinear" => "linear".to_owned(),
            mode => mode.to_owned(),
        };
        let old = importer.opset < 11 || call.op == "Upsample";
        if call.attributes.int("antialias", 0) != 0 {
            return Err("antialias is not supported".into());
        }
        Ok(Self {
            coordinates: if old {
                "asymmetric".into()
            } else {
                text("coordinate_transformation_mode", "half_pixel")
            },
            mode,
            nearest: if old { "simple".into() } else { text("nearest_mode", "round_prefer_floor") },
        })
    }

    /// The place in the input of an output position, in the arithmetic of `onnxruntime`.
    fn origin(&self, axis: &ResizedAxis, at: usize) -> Result<f32, String> {
        let (x, from, to) = (at as f32, axis.from as f32, axis.to as f32);
        let half = |x: f32| (x + 0.5) / axis.scale - 0.5;
        Ok(match self.coordinates.as_str() {
            "half_pixel" => half(x),
            "pytorch_half_pixel" if axis.to > 1 => half(x),
            "align_corners" if axis.to > 1 => x * (from - 1.0) / (to - 1.0),
            "pytorch_half_pixel" | "align_corners" => 0.0,
            "asymmetric" => x / axis.scale,
            "tf_half_pixel_for_nn" => (x + 0.5) / axis.scale,
            "half_pixel_symmetric" => {
                let adjustment = to / (axis.scale * from);
                from / 2.0 * (1.0 - adjustment) + half(x)
            }
            other => {
                return Err(format!("coordinate_transformation_mode {other} is not supported"));
            }
        })
    }

    fn nearest(&self, axis: &ResizedAxis, at: usize) -> Result<usize, String> {
        let x = self.origin(axis, at)?;
        let on_a_pixel = (x - x.round()).abs() < 1e-5;
        let jumps = matches!(self.nearest.as_str(), "floor" | "ceil") && on_a_pixel;
        if self.coordinates == "half_pixel_symmetric" && jumps {
            return Err(
                "half_pixel_symmetric falls on a pixel, which programs round differently; \
                        use half_pixel"
                    .into(),
            );
        }
        let rounded = match self.nearest.as_str() {
            "floor" => x.floor(),
            "round_prefer_ceil" => x.round(),
            "round_prefer_floor" if x - x.floor() <= 0.5 => x.floor(),
            "ceil" | "round_prefer_floor" => x.ceil(),
            "simple" if axis.scale < 1.0 => x.ceil(),
            "simple" => x.trunc(),
            other => return Err(format!("nearest_mode {other}")),
        };
        Ok(rounded.clamp(0.0, (axis.from - 1) as f32) as usize)
    }

    /// Weights `[to, from]`.
    fn matrix(&self, axis: &ResizedAxis) -> Result<Vec<f32>, String> {
        let mut matrix = vec![0.0; axis.from * axis.to];
        let last = axis.from - 1;
        for (at, row) in matrix.chunks_mut(axis.from).enumerate() {
            let x = self.origin(axis, at)?;
            let mut add = |at: i64, weight: f32| {
                let at = at.clamp(0, last as i64) as usize;
                if let Some(slot) = row.get_mut(at) {
                    *slot += weight;
                }
            };
            let x = x.clamp(0.0, last as f32);
            let low = x.floor();
            add(low as i64, 1.0 - (x - low));
            add(low as i64 + 1, x - low);
        }
        Ok(matrix)
    }
}

/// The axes that change.
fn axes(
    importer: &Importer<'_>,
    call: &Call<'_>,
    from: &[usize],
) -> Result<Vec<ResizedAxis>, String> {
    let list = |index: usize| -> Result<Option<Vec<f32>>, String> {
        let constant = call.constant(index)?.map(|constant| constant.floats());
        Ok(constant.filter(|list| !list.is_empty()))
    };
    let (scales, sizes) = match (call.op, importer.opset) {
        ("Upsample", ..9) => (call.attributes.get("scales").map(|list| list.floats.clone()), None),
        ("Upsample", _) | ("Resize", ..11) => (list(1)?, None),
        _ => (list(2)?, list(3)?),
    };
    let places: Vec<usize> = match call.attributes.ints("axes") {
        Some(axes) => axes.iter().map(|a| dims::axis(*a, from.len())).collect::<Result<_, _>>()?,
        None => (0..from.len()).collect(),
    };
    let given = scales.as_ref().or(sizes.as_ref()).ok_or("neither scales nor sizes are given")?;
    if given.len() != places.len() {
        return Err(format!("{} scales or sizes for {} axes", given.len(), places.len()));
    }
    let mut ratios = Vec::with_capacity(places.len());
    for (axis, given) in places.iter().zip(given) {
        let from = dims::size(from, *axis) as f32;
        ratios.push(if scales.is_some() {
            (*given, (from * given).floor())
        } else {
            (given / from, *given)
        });
    }
    // optional: sizes are taken as they are if nothing is said
    let policy = call.attributes.string("keep_aspect_ratio_policy").unwrap_or_default();
    let kept = match policy.as_str() {
        "" | "stretch" => None,
        _ if scales.is_some() => None,
        "not_larger" => ratios.iter().map(|ratio| ratio.0).reduce(f32::min),
        "not_smaller" => ratios.iter().map(|ratio| ratio.0).reduce(f32::max),
        other => return Err(format!("keep_aspect_ratio_policy {other:?}")),
    };
    let mut axes = Vec::new();
    for (axis, (own, wanted)) in places.into_iter().zip(ratios) {
        let from = dims::size(from, axis);
        let (scale, to) = match kept {
            // One ratio for all axes, the nearest size.
            Some(kept) => (kept, (from as f32 * kept).round()),
            None => (own, wanted),
        };
        if !(1.0..=65536.0).contains(&to) {
            return Err(format!("{from} positions resized to {to}"));
        }
        if scale.to_bits() != 1f32.to_bits() {
            axes.push(ResizedAxis { place: axis, from, to: to as usize, scale });
        }
    }
    Ok(axes)
}

pub(super) fn resize(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let settings = Settings::read(importer, call)?;
    let axes = axes(importer, call, &x.dims)?;
    match settings.mode.as_str() {
        "nearest" => {
            let mut lists: Vec<(usize, AxisPositions)> = Vec::with_capacity(axes.len());
            for axis in &axes {
                let list = (0..axis.to).map(|at| settings.nearest(axis, at).map(Some));
                lists.push((axis.place, list.collect::<Result<_, _>>()?));
            }
            select(importer, call.name, &x, lists)
        }
        "linear" => interpolate(importer, call.name, &x, &settings, &axes),
        other => Err(format!("mode {other}: nearest and linear are supported")),
    }
}

fn interpolate(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    settings: &Settings,
    axes: &[ResizedAxis],
) -> Result<Dynamic, String> {
    let mut matrices = Vec::with_capacity(axes.len());
    for axis in axes {
        let entries = axis.from.saturating_mul(axis.to);
        if entries > dims::MAX_ELEMENTS {
            return Err(format!("{} positions resized to {}", axis.from, axis.to));
        }
        matrices.push(Array::floats_of(vec![axis.to, axis.from], settings.matrix(axis)?));
    }
    if let ([a, b], [first, second]) = (axes, matrices.as_slice())
        && first.floats().len().saturating_mul(second.floats().len()) <= MOST_ENTRIES
    {
        // Both at once: one layer instead of two with a rescaling between.
        let (one, two) = (first.floats(), second.floats());
        let both = one.iter().flat_map(|x| two.iter().map(move |y| x * y)).collect();
        let both = Array::floats_of(vec![a.to, a.from, b.to, b.from], both);
        let x_labels: Vec<Label> = (0..x.dims.len() as Label).collect();
        let (rows, columns) = (a.place as Label, b.place as Label);
        let (new_rows, new_columns) = (x.dims.len() as Label, x.dims.len() as Label + 1);
        let renamed = |label: &Label| match *label {
            label if label == rows => new_rows,
            label if label == columns => new_columns,
            label => label,
        };
        let out: Vec<Label> = x_labels.iter().map(renamed).collect();
        let w_labels = [new_rows, rows, new_columns, columns];
        return Contraction { x, x_labels: &x_labels, w: &both, w_labels: &w_labels, out: &out }
            .push(importer, name, &[]);
    }
    let mut y = x.clone();
    for (axis, matrix) in axes.iter().zip(&matrices) {
        y = along(importer, name, &y, axis.place, matrix)?;
    }
    Ok(y)
}
