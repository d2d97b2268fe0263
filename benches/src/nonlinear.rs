//! Benchmarks of `gazelle-nonlinear`: single steps, both parties in this process, a thread each.
//!
//! Items are outputs. Figures are the client's: `offline` and `online` apart, `whole` together;
//! setup once per session. `limit` is AES blocks: hashing alone, the OT extension's not counted
//! (GMW: 3 per ROT; garbled: 4 per AND offline, 2 online).

use std::sync::Arc;
use std::time::{Duration, Instant};

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, StepChoice};
use gazelle_ot::{Ferret, Iknp, OtExtension, SoftSpoken};
use gazelle_prg::{Prg, Seed};
use gazelle_share::Rounding;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{
    NonlinearClient, NonlinearProtocol, NonlinearServer, Output, Pads, ProtocolError, Shares, Step,
    TensorShape, Window,
};
use gazelle_wire::{Channel, Traffic};

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Link, Measurement};

/// Inferences within one session: the first pays what an OT extension fetches in bulk.
const INFERENCES: usize = 4;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    for (name, step) in steps() {
        for link in bench.links() {
            let prefix = format!("nonlinear/{name}/{}", link.name());
            one(bench, &prefix, link, &step, "iknp", &Iknp::default())?;
            one(bench, &prefix, link, &step, "softspoken", &SoftSpoken::default())?;
            one(bench, &prefix, link, &step, "ferret", &Ferret::default())?;
        }
    }
    Ok(())
}

fn steps() -> Vec<(&'static str, Step)> {
    let step = |function, shape: [usize; 3], b, t, l, next| Step {
        function,
        input: TensorShape::new(shape[0], shape[1], shape[2]),
        input_bits: l,
        truncate_bits: t,
        rounding: Rounding::Local,
        value_bits: b,
        sum_pool: None,
        output: StepOutput::Masked { bits: next },
    };
    let window = |kernel, pads| StepFunction::MaxPool {
        window: Window { kernel: [kernel; 2], stride: [2, 2], pads: Pads::all(pads) },
        relu: true,
    };
    vec![
        ("relu/n=262144,b=12,l=20", step(StepFunction::Relu, [64, 64, 64], 12, 8, 20, 20)),
        ("relu/n=262144,b=17,l=37", step(StepFunction::Relu, [64, 64, 64], 17, 12, 37, 37)),
        ("relu/n=1024,b=12,l=20", step(StepFunction::Relu, [1024, 1, 1], 12, 8, 20, 20)),
        ("max-pool-3x3s2/64x112x112,b=12,l=20", step(window(3, 1), [64, 112, 112], 12, 8, 21, 20)),
        ("max-pool-2x2/64x32x32,b=12,l=20", step(window(2, 0), [64, 32, 32], 12, 8, 21, 20)),
        ("rescale/n=262144,b=12,l=22", step(StepFunction::Rescale, [64, 64, 64], 12, 8, 21, 22)),
    ]
}

fn one<O: OtExtension + 'static>(
    bench: &mut Bench,
    prefix: &str,
    link: Link,
    step: &Step,
    ot_name: &str,
    ot: &O,
) -> Outcome {
    for (name, choice) in [("gmw", StepChoice::Gmw), ("garbled", StepChoice::Garbled)] {
        let id = format!("{prefix}/{name}-{ot_name}");
        let phases = ["setup", "offline", "online", "whole"];
        if !phases.iter().any(|phase| bench.wants(&format!("{id}/{phase}"))) {
            continue;
        }
        let protocol =
            PerLayer { ot: ot.clone(), scheme: HalfGates::default(), choices: [choice].into() };
        let runs = session(&protocol, link, step)?;
        let outputs = step.output_shape().len();
        let prices = protocol.prices(step, choice)?;
        let unit = bench.limit_ns(Limit::AesBlocks)?;
        let rots = 3.0 * (prices.rots.0 + prices.rots.1) as f64;
        let ands = prices.and_gates as f64;
        let limits = [0.0, rots + 4.0 * ands, 2.0 * ands, rots + 6.0 * ands];
        for (index, phase) in phases.into_iter().enumerate() {
            let id = format!("{id}/{phase}");
            if !bench.wants(&id) {
                continue;
            }
            let of = |run: &Run| run.0.get(index).copied().unwrap_or_default();
            let seconds: Vec<f64> = runs.iter().map(|run| of(run).0.as_secs_f64()).collect();
            let items = if index == 0 { 1 } else { outputs as u64 };
            let mut figure = Measurement::new(id, items, &seconds);
            let limit = limits.get(index).copied().unwrap_or_default() / outputs as f64;
            if limit > 0.0 {
                figure = figure.against(Limit::AesBlocks, limit, unit);
            }
            let traffic = runs.last().map(|run| of(run).1).unwrap_or_default();
            figure.bytes = traffic.sent + traffic.received;
            figure.turns = traffic.turns;
            figure.party = "client";
            figure.phase = phase;
            bench.record(&figure)?;
        }
    }
    Ok(())
}

/// Time and traffic of setup, offline, online, and the latter two together.
struct Run([(Duration, Traffic); 4]);

fn rng(seed: u8) -> Prg {
    Prg::new(&Seed::from_bytes([seed; 16]), 1)
}

fn session<P: NonlinearProtocol + Clone + 'static>(
    protocol: &P,
    link: Link,
    step: &Step,
) -> Result<Vec<Run>, Box<dyn std::error::Error>> {
    let compiled = Arc::new(protocol.compile(Arc::from([step.clone()]))?);
    let (mut client_end, mut server_end) = link.shaped().pair(Duration::from_mins(2));
    std::thread::scope(|scope| {
        let server_compiled = Arc::clone(&compiled);
        let server = scope.spawn(move || serve(protocol, step, server_compiled, &mut server_end));
        let runs = infer(protocol, step, compiled, &mut client_end);
        server.join().map_err(|_| "the server panicked")??;
        Ok(runs?)
    })
}

fn serve<P: NonlinearProtocol>(
    protocol: &P,
    step: &Step,
    compiled: Arc<P::Compiled>,
    channel: &mut Channel,
) -> Result<(), ProtocolError> {
    let mut rng = rng(1);
    let mut server = protocol.server(compiled, channel, &mut rng)?;
    for _ in 0..INFERENCES {
        let share = Shares::random(step.input_bits, step.input.len(), &mut rng);
        let prepared = server.offline(0, channel, &mut rng)?;
        channel.flush()?;
        server.online(0, prepared, share, channel)?;
        channel.flush()?;
    }
    Ok(())
}

fn infer<P: NonlinearProtocol>(
    protocol: &P,
    step: &Step,
    compiled: Arc<P::Compiled>,
    channel: &mut Channel,
) -> Result<Vec<Run>, ProtocolError> {
    let mut rng = rng(2);
    let start = Instant::now();
    let mut client = protocol.client(compiled, channel, &mut rng)?;
    let setup = (start.elapsed(), channel.traffic());
    let mask = Shares::random(step.output_bits(), step.output_shape().len(), &mut rng);
    let share = Shares::random(step.input_bits, step.input.len(), &mut rng);
    let mut runs = Vec::new();
    for _ in 0..INFERENCES {
        let (start, before) = (Instant::now(), channel.traffic());
        let output = Output::Masked(&mask);
        let prepared = client.offline(0, &share, output, channel, &mut rng)?;
        channel.flush()?;
        let offline = (start.elapsed(), channel.traffic() - before);
        let (middle, between) = (Instant::now(), channel.traffic());
        client.online(0, prepared, channel)?;
        channel.flush()?;
        let online = (middle.elapsed(), channel.traffic() - between);
        runs.push(Run([setup, offline, online, (start.elapsed(), channel.traffic() - before)]));
    }
    Ok(runs)
}
