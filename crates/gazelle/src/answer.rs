//! What an inference means to its owner: classes, labels, probabilities.

use gazelle_model::Activation;
use serde::Serialize;

use crate::description::ModelInfo;
use crate::session::client::{Inference, Learnt};

/// An inference read by the model's public description. Serialized: part of what `gazelle infer --json`
/// prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The first of the best classes.
    pub class: usize,
    /// Its name; its number if it has none.
    pub label: String,
    /// Only if the server reveals them; behind the model's activation, if the file's output lies there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logits: Option<Vec<f64>>,
    /// The best classes, best first.
    pub top: Vec<RankedClass>,
    /// The largest logit is that of several classes, which [`Answer::tied`] lists; the first of
    /// them is [`Answer::class`]. Only if the server reveals logits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie: Option<bool>,
    /// The classes that share the largest logit, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tied: Vec<usize>,
    /// What the model's final softmax or sigmoid makes of the logits, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<Vec<f64>>,
    /// Of a map (a softmax per pixel): the class at each position, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_map: Option<Vec<usize>>,
    /// 6 sigma of a logit's distance from the fixed-point reference, half the resolution included.
    pub tolerance: f64,
    /// Whether the server says that no input in its range can overflow a hidden value.
    pub proven: bool,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedClass {
    /// Its number.
    pub class: usize,
    /// Its name; its number if it has none.
    pub label: String,
    /// Only if the server reveals it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit: Option<f64>,
}

impl Answer {
    /// Reads an inference, with `count` of the best classes (one at least), named by `labels`.
    pub fn new(inference: &Inference, model: &ModelInfo, labels: &[String], count: usize) -> Self {
        let output = model.interface.as_ref().map(|interface| &interface.output);
        let activation = output.and_then(|output| output.activation);
        let applied = output.is_some_and(|output| output.activated);
        let (mut class_map, mut probabilities) = (None, None);
        let (logits, tolerance, top) = match inference.learnt() {
            Learnt::Logits(logits) => {
                class_map = activation.and_then(|activation| activation.class_map(&logits));
                let (logits, tolerance) = match activation.filter(|_| applied) {
                    Some(activation) => {
                        let tolerance = activation.tolerance(&logits, model.tolerance);
                        (activation.apply(&logits), tolerance)
                    }
                    None => (logits, model.tolerance),
                };
                // What was applied to the values already gives no probabilities of its own.
                probabilities = activation
                    .filter(|activation| !applied && *activation != Activation::ArgMax)
                    .map(|activation| readable(activation).apply(&logits));
                let top = ranking(&logits, labels, count);
                (Some(logits), tolerance, top)
            }
            Learnt::Classes(classes) => {
                // The index is what the file's output is.
                let index = classes.first().filter(|_| activation == Some(Activation::ArgMax));
                let values = index.map(|class| vec![*class as f64]);
                let tolerance = if values.is_some() { 0.0 } else { model.tolerance };
                (values, tolerance, ranked(&classes, labels, count))
            }
        };
        let tied = match &logits {
            Some(logits) => tied(logits),
            None => Vec::new(),
        };
        let (class, label) = match top.first() {
            Some(first) => (first.class, first.label.clone()),
            None => (0, String::new()),
        };
        Self {
            class,
            label,
            tie: logits.as_ref().map(|_| !tied.is_empty()),
            tied,
            logits,
            top,
            probabilities,
            class_map,
            tolerance,
            proven: model.proven,
        }
    }
}

/// Classes by falling logit, the first of equals first.
pub fn ranking(logits: &[f64], labels: &[String], count: usize) -> Vec<RankedClass> {
    let mut order: Vec<(usize, f64)> = logits.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.truncate(count.max(1));
    let named =
        |(class, logit)| RankedClass { class, label: label(labels, class), logit: Some(logit) };
    order.into_iter().map(named).collect()
}

/// People read probabilities, not their logarithms.
fn readable(activation: Activation) -> Activation {
    match activation {
        Activation::LogSoftmax => Activation::Softmax,
        Activation::LogSoftmaxOf { classes, inner } => Activation::SoftmaxOf { classes, inner },
        activation => activation,
    }
}

/// The classes that share the largest logit, if there are several: rounding hides which is ahead.
fn tied(logits: &[f64]) -> Vec<usize> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let equal = logits.iter().enumerate().filter(|(_, logit)| **logit >= largest);
    let tied: Vec<usize> = equal.map(|(class, _)| class).collect();
    if tied.len() > 1 { tied } else { Vec::new() }
}

/// Classes that came ranked, without their logits.
fn ranked(classes: &[usize], labels: &[String], count: usize) -> Vec<RankedClass> {
    let classes = classes.iter().take(count.max(1));
    classes
        .map(|class| RankedClass { class: *class, label: label(labels, *class), logit: None })
        .collect()
}

/// A class's name; its number if it has none.
fn label(labels: &[String], class: usize) -> String {
    match labels.get(class) {
        Some(label) => label.clone(),
        None => class.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_wins() {
        let ranked = ranking(&[1.0, 3.0, 3.0], &["a".into()], 2);
        assert_eq!(ranked.iter().map(|r| r.class).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(label(&["a".into()], 0), "a");
        assert_eq!(label(&["a".into()], 3), "3");
    }

    #[test]
    fn equal_largest_logits_are_a_tie() {
        assert_eq!(tied(&[1.0, 3.0, 3.0, 3.0]), [1, 2, 3]);
        assert!(tied(&[1.0, 3.0, 2.0]).is_empty() && tied(&[5.0]).is_empty());
    }
}
