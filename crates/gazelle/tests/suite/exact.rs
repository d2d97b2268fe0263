//! Exact mode end to end: the private result is the fixed-point reference's, bit for bit.

use std::path::Path;

use gazelle::Plan;
use gazelle::backend::{Choice, StepProtocol};
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Options, Reveal, import, quantise, reveal, samples};
use gazelle_share::{Architecture, NodeKind, Rounding as StepRounding};

use gazelle_wire::memory;

use crate::parties::{Way, assert_traffic, run, run_by};

/// The networks that the project ships: squares, `ReLU`s, strides, padding, max-pools.
const MODELS: [&str; 4] =
    ["mnist_a_secureml", "mnist_b_cryptonets", "mnist_c_chameleon", "mnist_d_minionn"];

#[test]
fn every_network_gives_the_reference_on_both_backends_whatever_is_revealed() {
    for name in MODELS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../models")
            .join(name)
            .join("model.onnx");
        let graph = import(&std::fs::read(&path).unwrap()).unwrap();
        let calibration = samples::beside(&path, &graph, 10);
        assert!(calibration.len() >= 4, "{name}");
        let options = Options { calibration: calibration.clone(), ..Options::default() };
        let quantised = quantise(&graph, &options).unwrap();
        assert!(quantised.network.architecture().is_exact());
        for (what, k) in [(Reveal::Logits, 1), (Reveal::Class, 1), (Reveal::TopK, 3)] {
            let mut network = quantised.network.clone();
            reveal::reveal(&mut network, what, k).unwrap();
            let encode = |x: &Vec<f32>| fixed::encode(network.architecture(), x).unwrap();
            let count = if what == Reveal::Logits { calibration.len() } else { 3 };
            let inputs: Vec<Vec<i64>> = calibration.iter().take(count).map(encode).collect();
            for protocol in [StepProtocol::Gmw, StepProtocol::Garbled] {
                let choice = Choice::uniform(network.architecture(), protocol).unwrap();
                let suite = choice.suite(network.architecture().nodes().len());
                let runs = [
                    run(&suite, &network, &inputs),
                    run_by(Way::AtOnce, memory::pair(), &suite, &network, &inputs),
                    run_by(Way::Cold, memory::pair(), &suite, &network, &inputs),
                ];
                for run in runs {
                    assert_traffic(&run);
                    let inferences = inputs.iter().zip(&run.inferences);
                    for (number, (input, inference)) in inferences.enumerate() {
                        let expected = fixed::run(&network, input, Rounding::Nearest).unwrap();
                        let values = &inference.values;
                        assert_eq!(*values, expected, "{name} {what:?} {protocol:?} {number}");
                    }
                }
            }
        }
    }
}

/// `GAZELLE_SLOW=1` runs 1,000 images of MNIST-C and 50 of each CIFAR network, if it is there; else a few.
#[test]
fn many_images_give_the_reference_on_every_output() {
    let slow = std::env::var("GAZELLE_SLOW").is_ok_and(|value| value == "1");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tasks = [
        ("models/mnist_c_chameleon", 1000),
        ("../shared/data/models/cifar10_minionn_gazelle", 50),
        ("../shared/data/models/cifar10_resnet20", 50),
    ];
    for (folder, count) in tasks {
        let path = root.join(folder).join("model.onnx");
        let Ok(file) = std::fs::read(&path) else {
            eprintln!("{folder}: not there, left out");
            continue;
        };
        let graph = import(&file).unwrap();
        let calibration = samples::beside(&path, &graph, 20);
        let options = Options { calibration: calibration.clone(), ..Options::default() };
        let network = quantise(&graph, &options).unwrap().network;
        let choice = Choice::uniform(network.architecture(), StepProtocol::Gmw).unwrap();
        let suite = choice.suite(network.architecture().nodes().len());
        let count = if slow { count } else { 2 };
        // Mixtures of two samples: as many different images as one likes, in the model's range.
        let images: Vec<Vec<i64>> = (0..count)
            .map(|number| {
                let [a, b] = [number, number / 20 + 1].map(|i| &calibration[i % calibration.len()]);
                let share = (number % 7) as f32 / 8.0;
                let mix = a.iter().zip(b).map(|(a, b)| a + share * (b - a)).collect::<Vec<f32>>();
                fixed::encode(network.architecture(), &mix).unwrap()
            })
            .collect();
        for inputs in images.chunks(10) {
            let run = run(&suite, &network, inputs);
            for (input, inference) in inputs.iter().zip(&run.inferences) {
                let expected = fixed::run(&network, input, Rounding::Nearest).unwrap();
                assert_eq!(inference.values, expected, "{folder}");
            }
        }
        eprintln!("{folder}: {count} of {count} equal on every output");
    }
}

/// Without F nothing but exact steps keeps a ciphertext's error from the client: one step that rounds
/// locally, anywhere, and there is no plan with guard bits, at neither party.
#[test]
fn guard_bits_go_with_exact_steps_alone() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mnist_c_chameleon/model.onnx");
    let graph = import(&std::fs::read(&path).unwrap()).unwrap();
    let calibration = samples::beside(&path, &graph, 4);
    let quantised = quantise(&graph, &Options { calibration, ..Options::default() }).unwrap();
    let exact = quantised.network.architecture();
    let plan = Plan::new(exact.clone()).unwrap();
    assert!(plan.groups().iter().all(|group| group.guard.bits > 0 && !group.revealed));
    // A step that leaves its input's guard bits: no architecture.
    let mut parts = exact.clone().into_parts();
    let NodeKind::Step(step) = &mut parts.nodes[1].kind else { panic!("a step comes second") };
    step.rounding = StepRounding::Local;
    let refused = Architecture::new(parts.clone()).unwrap_err().to_string();
    assert!(refused.contains("guard bits"), "{refused}");
    // One that has none to leave, beside others that have: no plan.
    let NodeKind::Step(step) = &mut parts.nodes[1].kind else { panic!("a step comes second") };
    let tensor = &mut parts.tensors[1];
    let guard_bits = std::mem::take(&mut tensor.guard_bits);
    tensor.ring_bits -= guard_bits;
    step.input_bits -= guard_bits;
    let mixed = Architecture::new(parts).unwrap();
    let refused = Plan::new(mixed).unwrap_err().to_string();
    assert!(refused.contains("also rounds locally"), "{refused}");
}
