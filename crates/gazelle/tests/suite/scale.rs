//! A network of the size that `ImageNet` asks for: 224 x 224 pixels, 1000 classes, random weights.

use gazelle::Phase;
use gazelle::backend::{Choice, StepProtocol};
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Options, generate, import, quantise};

use crate::parties::{assert_traffic, run};

/// A smooth image that is different in each channel.
fn image(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| 0.5 + 0.25 * (i as f32 * 0.011).sin() + 0.25 * (i as f32 * 0.37).cos())
        .collect()
}

#[test]
fn squeezenet_gives_the_reference_and_the_planned_traffic() {
    let graph = import(&generate::squeezenet1_1(7, 224, 1000)).unwrap();
    let calibration = vec![image(graph.input_shape().len())];
    let options = Options { calibration: calibration.clone(), effort: 1, ..Options::default() };
    let quantised = quantise(&graph, &options).unwrap();
    let architecture = &quantised.network.architecture();
    let choice = Choice::uniform(architecture, StepProtocol::Gmw).unwrap();
    let input = fixed::encode(architecture, &calibration[0]).unwrap();
    let steps = architecture.nodes().len();
    let run = run(&choice.suite(steps), &quantised.network, std::slice::from_ref(&input));
    assert_traffic(&run);
    let inference = &run.inferences[0];
    let expected = fixed::run(&quantised.network, &input, Rounding::Nearest).unwrap();
    assert_eq!(inference.values, expected);
    // The reference's logits before they are rounded for the reveal.
    let trace = fixed::trace(&quantised.network, &input, Rounding::Nearest).unwrap();
    let last = architecture.last().input();
    let unit = f64::from(-architecture.tensor(last).scale).exp2();
    let tolerance = quantised.report.tolerance;
    let logits = inference.logits();
    assert_eq!(logits.len(), 1000);
    let mut largest = 0.0f64;
    for (class, (got, reference)) in logits.iter().zip(&trace.tensors[last]).enumerate() {
        let reference = *reference as f64 * unit;
        largest = largest.max(reference.abs());
        let distance = (got - reference).abs();
        assert!(distance <= tolerance, "class {class}: {got} instead of {reference}");
    }
    assert!(largest > 4.0 * tolerance, "the logits say nothing: {largest}");
    let report = &inference.report;
    let whole: u64 = [run.setup, report.offline, report.online].iter().map(Phase::bytes).sum();
    eprintln!("squeezenet 1.1: {whole} bytes, tolerance {tolerance}, logits up to {largest}");
    assert!(whole < 150_000_000, "{whole} bytes");
}
