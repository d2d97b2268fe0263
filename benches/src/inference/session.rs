//! One session with one inference, both parties in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::backend::{DefaultClient, DefaultService};
use gazelle::{GazelleError, Layer, Limits, Offer, Phase, ServerLimits, ServerReport};

use crate::measure::Link;
use crate::networks::{self, Loaded};

/// What the phases of a session are called.
pub(super) const PHASES: [&str; 4] = ["setup", "offline", "online", "whole"];

/// What one session took: `[setup, offline, online, whole]` at each party, and their layers.
pub(super) struct Session {
    pub(super) client: [Phase; 4],
    pub(super) server: [Phase; 4],
    pub(super) client_layers: Vec<Layer>,
    pub(super) server_layers: Vec<Layer>,
}

/// Runs it and checks the result.
pub(super) fn run(
    link: Link,
    server: &Arc<DefaultService>,
    loaded: &Loaded,
) -> Result<Session, Box<dyn std::error::Error>> {
    let (ours, theirs) = link.shaped().pair(Duration::from_mins(5));
    let serving = Arc::clone(server);
    let thread = std::thread::spawn(move || -> Result<ServerReport, GazelleError> {
        serving.serve(theirs, &ServerLimits::default(), &mut gazelle::system_rng()?)
    });
    let start = Instant::now();
    let mut rng = gazelle::system_rng()?;
    let offer = Offer::receive(ours, Limits::default(), None)?;
    let suite = networks::suite(offer.description())?;
    let mut client: DefaultClient = offer.accept(suite, &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    let inference = client.infer(prepared, &loaded.input)?;
    let setup = client.setup();
    let seconds = start.elapsed().as_secs_f64();
    client.close()?;
    let mut report = thread.join().map_err(|_| "the server panicked")??;
    loaded.check(&inference.values)?;
    let served = report.inferences.pop().ok_or("the server served nothing")?;
    Ok(Session {
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
