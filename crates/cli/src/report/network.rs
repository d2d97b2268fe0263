//! `inspect --html`: the network as a graph, with what each layer costs, and the plan around it.

use std::path::Path;

use gazelle::share::{Architecture, LocalMap, Node, NodeKind, StepFunction, TensorShape};
use gazelle_host::{Guarantee, Inspection, PlannedLayer};
use maud::{Markup, html};

use crate::failure::Failure;
use crate::output;
use crate::report::{FOOT, head, now, wide};
use crate::screen::visible;

/// Height of a row, and of the box in it.
const ROW: usize = 54;
const BOX: usize = 42;
/// Width of a box, of a lane for edges that pass rows, and of the bars.
const BOX_WIDTH: usize = 300;
const LANE: usize = 14;
const BARS: usize = 220;
/// Characters of a name in a box.
const NAME: usize = 44;

/// Writes the page of a model; `architecture` is that of one that can run.
pub(crate) fn write(
    path: &Path,
    name: &str,
    inspection: &Inspection,
    architecture: Option<&Architecture>,
) -> Result<(), Failure> {
    let title = format!("{} as a private network", visible(name));
    let body = match architecture {
        Some(architecture) => supported(inspection, architecture),
        None => refused(inspection),
    };
    let text = [head(&title), body.into_string(), FOOT.to_owned()].concat();
    std::fs::write(path, text).map_err(Failure::run(path.display()))
}

fn refused(inspection: &Inspection) -> Markup {
    html! {
        p class="bad" { "This model cannot run privately:" }
        ul {
            @for reason in &inspection.unsupported { li { (visible(&reason.to_string())) } }
        }
        p { "Made " (now()) "." }
    }
}

fn supported(inspection: &Inspection, architecture: &Architecture) -> Markup {
    html! {
        p { "Every operator of the file can be computed privately." }
        @for remark in &inspection.remarks { p class="warn" { (visible(remark)) } }
        (plan(inspection))
        h2 { "What it will take" }
        (wide("Predictions", &predictions(inspection)))
        h2 { "The network" }
        p {
            "Bytes of both directions: " span style="color:var(--linear)" { "offline" } ", before the input is known, "
            "and " span style="color:var(--step)" { "online" } ". The masked input, which goes online once, belongs "
            "to no layer. Times of non-linear layers are predicted; linear layers are computed while these talk."
        }
        (wide("Graph of the network", &graph(inspection, architecture)))
        p { "Made " (now()) "." }
    }
}

fn plan(inspection: &Inspection) -> Markup {
    html! {
        dl {
            dt { "shape" } dd { (format!("{:?}", inspection.input_shape)) }
            dt { "inputs" } dd { (behind("inputs: ", &inspection.inputs)) }
            dt { "rings" } dd { "up to 2^" (inspection.ring_bits) "; " (inspection.hints) }
            @if let Some(report) = &inspection.fixed_point {
                dt { "fixed point" } dd {
                    (output::widths(report)) " bits a value; "
                    (format!("{:.1}", report.agreement * 100.0)) " % of " (report.checked_inputs)
                    " inputs get the f32 network's class; tolerance " (output::rounded(report.tolerance))
                }
            }
            dt { "hidden values" } dd { (behind("hidden values: ", &inspection.proof)) }
            @match &inspection.guaranteed {
                Some(Guarantee { bytes, guaranteed_bytes: Some(guaranteed), .. }) => {
                    dt { "guaranteed" } dd {
                        (output::bytes(*guaranteed)) " for a first inference instead of "
                        (output::bytes(*bytes)) ", by one backend"
                    }
                }
                Some(Guarantee { why: Some(why), .. }) => {
                    dt { "guaranteed" } dd { "cannot be had: " (visible(why)) }
                }
                _ => {}
            }
        }
    }
}

/// A sentence without the name that stands before it already.
fn behind<'a>(name: &str, sentence: &'a str) -> &'a str {
    // optional: a sentence that begins otherwise stays whole
    sentence.strip_prefix(name).unwrap_or(sentence)
}

fn predictions(inspection: &Inspection) -> Markup {
    let figure = |prediction: &serde_json::Value, phase: &str, key: &str| {
        let value = prediction.get(phase).and_then(|phase| phase.get(key));
        // optional: a link's prediction has all phases
        value.and_then(serde_json::Value::as_f64).unwrap_or(0.0)
    };
    html! {
        table {
            thead {
                tr { @for name in ["link", "phase", "time", "bytes", "round trips"] { th scope="col" { (name) } } }
            }
            @for (link, prediction) in &inspection.predicted {
                tbody {
                    @for phase in ["setup", "offline", "online"] {
                        tr {
                            @if phase == "setup" { th scope="rowgroup" rowspan="3" { (link) } }
                            th scope="row" { (phase) }
                            td { (output::seconds(figure(prediction, phase, "seconds"))) }
                            td {
                                (output::bytes((figure(prediction, phase, "bytes_sent")
                                    + figure(prediction, phase, "bytes_received")) as u64))
                            }
                            td { (figure(prediction, phase, "turns")) }
                        }
                    }
                }
            }
        }
        @if let Some(prices) = &inspection.prices { p { "Times by " (prices) " prices." } }
    }
}

/// An edge that passes rows: from, to, and its lane left of the boxes.
struct Passing {
    from: usize,
    to: usize,
    lane: usize,
}

/// Rows from top to bottom in the network's order: row 0 is the input, row i + 1 node i.
fn graph(inspection: &Inspection, architecture: &Architecture) -> Markup {
    let nodes = architecture.nodes();
    let mut writer = architecture.per_tensor(0usize);
    let mut near = Vec::new();
    let mut passing: Vec<Passing> = Vec::new();
    for (row, node) in (1..).zip(nodes) {
        for input in &node.inputs {
            let from = writer[*input];
            if from + 1 == row {
                near.push(row);
            } else {
                let taken = |lane: usize| passing.iter().any(|e| e.lane == lane && e.to > from);
                // optional: of one lane more than there are edges one is free
                let lane = (0..=passing.len()).find(|lane| !taken(*lane)).unwrap_or(0);
                passing.push(Passing { from, to: row, lane });
            }
        }
        writer[node.output] = row;
    }
    let lanes = passing.iter().map(|edge| edge.lane + 1).max().unwrap_or(0);
    let left = 16 + LANE * lanes;
    let (width, height) = (left + BOX_WIDTH + 24 + BARS + 330, ROW * (nodes.len() + 1) + 8);
    let most = inspection.layers.iter().map(|l| l.offline_bytes + l.online_bytes).max();
    let middle = |row: usize| 4 + ROW * row + BOX / 2;
    html! {
        svg role="img" width=(width) height=(height) viewBox=(format!("0 0 {width} {height}"))
            xmlns="http://www.w3.org/2000/svg" {
            title { "The network, from its input at the top to its output, with the bytes of each layer" }
            @for row in &near {
                line class="edge" x1=(left + 30) x2=(left + 30)
                    y1=(4 + ROW * (row - 1) + BOX) y2=(4 + ROW * row) {}
            }
            @for Passing { from, to, lane } in &passing {
                path class="edge" d=(format!(
                    "M{left} {} H{} V{} H{left}",
                    middle(*from) + 6, 10 + LANE * lane, middle(*to) - 6
                )) {}
            }
            (block((left, 0), "", "input", &shape(architecture.input().shape)))
            @for (row, node) in (1..).zip(nodes) {
                (block(
                    (left, row),
                    kind_class(node),
                    &node.name,
                    &format!("{}, to {}", what(node), shape(architecture.tensor(node.output).shape)),
                ))
                @if let Some(layer) = layer(&inspection.layers, node) {
                    (cost(layer, (left + BOX_WIDTH + 24, 4 + ROW * row), most.unwrap_or(1).max(1)))
                }
            }
        }
    }
}

fn block((left, row): (usize, usize), class: &str, name: &str, what: &str) -> Markup {
    let top = 4 + ROW * row;
    let name = visible(name);
    let shown: String = if name.chars().count() > NAME {
        let skipped = name.chars().count() - NAME + 1;
        std::iter::once('…').chain(name.chars().skip(skipped)).collect()
    } else {
        name.clone().into_owned()
    };
    html! {
        g {
            title { (name) }
            rect class=(format!("box {class}")) x=(left) y=(top) width=(BOX_WIDTH) height=(BOX) rx="6" {}
            text x=(left + 10) y=(top + 17) { (shown) }
            text class="soft" x=(left + 10) y=(top + 33) { (what) }
        }
    }
}

/// Bars of a layer's bytes, as shares of the largest layer's.
fn cost(layer: &PlannedLayer, (left, top): (usize, usize), most: u64) -> Markup {
    let part = |bytes: u64| BARS as f64 * bytes as f64 / most as f64;
    let (offline, online) = (part(layer.offline_bytes), part(layer.online_bytes));
    let mut figures = vec![format!("{} offline", output::bytes(layer.offline_bytes))];
    if layer.online_bytes > 0 {
        figures.push(format!("{} online", output::bytes(layer.online_bytes)));
    }
    let mut second = vec![visible(&layer.protocol).into_owned()];
    if let Some(step) = &layer.predicted {
        if let Some(ots) = layer.ots.filter(|ots| *ots > 0) {
            second.push(format!("{} OTs", thousands(ots)));
        }
        second.push(match step.trips {
            0 => "trips of a layer beside it".to_owned(),
            1 => "1 trip".to_owned(),
            trips => format!("{trips} trips"),
        });
        second.push(output::seconds(step.offline + step.online));
    }
    html! {
        rect class="track" x=(left) y=(top + 12) width=(BARS) height="16" rx="3" {}
        rect class="offline" x=(left) y=(top + 12) height="16" width=(format!("{offline:.1}")) {}
        rect class="online" x=(format!("{:.1}", left as f64 + offline)) y=(top + 12) height="16"
            width=(format!("{online:.1}")) {}
        text x=(left + BARS + 12) y=(top + 17) { (figures.join(", ")) }
        text class="soft" x=(left + BARS + 12) y=(top + 33) { (second.join(", ")) }
    }
}

/// The layer of a node: of several that share one request, that of the first.
fn layer<'a>(layers: &'a [PlannedLayer], node: &Node) -> Option<&'a PlannedLayer> {
    let linear = match node.kind {
        NodeKind::Linear(_) => true,
        NodeKind::Step(_) => false,
        NodeKind::Local(_) => return None,
    };
    let first = format!("{}+", node.name);
    layers.iter().find(|layer| {
        (layer.kind == "linear") == linear
            && (layer.name == node.name || (linear && layer.name.starts_with(&first)))
    })
}

fn kind_class(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Linear(_) => "linear",
        NodeKind::Step(_) => "step",
        NodeKind::Local(_) => "",
    }
}

fn what(node: &Node) -> String {
    use gazelle::share::LinearOp;
    match &node.kind {
        NodeKind::Linear(LinearOp::Conv(conv)) => {
            format!("{} x {} convolution", conv.kernel[0], conv.kernel[1])
        }
        NodeKind::Linear(LinearOp::FullyConnected { .. }) => "fully connected".into(),
        NodeKind::Step(step) => match &step.function {
            StepFunction::Relu | StepFunction::CoarseRelu { .. } => "ReLU".into(),
            StepFunction::Clip { .. } => "clipped ReLU".into(),
            StepFunction::MaxPool { relu: true, .. } => "max-pool and ReLU".into(),
            StepFunction::MaxPool { .. } => "max-pool".into(),
            StepFunction::Square { .. } => "square".into(),
            StepFunction::Rescale => "rescale".into(),
            StepFunction::Round => "rounded output".into(),
            StepFunction::ArgMax => "best class".into(),
            StepFunction::TopK { k } => format!("best {k} classes"),
        },
        NodeKind::Local(map) => match map {
            LocalMap::Add { .. } => "sum",
            LocalMap::Concat => "concatenation",
            LocalMap::SumPool(_) => "sum over windows",
            LocalMap::Reshape => "reshape",
            _ => "local map",
        }
        .into(),
    }
}

fn shape(shape: TensorShape) -> String {
    match (shape.height, shape.width) {
        (1, 1) => shape.channels.to_string(),
        (height, width) => format!("{} x {height} x {width}", shape.channels),
    }
}

/// `1,234,567`.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_thousands_are_parted() {
        assert_eq!([7, 1234, 1_234_567].map(thousands), ["7", "1,234", "1,234,567"]);
    }

    #[test]
    fn adversarial_names_in_the_graph_stay_text() {
        let text = block((10, 1), "linear", "</svg><script>\u{1b}", "to \"3\"").into_string();
        assert!(!text.contains("<script") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("&lt;/svg&gt;"));
        let long = block((0, 0), "", &"é".repeat(100), "").into_string();
        assert!(long.contains(&format!("…{}<", "é".repeat(NAME - 1))));
    }
}
