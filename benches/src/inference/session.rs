//! Sessions with one inference each, both parties in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::backend::{DefaultClient, DefaultService};
use gazelle::wire::Channel;
use gazelle::{GazelleError, Layer, Limits, Offer, Phase, ServerLimits, ServerReport};
use rand_core::CryptoRng;

use crate::machine::processor_seconds;
use crate::measure::Link;
use crate::networks::{self, Loaded};

/// What the phases of a session are called.
pub(super) const PHASES: [&str; 4] = ["setup", "offline", "online", "whole"];

/// What an inference took: `[setup, offline, online]`, one after the other, and the `whole`, both of its phases side by
/// side, at each party; their layers.
pub(super) struct Session {
    pub(super) client: [Phase; 4],
    pub(super) server: [Phase; 4],
    pub(super) client_layers: Vec<Layer>,
    pub(super) server_layers: Vec<Layer>,
    /// Processor seconds of both parties by phase, as the client passed them.
    pub(super) processor: [f64; 4],
}

/// What one party's thread gives.
type Served = Result<ServerReport, Box<dyn std::error::Error>>;

/// Runs two sessions and checks their results: one whose phases come one after the other, for theirs, and one with an
/// inference at once, for the whole.
pub(super) fn run(
    link: Link,
    server: &Arc<DefaultService>,
    loaded: &Loaded,
) -> Result<Session, Box<dyn std::error::Error>> {
    let mut session = phases(link, server, loaded)?;
    let before = processor_seconds();
    let (client, server) = whole(link, server, loaded)?;
    session.processor[3] = processor_seconds() - before;
    (session.client[3], session.server[3]) = (client, server);
    Ok(session)
}

/// A server for one client, on a thread.
fn serve(
    link: Link,
    server: &Arc<DefaultService>,
) -> Result<(Channel, impl FnOnce() -> Served), Box<dyn std::error::Error>> {
    let (ours, theirs) = link.shaped().pair(Duration::from_mins(5));
    let serving = Arc::clone(server);
    let named = std::thread::Builder::new().name("server".into());
    let thread = named.spawn(move || -> Result<ServerReport, GazelleError> {
        serving.serve(theirs, &ServerLimits::default(), &mut gazelle::system_rng()?)
    })?;
    Ok((ours, move || Ok(thread.join().map_err(|_| "the server panicked")??)))
}

/// A client's session, not set up.
fn begin(
    ours: Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<DefaultClient, Box<dyn std::error::Error>> {
    let offer = Offer::receive(ours, Limits::default(), None, rng)?;
    let suite = networks::suite(offer.description())?;
    Ok(offer.accept_unprepared(suite)?)
}

/// A setup and an inference at once: what they took from the first byte to the last, at client and server.
fn whole(
    link: Link,
    server: &Arc<DefaultService>,
    loaded: &Loaded,
) -> Result<(Phase, Phase), Box<dyn std::error::Error>> {
    let (ours, served) = serve(link, server)?;
    let start = Instant::now();
    let mut rng = gazelle::system_rng()?;
    let mut client = begin(ours, &mut rng)?;
    let inference = client.set_up_and_infer(None, &loaded.input, &mut rng)?;
    let setup = client.setup();
    let seconds = start.elapsed().as_secs_f64();
    client.close()?;
    let mut report = served()?;
    loaded.check(&inference.values)?;
    let served = report.inferences.pop().ok_or("the server served nothing")?;
    let ([.., client], [.., server]) = (
        with_whole(setup, inference.report.offline, inference.report.online, seconds),
        with_whole(report.setup, served.offline, served.online, seconds),
    );
    Ok((client, server))
}

/// One inference, phase by phase.
fn phases(
    link: Link,
    server: &Arc<DefaultService>,
    loaded: &Loaded,
) -> Result<Session, Box<dyn std::error::Error>> {
    let (ours, served) = serve(link, server)?;
    let (start, mut spent) = (Instant::now(), vec![processor_seconds()]);
    let mut rng = gazelle::system_rng()?;
    let mut client = begin(ours, &mut rng)?;
    client.set_up(None, &mut rng)?;
    spent.push(processor_seconds());
    let prepared = client.prepare(&mut rng)?;
    spent.push(processor_seconds());
    let inference = client.infer(prepared, &loaded.input)?;
    spent.push(processor_seconds());
    let setup = client.setup();
    let seconds = start.elapsed().as_secs_f64();
    client.close()?;
    let mut report = served()?;
    loaded.check(&inference.values)?;
    let served = report.inferences.pop().ok_or("the server served nothing")?;
    let mut processor = [0.0; 4];
    for (phase, span) in processor.iter_mut().zip(spent.windows(2)) {
        *phase = span.iter().rev().copied().reduce(|end, begin| end - begin).unwrap_or(0.0);
    }
    Ok(Session {
        processor,
        client: with_whole(setup, inference.report.offline, inference.report.online, seconds),
        server: with_whole(report.setup, served.offline, served.online, seconds),
        client_layers: inference.report.layers,
        server_layers: served.layers,
    })
}

fn with_whole(setup: Phase, offline: Phase, online: Phase, seconds: f64) -> [Phase; 4] {
    let mut whole = setup;
    whole += offline;
    whole += online;
    whole.seconds = seconds;
    [setup, offline, online, whole]
}
