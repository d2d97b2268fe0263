//! One function per ONNX operator.

mod arithmetic;
mod layers;
mod movement;
mod pooling;

use super::import::{Call, Dynamic, Importer, Value};
use super::tensor::ElementType;

type Results = Result<Vec<Value>, String>;

/// Appends the operations of one node with a private input.
pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Results {
    if !call.domain.is_empty() {
        return Err(format!("operators of the domain {:?} are not supported", call.domain));
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
        "Cast" => {
            let to = call.attributes.int("to", 1);
            if ElementType::from_onnx(to).is_ok_and(ElementType::is_float) {
                return one(call.tensor(0));
            }
            let name = super::tensor::type_name(to);
            Err(format!("a private tensor cannot be cast to {name}: only floats are computed with"))
        }
        _ => Err("this operator is not supported".into()),
    }
}
