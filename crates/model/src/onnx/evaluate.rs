//! Operators on tensors whose values are known: the definition that everything else is held
//! against. Constants are folded with it, and the reference evaluates whole files with it.
//!
//! Each operator is computed as onnxruntime computes it, on tensors of any rank, in f32; nothing of
//! the importer's lowering or of the passes is used.

mod activation;
mod convolution;
mod einsum;
mod elementwise;
mod matrix;
mod movement;
mod normalisation;
mod padding;
mod pooling;
mod quantised;
mod reduction;
mod resize;
mod shape;
mod window;

use std::sync::Arc;

pub(super) use activation::softmax_layout;
pub(super) use shape::shape_of;

use super::attributes::Attributes;
use super::dims;
use super::tensor::Array;

/// A node with the values of its inputs.
pub(super) struct Application<'a> {
    /// The operator.
    pub(super) op: &'a str,
    /// Its domain, empty for ONNX's own.
    pub(super) domain: &'a str,
    /// The version of the domain's operators.
    pub(super) opset: i64,
    /// The node's attributes.
    pub(super) attributes: Attributes<'a>,
    /// Inputs; `None` where an optional one is left out.
    pub(super) inputs: Vec<Option<Arc<Array>>>,
    /// How many outputs the node names.
    pub(super) outputs: usize,
    /// How quantised values are rounded.
    pub(super) arithmetic: Arithmetic,
    /// Multiply-adds that it may take.
    pub(super) limit: u64,
}

/// How a file's quantised values are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// As the file says: they are integers.
    AsWritten,
    /// In f32: quantisation clips but does not round. What the private computation comes near to,
    /// whose own rounding is finer.
    Exact,
}

impl Application<'_> {
    /// What is said of a name in some list of operators that nothing computes.
    fn without_value(&self) -> String {
        format!("{} has a name here and no value", self.op)
    }

    /// A required input.
    fn input(&self, index: usize) -> Result<&Array, String> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    fn optional(&self, index: usize) -> Option<&Array> {
        self.inputs.get(index).and_then(Option::as_deref)
    }

    /// A list that is an input from an opset on, and an attribute before.
    fn list(&self, index: usize, name: &str) -> Option<Vec<i64>> {
        match self.optional(index) {
            Some(tensor) => Some(tensor.int_list()),
            None => self.attributes.ints(name).map(<[i64]>::to_vec),
        }
    }

    /// An attribute that is one of ONNX's own operators' names, as text.
    fn text(&self, name: &str, default: &str) -> String {
        match self.attributes.string(name) {
            Some(text) if !text.is_empty() => text,
            _ => default.to_owned(),
        }
    }

    /// Refuses a node that takes more multiply-adds than it may.
    fn bounded(&self, sizes: &[usize]) -> Result<(), String> {
        let work = product(sizes);
        if work <= self.limit {
            Ok(())
        } else {
            Err(format!("{work} multiply-adds, {} at most are left", self.limit))
        }
    }

    /// An axis attribute of the first input.
    fn axis(&self, default: i64) -> Result<usize, String> {
        dims::axis(self.attributes.int("axis", default), self.input(0)?.dims.len())
    }
}

/// Whether this operator has a definition here.
pub(super) fn knows(domain: &str, op: &str) -> bool {
    match domain {
        "" | "ai.onnx" => {
            shape::OPERATORS.contains(&op)
                || elementwise::OPERATORS.contains(&op)
                || activation::OPERATORS.contains(&op)
                || movement::OPERATORS.contains(&op)
                || reduction::OPERATORS.contains(&op)
                || matches!(
                    op,
                    "Conv"
                        | "ConvTranspose"
                        | "Gemm"
                        | "MatMul"
                        | "Einsum"
                        | "BatchNormalization"
                        | "InstanceNormalization"
                        | "LRN"
                        | "LpNormalization"
                        | "MaxPool"
                        | "AveragePool"
                        | "GlobalAveragePool"
                        | "GlobalMaxPool"
                        | "Pad"
                        | "Resize"
                        | "Upsample"
                        | "QuantizeLinear"
                        | "DequantizeLinear"
                )
        }
        "com.microsoft" => matches!(
            op,
            "FusedConv" | "FusedGemm" | "FusedMatMul" | "QuantizeLinear" | "DequantizeLinear"
        ),
        _ => false,
    }
}

/// Computes one node's outputs, as many as the operator has or the node names.
///
/// # Errors
/// A sentence about what does not fit, without the node's name.
pub(super) fn run(call: &Application<'_>) -> Result<Vec<Array>, String> {
    let one = |result: Result<Array, String>| result.map(|tensor| vec![tensor]);
    let results = match call.op {
        op if !knows(call.domain, op) => Err("this operator is not supported".into()),
        "Conv" | "FusedConv" => one(convolution::conv(call)),
        "ConvTranspose" => one(convolution::conv_transpose(call)),
        "Gemm" | "FusedGemm" => one(matrix::gemm(call)),
        "MatMul" | "FusedMatMul" => one(matrix::matmul(call)),
        "Einsum" => one(einsum::einsum(call)),
        "BatchNormalization" => one(normalisation::batch(call)),
        "InstanceNormalization" => one(normalisation::instance(call)),
        "LRN" => one(normalisation::local_response(call)),
        "LpNormalization" => one(normalisation::lp(call)),
        "MaxPool" => pooling::max_pool(call),
        "AveragePool" => one(pooling::average_pool(call)),
        "GlobalAveragePool" => one(pooling::global_average(call)),
        "GlobalMaxPool" => one(pooling::global_max(call)),
        "Pad" => one(padding::pad(call)),
        "Resize" | "Upsample" => one(resize::resize(call)),
        "QuantizeLinear" => one(quantised::quantize(call)),
        "DequantizeLinear" => one(quantised::dequantize(call)),
        op if shape::OPERATORS.contains(&op) => one(shape::run(call)),
        op if activation::OPERATORS.contains(&op) => one(activation::run(call)),
        op if reduction::OPERATORS.contains(&op) => one(reduction::run(call)),
        op if movement::OPERATORS.contains(&op) => movement::run(call),
        _ => one(elementwise::run(call)),
    };
    let results = results?;
    results.iter().try_for_each(|result| dims::count(&result.dims).map(|_| ()))?;
    Ok(results)
}

/// What a fused node computes behind its sum: an activation by name.
fn fused(call: &Application<'_>) -> Result<Box<dyn Fn(f32) -> f32>, String> {
    let parameter = |index: usize, name: &str, default: f32| {
        let list = call.attributes.floats("activation_params");
        match list.and_then(|list| list.get(index).copied()) {
            Some(value) => value,
            None => call.attributes.float(name, default),
        }
    };
    Ok(match call.text("activation", "").as_str() {
        "" => Box::new(|x| x),
        "Relu" => Box::new(|x| x.max(0.0)),
        "LeakyRelu" => {
            let alpha = parameter(0, "activation_alpha", 0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "Clip" => {
            let (low, high) = (parameter(0, "min", f32::MIN), parameter(1, "max", f32::MAX));
            Box::new(move |x| x.max(low).min(high))
        }
        "HardSigmoid" => {
            let (alpha, beta) =
                (parameter(0, "activation_alpha", 0.2), parameter(1, "activation_beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "Sigmoid" => Box::new(activation::sigmoid),
        "Tanh" => Box::new(f32::tanh),
        other => return Err(format!("the fused activation {other:?} is not supported")),
    })
}

fn product(sizes: &[usize]) -> u64 {
    sizes.iter().fold(1u64, |product, size| product.saturating_mul(*size as u64))
}

/// About how many multiply-adds a node takes, from its inputs' sizes.
pub(super) fn work(call: &Application<'_>) -> u64 {
    // optional: an input may be left out
    let dims = |index: usize| call.optional(index).map_or(&[][..], |input| &input.dims);
    let at = |index: usize, axis: usize| dims::size(dims(index), axis);
    match call.op {
        "Conv" | "FusedConv" | "ConvTranspose" => {
            let spatial = product(dims::part(dims(0), 2..));
            product(dims(1)).saturating_mul(spatial).saturating_mul(at(0, 0) as u64)
        }
        "Gemm" | "FusedGemm" | "MatMul" | "FusedMatMul" => {
            let columns = at(1, dims(1).len().saturating_sub(1)).max(at(1, 0));
            product(dims(0)).saturating_mul(columns as u64)
        }
        "MaxPool" | "AveragePool" => {
            let kernel = call.attributes.list("kernel_shape");
            let fold = |work: u64, size: &i64| work.saturating_mul(size.unsigned_abs());
            kernel.iter().fold(product(dims(0)), fold)
        }
        _ => product(dims(0)),
    }
}
