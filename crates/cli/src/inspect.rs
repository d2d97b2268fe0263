//! `gazelle inspect`: can this model run privately, and what will it take?

use gazelle::isa;
use gazelle::wire::Link;
use gazelle_host::{Guarantee, Inspection, Loaded};
use gazelle_model::Watcher;
use serde::Serialize;

use crate::Outcome;
use crate::accuracy::{self, Accuracy};
use crate::arguments::Inspect;
use crate::failure::Failure;
use crate::model_file::{self, LoadFailure};
use crate::output::{self, column};
use crate::report;
use crate::screen::{say, visible};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct PrintedInspection {
    #[serde(flatten)]
    inspection: Inspection,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Accuracy>,
}

/// Prints what the model needs; exit code 1 if it cannot run.
pub(crate) fn run(command: &Inspect) -> Outcome {
    let links = command.link.map_or_else(|| vec![Link::LAN, Link::WAN], |link| vec![link]);
    let first = links.first().copied().unwrap_or(Link::LAN);
    let watcher = Watcher::default();
    let (object, architecture) =
        match model_file::load(&command.file, &command.model, None, first, watcher) {
            Ok(mut model) => {
                let object = supported(&mut model, command, &links)?;
                (object, Some(model.quantised.network.architecture().clone()))
            }
            Err(LoadFailure::Model(error)) => {
                let inspection = Inspection::refused(error);
                (PrintedInspection { inspection, accuracy: None }, None)
            }
            Err(LoadFailure::Other(failure)) => return Err(failure),
        };
    if let Some(path) = &command.html {
        let model = command.file.display().to_string();
        report::write_network(path, &model, &object.inspection, architecture.as_ref())?;
    }
    if command.json {
        output::json(&object)?;
    } else {
        print(&object.inspection);
        if let Some(accuracy) = &object.accuracy {
            accuracy::print(accuracy);
        }
    }
    if object.inspection.supported {
        Ok(())
    } else {
        Err(Failure::No("this model cannot run".into()))
    }
}

/// Plans for each link; the layers shown are those of the first.
fn supported(
    model: &mut Loaded,
    command: &Inspect,
    links: &[Link],
) -> Result<PrintedInspection, Failure> {
    let machine = output::machine(command.calibrate)?;
    let prices = if command.calibrate { "measured".into() } else { isa::level().to_string() };
    let wanted = command.model.wanted(Link::LAN);
    let inspection = Inspection::of(model, wanted, links, (&machine, prices))?;
    let accuracy = match (&command.data, &command.labels) {
        (Some(folder), Some(table)) => {
            Some(accuracy::measure(model, folder, table, command.limit)?)
        }
        _ => None,
    };
    Ok(PrintedInspection { inspection, accuracy })
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
    say!("{}\n", object.clients);
    if let (Some(opened), Some(audited)) = (object.opened_bytes, object.audited_bytes) {
        say!(
            "  one that is opened takes {}; a first inference with its share of them {}\n",
            output::bytes(opened),
            output::bytes(audited)
        );
    }
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
}
