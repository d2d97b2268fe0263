//! `gazelle infer`: the client.

use std::time::Duration;

use gazelle::backend::{Choice, DefaultClient, Machine, planner};
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{Inference, Limits, Offer, Phase};

use crate::Outcome;
use crate::arguments::Infer;
use crate::failure::Failure;
use crate::image_input::Encoder;
use crate::input::{self, Input};
use crate::output::{self, label, say};
use crate::progress::Bar;

/// Connects, then prepares and computes one inference per input.
pub(crate) fn run(command: &Infer, quiet: bool) -> Outcome {
    let limit = command.limit.unwrap_or(usize::MAX);
    let mut inputs = Vec::new();
    for path in &command.inputs {
        inputs.extend(input::read(path, limit)?);
    }
    let own_labels = command.labels.as_ref().map(|path| {
        std::fs::read_to_string(path)
            .map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .map_err(Failure::run(path.display()))
    });
    let own_labels = own_labels.transpose()?;
    let timeouts =
        Timeouts { progress: Duration::from_secs(command.timeout.max(1)), ..Timeouts::default() };
    let channel = tcp::connect(command.server.as_str(), &timeouts)
        .map_err(Failure::run(format!("no connection to {}", command.server)))?;
    let limits =
        Limits { traffic_bytes: command.max_traffic << 20, memory_bytes: command.max_memory << 20 };
    let offer = Offer::receive(channel, limits, command.pin)?;
    let encoder = Encoder::new(offer.description())?;
    // Every input is checked before anything secret moves.
    let encoded: Vec<Vec<i64>> =
        inputs.iter().map(|input| encoder.encode(input)).collect::<Result<_, _>>()?;
    let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
    let choice = Choice::parse(offer.description())?;
    let suite = choice.suite(offer.description().nonlinear.len());
    let bar = Bar::new(quiet || command.json);
    let mut client: DefaultClient = offer.accept(suite, &mut rng)?;
    client.observe(bar.observer());
    let mut setup = Some(client.setup());
    let mut predicted = match command.link {
        Some(link) => {
            let machine = Machine::calibrate()?;
            let description = client.description();
            Some(planner::predict(client.plan(), client.traffic(), description, link, &machine)?)
        }
        None => None,
    };
    for (input, values) in inputs.iter().zip(&encoded) {
        let prepared = client.prepare(&mut rng)?;
        let inference = client.infer(prepared, values)?;
        bar.clear();
        let model = &client.description().model;
        let labels = own_labels.as_deref().unwrap_or(output::labels(model));
        let mut object = output::object(&input.name, &inference, model, labels, command.top);
        object.setup = setup.take();
        object.predicted = predicted.take();
        object.probabilities =
            object.logits.as_ref().and_then(|logits| encoder.probabilities(logits));
        if command.json {
            output::json(&object)?;
        } else {
            print(input, &inference, &object, labels, quiet);
        }
    }
    client.close()?;
    Ok(())
}

fn print(
    input: &Input,
    inference: &Inference,
    object: &output::Object<'_>,
    labels: &[String],
    quiet: bool,
) {
    say!("{}: {}\n", input.name, label(labels, object.class));
    for ranked in &object.top {
        say!("  {}\n", output::class(ranked));
    }
    if !quiet {
        say!("{}", output::table(object.setup, inference));
        let all: Phase = sum(object.setup, inference);
        say!("  in all: {}, {}\n", output::seconds(all.seconds), output::bytes(all.bytes()));
        if let Some(predicted) = object.predicted {
            say!("{}\n", output::predicted(&predicted, object.setup, inference));
        }
    }
}

fn sum(setup: Option<Phase>, inference: &Inference) -> Phase {
    let mut all = setup.unwrap_or_default();
    all += inference.report.offline;
    all += inference.report.online;
    all
}
