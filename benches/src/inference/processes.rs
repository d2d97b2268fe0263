//! One inference by two processes over TCP loopback, as `gazelle infer` makes it, for what each party's memory peaks at.
//!
//! This program runs itself twice, as `--party server` and `--party client`. A party reads a
//! [`Job`], one line of JSON, from standard input and answers with lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use gazelle::backend::DefaultClient;
use gazelle::wire::tcp::{self, Exposure, Timeouts};
use gazelle::{Limits, Offer, ServerLimits};
use gazelle_model::RoundingMode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bound;
use crate::measure::{Bench, Link, Measurement};
use crate::networks::{self, Backend, Known, Loaded};
use crate::{Outcome, machine};

/// Which process this one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Party {
    /// Loads, compiles and serves one session.
    Server,
    /// Makes one inference.
    Client,
}

/// What a party is to do.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Job {
    /// At the server.
    model: String,
    backend: Option<Backend>,
    rounding: RoundingMode,
    /// At the client.
    address: String,
    input: Vec<i64>,
}

/// The server's first answer.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    address: String,
    /// Largest resident set while loading, quantising and compiling.
    loading: u64,
    /// Resident set before the first client: the compiled model.
    compiled: u64,
}

/// The last answer of either.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    values: Vec<i64>,
    /// Turns of setup, offline and online; at the client.
    turns: [u64; 3],
    seconds: f64,
    /// Largest resident set of the session.
    peak: u64,
}

/// Records `<network>/memory/<backend>/peak` of both parties, and what the server's loading and
/// its compiled model take.
pub(super) fn run(bench: &mut Bench, known: Known, backend: Backend, loaded: &Loaded) -> Outcome {
    let job = Job {
        model: known.name.into(),
        backend: Some(backend),
        rounding: bench.rounding(),
        ..Job::default()
    };
    let (mut server, mut from_server) = start(Party::Server, &job)?;
    let ready: Ready = answer(&mut from_server)?;
    let job = Job { address: ready.address, input: loaded.input.clone(), ..Job::default() };
    let (mut client, mut from_client) = start(Party::Client, &job)?;
    let at_client: Done = answer(&mut from_client)?;
    let at_server: Done = answer(&mut from_server)?;
    if !(client.wait()?.success() && server.wait()?.success()) {
        return Err("a party's process failed".into());
    }
    loaded.check(&at_client.values)?;
    let [setup, offline, online] = at_client.turns;
    let prefix = format!("inference/{}/memory/{}", known.name, backend.id(bench.rounding()));
    let id = |what: &str| format!("{prefix}/{what}");
    eprintln!("bench: {prefix}, two processes: turns {setup} + {offline} + {online}");
    bound::turns(&id("processes"), setup, offline)?;
    for (what, party, seconds, bytes) in [
        ("peak", "client", at_client.seconds, at_client.peak),
        ("peak", "server", at_server.seconds, at_server.peak),
        ("peak/compiled", "server", 0.0, ready.compiled),
        ("peak/loading", "server", 0.0, ready.loading),
    ] {
        let mut figure = Measurement::new(id(what), 1, &[seconds]);
        figure.party = party;
        figure.peak_rss_bytes = bytes;
        eprintln!("bench: {}: {party} {:.0} MiB", figure.id, bytes as f64 / f64::from(1 << 20));
        bench.record(&figure)?;
    }
    Ok(())
}

fn start(
    party: Party,
    job: &Job,
) -> Result<(Child, BufReader<ChildStdout>), Box<dyn std::error::Error>> {
    let name = if party == Party::Server { "server" } else { "client" };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--party", name])
        // What was freed goes back to the system, as `gazelle serve` sees to when it has compiled: a
        // peak is memory that is needed, not what quantising once took.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    writeln!(input, "{}", serde_json::to_string(job)?)?;
    let output = child.stdout.take().ok_or("no standard output")?;
    Ok((child, BufReader::new(output)))
}

fn answer<T: DeserializeOwned>(
    from: &mut BufReader<ChildStdout>,
) -> Result<T, Box<dyn std::error::Error>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn say(value: &impl Serialize) -> Outcome {
    println!("{}", serde_json::to_string(value)?);
    Ok(std::io::stdout().flush()?)
}

/// Runs as one of the two processes.
pub(crate) fn take_part(party: Party) -> Outcome {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    match party {
        Party::Server => serve(&job),
        Party::Client => infer(&job),
    }
}

fn serve(job: &Job) -> Outcome {
    let known = networks::named(&job.model).ok_or("no such network")?;
    let loaded = networks::load(known, job.rounding)?.ok_or("the network is not there")?;
    let backend = job.backend.unwrap_or(Backend::Auto);
    let server = loaded.compile(backend, Link::Memory.shaped())?;
    drop(loaded);
    let loading = machine::peak_rss_bytes();
    machine::forget_peak();
    let compiled = machine::peak_rss_bytes();
    let listener = tcp::listen("127.0.0.1:0", Exposure::Loopback)?;
    say(&Ready { address: listener.local_addr()?.to_string(), loading, compiled })?;
    let (stream, _) = listener.accept()?;
    let channel = tcp::channel(stream, &Timeouts::default())?;
    let start = Instant::now();
    server.serve(channel, &ServerLimits::default(), &mut gazelle::system_rng()?)?;
    let seconds = start.elapsed().as_secs_f64();
    say(&Done { values: Vec::new(), turns: [0; 3], seconds, peak: machine::peak_rss_bytes() })
}

fn infer(job: &Job) -> Outcome {
    let start = Instant::now();
    let mut rng = gazelle::system_rng()?;
    let channel = tcp::connect(job.address.as_str(), &Timeouts::default())?;
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let suite = networks::suite(offer.description())?;
    let mut client: DefaultClient = offer.accept_unprepared(suite)?;
    let inference = client.set_up_and_infer(None, &job.input, &mut rng)?;
    let (setup, report) = (client.setup(), inference.report);
    let turns = [setup.turns, report.offline.turns, report.online.turns];
    client.close()?;
    let seconds = start.elapsed().as_secs_f64();
    say(&Done { values: inference.values, turns, seconds, peak: machine::peak_rss_bytes() })
}
