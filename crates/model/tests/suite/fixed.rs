//! The fixed-point reference against f32.

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{InputRange, Options, Quantised, quantise};

use super::pack::{self, SMALL, Sample};

fn quantised(model: &str, samples: &[Sample]) -> Option<Quantised> {
    let graph = pack::graph(model)?;
    let calibration = samples.iter().map(|sample| sample.input.clone()).collect();
    let quantised = quantise(&graph, &Options { calibration, ..Options::default() }).unwrap();
    let rings: Vec<u32> =
        quantised.network.architecture().tensors().iter().map(|tensor| tensor.ring_bits).collect();
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
        let half_step = f64::from(-quantised.report.resolution - 1).exp2();
        let tolerance = quantised.report.tolerance;
        // Rounding at random may take 1 % of it; what the fixed-point network itself adds, the rest.
        assert!(tolerance <= f64::from(0.025 * scale) + half_step, "{model} {i}: {tolerance}");
        let input = fixed::encode(network.architecture(), &sample.input).unwrap();
        for seed in 0..runs {
            let trace = fixed::trace(network, &input, Rounding::Random(seed + 1000)).unwrap();
            assert_eq!(trace.overflows, 0, "{model} {i}");
            let output = &trace.tensors[network.architecture().output()];
            let logits: Vec<f32> =
                fixed::decode(network.architecture(), output).iter().map(|x| *x as f32).collect();
            let limit = 0.02 * scale + half_step as f32;
            for (got, expected) in logits.iter().zip(&sample.logits) {
                let distance = (got - expected).abs();
                assert!(distance <= limit, "{model} {i}: {got} not {expected}");
                assert!(f64::from(distance) <= tolerance, "{model} {i}: {got} not {expected}");
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

/// Natural images: each one with ranges, scales and widths from the others alone.
#[test]
fn known_answer_squeezenet_keeps_images_that_it_was_not_calibrated_on() {
    let model = "imagenet_squeezenet1.0";
    let Some(graph) = pack::graph(model) else { return };
    let samples = pack::samples(model);
    // The third asks for the widest ranges.
    let held_out = if pack::slow() { 0..samples.len() } else { 2..3 };
    for k in held_out {
        let others = samples.iter().enumerate().filter(|(i, _)| *i != k);
        let calibration = others.map(|(_, sample)| sample.input.clone()).collect();
        let options = Options {
            calibration,
            input_range: InputRange::uniform(-1.0, 1.0),
            ..Options::default()
        };
        let quantised = quantise(&graph, &options).unwrap();
        let network = &quantised.network;
        let input = fixed::encode(network.architecture(), &samples[k].input).unwrap();
        let scale = pack::scale(&samples[k].logits);
        for rounding in [Rounding::Nearest, Rounding::Random(5)] {
            let trace = fixed::trace(network, &input, rounding).unwrap();
            assert_eq!(trace.overflows, 0, "image {k}");
            let output = &trace.tensors[network.architecture().output()];
            let logits: Vec<f32> =
                fixed::decode(network.architecture(), output).iter().map(|x| *x as f32).collect();
            let pairs = logits.iter().zip(&samples[k].logits);
            let worst = pairs.map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
            println!("image {k}: {worst} with logits up to {scale}, {rounding:?}");
            let half_step = (-quantised.report.resolution as f32 - 1.0).exp2();
            assert!(worst <= 0.01 * scale + half_step, "image {k}: {worst}");
            assert!(f64::from(worst) <= quantised.report.tolerance, "image {k}: {worst}");
            assert_eq!(pack::argmax(&logits), samples[k].argmax, "image {k}");
        }
    }
}
