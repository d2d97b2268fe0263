//! Two processes, default flags: every sample of every network that is there.

use std::path::Path;

use serde_json::Value;

use crate::program::{Server, networks, objects, output, slow};

/// Half the default reveal resolution, of the largest logit: a power of two near 1/256 of it.
const HALF_STEP: f64 = 0.5 * std::f64::consts::SQRT_2 / 256.0;
/// Samples per network unless the slow tests run.
const SAMPLES: usize = 2;
/// Networks in larger files are slow.
const LARGE_FILE: u64 = 3 << 20;

#[test]
fn logits_tolerance_and_classes_are_as_expected() {
    let networks = networks();
    assert!(!networks.is_empty());
    for folder in networks {
        let model = folder.join("model.onnx");
        if model.metadata().unwrap().len() > LARGE_FILE && !slow() {
            eprintln!("{}: left out; GAZELLE_SLOW=1 runs it", folder.display());
            continue;
        }
        check(&folder);
    }
    if !slow() {
        eprintln!("only {SAMPLES} samples per network; GAZELLE_SLOW=1 runs all of them");
    }
}

fn check(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let mut samples: Vec<&Value> = expected["samples"].as_array().unwrap().iter().collect();
    if !slow() {
        samples.truncate(SAMPLES);
    }
    let files: Vec<String> = samples.iter().map(|sample| sample_path(folder, sample)).collect();
    let server = Server::start(&folder.join("model.onnx"), &[]);
    let mut arguments = vec!["infer", "--json", "--server", &server.address];
    arguments.extend(files.iter().map(String::as_str));
    let objects = objects(&output(&arguments));
    assert_eq!(objects.len(), samples.len());
    let all = expected["samples"].as_array().unwrap().iter();
    let largest =
        all.flat_map(|sample| numbers(&sample["logits"])).fold(0.0, |m, x| x.abs().max(m));
    let half_step = HALF_STEP * largest;
    for (object, sample) in objects.iter().zip(&samples) {
        let wanted = numbers(&sample["logits"]);
        let got = numbers(&object["logits"]);
        let name = folder.display();
        assert_eq!(got.len(), wanted.len(), "{name}");
        let scale = wanted.iter().fold(1.0f64, |scale, x| scale.max(x.abs()));
        let distance = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0f64, f64::max);
        assert!(distance <= 0.02 * scale + half_step, "{name}: {distance} of {scale}");
        let tolerance = object["tolerance"].as_f64().unwrap();
        // Rounding at random may take 1 %, what the fixed-point network itself adds the rest.
        assert!(distance <= tolerance, "{name}: {distance} beyond {tolerance}");
        assert!(tolerance <= 0.025 * scale + half_step, "{name}: tolerance {tolerance} of {scale}");
        let tied = object["tied"].as_array().map_or(1, Vec::len);
        assert_eq!(object["tie"], tied > 1, "{name}");
        let mut sorted = wanted.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        if sorted[0] - sorted[1] > 0.04 * scale {
            let class = wanted.iter().position(|x| *x >= sorted[0]).unwrap();
            assert_eq!(object["class"], class as u64, "{name}");
        }
    }
}

fn sample_path(folder: &Path, sample: &Value) -> String {
    let file = ["input", "file", "npy"].iter().find_map(|key| sample[*key].as_str()).unwrap();
    let file = file.strip_prefix("samples/").unwrap_or(file);
    folder.join("samples").join(file).display().to_string()
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}
