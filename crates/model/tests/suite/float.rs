//! The f32 reference against onnxruntime's logits.

use super::pack::{self, SMALL};

fn check(model: &str) {
    let Some(graph) = pack::graph(model) else { return };
    for (i, sample) in pack::samples(model).iter().enumerate() {
        let logits = gazelle_model::float::run(&graph, &sample.input).unwrap();
        assert_eq!(logits.len(), sample.logits.len());
        let limit = 1e-4 * pack::scale(&sample.logits);
        for (got, expected) in logits.iter().zip(&sample.logits) {
            assert!((got - expected).abs() <= limit, "{model} {i}: {got} instead of {expected}");
        }
        assert_eq!(pack::argmax(&logits), sample.argmax);
    }
}

#[test]
fn known_answer_small_networks_give_the_logits_of_onnxruntime() {
    for model in &SMALL {
        check(model);
    }
}

#[test]
fn known_answer_squeezenet_gives_the_logits_of_onnxruntime() {
    check("imagenet_squeezenet1.0");
}
