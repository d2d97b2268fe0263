//! The fixed-point reference against f32.

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Options, Quantised, quantise};

use super::pack::{self, SMALL, Sample};

fn quantised(model: &str, samples: &[Sample]) -> Option<Quantised> {
    let graph = pack::graph(model)?;
    let calibration = samples.iter().map(|sample| sample.input.clone()).collect();
    let quantised = quantise(&graph, &Options { calibration, ..Options::default() }).unwrap();
    let rings: Vec<u32> =
        quantised.network.architecture.tensors.iter().map(|tensor| tensor.ring_bits).collect();
    println!("{model}: {:?} rings {rings:?}", quantised.report);
    Some(quantised)
}

fn check(model: &str, runs: u64) {
    if pack::dir(model).is_none() {
        return;
    }
    let samples = pack::samples(model);
    let quantised = quantised(model, &samples).unwrap();
    let network = &quantised.network;
    for (i, sample) in samples.iter().enumerate() {
        let scale = pack::scale(&sample.logits);
        assert!(quantised.report.tolerance <= f64::from(0.01 * scale + 1.0 / 32.0), "{model} {i}");
        let input = fixed::encode(&network.architecture, &sample.input).unwrap();
        for seed in 0..runs {
            let trace = fixed::trace(network, &input, Rounding::Random(seed + 1000)).unwrap();
            assert_eq!(trace.overflows, 0, "{model} {i}");
            let output = &trace.tensors[network.architecture.output];
            let logits: Vec<f32> =
                fixed::decode(&network.architecture, output).iter().map(|x| *x as f32).collect();
            let limit = 0.02 * scale + 1.0 / 32.0;
            for (got, expected) in logits.iter().zip(&sample.logits) {
                assert!((got - expected).abs() <= limit, "{model} {i}: {got} not {expected}");
            }
        }
    }
}

#[test]
fn known_answer_small_networks_stay_within_the_bound_in_fixed_point() {
    for model in SMALL {
        check(model, 2);
    }
}

#[test]
fn known_answer_squeezenet_stays_within_the_bound_in_fixed_point() {
    if !pack::slow() {
        return;
    }
    check("imagenet_squeezenet1.0", 1);
}
