//! The networks of `models/`, which are always there.

use std::path::{Path, PathBuf};

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Interface, Options, float, import, quantise, samples};

const MODELS: [&str; 4] =
    ["mnist_a_secureml", "mnist_b_cryptonets", "mnist_c_chameleon", "mnist_d_minionn"];

fn path(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .canonicalize()
        .unwrap()
        .join("../../models")
        .join(model)
        .join("model.onnx")
}

#[test]
fn known_answer_the_shipped_networks_meet_their_bounds() {
    for model in MODELS {
        let path = path(model);
        let graph = import(&std::fs::read(&path).unwrap()).unwrap();
        let description = Interface::beside(&path, &graph).unwrap();
        assert_eq!(description.output.labels.len(), 10);
        let calibration = samples::beside(&path, &graph, 64);
        assert_eq!(calibration.len(), 20, "{model}");
        let options = Options { calibration: calibration.clone(), ..Options::default() };
        let quantised = quantise(&graph, &options).unwrap();
        let text = std::fs::read_to_string(path.with_file_name("expected.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (input, entry) in calibration.iter().zip(json["samples"].as_array().unwrap()) {
            let expected: Vec<f32> = entry["logits"]
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap() as f32)
                .collect();
            let scale = expected.iter().fold(1f32, |m, x| m.max(x.abs()));
            let logits = float::run(&graph, input).unwrap();
            assert!(logits.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4 * scale));
            let architecture = &quantised.network.architecture();
            let encoded = fixed::encode(architecture, input).unwrap();
            let values = fixed::run(&quantised.network, &encoded, Rounding::Random(3)).unwrap();
            for (got, expected) in fixed::decode(architecture, &values).iter().zip(&expected) {
                let half_step = f64::from(-quantised.report.resolution - 1).exp2();
                let distance = (got - f64::from(*expected)).abs();
                assert!(distance <= f64::from(0.02 * scale) + half_step, "{model}");
                assert!(distance <= quantised.report.tolerance, "{model}");
            }
        }
    }
}

#[test]
fn properties_the_tolerance_holds_over_many_random_runs_and_is_not_loose() {
    let path = path("mnist_c_chameleon");
    let graph = import(&std::fs::read(&path).unwrap()).unwrap();
    let calibration = samples::beside(&path, &graph, 64);
    let options = Options { calibration: calibration.clone(), ..Options::default() };
    let quantised = quantise(&graph, &options).unwrap();
    let (network, architecture) = (&quantised.network, &quantised.network.architecture());
    let before = architecture.last().input();
    let unit = f64::from(-architecture.tensor(before).scale).exp2();
    let mut worst = 0f64;
    for input in &calibration {
        let encoded = fixed::encode(architecture, input).unwrap();
        let expected = float::run(&graph, input).unwrap();
        for seed in 0..100 {
            let random = fixed::trace(network, &encoded, Rounding::Random(seed + 77)).unwrap();
            for (value, expected) in random.tensors[before].iter().zip(&expected) {
                worst = worst.max((*value as f64 * unit - f64::from(*expected)).abs());
            }
        }
    }
    let half_step = f64::from(-quantised.report.resolution - 1).exp2();
    let reported = quantised.report.tolerance - half_step;
    println!("reported {reported}, largest {worst}");
    assert!(worst <= reported && reported <= 3.0 * worst);
}

#[test]
fn properties_guaranteed_ranges_hold_for_every_input() {
    let path = path("mnist_c_chameleon");
    let graph = import(&std::fs::read(&path).unwrap()).unwrap();
    let options = Options { guaranteed: true, ..Options::default() };
    let quantised = quantise(&graph, &options).unwrap();
    let architecture = &quantised.network.architecture();
    // The worst images for single neurons: one or zero by the sign of noise.
    for seed in 0..50u32 {
        let bit = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 977) >> 13) & 1;
        let input: Vec<f32> = (0..784).map(|i| bit(i) as f32).collect();
        let encoded = fixed::encode(architecture, &input).unwrap();
        let trace = fixed::trace(&quantised.network, &encoded, Rounding::Random(1)).unwrap();
        assert_eq!(trace.overflows, 0);
    }
    println!("{:?}", quantised.report.step_bits);
}

#[test]
fn properties_without_calibration_inputs_the_network_still_works() {
    let path = path("mnist_d_minionn");
    let graph = import(&std::fs::read(&path).unwrap()).unwrap();
    let quantised = quantise(&graph, &Options::default()).unwrap();
    let architecture = &quantised.network.architecture();
    for input in samples::beside(&path, &graph, 20) {
        let expected = float::run(&graph, &input).unwrap();
        let encoded = fixed::encode(architecture, &input).unwrap();
        let trace = fixed::trace(&quantised.network, &encoded, Rounding::Random(1)).unwrap();
        assert_eq!(trace.overflows, 0);
        let logits = fixed::decode(architecture, &trace.tensors[architecture.output()]);
        for (got, expected) in logits.iter().zip(&expected) {
            assert!((got - f64::from(*expected)).abs() < 0.2);
        }
    }
}
