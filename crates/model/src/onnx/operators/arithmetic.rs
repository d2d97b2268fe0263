//! Elementwise arithmetic: with constants, of two tensors, squares.

use gazelle_share::LocalMap;

use crate::graph::Op;
use crate::onnx::constant::Constant;
use crate::onnx::dims;
use crate::onnx::import::{Call, Dynamic, Importer, Value};

pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    match (call.op, call.inputs.as_slice()) {
        ("Neg", _) => affine(importer, call, &call.tensor(0)?, &[-1.0], &[0.0]),
        ("Pow", _) => match call.required(1)?.single() {
            Some(2.0) => {
                let x = call.tensor(0)?;
                importer.push(call.name, Op::Square, &[&x], x.dims.clone())
            }
            _ => Err("only squares are supported".into()),
        },
        ("Sum", _) => {
            let mut sum = call.tensor(0)?;
            for index in 1..call.inputs.len() {
                sum = add(importer, call, &sum, &call.tensor(index)?)?;
            }
            Ok(sum)
        }
        (op, [Some(Value::Tensor(a)), Some(Value::Tensor(b))]) => match op {
            "Add" => add(importer, call, a, b),
            "Sub" => {
                let minus = affine(importer, call, b, &[-1.0], &[0.0])?;
                add(importer, call, a, &minus)
            }
            "Mul" if a.id == b.id => importer.push(call.name, Op::Square, &[a], a.dims.clone()),
            "Mul" if a.dims == b.dims => {
                importer.push(call.name, Op::Multiply, &[a, b], a.dims.clone())
            }
            _ => Err(format!("{op} of two private tensors {:?} and {:?}", a.dims, b.dims)),
        },
        (op, [Some(Value::Tensor(x)), Some(Value::Constant(c))]) => {
            let (x, out) = widened(importer, call, x, c)?;
            let list = spread(c, &out)?;
            match op {
                "Add" => affine(importer, call, &x, &[1.0], &list),
                "Sub" => {
                    affine(importer, call, &x, &[1.0], &list.iter().map(|c| -c).collect::<Vec<_>>())
                }
                "Mul" => affine(importer, call, &x, &list, &[0.0]),
                _ => {
                    let inverse: Vec<f32> = list.iter().map(|c| 1.0 / c).collect();
                    affine(importer, call, &x, &inverse, &[0.0])
                }
            }
        }
        (op, [Some(Value::Constant(c)), Some(Value::Tensor(x))]) => {
            let (x, out) = widened(importer, call, x, c)?;
            let list = spread(c, &out)?;
            match op {
                "Add" => affine(importer, call, &x, &[1.0], &list),
                "Sub" => affine(importer, call, &x, &[-1.0], &list),
                "Mul" => affine(importer, call, &x, &list, &[0.0]),
                _ => Err("division by a private tensor".into()),
            }
        }
        _ => Err("two inputs expected".into()),
    }
}

/// The tensor with as many axes as the broadcast result has.
fn widened(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    x: &Dynamic,
    constant: &Constant,
) -> Result<(Dynamic, Vec<usize>), String> {
    let out = dims::broadcast(&x.dims, &constant.dims)?;
    if dims::count(&out)? != dims::count(&x.dims)? {
        return Err(format!("{:?} is repeated to {out:?}", x.dims));
    }
    Ok((super::movement::relabel(importer, call.name, x, out.clone())?, out))
}

/// A constant spread over a tensor's axes: one value per channel if that is enough.
pub(super) fn spread(constant: &Constant, out: &[usize]) -> Result<Vec<f32>, String> {
    let shape = dims::shape_of(out)?;
    let values = constant.broadcast_to(out)?.finite()?;
    let plane = shape.height * shape.width;
    let uniform = |chunk: &[f32]| chunk.iter().all(|value| Some(value) == chunk.first());
    if values.chunks(plane).all(uniform) {
        return Ok(values.into_iter().step_by(plane).collect());
    }
    Ok(values)
}

fn affine(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    x: &Dynamic,
    scale: &[f32],
    shift: &[f32],
) -> Result<Dynamic, String> {
    if scale.iter().chain(shift).any(|value| !value.is_finite()) {
        return Err("a constant that is not finite, or zero as a divisor".into());
    }
    let channels = dims::shape_of(&x.dims)?.channels;
    let full = |list: &[f32]| match list {
        [single] => vec![*single; channels],
        _ => list.to_vec(),
    };
    let op = Op::Affine { scale: full(scale), shift: full(shift) };
    importer.push(call.name, op, &[x], x.dims.clone())
}

fn add(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    a: &Dynamic,
    b: &Dynamic,
) -> Result<Dynamic, String> {
    if a.dims != b.dims {
        return Err(format!("sum of private tensors {:?} and {:?}", a.dims, b.dims));
    }
    let op = Op::Local(LocalMap::Add { shifts: vec![0, 0] });
    importer.push(call.name, op, &[a, b], a.dims.clone())
}
