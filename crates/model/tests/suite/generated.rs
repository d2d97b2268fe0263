//! Networks of well-known shapes with random weights.

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Graph, Op, Options, float, generate, import, passes, quantise};

use super::pack;

fn image(graph: &Graph) -> Vec<f32> {
    (0..graph.input_shape().len()).map(|i| 0.5 + 0.5 * (i as f32 * 0.011).sin()).collect()
}

fn counts(bytes: &[u8]) -> (u64, usize) {
    let graph = passes::lower(&import(bytes).unwrap()).unwrap();
    let weights = graph.nodes.iter().map(|node| match &node.op {
        Op::Linear { op, .. } => op.weight_len(),
        _ => 0,
    });
    (graph.macs(), weights.sum())
}

#[test]
fn known_answer_counts_of_the_full_networks() {
    let (macs, weights) = counts(&generate::squeezenet1_1(1, 224, 1000));
    assert_eq!((macs / 1_000_000, weights), (349, 1_231_552));
    let (macs, weights) = counts(&generate::mobilenet_v1(1, 224, 1000, true));
    assert_eq!((macs / 1_000_000, weights), (568, 4_209_088));
    if !pack::slow() {
        return;
    }
    let (macs, weights) = counts(&generate::resnet50(1, 224, 1000));
    assert_eq!((macs / 1_000_000, weights), (4089, 25_502_912));
    let (macs, _) = counts(&generate::densenet121(1, 224, 1000));
    assert!((2_800..2_950).contains(&(macs / 1_000_000)), "{macs}");
}

#[test]
fn known_answer_squeezenet_pools_before_its_relus() {
    let graph = import(&generate::squeezenet1_1(1, 224, 1000)).unwrap();
    let lowered = passes::lower(&graph).unwrap();
    let mut pools = Vec::new();
    let mut relus = 0;
    for node in &lowered.nodes {
        let shape = lowered.shape(node.output);
        match node.op {
            Op::MaxPool { relu, .. } => pools.push((relu, shape.channels, shape.height)),
            Op::Relu => relus += shape.len(),
            _ => {}
        }
    }
    // Behind the first convolution, and behind both expansions of the second and fourth fire.
    let expected =
        [(true, 64, 55), (true, 64, 27), (true, 64, 27), (true, 128, 13), (true, 128, 13)];
    assert_eq!(pools, expected);
    let squeezed = 2 * 16 * 55 * 55 + 2 * 32 * 27 * 27 + 2 * (48 + 64) * 13 * 13;
    let expanded = 128 * 55 * 55 + 256 * 27 * 27 + 2 * (384 + 512) * 13 * 13;
    assert_eq!(relus, squeezed + expanded + 1000 * 13 * 13);
}

fn check(name: &str, bytes: &[u8]) {
    let graph = import(bytes).unwrap();
    let input = image(&graph);
    let options = Options {
        calibration: vec![input.clone()],
        value_bits: Some(16),
        weight_bits: 12,
        effort: 1,
        ..Options::default()
    };
    let quantised = quantise(&graph, &options).unwrap();
    let network = &quantised.network;
    let expected = float::run(&graph, &input).unwrap();
    let scale = pack::scale(&expected);
    let encoded = fixed::encode(network.architecture(), &input).unwrap();
    let trace = fixed::trace(network, &encoded, Rounding::Random(9)).unwrap();
    assert_eq!(trace.overflows, 0, "{name}");
    let rings = network.architecture().tensors().iter().map(|tensor| tensor.ring_bits);
    println!("{name}: largest ring {:?}, {:?}", rings.max(), quantised.report.relative_error);
    let values = &trace.tensors[network.architecture().output()];
    for (got, expected) in fixed::decode(network.architecture(), values).iter().zip(&expected) {
        let limit = f64::from(0.05 * scale) + 1.0 / 32.0;
        assert!((got - f64::from(*expected)).abs() <= limit, "{name}: {got} {expected}");
    }
}

#[test]
fn properties_generated_networks_agree_in_fixed_point() {
    check("squeezenet 1.1", &generate::squeezenet1_1(2, 64, 10));
    check("mobilenet v1", &generate::mobilenet_v1(2, 64, 10, true));
    if pack::slow() {
        check("densenet-121", &generate::densenet121(2, 64, 10));
        check("resnet-50", &generate::resnet50(2, 64, 10));
    }
}

/// Activations neither vanish nor explode: the largest of each linear operator's output stays near 1.
#[test]
fn properties_generated_weights_keep_activations_in_size() {
    let networks = [
        ("squeezenet 1.1", generate::squeezenet1_1(3, 64, 10)),
        ("mobilenet v1", generate::mobilenet_v1(3, 64, 10, true)),
        ("resnet-50", generate::resnet50(3, 64, 10)),
        ("densenet-121", generate::densenet121(3, 64, 10)),
    ];
    for (name, bytes) in networks {
        let graph = passes::lower(&import(&bytes).unwrap()).unwrap();
        let trace = float::trace(&graph, &image(&graph)).unwrap();
        for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Linear { .. })) {
            let largest = pack::scale(&trace[node.output]);
            assert!(largest < 200.0, "{name}, {}: {largest}", node.name);
            let largest = trace[node.output].iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(largest > 0.05, "{name}, {}: {largest}", node.name);
        }
    }
}

/// Interval bounds grow from layer to layer, beyond what a float holds.
#[test]
fn adversarial_values_without_a_finite_range_are_refused() {
    let graph = import(&generate::densenet121(1, 32, 10)).unwrap();
    let options = Options { guaranteed: true, effort: 1, ..Options::default() };
    let error = quantise(&graph, &options).unwrap_err().to_string();
    assert!(error.contains("finite"), "{error}");
}
