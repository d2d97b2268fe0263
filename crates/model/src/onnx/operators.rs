//! One function per ONNX operator.

mod arithmetic;
mod layers;
mod movement;
mod pooling;

use std::rc::Rc;

use super::constant::Constant;
use super::dims::axis;
use super::import::{Call, Dynamic, Importer, Value};
use crate::graph::Activation;

type Results = Result<Vec<Value>, String>;

/// Runs one node: folds it if all inputs are constant, else appends operations.
pub(super) fn run(importer: &mut Importer, call: &Call<'_>) -> Results {
    if call.op == "Shape" {
        return shape(call);
    }
    if call.all_constant() {
        return fold(importer, call).map(|constant| vec![Value::Constant(Rc::new(constant))]);
    }
    let one = |result: Result<Dynamic, String>| result.map(|tensor| vec![Value::Tensor(tensor)]);
    match call.op {
        "Conv" => one(layers::conv(importer, call)),
        "Gemm" => one(layers::gemm(importer, call)),
        "MatMul" => one(layers::matmul(importer, call)),
        "BatchNormalization" => one(layers::batch_normalization(importer, call)),
        "Relu" => one(layers::relu(importer, call)),
        "Clip" => one(layers::clip(importer, call)),
        "LeakyRelu" => one(layers::leaky_relu(importer, call)),
        "PRelu" => one(layers::prelu(importer, call)),
        "MaxPool" => one(pooling::max_pool(importer, call)),
        "AveragePool" => one(pooling::average_pool(importer, call)),
        "GlobalAveragePool" => one(pooling::global_average(importer, call)),
        "GlobalMaxPool" => one(pooling::global_max(importer, call)),
        "ReduceMean" => one(pooling::reduce_mean(importer, call)),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Neg" | "Sum" => {
            one(arithmetic::run(importer, call))
        }
        "Concat" => one(movement::concat(importer, call)),
        "Split" => movement::split(importer, call),
        "Slice" => one(movement::slice(importer, call)),
        "Pad" => one(movement::pad(importer, call)),
        "Transpose" => one(movement::transpose(importer, call)),
        "Flatten" => one(movement::flatten(importer, call)),
        "Reshape" => one(movement::reshape(importer, call)),
        "Squeeze" => one(movement::squeeze(importer, call)),
        "Unsqueeze" => one(movement::unsqueeze(importer, call)),
        "Identity" | "Dropout" => one(call.tensor(0)),
        "Cast" => match call.attributes.int("to", 1) {
            1 => one(call.tensor(0)),
            other => Err(format!("cast of a private tensor to type {other}")),
        },
        "Softmax" => one(last(call, Activation::Softmax)),
        "Sigmoid" => one(last(call, Activation::Sigmoid)),
        _ => Err("this operator is not supported".into()),
    }
}

fn last(call: &Call<'_>, activation: Activation) -> Result<Dynamic, String> {
    let tensor = call.tensor(0)?;
    if tensor.activation.is_some() {
        return Err("two final activations".into());
    }
    Ok(Dynamic { activation: Some(activation), ..tensor })
}

fn shape(call: &Call<'_>) -> Results {
    let dims = match call.inputs.first() {
        Some(Some(Value::Constant(constant))) => constant.dims.clone(),
        _ => call.tensor(0)?.dims,
    };
    let values: Vec<i64> = dims.iter().map(|dim| *dim as i64).collect();
    let rank = values.len() as i64;
    let bound = |name, default| {
        let value = call.attributes.int(name, default);
        (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let values = values.get(start..end.max(start)).unwrap_or_default().to_vec();
    Ok(vec![Value::Constant(Rc::new(Constant::ints(vec![values.len()], values)))])
}

/// Operators on constants: what exporters leave of shape arithmetic.
fn fold(importer: &Importer, call: &Call<'_>) -> Result<Constant, String> {
    let attributes = call.attributes;
    if call.op == "Constant" {
        return Constant::from_attributes(attributes);
    }
    let first = call.required(0)?;
    let rank = first.dims.len();
    match call.op {
        "Identity" | "Dropout" => Ok((*first).clone()),
        "Cast" => first.cast(attributes.int("to", 1)),
        "Add" | "Sub" | "Mul" | "Div" => first.arithmetic(&*call.required(1)?, call.op),
        "Gather" => first.gather(&*call.required(1)?, axis(attributes.int("axis", 0), rank)?),
        "Concat" => {
            let parts: Result<Vec<_>, String> =
                (0..call.inputs.len()).map(|i| call.required(i)).collect();
            let parts = parts?;
            let axis = axis(attributes.int("axis", 0), rank)?;
            Constant::concat(&parts.iter().map(|part| &**part).collect::<Vec<_>>(), axis)
        }
        "ConstantOfShape" => {
            let dims: Option<Vec<usize>> =
                first.int_list().into_iter().map(|dim| usize::try_from(dim).ok()).collect();
            let value = attributes.get("value").and_then(|value| value.t.as_ref());
            let value = value.map(Constant::from_proto).transpose()?;
            Constant::filled(&dims.ok_or("a negative axis")?, value.as_ref())
        }
        "Expand" => {
            let dims: Option<Vec<usize>> = call
                .required(1)?
                .int_list()
                .into_iter()
                .map(|dim| usize::try_from(dim).ok())
                .collect();
            let dims = super::dims::broadcast(&first.dims, &dims.ok_or("a negative axis")?)?;
            first.broadcast_to(&dims)
        }
        "Transpose" => match attributes.ints("perm") {
            Some(order) => {
                let order: Result<Vec<usize>, String> =
                    order.iter().map(|value| axis(*value, rank)).collect();
                first.transpose(&order?)
            }
            None => first.transpose(&(0..rank).rev().collect::<Vec<_>>()),
        },
        "Slice" => {
            let mut result = (*first).clone();
            for cut in movement::cuts(importer.opset, call, &first.dims)? {
                if cut.step < 0 {
                    let order: Vec<i64> =
                        (0..cut.count as i64).map(|i| cut.start as i64 + i * cut.step).collect();
                    result = result.gather(&Constant::ints(vec![order.len()], order), cut.axis)?;
                } else {
                    result = result.slice(cut.axis, cut.start, cut.step as usize, cut.count)?;
                }
            }
            Ok(result)
        }
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            first.reshape(movement::new_dims(importer.opset, call, &first.dims)?)
        }
        _ => Err("this operator is not supported on constants".into()),
    }
}
