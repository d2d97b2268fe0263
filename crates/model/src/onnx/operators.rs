//! One function per ONNX operator.

mod activations;
mod arithmetic;
mod concat;
mod conv;
mod einsum;
mod matrix;
mod movement;
mod normalisation;
mod pointwise;
mod pooling;
mod reduce;
mod refusals;
mod resize;
mod selection;

use super::call::{Call, Dynamic, Importer, Value};
use super::tensor::ElementType;

/// Operators that `onnxruntime` writes when it optimises a network.
const FUSED: [&str; 3] = ["FusedConv", "FusedGemm", "FusedMatMul"];

pub(super) use reduce::{of_single_values, sum_of_squares};

type Results = Result<Vec<Value>, String>;

/// Appends the operations of one node with a private input.
pub(super) fn run(importer: &mut Importer<'_>, call: &Call<'_>) -> Results {
    let fused = call.domain == "com.microsoft" && FUSED.contains(&call.op);
    if !call.domain.is_empty() && !fused {
        let what = refusals::refusal(call.op);
        return Err(format!("an operator of the domain {:?}; {what}", call.domain));
    }
    let one = |result: Result<Dynamic, String>| result.map(|tensor| vec![Value::Tensor(tensor)]);
    match call.op {
        "Conv" => one(conv::conv(importer, call)),
        "ConvTranspose" => one(conv::conv_transpose(importer, call)),
        "FusedConv" => one(conv::fused(importer, call)),
        "Gemm" => one(matrix::gemm(importer, call)),
        "FusedGemm" => {
            one(matrix::gemm(importer, call).and_then(|y| activations::fused(importer, call, &y)))
        }
        "MatMul" | "FusedMatMul" => one(matrix::matmul(importer, call)),
        "Einsum" => one(einsum::einsum(importer, call)),
        "BatchNormalization" => one(normalisation::batch_normalization(importer, call)),
        "Relu" => one(activations::relu(importer, call)),
        "Clip" => one(activations::clip(importer, call)),
        "LeakyRelu" => one(activations::leaky_relu(importer, call)),
        "PRelu" => one(activations::prelu(importer, call)),
        "Abs" => one(activations::abs(importer, call)),
        "HardSigmoid" => one(activations::hard_sigmoid(importer, call)),
        "MaxPool" => one(pooling::max_pool(importer, call)),
        "AveragePool" => one(pooling::average_pool(importer, call)),
        "GlobalAveragePool" => one(pooling::global_average(importer, call)),
        "GlobalMaxPool" => one(pooling::global_max(importer, call)),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" => one(reduce::run(importer, call)),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Neg" | "Sum" | "Mean" | "Max" | "Min" => {
            one(arithmetic::run(importer, call))
        }
        "Where" => one(arithmetic::choose(importer, call)),
        "Resize" | "Upsample" => one(resize::resize(importer, call)),
        "Gather" => one(selection::gather(importer, call)),
        "Expand" => one(selection::expanded(importer, call)),
        "Tile" => one(selection::tile(importer, call)),
        "DepthToSpace" | "SpaceToDepth" => one(movement::blocks(importer, call)),
        "Concat" => one(concat::concat(importer, call)),
        "Split" => selection::split(importer, call),
        "Slice" => one(selection::slice(importer, call)),
        "Pad" => one(selection::pad(importer, call)),
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
        other => Err(refusals::refusal(other)),
    }
}
