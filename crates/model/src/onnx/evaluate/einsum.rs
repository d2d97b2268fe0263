//! `Einsum` by its definition: one loop over all letters.

use super::{Application, product};
use crate::onnx::dims;
use crate::onnx::equation::Equation;
use crate::onnx::tensor::{Array, strides};

/// Sum over the letters that the result does not have.
pub(super) fn einsum(call: &Application<'_>) -> Result<Array, String> {
    let equation = call.text("equation", "");
    let ranks: Vec<usize> = call.inputs.iter().flatten().map(|input| input.dims.len()).collect();
    let Equation { operands, result } = Equation::parse(&equation, &ranks)?;
    let mut letters: Vec<(char, usize)> = Vec::new();
    let mut inputs = Vec::with_capacity(operands.len());
    for (index, operand) in operands.iter().enumerate() {
        let input = call.input(index)?;
        if operand.len() != input.dims.len() {
            return Err(format!("the equation {equation:?} does not fit {:?}", input.dims));
        }
        for (letter, size) in operand.iter().zip(&input.dims) {
            match letters.iter().find(|(other, _)| other == letter) {
                None => letters.push((*letter, *size)),
                Some((_, other)) if other == size => {}
                Some(_) => return Err(format!("{letter:?} of {equation:?} has two sizes")),
            }
        }
        inputs.push((operand, input.as_floats()?, strides(&input.dims)));
    }
    let size = |letter: &char| letters.iter().find(|(c, _)| c == letter).map(|(_, size)| *size);
    let out: Option<Vec<usize>> = result.iter().map(size).collect();
    let out = out.ok_or_else(|| format!("a letter of the result of {equation:?} is unknown"))?;
    let sizes: Vec<usize> = letters.iter().map(|(_, size)| *size).collect();
    call.bounded(&sizes)?;
    // How far one step of each letter goes in an operand.
    let walk = |of: &[char], by: &[usize]| -> Vec<usize> {
        let step =
            |letter: char| of.iter().zip(by).filter(|(c, _)| **c == letter).map(|(_, s)| s).sum();
        letters.iter().map(|(letter, _)| step(*letter)).collect()
    };
    let total = product(&sizes) as usize;
    let places = |walk: &[usize]| dims::indices(&sizes, walk, 0, total);
    let mut terms = vec![1.0f32; total];
    for (operand, values, by) in inputs {
        for (term, at) in terms.iter_mut().zip(places(&walk(operand, &by))) {
            *term *= values.get(at).ok_or("an element beyond the end")?;
        }
    }
    let mut sums = vec![0.0f32; dims::count(&out)?];
    for (term, at) in terms.iter().zip(places(&walk(&result, &strides(&out)))) {
        *sums.get_mut(at).ok_or("an element beyond the end")? += term;
    }
    Ok(Array::floats_of(out, sums))
}
