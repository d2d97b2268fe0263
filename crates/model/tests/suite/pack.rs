//! The shared test data, where it is there.

use std::path::PathBuf;

use gazelle_model::Graph;

/// The seven small networks.
pub(crate) const SMALL: [&str; 7] = [
    "mnist_a_secureml",
    "mnist_b_cryptonets",
    "mnist_c_chameleon",
    "mnist_d_minionn",
    "pneumonia_cnn",
    "cifar10_minionn_gazelle",
    "cifar10_resnet20",
];

/// A sample: input tensor, expected logits, expected class.
pub(crate) struct Sample {
    pub(crate) input: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) argmax: usize,
}

/// Whether the long tests run in full; says so if not.
pub(crate) fn slow() -> bool {
    let slow = std::env::var_os("GAZELLE_SLOW_TESTS").is_some();
    if !slow {
        eprintln!("cut short or skipped: set GAZELLE_SLOW_TESTS=1 for all of it");
    }
    slow
}

/// The directory of the test images.
pub(crate) fn datasets() -> Option<PathBuf> {
    dir("../datasets")
}

/// The directory of a model, if the pack is there; says so if not.
pub(crate) fn dir(model: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    let dir = root.join("../../../shared/data/models").join(model);
    if !dir.is_dir() {
        eprintln!("skipped: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}

pub(crate) fn graph(model: &str) -> Option<Graph> {
    let bytes = std::fs::read(dir(model)?.join("model.onnx")).unwrap();
    Some(gazelle_model::import(&bytes).unwrap())
}

pub(crate) fn npy(path: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    npyz::NpyFile::new(&bytes[..]).unwrap().into_vec::<f32>().unwrap()
}

pub(crate) fn samples(model: &str) -> Vec<Sample> {
    let dir = dir(model).unwrap();
    let text = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sample = |entry: &serde_json::Value| {
        let logits = entry["logits"].as_array().unwrap();
        Sample {
            input: npy(&dir.join(entry["input"].as_str().unwrap())),
            logits: logits.iter().map(|x| x.as_f64().unwrap() as f32).collect(),
            argmax: entry["argmax"].as_u64().unwrap() as usize,
        }
    };
    json["samples"].as_array().unwrap().iter().map(sample).collect()
}

/// `max(1, max |logit|)`.
pub(crate) fn scale(logits: &[f32]) -> f32 {
    logits.iter().fold(1.0, |m, x| m.max(x.abs()))
}

pub(crate) fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}
