//! Benchmarks of `gazelle-ot`: setup and extension of every implementation, over a link in memory.
//!
//! Ids: `ot/setup/-/<extension>`, `ot/extend/<count>/<extension>` (what the trait gives: correlated OTs) and
//! `ot/random/<count>/<extension>` (hashed to random OTs, as the targets count). Each has a line for
//! the wall clock (`party` `both`: two threads, one per party) and one per party for the processor time
//! of its thread (`client` receives, `server` sends), which other work on the machine disturbs less.
//! `ratio_to_limit` is the figure over one AES block per OT.

use std::time::Instant;

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{Ferret, Iknp, OtExtension, RotReceiver, RotSender, SoftSpoken};
use gazelle_wire::{Channel, memory};

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement};

/// OTs handed out per call: buffers stay in the last-level cache.
const PIECE: usize = 1 << 16;
/// log2 of the counts measured.
const SIZES: [u32; 3] = [16, 20, 24];

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    implementation(bench, "iknp", &Iknp::new())?;
    implementation(bench, "softspoken-2", &SoftSpoken::K2)?;
    implementation(bench, "softspoken-4", &SoftSpoken::K4)?;
    implementation(bench, "softspoken-8", &SoftSpoken::K8)?;
    implementation(bench, "ferret-870k", &Ferret::new(Parameters::SMALL))?;
    implementation(bench, "ferret-2.4M", &Ferret::new(Parameters::MEDIUM))?;
    implementation(bench, "ferret-few-bytes", &Ferret::new(Parameters::FEW_BYTES))
}

/// Seconds and bytes of one party.
#[derive(Clone, Copy, Default)]
struct Spent {
    wall: f64,
    processor: f64,
    bytes: u64,
    turns: u64,
}

/// What one run of two parties measured.
struct Run {
    setup: [Spent; 2],
    extend: [Spent; 2],
}

fn implementation<O: OtExtension>(bench: &mut Bench, name: &str, extension: &O) -> Outcome {
    let id = format!("ot/setup/-/{name}");
    if bench.wants(&id) {
        let runs = repeat(bench, || both(extension, 0, false))?;
        record(bench, &id, 1, "setup", &runs, |run| run.setup)?;
    }
    for size in SIZES {
        for (flavour, random) in [("extend", false), ("random", true)] {
            let id = format!("ot/{flavour}/2^{size}/{name}");
            if bench.wants(&id) {
                let count = 1 << size;
                let runs = repeat(bench, || both(extension, count, random))?;
                record(bench, &id, count as u64, "offline", &runs, |run| run.extend)?;
            }
        }
    }
    Ok(())
}

fn repeat(
    bench: &Bench,
    mut work: impl FnMut() -> Result<Run, String>,
) -> Result<Vec<Run>, String> {
    let begin = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < 3 || begin.elapsed().as_secs_f64() < bench.seconds() {
        runs.push(work()?);
    }
    Ok(runs)
}

fn record(
    bench: &mut Bench,
    id: &str,
    items: u64,
    phase: &'static str,
    runs: &[Run],
    part: impl Fn(&Run) -> [Spent; 2],
) -> Outcome {
    let parts: Vec<[Spent; 2]> = runs.iter().map(part).collect();
    let aes_ns = bench.limit_ns(Limit::AesBlocks)?;
    for (party, side) in [("both", None), ("client", Some(0)), ("server", Some(1))] {
        let seconds = parts.iter().map(|spent| match (spent, side) {
            ([client, _], Some(0)) => client.processor,
            ([_, server], Some(_)) => server.processor,
            ([client, server], None) => client.wall.max(server.wall),
        });
        let mut figure = Measurement::new(id, items, &seconds.collect::<Vec<_>>());
        if phase != "setup" {
            figure = figure.against(Limit::AesBlocks, 1.0, aes_ns);
        }
        let [client, server] = parts.first().copied().unwrap_or_default();
        (figure.bytes, figure.turns) = match side {
            None => (client.bytes + server.bytes, client.turns.max(server.turns)),
            Some(0) => (client.bytes, client.turns),
            Some(_) => (server.bytes, server.turns),
        };
        figure.party = party;
        figure.phase = phase;
        bench.record(&figure)?;
    }
    Ok(())
}

/// One session: setup, then `count` OTs in pieces.
fn both<O: OtExtension>(extension: &O, count: usize, random: bool) -> Result<Run, String> {
    let (mut client_end, mut server_end) = memory::pair();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| sender(extension, count, random, &mut server_end));
        let client = receiver(extension, count, random, &mut client_end)?;
        let server = server.join().map_err(|_| "the sender panicked".to_owned())??;
        let ([client_setup, client_extend], [server_setup, server_extend]) = (client, server);
        Ok(Run { setup: [client_setup, server_setup], extend: [client_extend, server_extend] })
    })
}

fn sender<O: OtExtension>(
    extension: &O,
    count: usize,
    random: bool,
    ch: &mut Channel,
) -> Result<[Spent; 2], String> {
    let mut rng = gazelle_prg::system_rng().map_err(|error| error.to_string())?;
    let run = || -> Result<[Spent; 2], gazelle_ot::OtError> {
        let watch = Watch::start(ch);
        let session = extension.sender(Delta::random(&mut rng), ch, &mut rng)?;
        ch.flush()?;
        let setup = watch.stop(ch);
        let mut session = RotSender::new(session, ch, &mut rng)?;
        let (mut zeros, mut ones) = (vec![Block::ZERO; PIECE], vec![Block::ZERO; PIECE]);
        let watch = Watch::start(ch);
        for start in (0..count).step_by(PIECE) {
            let now = PIECE.min(count - start);
            let (zeros, _) = zeros.split_at_mut(now);
            let (ones, _) = ones.split_at_mut(now);
            if random {
                session.fill(zeros, ones, ch, &mut rng)?;
            } else {
                gazelle_ot::RcotSender::extend(session.cot(), zeros, ch, &mut rng)?;
            }
        }
        ch.flush()?;
        Ok([setup, watch.stop(ch)])
    };
    let mut run = run;
    run().map_err(|error| error.to_string())
}

fn receiver<O: OtExtension>(
    extension: &O,
    count: usize,
    random: bool,
    ch: &mut Channel,
) -> Result<[Spent; 2], String> {
    let mut rng = gazelle_prg::system_rng().map_err(|error| error.to_string())?;
    let mut run = || -> Result<[Spent; 2], gazelle_ot::OtError> {
        let watch = Watch::start(ch);
        let session = extension.receiver(ch, &mut rng)?;
        ch.flush()?;
        let setup = watch.stop(ch);
        let mut session = RotReceiver::new(session, ch)?;
        let (mut choices, mut strings) = (BitVec::new(), vec![Block::ZERO; PIECE]);
        let watch = Watch::start(ch);
        for start in (0..count).step_by(PIECE) {
            let (strings, _) = strings.split_at_mut(PIECE.min(count - start));
            if random {
                session.fill(&mut choices, strings, ch, &mut rng)?;
            } else {
                let cot = session.cot();
                gazelle_ot::RcotReceiver::extend(cot, &mut choices, strings, ch, &mut rng)?;
            }
        }
        ch.flush()?;
        Ok([setup, watch.stop(ch)])
    };
    run().map_err(|error| error.to_string())
}

/// Wall clock, processor time of this thread, and traffic.
struct Watch {
    start: Instant,
    processor: f64,
    bytes: u64,
    turns: u64,
}

impl Watch {
    fn start(ch: &Channel) -> Self {
        let traffic = ch.traffic();
        Self {
            start: Instant::now(),
            processor: processor_seconds(),
            bytes: traffic.sent,
            turns: traffic.turns,
        }
    }

    fn stop(self, ch: &Channel) -> Spent {
        let traffic = ch.traffic();
        Spent {
            wall: self.start.elapsed().as_secs_f64(),
            processor: processor_seconds() - self.processor,
            bytes: traffic.sent - self.bytes,
            turns: traffic.turns - self.turns,
        }
    }
}

/// Seconds that this thread has run; 0 where the system does not say.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    nanoseconds.unwrap_or(0) as f64 * 1e-9
}
