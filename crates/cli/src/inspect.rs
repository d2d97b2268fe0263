//! `gazelle inspect`: can this model run privately, and what will it take?

use gazelle::backend::planner::StepPrediction;
use gazelle::backend::{DefaultService, Machine, planner};
use gazelle::wire::{Cost, Link};
use gazelle::{Description, Hints, isa};
use gazelle_model::{ModelError, Unsupported};
use serde::Serialize;

use crate::Outcome;
use crate::accuracy::{self, Accuracy};
use crate::arguments::{Backend, Inspect};
use crate::failure::Failure;
use crate::model_file::{self, LoadFailure, Loaded, Wanted};
use crate::output::{self, column};
use crate::screen::{say, visible};

/// The stable form of `--json`.
#[derive(Debug, Serialize)]
struct Inspection {
    supported: bool,
    unsupported: Vec<Unsupported>,
    /// What a user should know about a model that can run.
    remarks: Vec<String>,
    input_shape: Vec<usize>,
    /// What inputs are held to: `[[low, high]]`, or one pair per channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_range: Option<gazelle_model::InputRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_range_source: Option<gazelle_model::RangeSource>,
    #[serde(skip)]
    inputs: String,
    ring_bits: u32,
    /// Whether every inference has hints of its own.
    fresh_hints: bool,
    #[serde(skip)]
    hints: &'static str,
    layers: Vec<LayerObject>,
    predicted: serde_json::Map<String, serde_json::Value>,
    /// By what prices the times are predicted: of an instruction set, or measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_point: Option<gazelle_model::Report>,
    /// Whether no input in the range can overflow a hidden value, and in words.
    proven: bool,
    #[serde(skip)]
    proof: String,
    /// What `--guaranteed` would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    guaranteed: Option<Guarantee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Accuracy>,
}

/// Bytes of a first inference with ranges that are known for inputs like the calibration's, and with
/// guaranteed ones; or why there are none.
#[derive(Debug, Serialize)]
struct Guarantee {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    guaranteed_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct LayerObject {
    name: String,
    kind: &'static str,
    protocol: String,
    ring_bits: u32,
    offline_bytes: u64,
    online_bytes: u64,
    /// Of non-linear layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<StepPrediction>,
}

/// Prints what the model needs; exit code 1 if it cannot run.
pub(crate) fn run(command: &Inspect) -> Outcome {
    let links = command.link.map_or_else(|| vec![Link::LAN, Link::WAN], |link| vec![link]);
    let first = links.first().copied().unwrap_or(Link::LAN);
    let object = match model_file::load(&command.model, None, first) {
        Ok(model) => supported(model, command, &links)?,
        Err(LoadFailure::Model(error)) => unsupported(error),
        Err(LoadFailure::Other(failure)) => return Err(failure),
    };
    if command.json {
        output::json(&object)?;
    } else {
        print(&object);
    }
    if object.supported { Ok(()) } else { Err(Failure::No("this model cannot run".into())) }
}

/// Whatever keeps the model from running is listed: nodes, or the file as a whole.
fn unsupported(error: ModelError) -> Inspection {
    Inspection {
        supported: false,
        unsupported: error.reasons(),
        remarks: Vec::new(),
        input_shape: Vec::new(),
        input_range: None,
        input_range_source: None,
        inputs: String::new(),
        ring_bits: 0,
        fresh_hints: false,
        hints: "",
        layers: Vec::new(),
        predicted: serde_json::Map::new(),
        prices: None,
        fixed_point: None,
        proven: false,
        proof: String::new(),
        guaranteed: None,
        accuracy: None,
    }
}

/// Plans for each link; the layers shown are those of the first.
fn supported(mut model: Loaded, command: &Inspect, links: &[Link]) -> Result<Inspection, Failure> {
    let machine = output::machine(command.calibrate)?;
    let mut predicted = serde_json::Map::new();
    let mut shown = Vec::new();
    let mut ring_bits = 0;
    for link in links {
        let architecture = &model.quantised.network.architecture();
        model.choice = model_file::choose(architecture, command.model.wanted(*link))?;
        let server = model.compile()?;
        let (plan, traffic) = (server.plan(), server.traffic());
        let description = Description::parse(server.description())?;
        let prediction = planner::predict(plan, traffic, &description, *link, &machine)?;
        let value = serde_json::to_value(prediction).map_err(Failure::run("prediction"))?;
        predicted.insert(link.to_string(), value);
        if shown.is_empty() {
            let tensors = plan.architecture().tensors();
            ring_bits = tensors.iter().map(|tensor| tensor.ring_bits).max().unwrap_or(0);
            let steps = planner::predict_steps(plan, &description, *link, &machine)?;
            shown = layers(&server, &steps);
        }
    }
    let guaranteed = links.first().and_then(|link| price(&model, command, *link, &machine));
    let accuracy = match (&command.data, &command.labels) {
        (Some(folder), Some(table)) => {
            Some(accuracy::measure(&model, folder, table, command.limit)?)
        }
        _ => None,
    };
    Ok(Inspection {
        supported: true,
        unsupported: Vec::new(),
        remarks: model.remarks(),
        input_shape: model.model.graph.input_dims.clone(),
        input_range: model.info.interface.as_ref().and_then(|interface| interface.range.clone()),
        input_range_source: Some(model.range_source),
        inputs: model.range(),
        ring_bits,
        fresh_hints: model.choice.hints == Hints::Fresh,
        hints: model.hints(),
        layers: shown,
        predicted,
        prices: Some(if command.calibrate { "measured".into() } else { isa::level().to_string() }),
        fixed_point: Some(model.quantised.report.clone()),
        proven: model.quantised.report.proven(),
        proof: model.proof(),
        guaranteed,
        accuracy,
    })
}

/// What a guarantee for every input would cost, where it can be told: by one backend, so that the
/// ranges alone make the difference.
fn price(model: &Loaded, command: &Inspect, link: Link, machine: &Machine) -> Option<Guarantee> {
    let wanted = command.model.wanted(link);
    let backend = if wanted.backend == Backend::Auto { Backend::Gmw } else { wanted.backend };
    let wanted = Wanted { backend, ..wanted };
    let total = |model: &Loaded| -> Result<u64, Failure> {
        let network = model.quantised.network.clone();
        let choice = model_file::choose(network.architecture(), wanted)?;
        let suite = choice.suite(model.steps());
        let info = model.info.clone();
        let server = DefaultService::compile(suite, network, info, choice.to_value())?;
        let description = Description::parse(server.description())?;
        let prediction =
            planner::predict(server.plan(), server.traffic(), &description, link, machine)?;
        let phases = [prediction.setup, prediction.offline, prediction.online];
        Ok(phases.iter().map(gazelle::Phase::bytes).sum())
    };
    let guaranteed = model.guaranteed(wanted)?;
    let guaranteed = guaranteed.map_err(Failure::from).and_then(|model| total(&model));
    let bytes = total(model).ok()?;
    Some(match guaranteed {
        Ok(guaranteed) => Guarantee { bytes, guaranteed_bytes: Some(guaranteed), why: None },
        Err(why) => Guarantee { bytes, guaranteed_bytes: None, why: Some(why.to_string()) },
    })
}

fn layers(
    server: &gazelle::backend::DefaultService,
    predicted: &[StepPrediction],
) -> Vec<LayerObject> {
    let plan = server.plan();
    let traffic = server.traffic();
    let total = |cost: Option<&Cost>| cost.map_or(0, Cost::total);
    let groups = plan.groups().iter().enumerate().map(|(index, group)| LayerObject {
        name: group.name.clone(),
        kind: "linear",
        protocol: "public-coin".into(),
        ring_bits: group.ring_bits,
        offline_bytes: total(traffic.linear.offline.get(index)),
        online_bytes: 0,
        predicted: None,
    });
    let last = plan.steps().len().saturating_sub(1);
    let steps = plan.steps().iter().enumerate().map(|(index, step)| LayerObject {
        name: plan.step_name(index).to_owned(),
        kind: if index == last { "output" } else { "nonlinear" },
        protocol: server.protocols().get(index).cloned().unwrap_or_default(),
        ring_bits: step.input_bits,
        offline_bytes: total(traffic.nonlinear.offline.get(index)),
        online_bytes: total(traffic.nonlinear.online.get(index)),
        predicted: predicted.get(index).copied(),
    });
    groups.chain(steps).collect()
}

/// `9 ms`, `1.3 s`, `120 s`.
fn short(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0}ms", seconds * 1e3),
        ..100.0 => format!("{seconds:.1}s"),
        _ => format!("{seconds:.0}s"),
    }
}

fn print(object: &Inspection) {
    if !object.supported {
        say!("this model cannot run privately:\n");
        for node in &object.unsupported {
            say!("  {}\n", visible(&node.to_string()));
        }
        return;
    }
    for remark in &object.remarks {
        say!("note: {}\n", visible(remark));
    }
    say!("input {:?}, rings up to 2^{}; {}\n", object.input_shape, object.ring_bits, object.hints);
    say!("{}\n", object.inputs);
    say!(
        "  {:<23} {:<9} {:<11} {:>4} {:>8} {:>8} {:>4} {:>5}\n",
        "layer",
        "kind",
        "protocol",
        "ring",
        "offline",
        "online",
        "trip",
        "time"
    );
    for layer in &object.layers {
        let step = layer.predicted;
        say!(
            "  {} {:<9} {} {:>4} {:>8} {:>8} {:>4} {:>5}\n",
            column(&layer.name, 23),
            layer.kind,
            column(&layer.protocol, 11),
            layer.ring_bits,
            output::bytes(layer.offline_bytes),
            output::bytes(layer.online_bytes),
            step.map_or_else(String::new, |step| step.trips.to_string()),
            step.map_or_else(String::new, |step| short(step.offline + step.online)),
        );
    }
    // optional: a model that cannot run has no predictions
    let prices = object.prices.as_deref().unwrap_or_default();
    for (name, prediction) in &object.predicted {
        say!("predicted on {name} (times by {prices} prices):\n");
        for phase in ["setup", "offline", "online"] {
            let at = |key: &str| prediction.get(phase).and_then(|phase| phase.get(key));
            let number = |key: &str| at(key).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            say!(
                "  {phase:<8} {:>10} {:>10} {:>5} round trips\n",
                output::seconds(number("seconds")),
                output::bytes((number("bytes_sent") + number("bytes_received")) as u64),
                number("turns")
            );
        }
    }
    if let Some(report) = &object.fixed_point {
        say!(
            "fixed point: {} bits a value; {:.1} % of {} inputs get the f32 network's class;\n  \
             tolerance {}\n",
            output::widths(report),
            report.agreement * 100.0,
            report.checked_inputs,
            output::rounded(report.tolerance)
        );
    }
    say!("{}\n", object.proof);
    match &object.guaranteed {
        Some(Guarantee { bytes, guaranteed_bytes: Some(guaranteed), .. }) => say!(
            "  --guaranteed: {} for a first inference instead of {}, by one backend\n",
            output::bytes(*guaranteed),
            output::bytes(*bytes)
        ),
        Some(Guarantee { why: Some(why), .. }) => {
            say!("  --guaranteed cannot be had: {}\n", visible(why));
        }
        _ => {}
    }
    if let Some(accuracy) = &object.accuracy {
        accuracy::print(accuracy);
    }
}
