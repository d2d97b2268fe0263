//! Whole inferences: setup, offline and online, per party and link.
//!
//! Both parties run in this process, a thread each, over a simulated link. `limit` is the link
//! itself: the time that these bytes and turns take if nothing has to be computed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultClient, DefaultServer, Machine, planner};
use gazelle::{GazelleError, Limits, Offer, Phase, ServerLimits, ServerReport};
use gazelle_wire::Traffic;

use crate::Outcome;
use crate::measure::{Bench, Link, Measurement};
use crate::networks::{self, Loaded, NETWORKS};

/// Repetitions at most; the budget of `--seconds` ends them earlier.
const REPETITIONS: usize = 5;

/// What one session took: `[setup, offline, online, whole]` at each party.
struct Session {
    client: [Phase; 4],
    server: [Phase; 4],
}

const PHASES: [&str; 4] = ["setup", "offline", "online", "whole"];

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let mut machine = None;
    for name in NETWORKS {
        if !bench.wants_model(name) {
            continue;
        }
        for backend in networks::backends() {
            let ids = |link: Link| format!("inference/{name}/{}/{}", link.name(), backend.name());
            let links: Vec<Link> = bench
                .links()
                .into_iter()
                .filter(|link| {
                    PHASES.iter().any(|phase| bench.wants(&format!("{}/{phase}", ids(*link))))
                })
                .collect();
            if links.is_empty() {
                continue;
            }
            let Some(loaded) = networks::load(name)? else {
                eprintln!("bench: {name} is not there (../shared/data/models); left out");
                continue;
            };
            for link in links {
                let machine = match machine {
                    Some(machine) => machine,
                    None => *machine.insert(Machine::calibrate()?),
                };
                let start = Instant::now();
                let (server, choice) = loaded.compile(backend, link.shaped(), &machine)?;
                let server = Arc::new(server);
                let compiled = start.elapsed().as_secs_f64();
                let mut figure = Measurement::new(format!("{}/compile", ids(link)), 1, &[compiled]);
                figure.party = "server";
                bench.record(&figure)?;
                predict(bench, &ids(link), (&server, &choice), (link, &machine))?;
                measure(bench, &ids(link), link, &server, &loaded)?;
            }
        }
    }
    Ok(())
}

/// The planner's prediction, beside what is then measured.
fn predict(
    bench: &mut Bench,
    id: &str,
    (server, choice): (&DefaultServer, &Choice),
    (link, machine): (Link, &Machine),
) -> Outcome {
    let (plan, traffic) = (server.plan(), server.traffic());
    let prediction = planner::predict(plan, traffic, choice, link.shaped(), machine);
    let mut whole = prediction.setup;
    whole += prediction.offline;
    whole += prediction.online;
    let phases = [prediction.setup, prediction.offline, prediction.online, whole];
    for (name, phase) in PHASES.into_iter().zip(phases) {
        let id = format!("{id}/predicted/{name}");
        if bench.wants(&id) {
            let mut figure = Measurement::new(id, 1, &[phase.seconds]);
            figure.party = "client";
            figure.phase = name;
            figure.bytes = phase.bytes();
            figure.turns = phase.turns;
            bench.record(&figure)?;
        }
    }
    Ok(())
}

fn measure(
    bench: &mut Bench,
    id: &str,
    link: Link,
    server: &Arc<DefaultServer>,
    loaded: &Loaded,
) -> Outcome {
    let begin = Instant::now();
    let mut sessions = Vec::new();
    while sessions.len() < REPETITIONS
        && (sessions.is_empty() || begin.elapsed().as_secs_f64() < bench.seconds())
    {
        sessions.push(session(link, server, &loaded.input)?);
    }
    for (index, phase) in PHASES.into_iter().enumerate() {
        let id = format!("{id}/{phase}");
        if !bench.wants(&id) {
            continue;
        }
        for (party, at) in [("client", 0), ("server", 1)] {
            let of = |session: &Session| {
                let phases = if at == 0 { &session.client } else { &session.server };
                phases.get(index).copied().unwrap_or_default()
            };
            let seconds: Vec<f64> = sessions.iter().map(|s| of(s).seconds).collect();
            let last = sessions.last().map(of).unwrap_or_default();
            let mut figure = Measurement::new(&id, 1, &seconds);
            figure.party = party;
            figure.phase = phase;
            figure.bytes = last.bytes();
            figure.turns = last.turns;
            if link != Link::Memory {
                let traffic = Traffic {
                    sent: last.bytes_sent,
                    received: last.bytes_received,
                    turns: last.turns,
                };
                figure.limit = Some("link");
                let limit = link.shaped().time(traffic).as_secs_f64();
                figure.ratio_to_limit = (limit > 0.0).then(|| figure.median_s / limit);
            }
            bench.record(&figure)?;
        }
    }
    Ok(())
}

fn session(
    link: Link,
    server: &Arc<DefaultServer>,
    input: &[i64],
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
    let inference = client.infer(prepared, input)?;
    let setup = client.setup();
    let seconds = start.elapsed().as_secs_f64();
    client.close()?;
    let report = thread.join().map_err(|_| "the server panicked")??;
    let served = report.inferences.first().ok_or("the server served nothing")?;
    Ok(Session {
        client: with_whole(setup, inference.report.offline, inference.report.online, seconds),
        server: with_whole(report.setup, served.offline, served.online, seconds),
    })
}

fn with_whole(setup: Phase, offline: Phase, online: Phase, seconds: f64) -> [Phase; 4] {
    let mut whole = setup;
    whole += offline;
    whole += online;
    whole.seconds = seconds;
    [setup, offline, online, whole]
}
