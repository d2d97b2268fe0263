//! What the program prints: JSON objects for programs, tables for people.

mod summary;

use std::fmt::Write;
use std::io::Write as _;
use std::path::Path;

use console::{Alignment, measure_text_width, pad_str};
use gazelle::backend::{Machine, Prediction, SideBySide};
use gazelle::{
    Answer, GazelleError, Inference, InferenceReport, Layer, ModelInfo, Phase, RankedClass,
    peak_rss_bytes,
};
use serde::Serialize;

pub(crate) use summary::Summary;

use crate::failure::Failure;
use crate::screen::{HarmlessJson, visible};

/// What times are predicted with: the prices of the instruction set, or measured ones.
pub(crate) fn machine(calibrate: bool) -> Result<Machine, GazelleError> {
    if calibrate { Machine::calibrate() } else { Ok(Machine::here()) }
}

/// Bytes of a file of labels at most.
const MAX_LABELS: u64 = 64 << 20;

/// One input's result; the stable form of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Object<'a> {
    pub(crate) input: &'a str,
    #[serde(flatten)]
    pub(crate) answer: Answer,
    /// Whether the input is of another kind than those that the model was calibrated with: hidden
    /// values may have overflown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unlike_calibration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plaintext_class: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plaintext_logits: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) setup: Option<Phase>,
    /// Both phases ran side by side: `online` is what came when the material was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) at_once: bool,
    /// The setup's hints came beside both: its time ends before them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) late_hints: bool,
    pub(crate) offline: Phase,
    pub(crate) online: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) predicted: Option<Prediction>,
    pub(crate) layers: &'a [Layer],
    pub(crate) peak_rss_bytes: u64,
}

/// Builds the object of one inference.
pub(crate) fn object<'a>(
    input: &'a str,
    inference: &'a Inference,
    model: &ModelInfo,
    labels: &[String],
    top: usize,
) -> Object<'a> {
    Object {
        input,
        answer: Answer::new(inference, model, labels, top),
        unlike_calibration: false,
        plaintext_class: None,
        plaintext_logits: None,
        setup: None,
        at_once: inference.report.at_once,
        late_hints: inference.report.late_hints,
        offline: inference.report.offline,
        online: inference.report.online,
        predicted: None,
        layers: &inference.report.layers,
        peak_rss_bytes: peak_rss_bytes(),
    }
}

/// One JSON object as one line on standard output.
pub(crate) fn json(object: &impl Serialize) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut line, HarmlessJson::default());
    object.serialize(&mut writer).map_err(Failure::run("output"))?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).map_err(Failure::run("standard output"))
}

/// The classes of an answer for people: probability and logit where they are known, label. Of a map
/// how many positions each class has.
pub(crate) fn classes(answer: &Answer) -> Vec<String> {
    if let Some(map) = &answer.class_map {
        let count = |class: usize| map.iter().filter(|of| **of == class).count();
        let classes: std::collections::BTreeSet<usize> = map.iter().copied().collect();
        let line =
            |class: usize| format!("class {class}: {} of {} positions", count(class), map.len());
        return classes.into_iter().map(line).collect();
    }
    let probability = |class: usize| answer.probabilities.as_ref()?.get(class).copied();
    let line = |ranked: &RankedClass| {
        let percent = probability(ranked.class)
            .map_or_else(String::new, |p| format!("{:5.1} %  ", p * 100.0));
        format!("{percent}{}", class(ranked))
    };
    answer.top.iter().map(line).collect()
}

/// A file of labels, one a line; empty lines at its end do not count.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<String>, Failure> {
    let size = std::fs::metadata(path).map_err(Failure::run(path.display()))?.len();
    if size > MAX_LABELS {
        return Err(Failure::Run(format!("{}: too large for a list of labels", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(Failure::run(path.display()))?;
    Ok(text.trim_end().lines().map(str::to_owned).collect())
}

/// A class for people, with its logit if that is known.
pub(crate) fn class(ranked: &RankedClass) -> String {
    match ranked.logit {
        Some(logit) => format!("{logit:>9.4}  {}", visible(&ranked.label)),
        None => visible(&ranked.label).into_owned(),
    }
}

/// Foreign text as a column: escaped, filled to `width` cells; of what is longer, the end.
pub(crate) fn column(text: &str, width: usize) -> String {
    let text = visible(text);
    let mut shown = text.as_ref();
    while measure_text_width(shown) > width - usize::from(shown.len() < text.len()) {
        let mut rest = shown.chars();
        rest.next();
        shown = rest.as_str();
    }
    let cut = if shown.len() < text.len() { "~" } else { "" };
    pad_str(&format!("{cut}{shown}"), width, Alignment::Left, None).into_owned()
}

/// `1.25 s`, `3.1 ms`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.1} ms", seconds * 1e3) }
}

/// `1/16`, `4`: the step of logits that are multiples of `2^-resolution`.
pub(crate) fn step(resolution: i32) -> String {
    match resolution {
        1..=60 => format!("1/{}", 1u64 << resolution),
        -60..=0 => (1u64 << -resolution).to_string(),
        _ => format!("2^{}", -resolution),
    }
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
    match value.abs() {
        0.0 | 100.0.. => format!("{value:.0}"),
        ..1e-3 => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    }
}

/// Time, bytes and turns by layer, in 79 columns.
pub(crate) fn table(report: &InferenceReport) -> String {
    let row = |name: &str, protocol: &str, offline: &Phase, online: &Phase| {
        format!(
            "  {} {} {:>8} {:>8}  {:>8} {:>8} {:>4}\n",
            column(name, 23),
            column(protocol, 11),
            seconds(offline.seconds),
            bytes(offline.bytes()),
            seconds(online.seconds),
            bytes(online.bytes()),
            online.turns
        )
    };
    let mut text = format!(
        "  {:<23} {:<11} {:>8} {:>8}  {:>8} {:>8} {:>4}\n",
        "layer", "protocol", "offline", "", "online", "", "trip"
    );
    for layer in &report.layers {
        text.push_str(&row(&layer.name, &layer.protocol, &layer.offline, &layer.online));
    }
    text.push_str(&row("all", "", &report.offline, &report.online));
    text
}

/// What the planner predicted, beside what was measured.
pub(crate) fn predicted(
    predicted: &Prediction,
    setup: Option<Phase>,
    report: &InferenceReport,
) -> String {
    let SideBySide { setup: begun, offline, online } =
        if report.late_hints { predicted.cold } else { predicted.at_once };
    let of = |phase: Phase, at_once| Phase {
        seconds: if report.at_once { at_once } else { phase.seconds },
        ..phase
    };
    let phases = [
        ("setup", of(predicted.setup, begun), setup),
        ("offline", of(predicted.offline, offline), Some(report.offline)),
        ("online", of(predicted.online, online), Some(report.online)),
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
    fn adversarial_layers_of_any_name_leave_the_table_in_80_columns() {
        let phase =
            Phase { seconds: 999.99, bytes_sent: 12_340_000_000, bytes_received: 0, turns: 9999 };
        let layer = |name: &str| Layer {
            name: name.into(),
            kind: "nonlinear",
            protocol: "public-coin".into(),
            offline: phase,
            online: phase,
        };
        let names =
            ["a", "/layer/with/a/very/long/name/Conv", "\u{1b}[2J\n\n", "卷积层卷积层卷积层卷积层"];
        let layers = names.iter().map(|name| layer(name)).collect();
        let text = table(&InferenceReport {
            offline: phase,
            online: phase,
            layers,
            ..InferenceReport::default()
        });
        assert_eq!(text.lines().count(), 6, "{text}");
        for line in text.lines() {
            assert!(console::measure_text_width(line) <= 80, "{line}");
            assert!(!line.contains('\u{1b}'));
        }
    }

    #[test]
    fn people_see_probabilities_where_they_are_known() {
        let inference = Inference {
            values: vec![16, 48],
            scale: 4,
            ranked: false,
            report: InferenceReport::default(),
        };
        let info = ModelInfo::default();
        let labels = ["cat".to_owned(), "d\u{1b}og".to_owned()];
        let mut answer = object("a.png", &inference, &info, &labels, 2).answer;
        assert_eq!(classes(&answer), ["   3.0000  d\\u{1b}og", "   1.0000  cat"]);
        answer.probabilities = Some(vec![0.25, 0.75]);
        assert_eq!(classes(&answer)[0], " 75.0 %     3.0000  d\\u{1b}og");
    }

    #[test]
    fn steps_are_fractions_or_whole_numbers() {
        assert_eq!((step(4), step(0), step(-3)), ("1/16".into(), "1".into(), "8".into()));
    }
}
