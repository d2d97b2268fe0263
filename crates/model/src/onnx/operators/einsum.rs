//! `Einsum` of one private tensor, alone or with a constant.

use super::matrix::{Contraction, Label, operands};
use super::movement::permute;
use super::reduce::{Reduction, over};
use crate::onnx::call::{Call, Dynamic, Importer, Value};
use crate::onnx::equation::Equation;

pub(super) fn einsum(importer: &mut Importer<'_>, call: &Call<'_>) -> Result<Dynamic, String> {
    let text = call.attributes.string("equation").ok_or("the equation is missing")?;
    let ranks: Vec<usize> = call.inputs.iter().flatten().filter_map(rank).collect();
    let Equation { operands: letters, result } = Equation::parse(&text, &ranks)?;
    let once = |letters: &Vec<char>| {
        let mut sorted = letters.clone();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.len() == letters.len()
    };
    if !letters.iter().chain([&result]).all(once) || letters.len() > 2 {
        return Err(format!(
            "the equation {text:?}: sums of products of one private tensor and at most one \
             constant, without repeated letters, are supported; write it as Transpose, MatMul and \
             ReduceSum"
        ));
    }
    let labels = |letters: &[char]| letters.iter().map(|c| Label::from(*c)).collect::<Vec<_>>();
    match letters.as_slice() {
        [own] => alone(importer, call, own, &result),
        [a, b] => {
            let (x, w, left) = operands(call)?;
            let (x_letters, w_letters) = if left { (b, a) } else { (a, b) };
            let (x_labels, w_labels, out) = (labels(x_letters), labels(w_letters), labels(&result));
            Contraction { x: &x, x_labels: &x_labels, w: &w, w_labels: &w_labels, out: &out }.push(
                importer,
                call.name,
                &[],
            )
        }
        _ => Err("an equation without operands".into()),
    }
}

fn rank(value: &Value) -> Option<usize> {
    match value {
        Value::Constant(constant) => Some(constant.dims.len()),
        Value::Tensor(tensor) => Some(tensor.dims.len()),
        _ => None,
    }
}

/// The sum over what the result lacks, and the rest in its order.
fn alone(
    importer: &mut Importer<'_>,
    call: &Call<'_>,
    own: &[char],
    result: &[char],
) -> Result<Dynamic, String> {
    let x = call.tensor(0)?;
    let summed: Vec<usize> =
        own.iter().enumerate().filter(|(_, c)| !result.contains(c)).map(|(at, _)| at).collect();
    let kept: Vec<char> = own.iter().copied().filter(|c| result.contains(c)).collect();
    let y = over(importer, call.name, &x, &summed, false, Reduction::Sum)?;
    let place = |letter: &char| kept.iter().position(|c| c == letter);
    let order: Option<Vec<usize>> = result.iter().map(place).collect();
    let order = order.ok_or("a letter of the result that the operand lacks")?;
    permute(importer, call.name, &y, &order)
}
