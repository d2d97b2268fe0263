//! `infer --html`: the answers of a batch on one page, written as they come: its size in memory does not
//! grow with the batch.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use gazelle::{Description, Layer, Phase};
use gazelle_input::Notice;
use gazelle_model::Reveal;
use maud::{Markup, html};

use crate::failure::Failure;
use crate::output::{self, Object, Summary};
use crate::report::{FOOT, head, now, wide};
use crate::screen::visible;

/// Pixels of a thumbnail on the page, each side.
const SHOWN: u32 = 96;

/// A page that grows with the answers.
pub(crate) struct AnswerPage {
    path: PathBuf,
    file: BufWriter<File>,
    /// Of the first inference.
    layers: Vec<Layer>,
}

/// What a page says of the session before any answer.
pub(crate) struct ReportedSession<'a> {
    pub(crate) server: &'a str,
    pub(crate) digest: [u8; 32],
    pub(crate) description: &'a Description,
    /// Whether the link is TLS, with certificates on both sides.
    pub(crate) secured: bool,
}

impl AnswerPage {
    /// Begins the file.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(Failure::run(path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), layers: Vec::new() })
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.file.write_all(text.as_bytes()).map_err(Failure::run(self.path.display()))
    }

    /// Writes what comes before the answers.
    pub(crate) fn begin(&mut self, session: &ReportedSession<'_>) -> Result<(), Failure> {
        self.write(&head("Private predictions"))?;
        self.write(&about(session).into_string())?;
        self.write("<h2>Answers</h2><div class=\"cards\">")
    }

    /// Adds an answer; `thumbnail` is a PNG.
    pub(crate) fn add(
        &mut self,
        object: &Object<'_>,
        thumbnail: Option<&[u8]>,
        notices: &[Notice],
    ) -> Result<(), Failure> {
        if self.layers.is_empty() {
            self.layers = object.layers.to_vec();
        }
        self.write(&card(object, thumbnail, notices).into_string())
    }

    /// Adds an input that gave no answer.
    pub(crate) fn failed(&mut self, failure: &Failure) -> Result<(), Failure> {
        let text = html! {
            article class="card" {
                span class="none" { "no answer" }
                p class="bad" { (visible(&failure.to_string())) }
            }
        };
        self.write(&text.into_string())
    }

    /// Writes what comes behind the answers: `failed` of `all` inputs have none.
    pub(crate) fn end(
        mut self,
        summary: &Summary,
        (failed, all): (usize, usize),
    ) -> Result<(), Failure> {
        let end = html! {
            h2 { "Time and bytes" }
            @if failed > 0 { p class="bad" { (failed) " of " (all) " inputs have no answer." } }
            pre { (summary) }
            @if !self.layers.is_empty() {
                details {
                    summary { "By layer, of the first answer" }
                    (wide("By layer", &by_layer(&self.layers)))
                }
            }
        };
        self.write("</div>")?;
        self.write(&end.into_string())?;
        self.write(FOOT)?;
        self.file.flush().map_err(Failure::run(self.path.display()))
    }
}

fn about(session: &ReportedSession<'_>) -> Markup {
    let model = &session.description.model;
    let exact = session.description.architecture.is_exact();
    html! {
        dl {
            dt { "model" } dd { (visible(&model.name)) }
            dt { "digest" } dd { code { (HEXLOWER.encode(&session.digest)) } }
            dt { "server" } dd {
                (visible(session.server))
                @if session.secured { ", by mutual TLS" } @else { ", without TLS" }
            }
            dt { "made" } dd { (now()) }
        }
        h2 { "What was revealed, and to whom" }
        dl {
            dt { "to you" } dd {
                (revealed(session)) "; of the network its architecture and public bounds on its weights."
            }
            dt { "to the server" } dd {
                "that these inferences took place, when, how many and of which model. Neither a picture nor an "
                "answer."
            }
            dt { "to nobody" } dd {
                "the model's weights beyond what answers say of them"
                @if exact { ": answers are exact, so that repeating an input tells nothing new." }
                @else {
                    ", and, with the local rounding of this server, what some thousands of repetitions of one input "
                    "would tell you of the last layer."
                }
            }
            dt { "assumed" } dd { "that both sides keep to the protocol (docs/threat-model.md)." }
        }
    }
}

/// What the client learns of each input, in words.
fn revealed(session: &ReportedSession<'_>) -> String {
    let output = session.description.model.interface.as_ref().map(|interface| &interface.output);
    match output.map(|output| (output.reveal, output.resolution)) {
        Some((Reveal::Logits, Some(bits))) => {
            format!("of each input all logits, in steps of {}", output::step(bits))
        }
        Some((Reveal::TopK, _)) => "of each input the best classes in order, without logits".into(),
        Some((Reveal::Class, _)) => "of each input the class, and nothing else".into(),
        _ => "of each input all logits, rounded".into(),
    }
}

fn card(object: &Object<'_>, thumbnail: Option<&[u8]>, notices: &[Notice]) -> Markup {
    let answer = &object.answer;
    let (offline, online) = (&object.offline, &object.online);
    html! {
        article class="card" {
            @match thumbnail {
                Some(png) => {
                    img class=[is_small(png).then_some("small")] alt=(format!("input {}", visible(object.input)))
                        src=(format!("data:image/png;base64,{}", BASE64.encode(png)));
                }
                None => span class="none" { "no picture" },
            }
            div {
                h3 { (visible(object.input)) }
                p class="answer" { (visible(&answer.label)) }
                @if let Some(map) = &answer.class_map {
                    p { "a map of " (map.len()) " positions" }
                } @else {
                    ul class="bars" { @for bar in bars(object) { (bar) } }
                }
            }
            @if !answer.tied.is_empty() {
                p class="warn" { "A tie at this resolution, of " (answer.tied.len()) " classes." }
            }
            @for notice in notices { p class="warn" { (notice.kind()) } }
            p class="figures" {
                @if offline.bytes() == 0 { "made ahead, " }
                @else { span class="whole" { (output::seconds(offline.seconds)) } " before the input, " }
                span class="whole" { (output::seconds(online.seconds)) } " after, "
                span class="whole" { (output::bytes(offline.bytes() + online.bytes())) }
            }
        }
    }
}

/// Whether a PNG has fewer pixels than it is shown with.
fn is_small(png: &[u8]) -> bool {
    let side = |at: usize| {
        let bytes = png.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // Width and height in IHDR, which comes first.
    side(16).max(side(20)).is_some_and(|side| side < SHOWN)
}

/// The best classes: by probability where the model has one, else by logit between the least and the
/// largest of the input; else names alone.
fn bars(object: &Object<'_>) -> Vec<Markup> {
    let answer = &object.answer;
    let logits = answer.logits.as_deref().unwrap_or_default();
    let low = logits.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |ranked: &gazelle::RankedClass| {
        let probability = answer.probabilities.as_ref().and_then(|all| all.get(ranked.class));
        let (share, value) = match (probability, ranked.logit) {
            (Some(p), _) => (Some(*p), format!("{:.1} %", p * 100.0)),
            (None, Some(logit)) if high > low => {
                (Some((logit - low) / (high - low)), format!("{logit:.4}"))
            }
            (None, Some(logit)) => (None, format!("{logit:.4}")),
            (None, None) => (None, String::new()),
        };
        html! {
            li {
                span class="name" { (visible(&ranked.label)) }
                @match share {
                    Some(share) => span class="track" {
                        span class="fill" style=(format!("width:{:.1}%", share.clamp(0.0, 1.0) * 100.0)) {}
                    },
                    None => span {},
                }
                span class="value" { (value) }
            }
        }
    };
    answer.top.iter().map(bar).collect()
}

fn by_layer(layers: &[Layer]) -> Markup {
    let phase = |phase: &Phase| {
        html! {
            td { (output::seconds(phase.seconds)) } td { (output::bytes(phase.bytes())) }
        }
    };
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "layer" } th scope="col" { "protocol" }
                    th scope="colgroup" colspan="2" { "offline" } th scope="colgroup" colspan="2" { "online" }
                }
            }
            tbody {
                @for layer in layers {
                    tr {
                        th scope="row" { (visible(&layer.name)) } td { (visible(&layer.protocol)) }
                        (phase(&layer.offline)) (phase(&layer.online))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gazelle::{Inference, InferenceReport, ModelInfo};

    use super::*;

    #[test]
    fn adversarial_names_and_labels_stay_text() {
        let values = vec![16, 48];
        let report = InferenceReport::default();
        let inference = Inference { values, scale: 4, ranked: false, report };
        let labels = ["<script>alert(1)</script>".to_owned(), "\"><img src=x>\u{202e}&".to_owned()];
        let (info, name) = (ModelInfo::default(), "<b>'a.png");
        let object = output::object(name, &inference, &info, &labels, 2);
        let text = card(&object, Some(b"png"), &[Notice::Transparent]).into_string();
        for bad in ["<script", "<b>", "\"><img src=x", "\u{202e}"] {
            assert!(!text.contains(bad), "{text}");
        }
        assert!(text.contains("&lt;script&gt;") && text.contains("data:image/png;base64,cG5n"));
        assert!(text.contains("width:100.0%") && text.contains("transparent pixels"));
    }

    #[test]
    fn a_page_loads_and_runs_nothing() {
        let text = head("<title>");
        assert!(text.contains("&lt;title&gt;") && text.ends_with("</h1>"));
        for word in ["http:", "https:", "<script", "url(", "@import", "src="] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
