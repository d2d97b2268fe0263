//! Clients that are not trusted: MNIST-D and CIFAR-10 MiniONN, one of eight prepared inferences opened, on the
//! memory link; both parties in this process, every result compared with the fixed-point reference.
//!
//! `used` is a cold inference none of whose offline phases was opened, `opened` what an opened one adds, `whole`
//! a cold inference with its share of them: `used + opened / 7`. Its `limit` is the goal of the design, in time.
//! All bytes must be the plan's; those of `whole` are the mean.
//! What systems of this kind in the literature say of themselves is printed beside it; it was not measured here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle::backend::{DefaultClient, DefaultService};
use gazelle::{AuditRate, GazelleError, Limits, Offer, ServerLimits};

use crate::Outcome;
use crate::measure::{Bench, Link, Measurement, median};
use crate::networks::{self, Loaded};

/// The networks, and the goals: seconds and megabytes of a cold inference with its share of audits.
const GOALS: [(&str, f64, f64); 2] =
    [("mnist_d_minionn", 0.08, 25.0), ("cifar10_minionn_gazelle", 0.9, 400.0)];

const RATE: AuditRate = AuditRate { audits: 1, of: 8 };

/// Inferences that are used, and opened ones, at least; and used ones at most.
const USED: usize = 16;
const OPENED: u64 = 6;
const MOST: usize = 160;

/// From the papers' abstracts. All catch every deviation of a client; here one in an offline phase is caught with
/// the audit rate.
const PUBLISHED: [&str; 4] = [
    "Muse (USENIX Security 2021): 13.4 to 21 times faster, 2 to 3.6 times fewer bytes than generic protocols against \
     malicious clients",
    "SIMC (USENIX Security 2022): 23 to 29 times fewer bytes than Muse, up to 11.4 times faster",
    "SIMC 2.0 (TDSC 2024): 2.3 to 4.3 times faster than SIMC",
    "CRISP (NDSS 2026): up to 94 % fewer bytes than SIMC, up to 43 % less time",
];

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let mut measured = false;
    for (name, seconds, megabytes) in GOALS {
        let id = format!("untrusted/{name}/memory");
        if !bench.wants_model(name)
            || !bench.links().contains(&Link::Memory)
            || !bench.wants_any(&id, &["used", "opened", "whole"])
        {
            continue;
        }
        let known = networks::named(name).ok_or("a network without a name")?;
        let Some(loaded) = networks::load(known, gazelle_model::RoundingMode::Exact)? else {
            eprintln!("bench: {name} is not there (../shared/data/models); left out");
            continue;
        };
        measure(bench, &id, &loaded, (seconds, megabytes))?;
        measured = true;
    }
    if measured {
        for line in PUBLISHED {
            eprintln!("bench: published elsewhere: {line}");
        }
    }
    Ok(())
}

/// What one cold inference took.
struct Visit {
    seconds: f64,
    bytes: u64,
    opened: u64,
}

fn measure(bench: &mut Bench, id: &str, loaded: &Loaded, goal: (f64, f64)) -> Outcome {
    let server = Arc::new(loaded.untrusted(RATE)?);
    let (mut visits, mut opened) = (Vec::new(), 0);
    while visits.len() < MOST && (visits.len() < USED || opened < OPENED) {
        let visit = visit(&server, loaded)?;
        opened += visit.opened;
        visits.push(visit);
    }
    for Visit { bytes, opened, .. } in &visits {
        let planned = planned(&server, *opened);
        if *bytes != planned {
            return Err(format!("{id}: {bytes} bytes, {planned} planned, {opened} opened").into());
        }
    }
    let used: Vec<f64> =
        visits.iter().filter(|visit| visit.opened == 0).map(|visit| visit.seconds).collect();
    let each = median(&used);
    let audited = visits.iter().filter(|visit| visit.opened > 0);
    let count = |visit: &Visit| visit.opened.max(1) as f64;
    let more: Vec<f64> = audited.map(|visit| (visit.seconds - each) / count(visit)).collect();
    let share = f64::from(RATE.audits) / f64::from(RATE.of - RATE.audits);
    let whole = each + share * median(&more);
    let traffic = server.traffic();
    let bytes = server.audited_bytes().ok_or("its clients are trusted")?;
    let mut figures = [
        (Measurement::new(format!("{id}/used"), 1, &used), traffic.cold().total()),
        (Measurement::new(format!("{id}/opened"), 1, &more), traffic.opened.total()),
        (Measurement::new(format!("{id}/whole"), 1, &[whole]), bytes.round() as u64),
    ];
    if let Some((figure, _)) = figures.last_mut() {
        (figure.limit, figure.ratio_to_limit) = (Some("goal"), Some(whole / goal.0));
    }
    for (mut figure, bytes) in figures {
        (figure.bytes, figure.party) = (bytes, "client");
        if bench.wants(&figure.id) {
            bench.record(&figure)?;
        }
    }
    eprintln!(
        "bench: {id}: {} used and {opened} opened; with audits at {RATE} {whole:.3} s (goal {}), {:.1} MB (goal {})",
        visits.len(),
        goal.0,
        bytes / 1e6,
        goal.1
    );
    Ok(())
}

/// Bytes of a session with one inference before which so many are opened.
fn planned(server: &DefaultService, opened: u64) -> u64 {
    let last = server.traffic_after(opened as usize);
    let before = (0..opened as usize).map(|earlier| server.traffic_after(earlier).opened.total());
    before.sum::<u64>() + last.cold().total()
}

/// A session with one inference.
fn visit(
    server: &Arc<DefaultService>,
    loaded: &Loaded,
) -> Result<Visit, Box<dyn std::error::Error>> {
    let (ours, theirs) = Link::Memory.shaped().pair(Duration::from_mins(5));
    let serving = Arc::clone(server);
    let named = std::thread::Builder::new().name("server".into());
    let thread = named.spawn(move || -> Result<(), GazelleError> {
        serving.serve(theirs, &ServerLimits::default(), &mut gazelle::system_rng()?).map(|_| ())
    })?;
    let start = Instant::now();
    let mut rng = gazelle::system_rng()?;
    let offer = Offer::receive(ours, Limits::default(), None, &mut rng)?;
    let suite = networks::suite(offer.description())?;
    let mut client: DefaultClient = offer.accept(suite, &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    let inference = client.infer(prepared, &loaded.input)?;
    let seconds = start.elapsed().as_secs_f64();
    let (setup, opened) = (client.setup(), client.opened());
    client.close()?;
    thread.join().map_err(|_| "the server panicked")??;
    loaded.check(&inference.values)?;
    let report = inference.report;
    let bytes = setup.bytes() + report.offline.bytes() + report.online.bytes();
    Ok(Visit { seconds, bytes, opened })
}
