//! Values of ONNX files, for comparison with another program (fuzz/onnx/graphs.py): reads lines of
//! JSON, `{"model": PATH, "inputs": [[..], ..], "calibration": [[..], ..]}`, and answers each with
//! one, `{"f32": {"reference": [[..], ..], "imported": .., "lowered": ..}, "fixed": .., "tolerance": t}`
//! or `{"refused": why}`; a network that cannot be quantised has the reason under `unquantised`.

use std::io::{BufRead, Write};
use std::path::Path;

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{ImportOptions, ModelError, Options, float, load, passes, quantise};
use serde::Deserialize;
use serde_json::{Value, json};

/// Fraction bits of what is revealed.
const RESOLUTION: i32 = 10;

#[derive(Deserialize)]
struct Question {
    model: String,
    inputs: Vec<Vec<f32>>,
    calibration: Vec<Vec<f32>>,
}

/// What computes a network's output.
type Run<'a> = &'a dyn Fn(&[f32]) -> Result<Vec<f32>, ModelError>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let answer = std::panic::catch_unwind(|| answer(&question));
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => json!({ "refused": error.to_string() }),
            Err(_) => json!({ "panic": true }),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(question: &Question) -> Result<Value, ModelError> {
    let model = load(Path::new(&question.model), &ImportOptions::default())?;
    let lowered = passes::lower(&model.graph)?;
    let each = |run: Run<'_>| {
        question.inputs.iter().map(|input| run(input)).collect::<Result<Vec<_>, _>>()
    };
    let values = json!({
        "reference": each(&|input| model.reference.logits(input))?,
        "imported": each(&|input| float::run(&model.graph, input))?,
        "lowered": each(&|input| float::run(&lowered, input))?,
    });
    let options = Options {
        calibration: question.calibration.clone(),
        resolution: Some(RESOLUTION),
        ..Options::default()
    };
    let quantised = match quantise(&model.graph, &options) {
        Ok(quantised) => quantised,
        Err(error) => return Ok(json!({ "f32": values, "unquantised": error.to_string() })),
    };
    let architecture = quantised.network.architecture();
    let mut in_fixed_point = Vec::new();
    for (seed, input) in question.inputs.iter().enumerate() {
        let words = fixed::encode(architecture, input)?;
        let run = fixed::run(&quantised.network, &words, Rounding::Random(seed as u64))?;
        in_fixed_point.push(fixed::decode(architecture, &run));
    }
    let tolerance = quantised.report.tolerance;
    Ok(json!({ "f32": values, "fixed": in_fixed_point, "tolerance": tolerance }))
}
