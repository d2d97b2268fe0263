//! The small ONNX files of `tests/cases`: each through import, reference and fixed point, against
//! the values of onnxruntime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use rayon::prelude::*;
use serde::Deserialize;

use crate::fixed::{self, Rounding};
use crate::graph::{Activation, Graph};
use crate::onnx::generated::ModelProto;
use crate::onnx::program::FileGraph;
use crate::onnx::reference::Reference;
use crate::onnx::{ImportOptions, external, load};
use crate::range::InputRange;
use crate::{ModelError, Options, quantise};

#[derive(Deserialize)]
struct OnnxCase {
    expect: String,
    output: Option<String>,
    resolution: String,
    /// Whether onnxruntime computes with the file's integers, in another order.
    #[serde(default)]
    integers: bool,
    samples: Vec<Sample>,
    calibration: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Sample {
    input: Vec<f32>,
    values: Vec<Option<f32>>,
}

/// How far values may be from onnxruntime's: relative to the largest of the case in f32, and in
/// fixed point.
const IN_F32: f32 = 1e-4;
const IN_FIXED_POINT: f64 = 0.02;

fn folders() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let root = std::env::var_os("GAZELLE_CASES").map_or(own, PathBuf::from);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.json").exists())
        .collect();
    folders.sort();
    folders
}

/// The largest finite value of a case.
fn scale(case: &OnnxCase) -> f32 {
    let all = case.samples.iter().flat_map(|sample| sample.values.iter().flatten());
    all.fold(0f32, |m, x| m.max(x.abs()))
}

/// The evaluator on the file, also where the importer refuses it.
fn reference(folder: &Path, options: &ImportOptions) -> Result<Reference, ModelError> {
    let bytes = std::fs::read(folder.join("model.onnx")).unwrap();
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    external::load(&mut model, Some(folder))?;
    let program = FileGraph::new(model, options)?;
    let known = Arc::default();
    Ok(Reference { program: Arc::new(program), batch: 1, activation: Vec::new(), known })
}

/// The activation whose values are the case's.
fn activated(graph: &Graph) -> Option<Activation> {
    let index = graph.activation == Some(Activation::ArgMax);
    graph.activation.filter(|_| index || graph.activated_output)
}

fn check_reference(folder: &Path, case: &OnnxCase, options: &ImportOptions) -> Result<(), String> {
    let mut moved = false;
    let reference = match load(&folder.join("model.onnx"), options) {
        Ok(imported) => {
            moved = activated(&imported.graph).is_some();
            imported.reference
        }
        Err(_) => match reference(folder, options) {
            Ok(reference) => reference,
            // The file as a whole is refused, before any node.
            Err(_) if case.expect != "run" => return Ok(()),
            Err(error) => return Err(error.to_string()),
        },
    };
    for sample in &case.samples {
        let got =
            if moved { reference.output(&sample.input) } else { reference.logits(&sample.input) };
        let got = match got {
            Ok(got) => got,
            Err(_) if case.expect != "run" => return Ok(()),
            Err(error) => return Err(format!("reference: {error}")),
        };
        if got.len() != sample.values.len() {
            return Err(format!("reference: {} values, {}", got.len(), sample.values.len()));
        }
        for (got, expected) in got.iter().zip(&sample.values) {
            let Some(expected) = expected else { continue };
            let limit = if case.integers { 50.0 * IN_F32 } else { IN_F32 } * scale(case);
            let near = (got - expected).abs() <= limit;
            if !near {
                return Err(format!("reference: {got} instead of {expected}"));
            }
        }
    }
    Ok(())
}

fn check_network(folder: &Path, case: &OnnxCase, options: &ImportOptions) -> Result<(), String> {
    let refusable = case.expect != "run";
    let refused = |error: ModelError| match error {
        ModelError::Internal(_) => Err(error.to_string()),
        _ if refusable => Ok(()),
        error => Err(error.to_string()),
    };
    let imported = match load(&folder.join("model.onnx"), options) {
        Ok(imported) => imported,
        Err(error) => return refused(error),
    };
    let step: f64 = match case.resolution.split_once('/') {
        Some((_, under)) => 1.0 / under.parse::<f64>().unwrap(),
        None => case.resolution.parse().unwrap(),
    };
    let resolution = Some(-step.log2() as i32);
    let calibration = case.calibration.clone();
    let input_range = match InputRange::likely(&calibration, imported.graph.input_shape()) {
        Some(likely) => likely,
        None => InputRange::uniform(-1.0, 1.0),
    };
    if let Err(error) = imported.verify(&input_range, &calibration) {
        return refused(error);
    }
    let reference = Some(imported.reference.clone());
    let quantised = quantise(
        &imported.graph,
        &Options { calibration, input_range, resolution, reference, ..Options::default() },
    );
    let network = match quantised {
        Ok(quantised) => quantised.network,
        Err(error) => return refused(error),
    };
    let architecture = &network.architecture();
    for (index, sample) in case.samples.iter().enumerate() {
        let grid = imported.graph.input_grid;
        let input = sample.input.iter().map(|x| grid.map_or(*x, |grid| grid.round(*x)));
        let input: Vec<f32> = input.collect();
        let encoded = fixed::encode(architecture, &input).map_err(|e| e.to_string())?;
        let values = fixed::run(&network, &encoded, Rounding::Random(index as u64))
            .map_err(|error| error.to_string())?;
        let mut got = fixed::decode(architecture, &values);
        if let Some(activation) = activated(&imported.graph) {
            got = activation.apply(&got);
        }
        if got.len() != sample.values.len() {
            return Err(format!("{} values instead of {}", got.len(), sample.values.len()));
        }
        let limit = IN_FIXED_POINT * f64::from(scale(case)) + step / 2.0 + 1e-9;
        for (got, expected) in got.iter().zip(&sample.values) {
            let Some(expected) = expected else { return Err("accepted, and not finite".into()) };
            let near = (got - f64::from(*expected)).abs() <= limit;
            if !near {
                return Err(format!("fixed point: {got} instead of {expected}"));
            }
        }
    }
    Ok(())
}

fn all(check: fn(&Path, &OnnxCase, &ImportOptions) -> Result<(), String>) {
    let folders = folders();
    assert!(!folders.is_empty(), "no cases");
    let failures: Vec<String> = folders
        .par_iter()
        .filter_map(|folder| {
            let text = std::fs::read_to_string(folder.join("case.json")).unwrap();
            let case: OnnxCase = serde_json::from_str(&text).unwrap();
            let options = ImportOptions { output: case.output.clone(), ..ImportOptions::default() };
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            check(folder, &case, &options).err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        folders.len(),
        failures.join("\n")
    );
}

#[test]
fn known_answer_the_reference_gives_the_values_of_onnxruntime() {
    all(check_reference);
}

#[test]
fn known_answer_every_case_is_right_in_fixed_point_or_refused() {
    all(check_network);
}
