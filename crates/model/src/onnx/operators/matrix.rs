//! Products with constant matrices: fully connected layers, or 1x1 convolutions over the columns.
//!
//! One contraction serves all: labels say which axes of the private tensor and of the constant are
//! the same. Labels in both and in the result are a batch (groups of a convolution), in both alone
//! they are summed over, in one alone they are columns or outputs.

use gazelle_share::{Conv2d, LinearOp, Pads, TensorShape};

use super::movement::{permute, relabel};
use crate::graph::Op;
use crate::onnx::call::{Call, Dynamic, Importer, Value};
use crate::onnx::dims;
use crate::onnx::tensor::Array;

/// A label of an axis.
pub(super) type Label = u32;

/// The axis that a matrix product sums over.
const INNER: Label = 0;
/// The other axis of the private operand, and of the constant.
const FREE: [Label; 2] = [100, 101];
/// Rows and columns of a `Gemm`'s result.
const ROWS: Label = 100;
const COLUMNS: Label = 101;

/// The private operand of a contraction, the constant one and the labels of the result.
pub(super) struct Contraction<'a> {
    pub(super) x: &'a Dynamic,
    pub(super) x_labels: &'a [Label],
    pub(super) w: &'a Array,
    pub(super) w_labels: &'a [Label],
    pub(super) out: &'a [Label],
}

/// Sizes by label, in the order of `labels`.
fn sizes(labels: &[Label], of: &[(Label, usize)]) -> Vec<usize> {
    // optional: a label of one operand is of size 1 in the other
    let size = |label: &Label| of.iter().find(|(other, _)| other == label).map_or(1, |(_, n)| *n);
    labels.iter().map(size).collect()
}

fn places(wanted: &[Label], among: &[Label]) -> Result<Vec<usize>, String> {
    let place = |label: &Label| among.iter().position(|other| other == label);
    wanted.iter().map(place).collect::<Option<_>>().ok_or_else(|| "an axis without a label".into())
}

impl Contraction<'_> {
    /// `sum over shared labels of x w`, plus `bias` (none, or one per output: labels of the
    /// constant alone).
    pub(super) fn push(
        &self,
        importer: &mut Importer<'_>,
        name: &str,
        bias: &[f32],
    ) -> Result<Dynamic, String> {
        let Self { x, x_labels, w, w_labels, out } = *self;
        let of: Vec<(Label, usize)> = (x_labels.iter().copied().zip(x.dims.iter().copied()))
            .chain(w_labels.iter().copied().zip(w.dims.iter().copied()))
            .collect();
        let agree = of.iter().all(|(label, size)| sizes(&[*label], &of) == [*size]);
        if !agree || x_labels.len() != x.dims.len() || w_labels.len() != w.dims.len() {
            return Err(format!("product of {:?} and {:?}", x.dims, w.dims));
        }
        let (in_x, in_w) =
            (|label: &Label| x_labels.contains(label), |label: &Label| w_labels.contains(label));
        let pick = |labels: &[Label], test: &dyn Fn(&Label) -> bool| -> Vec<Label> {
            labels.iter().copied().filter(|label| test(label)).collect()
        };
        let batch = pick(out, &|label| in_x(label) && in_w(label));
        let columns = pick(out, &|label| in_x(label) && !in_w(label));
        let outputs = pick(out, &|label| !in_x(label) && in_w(label));
        let inner = pick(x_labels, &|label| !out.contains(label));
        if w_labels.iter().any(|label| !in_x(label) && !out.contains(label))
            || out.len() != batch.len() + columns.len() + outputs.len()
        {
            return Err("a sum over axes of the constant alone".into());
        }
        let join = |parts: [&[Label]; 3]| parts.concat();
        let product = |labels: &[Label]| dims::count(&sizes(labels, &of));
        let (b, k) = (product(&batch)?, product(&inner)?);
        let (n, m) = (product(&outputs)?, product(&columns)?);
        // The constant has no axis for what is summed over in x alone: it is the same for all.
        let absent = pick(&inner, &|label| !in_w(label));
        let mut wide = w.reshape([vec![1; absent.len()], w.dims.clone()].concat())?;
        wide = wide.broadcast_to(&[sizes(&absent, &of), w.dims.clone()].concat())?;
        let wide_labels = [absent, w_labels.to_vec()].concat();
        let order = places(&join([&batch, &outputs, &inner]), &wide_labels)?;
        let weights = wide.transpose(&order)?.finite()?;
        let order = places(&join([&batch, &inner, &columns]), x_labels)?;
        let moved = permute(importer, name, x, &order)?;
        let y = product_of(importer, name, &moved, [b, n, k, m], weights, bias)?;
        let labels = join([&batch, &outputs, &columns]);
        let y = relabel(importer, name, &y, sizes(&labels, &of))?;
        permute(importer, name, &y, &places(out, &labels)?)
    }
}

/// `[batch, inner, columns]` to `[batch, outputs, columns]` by one matrix per batch entry.
fn product_of(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    [batch, outputs, inner, columns]: [usize; 4],
    weights: Vec<f32>,
    bias: &[f32],
) -> Result<Dynamic, String> {
    let count = batch.checked_mul(outputs).ok_or("too many outputs")?;
    let bias = if bias.is_empty() { vec![0.0; count] } else { bias.to_vec() };
    if bias.len() != count {
        return Err(format!("{} bias values for {count} outputs", bias.len()));
    }
    let (op, from, to) = if batch == 1 && columns == 1 {
        let op = LinearOp::FullyConnected { inputs: inner, outputs };
        (op, vec![1, inner], vec![1, outputs])
    } else {
        // The columns as an image that is as square as they divide.
        let root = columns.isqrt();
        let divides = |h: &usize| columns.is_multiple_of(*h);
        let height = (1..=root).rev().find(divides).ok_or("no columns")?;
        let image = [columns / height, height];
        let conv = Conv2d {
            input: TensorShape::new(batch * inner, image[0], image[1]),
            maps: count,
            kernel: [1, 1],
            stride: [1, 1],
            pads: Pads::default(),
            dilation: [1, 1],
            groups: batch,
        };
        let dims = |channels: usize| vec![1, channels, image[0], image[1]];
        (LinearOp::Conv(conv), dims(batch * inner), dims(count))
    };
    op.check()?;
    if weights.len() != op.weight_len() {
        return Err("a matrix of another size".into());
    }
    let x = relabel(importer, name, x, from)?;
    importer.push(name, Op::Linear { op, weights, bias }, &[&x], to)
}

/// The matrix `[outputs, size of the axis]` applied along one axis.
pub(super) fn along(
    importer: &mut Importer<'_>,
    name: &str,
    x: &Dynamic,
    axis: usize,
    matrix: &Array,
) -> Result<Dynamic, String> {
    let x_labels: Vec<Label> = (0..x.dims.len() as Label).collect();
    let (inner, outputs) = (axis as Label, x.dims.len() as Label);
    let mut out = x_labels.clone();
    *out.get_mut(axis).ok_or("no such axis")? = outputs;
    let w_labels = [outputs, inner];
    Contraction { x, x_labels: &x_labels, w: matrix, w_labels: &w_labels, out: &out }.push(
        importer,
        name,
        &[],
    )
}

/// `NumPy`'s matrix product; the constant on either side, with or without a batch.
pub(super) fn matmul(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let (x, w, left) = operands(call)?;
    let alpha = if call.op == "FusedMatMul" { call.attributes.float("alpha", 1.0) } else { 1.0 };
    let turned = |name: &str| call.op == "FusedMatMul" && call.attributes.int(name, 0) != 0;
    let turned = if left {
        [turned("transB"), turned("transA")]
    } else {
        [turned("transA"), turned("transB")]
    };
    // From the right: batch axes 2, 3, ..; the free axis of either operand, and the inner one.
    let labels = |rank: usize, first: bool, free: Label, turned: bool| -> Vec<Label> {
        let mut labels: Vec<Label> = (2..rank as Label).rev().collect();
        match (rank, first != turned) {
            (0 | 1, _) => labels = vec![INNER; rank],
            (_, true) => labels.extend([free, INNER]),
            (_, false) => labels.extend([INNER, free]),
        }
        labels
    };
    let (a, b) = (x.dims.len(), w.dims.len());
    let x_labels = labels(a, !left, FREE[0], turned[0]);
    let w_labels = labels(b, left, FREE[1], turned[1]);
    let (first, second) = if left { (&w_labels, &x_labels) } else { (&x_labels, &w_labels) };
    let (rows, columns) = if left { (FREE[1], FREE[0]) } else { (FREE[0], FREE[1]) };
    let mut out: Vec<Label> = (2..a.max(b) as Label).rev().collect();
    out.extend([rows].iter().filter(|label| first.contains(label)));
    out.extend([columns].iter().filter(|label| second.contains(label)));
    // Batch axes of one element broadcast: as if they were not there.
    let of: Vec<(Label, usize)> = [(&x_labels, &x.dims), (&w_labels, &w.dims)]
        .into_iter()
        .flat_map(|(labels, dims)| labels.iter().copied().zip(dims.iter().copied()))
        .filter(|(label, size)| *size != 1 || *label == INNER || *label >= FREE[0])
        .collect();
    let out_dims = sizes(&out, &of);
    let kept = |labels: &[Label], dims: &[usize]| -> (Vec<Label>, Vec<usize>) {
        let batch = |label: Label| (2..FREE[0]).contains(&label);
        labels.iter().zip(dims).filter(|(l, size)| !(batch(**l) && **size == 1)).unzip()
    };
    let (x_labels, x_dims) = kept(&x_labels, &x.dims);
    let (w_labels, w_dims) = kept(&w_labels, &w.dims);
    out.retain(|label| x_labels.contains(label) || w_labels.contains(label));
    let view = relabel(importer, call.name, &x, x_dims)?;
    let mut w = w.reshape(w_dims)?;
    if alpha.to_bits() != 1f32.to_bits() {
        w = scaled(&w, alpha);
    }
    let product =
        Contraction { x: &view, x_labels: &x_labels, w: &w, w_labels: &w_labels, out: &out };
    let y = product.push(importer, call.name, &[])?;
    relabel(importer, call.name, &y, out_dims)
}

/// A constant times a number.
fn scaled(constant: &Array, factor: f32) -> Array {
    let values = constant.floats().iter().map(|value| value * factor).collect();
    Array::floats_of(constant.dims.clone(), values)
}

/// The private operand, the constant one, and whether the constant stands on the left.
pub(super) fn operands(call: &Call<'_>) -> Result<(Dynamic, std::sync::Arc<Array>, bool), String> {
    match call.inputs.as_slice() {
        [Some(Value::Tensor(x)), Some(Value::Constant(w)), ..] => Ok((x.clone(), w.clone(), false)),
        [Some(Value::Constant(w)), Some(Value::Tensor(x)), ..] => Ok((x.clone(), w.clone(), true)),
        [Some(Value::Tensor(_)), Some(Value::Tensor(_)), ..] => Err("a matrix product of two \
             private tensors is not supported (attention); one of them must be a constant"
            .into()),
        _ => Err("two inputs expected".into()),
    }
}

pub(super) fn gemm(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let (x, w, left) = operands(call)?;
    if x.dims.len() != 2 || w.dims.len() != 2 {
        return Err(format!("product of {:?} and {:?}; two axes each are needed", x.dims, w.dims));
    }
    let turned = |name: &str| call.attributes.int(name, 0) != 0;
    let a = if turned("transA") { [INNER, ROWS] } else { [ROWS, INNER] };
    let b = if turned("transB") { [COLUMNS, INNER] } else { [INNER, COLUMNS] };
    let (x_labels, w_labels) = if left { (b, a) } else { (a, b) };
    let (alpha, beta) = (call.attributes.float("alpha", 1.0), call.attributes.float("beta", 1.0));
    let w = scaled(&w, alpha);
    let product = Contraction {
        x: &x,
        x_labels: &x_labels,
        w: &w,
        w_labels: &w_labels,
        out: &[ROWS, COLUMNS],
    };
    let (first, second) = if left { (&w.dims, &x.dims) } else { (&x.dims, &w.dims) };
    let rows = dims::size(first, usize::from(turned("transA")));
    let columns = dims::size(second, usize::from(!turned("transB")));
    let third = match call.inputs.get(2) {
        Some(Some(Value::Constant(c))) => {
            let c = scaled(c, beta);
            let c = c.broadcast_to(&[rows, columns])?;
            // One summand per output of the constant's side: part of the layer.
            if 1 == if left { columns } else { rows } {
                return product.push(importer, call.name, &c.finite()?);
            }
            Some(Value::Constant(std::sync::Arc::new(c)))
        }
        Some(Some(Value::Tensor(c))) => {
            let scaled = super::pointwise::affine(importer, call.name, c, &[beta], &[0.0])?;
            Some(Value::Tensor(scaled))
        }
        _ => None,
    };
    let y = product.push(importer, call.name, &[])?;
    match third {
        Some(third) => {
            let y = Value::Tensor(y);
            super::arithmetic::binary(importer, call.name, "Add", &y, &third)
        }
        None => Ok(y),
    }
}
