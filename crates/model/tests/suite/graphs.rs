//! Random small graphs that fuzz/onnx/graphs.py made (`--store`), with onnxruntime's values.

use std::path::Path;

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{
    ImportOptions, InputRange, Options, RoundingMode, float, load, passes, quantise,
};
use serde_json::Value;

/// Distance allowed in f32, relative to the largest value.
const IN_F32: f32 = 1e-4;
/// The same for fixed point; relative to 1 where all values are smaller.
const IN_FIXED_POINT: f64 = 0.02;

struct Stored {
    seed: u64,
    input: Vec<f32>,
    expected: Vec<f32>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs")
}

fn stored() -> Vec<Stored> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let list = |value: &Value| -> Vec<f32> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let case = |case: &Value| Stored {
        seed: case["seed"].as_u64().unwrap(),
        input: list(&case["input"]),
        expected: list(&case["expected"]),
    };
    cases.iter().map(case).collect()
}

#[test]
fn known_answer_random_graphs_give_the_values_of_onnxruntime() {
    let stored = stored();
    assert!(stored.len() >= 200);
    for Stored { seed, input, expected } in stored {
        let path = folder().join(format!("{seed}.onnx"));
        let model = load(&path, &ImportOptions::default()).unwrap();
        let range = input.iter().fold(0f32, |m, x| m.max(x.abs()));
        let declared = InputRange::uniform(-range, range);
        model.verify(&declared, std::slice::from_ref(&input)).unwrap();
        let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
        let lowered = passes::lower(&model.graph).unwrap();
        let in_f32 = [
            model.reference.logits(&input).unwrap(),
            float::run(&model.graph, &input).unwrap(),
            float::run(&lowered, &input).unwrap(),
        ];
        for values in in_f32 {
            assert_eq!(values.len(), expected.len(), "seed {seed}");
            for (got, expected) in values.iter().zip(&expected) {
                let near = (got - expected).abs() <= IN_F32 * largest + 1e-5;
                assert!(near, "seed {seed}: {got}, not {expected}");
            }
        }
        for rounding in [RoundingMode::Exact, RoundingMode::Local] {
            let calibration = vec![input.clone(); 4];
            let resolution = Some(10);
            let options = Options { calibration, resolution, rounding, ..Options::default() };
            let quantised = quantise(&model.graph, &options).unwrap();
            let architecture = quantised.network.architecture();
            assert_eq!(architecture.is_exact(), rounding == RoundingMode::Exact);
            let words = fixed::encode(architecture, &input).unwrap();
            let values = fixed::run(&quantised.network, &words, Rounding::Random(seed)).unwrap();
            let allowed = IN_FIXED_POINT * f64::from(largest.max(1.0));
            let allowed = allowed.max(quantised.report.tolerance);
            for (got, expected) in fixed::decode(architecture, &values).iter().zip(&expected) {
                let near = (got - f64::from(*expected)).abs() <= allowed;
                assert!(near, "seed {seed}, {rounding:?}: {got}, not {expected}");
            }
        }
    }
}
