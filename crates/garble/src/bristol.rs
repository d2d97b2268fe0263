//! Imports circuits in Bristol Fashion (<https://nigelsmart.github.io/MPC-Circuits/>).
//!
//! A file is trusted for nothing: counts are compared with its length before they size anything,
//! every wire must be written once and before it is read, and errors name the line.
//!
//! ```text
//! gates wires
//! inputs  width width ...
//! outputs width ...
//!
//! 2 1 a b out XOR      also AND
//! 1 1 a out INV        also EQW (copy), EQ (a constant: a is 0 or 1)
//! 4 2 a b c d x y MAND x = a & c, y = b & d
//! ```

use crate::builder::{Builder, Wire};
use crate::circuit::Circuit;
use crate::error::GarbleError;

/// Most input wires that a file may have. Other wires are bounded by its length.
pub const MOST_INPUTS: usize = 1 << 20;

/// A circuit and the widths of its values, in wires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The circuit; its inputs and outputs are those of the file in order.
    pub circuit: Circuit,
    /// Widths of the input values.
    pub inputs: Vec<usize>,
    /// Widths of the output values.
    pub outputs: Vec<usize>,
}

/// Reads a circuit.
///
/// Gates that no output needs are dropped and equal gates merged, so the AND count may be smaller
/// than the file's.
///
/// # Errors
/// [`GarbleError::Circuit`] with the line, if the text is not a well-formed circuit of at most
/// [`MOST_INPUTS`] inputs.
pub fn import(text: &str) -> Result<Imported, GarbleError> {
    let mut lines = (1usize..)
        .zip(text.lines())
        .map(|(line, text)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty());
    let mut header = |what| lines.next().ok_or(GarbleError::Circuit { line: 0, problem: what });
    let (line, text_of_counts) = header("the header is missing")?;
    let &[gates, wires] = numbers(line, text_of_counts)?.as_slice() else {
        return Err(GarbleError::Circuit { line, problem: "expected `gates wires`" });
    };
    // Every wire but an input is named where it is written, every gate has a line.
    if wires > MOST_INPUTS + text.len() / 2 || gates > text.len() / 8 {
        return Err(GarbleError::Circuit { line, problem: "more than the file can hold" });
    }
    let (line, text_of_inputs) = header("the line of inputs is missing")?;
    let inputs = widths(line, text_of_inputs, wires.min(MOST_INPUTS))?;
    let (line, text_of_outputs) = header("the line of outputs is missing")?;
    let outputs = widths(line, text_of_outputs, wires)?;

    let mut import = Import { builder: Builder::new(), wires: vec![None; wires] };
    let input_wires = import.builder.inputs(inputs.iter().sum());
    for (slot, wire) in import.wires.iter_mut().zip(input_wires) {
        *slot = Some(wire);
    }
    let (mut count, mut last) = (0, line);
    for (line, text) in lines {
        import.gate(line, text)?;
        count += 1;
        last = line;
    }
    if count != gates {
        let problem = "the number of gates differs from the header's";
        return Err(GarbleError::Circuit { line: last, problem });
    }
    let first_output = wires.saturating_sub(outputs.iter().sum());
    let output_wires: Option<Vec<Wire>> =
        import.wires.get(first_output..).unwrap_or_default().iter().copied().collect();
    let output_wires = output_wires
        .ok_or(GarbleError::Circuit { line: last, problem: "an output is never written" })?;
    Ok(Imported { circuit: import.builder.finish(&output_wires), inputs, outputs })
}

struct Import {
    builder: Builder,
    wires: Vec<Option<Wire>>,
}

impl Import {
    fn gate(&mut self, line: usize, text: &str) -> Result<(), GarbleError> {
        let error = |problem| GarbleError::Circuit { line, problem };
        let (wires, kind) =
            text.rsplit_once(char::is_whitespace).ok_or(error("expected a gate"))?;
        let fields = numbers(line, wires)?;
        let (&[reads, writes], wires) =
            fields.split_first_chunk::<2>().ok_or(error("expected a gate"))?;
        if reads.checked_add(writes) != Some(wires.len()) {
            return Err(error("the number of wires differs from the line's"));
        }
        match (kind, reads, wires) {
            ("XOR", 2, &[a, b, out]) => {
                let (a, b) = (self.read(line, a)?, self.read(line, b)?);
                let value = self.builder.xor(a, b);
                self.write(line, out, value)
            }
            ("AND", 2, &[a, b, out]) => {
                let (a, b) = (self.read(line, a)?, self.read(line, b)?);
                let value = self.builder.and(a, b);
                self.write(line, out, value)
            }
            ("INV" | "NOT", 1, &[a, out]) => {
                let a = self.read(line, a)?;
                let value = self.builder.not(a);
                self.write(line, out, value)
            }
            ("EQW", 1, &[a, out]) => {
                let value = self.read(line, a)?;
                self.write(line, out, value)
            }
            ("EQ", 1, &[bit @ (0 | 1), out]) => {
                let value = self.builder.constant(bit == 1);
                self.write(line, out, value)
            }
            ("MAND", _, _) if reads == 2 * writes => {
                let (operands, outs) = wires.split_at(reads);
                let (left, right) = operands.split_at(writes);
                for ((&a, &b), &out) in left.iter().zip(right).zip(outs) {
                    let (a, b) = (self.read(line, a)?, self.read(line, b)?);
                    let value = self.builder.and(a, b);
                    self.write(line, out, value)?;
                }
                Ok(())
            }
            ("XOR" | "AND" | "INV" | "NOT" | "EQW" | "EQ" | "MAND", ..) => {
                Err(error("a gate with the wrong number of wires"))
            }
            _ => Err(error("an unknown kind of gate")),
        }
    }

    fn read(&self, line: usize, wire: usize) -> Result<Wire, GarbleError> {
        let problem = "a wire that is not written before it is read";
        self.wires.get(wire).copied().flatten().ok_or(GarbleError::Circuit { line, problem })
    }

    fn write(&mut self, line: usize, wire: usize, value: Wire) -> Result<(), GarbleError> {
        match self.wires.get_mut(wire) {
            Some(slot @ None) => {
                *slot = Some(value);
                Ok(())
            }
            Some(Some(_)) => Err(GarbleError::Circuit { line, problem: "a wire written twice" }),
            None => Err(GarbleError::Circuit { line, problem: "a wire beyond the header's count" }),
        }
    }
}

/// A line of numbers.
fn numbers(line: usize, text: &str) -> Result<Vec<usize>, GarbleError> {
    text.split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| GarbleError::Circuit { line, problem: "expected a number" })
}

/// `count width width ...`, at most `wires` together.
fn widths(line: usize, text: &str, wires: usize) -> Result<Vec<usize>, GarbleError> {
    let fields = numbers(line, text)?;
    let error = |problem| GarbleError::Circuit { line, problem };
    let (&count, widths) = fields.split_first().ok_or(error("expected `count width ...`"))?;
    if count != widths.len() {
        return Err(error("the number of widths differs from the line's count"));
    }
    let total = widths.iter().try_fold(0usize, |sum, width| sum.checked_add(*width));
    if total.is_none_or(|total| total > wires) {
        return Err(error("more wires than allowed"));
    }
    Ok(widths.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All kinds of gates; ours.
    const SMALL: &str = include_str!("../tests/circuits/small.txt");

    #[test]
    fn known_answer_our_small_circuit() {
        let small = import(SMALL).unwrap();
        assert_eq!((&small.inputs[..], &small.outputs[..]), (&[2, 2][..], &[3, 2][..]));
        for value in 0..16u32 {
            let bits: Vec<bool> = (0..4).map(|i| value >> i & 1 == 1).collect();
            let (x, y) = (value & 3, value >> 2);
            let out = small.circuit.evaluate_plain(&bits);
            let number =
                |bits: &[bool]| bits.iter().rev().fold(0, |n, &bit| n << 1 | u32::from(bit));
            assert_eq!(number(&out[..3]), x + y);
            assert_eq!(out[3], x & y & 1 == 1);
            assert!(out[4]);
        }
        assert_eq!(small.circuit.and_count(), 3);
    }

    #[test]
    fn adversarial_bad_files_are_errors_that_name_the_line() {
        let cases = [
            ("", 0, "the header is missing"),
            ("1\n", 1, "expected `gates wires`"),
            ("1 99999999999\n", 1, "more than the file can hold"),
            ("999999 9\n", 1, "more than the file can hold"),
            ("1 3\n2 1\n", 2, "the number of widths differs from the line's count"),
            ("1 3\n1 18446744073709551615\n1 1\n", 2, "more wires than allowed"),
            ("1 3\n2 18446744073709551615 1\n1 1\n", 2, "more wires than allowed"),
            ("1 3\n2 1 1\n", 0, "the line of outputs is missing"),
            (
                "1 3\n2 1 1\n1 1\n\n2 1 0 2 2 AND\n",
                5,
                "a wire that is not written before it is read",
            ),
            ("1 3\n2 1 1\n1 1\n\n2 1 0 1 1 AND\n", 5, "a wire written twice"),
            ("1 3\n2 1 1\n1 1\n\n2 1 0 1 3 AND\n", 5, "a wire beyond the header's count"),
            (
                "1 3\n2 1 1\n1 1\n\n2 1 0 7 2 AND\n",
                5,
                "a wire that is not written before it is read",
            ),
            ("1 3\n2 1 1\n1 1\n\n2 1 0 1 2 OR\n", 5, "an unknown kind of gate"),
            (
                "1 3\n2 1 1\n1 1\n\n1 1 0 1 2 AND\n",
                5,
                "the number of wires differs from the line's",
            ),
            ("1 3\n2 1 1\n1 1\n\n1 1 0 2 AND\n", 5, "a gate with the wrong number of wires"),
            ("1 3\n2 1 1\n1 1\n\n1 1 2 2 EQ\n", 5, "a gate with the wrong number of wires"),
            ("1 3\n2 1 1\n1 1\n\n2 1 x 1 2 AND\n", 5, "expected a number"),
            ("1 3\n2 1 1\n1 1\n\nAND\n", 5, "expected a gate"),
            (
                "2 3\n2 1 1\n1 1\n\n2 1 0 1 2 AND\n",
                5,
                "the number of gates differs from the header's",
            ),
            ("1 4\n2 1 1\n1 2\n\n2 1 0 1 2 AND\n", 5, "an output is never written"),
        ];
        for (text, at, expected) in cases {
            match import(text) {
                Err(GarbleError::Circuit { line, problem }) => {
                    assert_eq!((line, problem), (at, expected), "{text:?}");
                }
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn adversarial_damaged_files_never_panic(at in 0usize..400, byte in 32u8..127) {
            let mut text = SMALL.as_bytes().to_vec();
            let at = at % text.len();
            text[at] = byte;
            let _ = import(&String::from_utf8(text).unwrap());
            let _ = import(&SMALL[..at]);
        }
    }
}
