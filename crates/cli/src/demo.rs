//! `gazelle demo`: both parties on this machine, over loopback TCP, with an embedded network.

use std::net::TcpListener;
use std::sync::Arc;

use gazelle::backend::{Choice, DefaultService, Machine, Prediction, planner};
use gazelle::wire::Link;
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{Description, GazelleError, Limits, Offer, RankedClass, ServerLimits, ServerReport};
use gazelle_host::Loaded;
use gazelle_input::{Content, Encoder, Input};

use crate::Outcome;
use crate::arguments::Demo;
use crate::failure::Failure;
use crate::model_file;
use crate::output::Summary;
use crate::progress::BatchProgress;
use crate::screen::{self, say, visible};
use crate::{draw, output};

/// Runs the demonstration.
pub(crate) fn run(command: &Demo, quiet: bool, verbose: bool) -> Outcome {
    let (model, inputs) = model_file::embedded(command.backend, command.images)?;
    let talk = !command.json && !quiet;
    if talk {
        say!("{}\n\n", model_file::summary(&model));
    }
    let server = Arc::new(model.compile()?);
    let predicted = if talk && verbose {
        let machine = Machine::here();
        let description = Description::parse(server.description())?;
        let (plan, traffic) = (server.plan(), server.traffic());
        Some(planner::predict(plan, traffic, &description, Link::MEMORY, &machine)?)
    } else {
        None
    };
    let listener = tcp::listen("127.0.0.1:0", tcp::Exposure::Loopback)?;
    let address = listener.local_addr()?;
    let thread = std::thread::Builder::new().name("server".into()).spawn({
        let server = Arc::clone(&server);
        move || serve(&listener, &server)
    })?;
    let talk = (quiet, verbose);
    let result = client(command, talk, (&model, predicted), &inputs, address);
    match (result, thread.join()) {
        (result, Ok(Ok(_))) => result,
        (Err(failure), Ok(Err(error))) => Err(Failure::Run(format!("{failure} (server: {error})"))),
        (Ok(()), Ok(Err(error))) => Err(Failure::Run(format!("server: {error}"))),
        (_, Err(_)) => Err(Failure::Run("the server's thread panicked".into())),
    }
}

fn serve(listener: &TcpListener, server: &DefaultService) -> Result<ServerReport, GazelleError> {
    let io = |error| GazelleError::Channel(gazelle::wire::ChannelError::Io(error));
    let (stream, _) = listener.accept().map_err(io)?;
    let channel = tcp::channel(stream, &Timeouts::default()).map_err(io)?;
    let mut rng = gazelle::system_rng()?;
    server.serve(channel, &ServerLimits::default(), &mut rng)
}

fn client(
    command: &Demo,
    (quiet, verbose): (bool, bool),
    (model, mut predicted): (&Loaded, Option<Prediction>),
    inputs: &[Input],
    address: std::net::SocketAddr,
) -> Outcome {
    let batch = BatchProgress::new(inputs.len(), quiet || command.json);
    let channel = tcp::connect(address, &Timeouts::default())?;
    batch.follow(channel.pace());
    let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let description = offer.description();
    let encoder = Encoder::new(&description.architecture, description.model.interface.as_ref())?;
    let suite = Choice::parse(offer.description())?.suite(offer.description().nonlinear.len());
    batch.begin("setup");
    let mut client = offer.accept(suite, &mut rng)?;
    client.observe(batch.observer());
    batch.start();
    let mut setup = Some(client.setup());
    let mut summary = Summary::new(client.setup(), true);
    for input in inputs {
        let (values, _) = encoder.encode(input)?;
        let prepared = client.prepare(&mut rng)?;
        let inference = client.infer(prepared, &values)?;
        let plaintext = model_file::plaintext(model, &encoder, input)?;
        let info = &client.description().model;
        let mut object = output::object(&input.name, &inference, info, output::labels(info), 3);
        let plain = gazelle::ranking(&plaintext, output::labels(info), 3);
        object.plaintext_class = plain.first().map(|first| first.class);
        object.plaintext_logits = Some(&plaintext);
        object.setup = setup.take();
        batch.advance();
        if command.json {
            output::json(&object)?;
            continue;
        }
        batch.suspend(|| {
            compare(input, &object, &plain, quiet);
            summary.add(&inference.report);
            if verbose && object.setup.is_some() {
                say!("{}\n", output::table(&inference.report));
            }
            // What comes after the first inference of a session takes less.
            if let Some(predicted) = predicted.take() {
                let report = &inference.report;
                say!("{}\n\n", output::predicted(&predicted, object.setup, report));
            }
        });
    }
    drop(batch);
    if !command.json && !quiet {
        say!("{summary}");
    }
    client.close()?;
    Ok(())
}

/// The image, and the private prediction beside the plaintext one.
fn compare(input: &Input, object: &output::Object<'_>, plain: &[RankedClass], quiet: bool) {
    if let (false, Content::Image(image)) = (quiet, &input.content) {
        if screen::coloured() {
            screen::draw(&format!("{}\n", draw::image(image)));
        } else {
            say!("{}\n", draw::plain(image));
        }
    }
    say!("{:<24} {:<24} in the clear\n", visible(&input.name), "private");
    for (private, plain) in object.answer.top.iter().zip(plain) {
        say!("{:<24} {:<24}{}\n", "", output::class(private), output::class(plain));
    }
    let same = object.plaintext_class == Some(object.answer.class);
    say!("{:<24} {}\n\n", "", if same { "same class" } else { "DIFFERENT CLASS" });
}
