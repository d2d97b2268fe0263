//! Whole inferences: setup, offline and online, per party and link; every result is compared with
//! the fixed-point reference.
//!
//! Both parties run in this process, a thread each, over a simulated link. `limit` is the link
//! itself: the time that these bytes and turns take if nothing has to be computed. The figures
//! `predicted/<phase>` are the planner's; their `ratio_to_limit` is predicted over measured time.
//! The figures `processor/<phase>` are processor seconds of both parties together, the mean over all
//! repetitions: what a busy machine disturbs least.
//! Turns are compared with what no network may exceed: setup 3, offline 12; more is a failure.
//! `bound/whole` (on a link with latency) is what a whole inference may take, by what the same run measured of
//! the same plan: 1.15 times the larger of the time on the memory link and of the busier direction's bytes on
//! the wire, and a round trip for each online turn and 15 more; its `ratio_to_limit` is measured time over
//! that.
//! The figures `memory/<backend>/peak` come from one more run as two processes over TCP.

mod bound;
mod layers;
mod processes;
mod session;

use std::sync::Arc;
use std::time::Instant;

use gazelle::backend::{DefaultService, Machine, Prediction, planner};
use gazelle::{Description, GazelleError, Phase};
use gazelle_wire::Traffic;

pub(crate) use processes::{Party, take_part};

use crate::Outcome;
use crate::measure::{Bench, Link, Measurement};
use crate::networks::{self, Backend, Known, Loaded, NETWORKS};
use session::{PHASES, Session};

/// Repetitions at most; the budget of `--seconds` ends them earlier.
const REPETITIONS: usize = 25;

/// Figures of one network, link and backend, for filters.
const TAILS: [&str; 16] = [
    "bound/whole",
    "compile",
    "setup",
    "offline",
    "online",
    "whole",
    "processor/",
    "predicted/setup",
    "predicted/offline",
    "predicted/online",
    "predicted/whole",
    "layer/",
    "linear/offline",
    "linear/online",
    "nonlinear/offline",
    "nonlinear/online",
];

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let mut machine = None;
    for known in NETWORKS {
        if wants(bench, known) {
            network(bench, known, &mut machine)?;
        }
    }
    Ok(())
}

/// Large networks are measured only when their name is given.
fn wants(bench: &Bench, known: Known) -> bool {
    bench.wants_model(known.name)
        && (!known.large || bench.names_model() || bench.filter_contains(known.name))
}

/// Garbled tables of a large network take gigabytes: that backend only on request.
fn backends(bench: &Bench, known: Known) -> Vec<Backend> {
    let asked = |backend: &Backend| {
        !known.large
            || *backend == Backend::Auto
            || bench.filter_contains(&format!("/{}", backend.name()))
    };
    networks::backends().into_iter().filter(asked).collect()
}

fn network(bench: &mut Bench, known: Known, machine: &mut Option<Machine>) -> Outcome {
    let name = known.name;
    let mut loaded = None;
    for backend in backends(bench, known) {
        let backend_id = backend.id(bench.rounding());
        let ids = |link: Link| format!("inference/{name}/{}/{backend_id}", link.name());
        let mut links = bench.links();
        links.retain(|link| bench.wants_any(&ids(*link), &TAILS));
        let memory = format!("inference/{name}/memory/{backend_id}/peak");
        let separately = bench.wants(&memory) && bench.links().contains(&Link::Memory);
        if links.is_empty() && !separately {
            continue;
        }
        if loaded.is_none() {
            let start = Instant::now();
            loaded = networks::load(known, bench.rounding())?;
            eprintln!("bench: {name} quantised in {:.1} s", start.elapsed().as_secs_f64());
        }
        let Some(loaded) = &loaded else {
            eprintln!("bench: {name} is not there (../shared/data/models); left out");
            return Ok(());
        };
        let machine = if let Some(machine) = machine {
            *machine
        } else {
            let prices = if bench.calibrates() { Machine::calibrate()? } else { Machine::here() };
            *machine.insert(prices)
        };
        for link in links {
            let start = Instant::now();
            let server = loaded.compile(backend, link.shaped())?;
            let server = Arc::new(server);
            let compiled = start.elapsed().as_secs_f64();
            let mut figure = Measurement::new(format!("{}/compile", ids(link)), 1, &[compiled]);
            figure.party = "server";
            bench.record(&figure)?;
            let prediction = predicted(&server, link, &machine)?;
            measure(bench, &ids(link), link, (&server, loaded), prediction)?;
        }
        if separately {
            processes::run(bench, known, backend, loaded)?;
        }
    }
    Ok(())
}

/// The planner's phases: `[setup, offline, online, whole]`.
fn predicted(
    server: &DefaultService,
    link: Link,
    machine: &Machine,
) -> Result<[Phase; 4], GazelleError> {
    let (plan, traffic) = (server.plan(), server.traffic());
    let description = Description::parse(server.description())?;
    let prediction = planner::predict(plan, traffic, &description, link.shaped(), machine)?;
    let Prediction { setup, offline, online, .. } = prediction;
    Ok([setup, offline, online, prediction.whole()])
}

fn measure(
    bench: &mut Bench,
    id: &str,
    link: Link,
    (server, loaded): (&Arc<DefaultService>, &Loaded),
    predicted: [Phase; 4],
) -> Outcome {
    let begin = Instant::now();
    let mut sessions = Vec::new();
    while sessions.len() < REPETITIONS
        && (sessions.is_empty() || begin.elapsed().as_secs_f64() < bench.seconds())
    {
        sessions.push(session::run(link, server, loaded)?);
    }
    for (index, (phase, predicted)) in PHASES.into_iter().zip(predicted).enumerate() {
        compare(bench, id, phase, predicted, &of_phase(&sessions, "client", index))?;
        let id = format!("{id}/{phase}");
        if !bench.wants(&id) {
            continue;
        }
        for party in ["client", "server"] {
            let phases = of_phase(&sessions, party, index);
            bench.record(&figure(&id, link, party, phase, &phases))?;
        }
    }
    processor(bench, id, &sessions)?;
    let most = |phase| {
        let phases = of_phase(&sessions, "client", phase_index(phase));
        phases.iter().map(|phase| phase.turns).max().unwrap_or(0)
    };
    bound::turns(id, most("setup"), most("offline"))?;
    if link != Link::Memory {
        bound::record(bench, id, link, (server, loaded), &sessions)?;
    }
    layers::record(bench, id, &sessions)
}

/// Processor time by phase: the system counts in hundredths of a second, so the mean counts.
fn processor(bench: &mut Bench, id: &str, sessions: &[Session]) -> Outcome {
    for (index, phase) in PHASES.into_iter().enumerate() {
        let id = format!("{id}/processor/{phase}");
        if bench.wants(&id) {
            let spent = sessions.iter().filter_map(|session| session.processor.get(index));
            let mean = spent.sum::<f64>() / sessions.len().max(1) as f64;
            let mut figure = Measurement::new(&id, 1, &[mean]);
            figure.phase = phase;
            bench.record(&figure)?;
        }
    }
    Ok(())
}

/// A phase's place in what a session reports.
fn phase_index(name: &str) -> usize {
    // optional: names are literals of this suite
    PHASES.iter().position(|phase| *phase == name).unwrap_or(PHASES.len())
}

/// One phase of all sessions, as one party saw it.
fn of_phase(sessions: &[Session], party: &str, index: usize) -> Vec<Phase> {
    let of = |session: &Session| {
        let phases = if party == "client" { &session.client } else { &session.server };
        phases.get(index).copied().unwrap_or_default()
    };
    sessions.iter().map(of).collect()
}

fn figure(
    id: &str,
    link: Link,
    party: &'static str,
    phase: &'static str,
    phases: &[Phase],
) -> Measurement {
    let seconds: Vec<f64> = phases.iter().map(|phase| phase.seconds).collect();
    let last = phases.last().copied().unwrap_or_default();
    let mut figure = Measurement::new(id, 1, &seconds);
    figure.party = party;
    figure.phase = phase;
    figure.bytes = last.bytes();
    figure.turns = last.turns;
    if link != Link::Memory {
        let traffic =
            Traffic { sent: last.bytes_sent, received: last.bytes_received, turns: last.turns };
        figure.limit = Some("link");
        let limit = link.shaped().time(traffic).as_secs_f64();
        figure.ratio_to_limit = (limit > 0.0).then(|| figure.median_s / limit);
    }
    figure
}

/// The planner's prediction beside what was measured. Bytes must be the same.
fn compare(
    bench: &mut Bench,
    id: &str,
    phase: &'static str,
    predicted: Phase,
    measured: &[Phase],
) -> Outcome {
    let seconds: Vec<f64> = measured.iter().map(|phase| phase.seconds).collect();
    let actual = Measurement::new(id, 1, &seconds);
    let bytes = measured.last().map_or(0, Phase::bytes);
    if bytes != predicted.bytes() {
        let predicted = predicted.bytes();
        return Err(format!("{id}/{phase}: {bytes} bytes, {predicted} predicted").into());
    }
    let id = format!("{id}/predicted/{phase}");
    if !bench.wants(&id) {
        return Ok(());
    }
    let mut figure = Measurement::new(&id, 1, &[predicted.seconds]);
    figure.party = "client";
    figure.phase = phase;
    figure.bytes = predicted.bytes();
    figure.turns = predicted.turns;
    figure.limit = Some("measured");
    figure.ratio_to_limit = (actual.median_s > 0.0).then(|| predicted.seconds / actual.median_s);
    eprintln!(
        "bench: {id}: {:.3} s predicted, {:.3} s measured, ratio {:.2}; {} bytes",
        predicted.seconds,
        actual.median_s,
        figure.ratio_to_limit.unwrap_or(0.0),
        predicted.bytes()
    );
    bench.record(&figure)
}
