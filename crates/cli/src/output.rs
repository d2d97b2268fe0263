//! What the program prints: JSON objects for programs, tables for people.

use std::fmt::Write;
use std::io::Write as _;

use gazelle::backend::Prediction;
use gazelle::{Inference, Layer, Learnt, ModelInfo, Phase, peak_rss_bytes};
use serde::Serialize;

use crate::failure::Failure;

/// One input's result; the stable form of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Object<'a> {
    pub(crate) input: &'a str,
    pub(crate) class: usize,
    pub(crate) label: String,
    /// Only if the server reveals them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logits: Option<Vec<f64>>,
    pub(crate) top: Vec<Ranked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probabilities: Option<Vec<f64>>,
    pub(crate) tolerance: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plaintext_class: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plaintext_logits: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) setup: Option<Phase>,
    pub(crate) offline: Phase,
    pub(crate) online: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) predicted: Option<Prediction>,
    pub(crate) layers: &'a [Layer],
    pub(crate) peak_rss_bytes: u64,
}

/// One class.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ranked {
    pub(crate) class: usize,
    pub(crate) label: String,
    /// Only if the server reveals it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logit: Option<f64>,
}

/// Classes by falling logit, the first of equals first.
pub(crate) fn ranking(logits: &[f64], labels: &[String], count: usize) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = logits
        .iter()
        .enumerate()
        .map(|(class, logit)| Ranked { class, label: label(labels, class), logit: Some(*logit) })
        .collect();
    let logit = |ranked: &Ranked| ranked.logit.unwrap_or(f64::NEG_INFINITY);
    ranked.sort_by(|a, b| logit(b).total_cmp(&logit(a)).then(a.class.cmp(&b.class)));
    ranked.truncate(count.max(1));
    ranked
}

/// Classes that came ranked, without their logits.
fn ranked(classes: &[usize], labels: &[String], count: usize) -> Vec<Ranked> {
    let classes = classes.iter().take(count.max(1));
    classes
        .map(|class| Ranked { class: *class, label: label(labels, *class), logit: None })
        .collect()
}

/// A class's name; its number if it has none.
pub(crate) fn label(labels: &[String], class: usize) -> String {
    labels.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// Builds the object of one inference.
pub(crate) fn object<'a>(
    input: &'a str,
    inference: &'a Inference,
    model: &ModelInfo,
    labels: &[String],
    top: usize,
) -> Object<'a> {
    let (logits, top) = match inference.learnt() {
        Learnt::Logits(logits) => {
            let top = ranking(&logits, labels, top);
            (Some(logits), top)
        }
        Learnt::Classes(classes) => (None, ranked(&classes, labels, top)),
    };
    let (class, label) = top.first().map_or((0, String::new()), |r| (r.class, r.label.clone()));
    Object {
        input,
        class,
        label,
        logits,
        top,
        probabilities: None,
        tolerance: model.tolerance,
        plaintext_class: None,
        plaintext_logits: None,
        setup: None,
        offline: inference.report.offline,
        online: inference.report.online,
        predicted: None,
        layers: &inference.report.layers,
        peak_rss_bytes: peak_rss_bytes(),
    }
}

/// One JSON object as one line on standard output.
pub(crate) fn json(object: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(object).map_err(Failure::run("output"))?;
    writeln!(std::io::stdout(), "{line}").map_err(Failure::run("standard output"))
}

/// `print!` that ends the program with an error, where that would panic: a reader such as `head`
/// may have closed the pipe.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::print(format_args!($($text)*))
    };
}
pub(crate) use say;

pub(crate) fn print(text: std::fmt::Arguments<'_>) {
    if let Err(error) = std::io::stdout().write_fmt(text) {
        eprintln!("gazelle: standard output: {error}");
        std::process::exit(1);
    }
}

/// A class for people, with its logit if that is known.
pub(crate) fn class(ranked: &Ranked) -> String {
    let logit = ranked.logit.map_or_else(String::new, |logit| format!("{logit:.4}"));
    format!("{logit:>9}  {}", ranked.label)
}

/// `1.25 s`, `3.1 ms`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.1} ms", seconds * 1e3) }
}

/// `12 B`, `3.4 kB`, `5.6 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let count = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", count / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", count / 1e6),
        _ => format!("{:.2} GB", count / 1e9),
    }
}

/// The labels of a model's classes.
pub(crate) fn labels(model: &ModelInfo) -> &[String] {
    model.interface.as_ref().map_or(&[], |interface| &interface.output.labels)
}

/// Widths of a network's values: `12`, or `12 to 14`.
pub(crate) fn widths(report: &gazelle_model::Report) -> String {
    report.value_bits.to_string()
}

/// A number with three digits that matter.
pub(crate) fn rounded(value: f64) -> String {
    if value == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// Time, bytes and turns of phases and layers.
pub(crate) fn table(setup: Option<Phase>, inference: &Inference) -> String {
    let row = |name: &str, protocol: &str, offline: &Phase, online: &Phase| {
        format!(
            "  {name:<28} {protocol:<12} {:>10} {:>10}   {:>10} {:>10} {:>3}\n",
            seconds(offline.seconds),
            bytes(offline.bytes()),
            seconds(online.seconds),
            bytes(online.bytes()),
            online.turns
        )
    };
    let mut text = format!(
        "  {:<28} {:<12} {:>10} {:>10}   {:>10} {:>10} {:>3}\n",
        "layer", "protocol", "offline", "", "online", "", "trn"
    );
    let report = &inference.report;
    for layer in &report.layers {
        let name: String = layer.name.chars().take(28).collect();
        text.push_str(&row(&name, &layer.protocol, &layer.offline, &layer.online));
    }
    text.push_str(&row("all", "", &report.offline, &report.online));
    if let Some(setup) = setup {
        text.push_str(&row("setup (once per session)", "", &setup, &Phase::default()));
    }
    text
}

/// What the planner predicted, beside what was measured.
pub(crate) fn predicted(
    predicted: &Prediction,
    setup: Option<Phase>,
    inference: &Inference,
) -> String {
    let report = &inference.report;
    let phases = [
        ("setup", predicted.setup, setup),
        ("offline", predicted.offline, Some(report.offline)),
        ("online", predicted.online, Some(report.online)),
    ];
    let mut text =
        format!("  {:<10} {:>12} {:>12} {:>12}", "predicted", "time", "measured", "bytes");
    for (name, predicted, actual) in phases {
        let Some(actual) = actual else { continue };
        let same = if predicted.bytes() == actual.bytes() { "as measured" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n  {name:<10} {:>12} {:>12} {:>12} {same}",
            seconds(predicted.seconds),
            seconds(actual.seconds),
            bytes(predicted.bytes())
        );
    }
    text
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
}
