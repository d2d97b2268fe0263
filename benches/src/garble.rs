//! Benchmarks of `gazelle-garble`, on one core unless the id says otherwise.
//!
//! - `garble/hash/<isa>`: one hash of the tweakable mode; limit one AES block.
//! - `garble/{garble,evaluate}/relu-17-37/<scheme>/<isa>`: per AND gate, in memory, over 512 lanes;
//!   limit the AES calls of one gate (4 and 2 for half gates, 6 and 3 for three halves).
//! - `garble/{relu,max-pool-2x2,max-pool-3x3}/l=<l>/<scheme>/{garble,evaluate}`: per element.
//! - `garble/stream/relu-17-37/<scheme>/tcp`: per AND gate, both parties, one thread each, tables
//!   over TCP on loopback in pieces of 64 KiB, 2^16 lanes in calls of 2^12.
//!
//! `bytes` are those of the tables (of the whole stream, frames included, for `stream`).

use std::net::{TcpListener, TcpStream};

use gazelle_block::aes::AesIsa;
use gazelle_block::hash::HashSeed;
use gazelle_block::{Block, Delta, TweakCounter};
use gazelle_garble::{
    Builder, Circuit, GarbleError, GarblingScheme, HalfGates, PieceReceiver, PieceSender,
    ThreeHalves, Tweaks, arith, evaluate_from, garble_into, table_bytes,
};
use gazelle_prg::{Prg, Seed, system_rng};
use gazelle_wire::{Bytes, Channel};

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement, repeat};

type Error = Box<dyn std::error::Error>;

/// Lanes of the figures in memory: few, so that a repetition is short and its median is not disturbed
/// by other work on the machine; the table fits the caches.
const LANES: usize = 512;
/// Lanes per call of the streamed figures, and calls: labels stay in the caches.
const STREAM_LANES: usize = 1 << 12;
const STREAM_CALLS: usize = 16;
/// Bytes of a piece of a streamed table.
const PIECE: usize = 1 << 16;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    hash(bench)?;
    let relu = relu(17, 37);
    for isa in AesIsa::all() {
        let half = HalfGates::with_isa(isa);
        both(bench, &relu, 1, |way| format!("{way}/relu-17-37/half-gates/{}", isa.name()), &half)?;
        let three = ThreeHalves::with_isa(isa);
        both(
            bench,
            &relu,
            1,
            |way| format!("{way}/relu-17-37/three-halves/{}", isa.name()),
            &three,
        )?;
    }
    for (bits, l) in [(12, 20), (14, 32), (17, 37)] {
        for (name, circuit) in [
            ("relu", self::relu(bits, l)),
            ("max-pool-2x2", max_pool(4, bits, l)),
            ("max-pool-3x3", max_pool(9, bits, l)),
        ] {
            let ands = circuit.and_count();
            let id = |way: &str, scheme: &str| format!("{name}/l={l}/{scheme}/{way}");
            both(bench, &circuit, ands, |way| id(way, "half-gates"), &HalfGates::default())?;
            both(bench, &circuit, ands, |way| id(way, "three-halves"), &ThreeHalves::default())?;
        }
    }
    stream(bench, &relu, &HalfGates::default())?;
    stream(bench, &relu, &ThreeHalves::default())
}

/// AES calls per AND gate: garbling and evaluating.
fn calls<S: GarblingScheme>(scheme: &S) -> [f64; 2] {
    if scheme.name() == "half-gates" { [4.0, 2.0] } else { [6.0, 3.0] }
}

fn hash(bench: &mut Bench) -> Outcome {
    let seed = Seed::random(&mut system_rng()?);
    let (x, mut out) = (vec![Block(7); 1 << 12], vec![Block::ZERO; 1 << 12]);
    for isa in AesIsa::all() {
        let hash = HashSeed::with_isa(&seed, isa);
        let id = format!("garble/hash/{}", isa.name());
        bench.time(&id, 16 << 12, Some((Limit::AesBlocks, 1.0)), || {
            for batch in 0..16 {
                hash.hash(batch << 12, &x, &mut out);
            }
        })?;
    }
    Ok(())
}

/// What both parties of one garbling need.
struct Material {
    delta: Delta,
    hash_seed: Seed,
    labels: Vec<Block>,
    rng: Prg,
}

impl Material {
    fn new(circuit: &Circuit, lanes: usize) -> Result<Self, Error> {
        let mut rng = system_rng()?;
        let mut labels = vec![Block::ZERO; circuit.input_count() * lanes];
        Block::fill_random(&mut labels, &mut rng);
        Ok(Self { delta: Delta::random(&mut rng), hash_seed: Seed::random(&mut rng), labels, rng })
    }
}

/// Garbling and evaluating in memory; an item is `1 / ands_per_item` of the ANDs.
fn both<S: GarblingScheme>(
    bench: &mut Bench,
    circuit: &Circuit,
    ands_per_item: usize,
    id: impl Fn(&str) -> String,
    scheme: &S,
) -> Outcome {
    let ids = ["garble", "evaluate"].map(|way| format!("garble/{}", id(way)));
    if !ids.iter().any(|id| bench.wants(id)) {
        return Ok(());
    }
    let Material { delta, hash_seed, labels, mut rng } = Material::new(circuit, LANES)?;
    let mut counter = TweakCounter::new();
    let mut table = vec![0; table_bytes(scheme, circuit, LANES)];
    let mut first_batch = 0;
    let mut garble = || -> Result<(), GarbleError> {
        let tweaks = Tweaks::reserve(&mut counter, circuit, LANES)?;
        first_batch = tweaks.first_batch();
        let mut sink = table.as_mut_slice();
        garble_into(
            scheme, circuit, LANES, &delta, &hash_seed, tweaks, &labels, &mut sink, &mut rng,
        )?;
        Ok(())
    };
    garble()?;
    let garbling = repeat(bench.seconds(), &mut garble);
    let tweaks = Tweaks::restore(first_batch, circuit, LANES);
    let evaluating = repeat(bench.seconds(), || {
        evaluate_from(scheme, circuit, LANES, &hash_seed, &tweaks, &labels, &mut &table[..])
    });
    let items = (circuit.and_count() * LANES / ands_per_item) as u64;
    for (((id, seconds), calls), party) in
        ids.iter().zip([garbling, evaluating]).zip(calls(scheme)).zip(["server", "client"])
    {
        if bench.wants(id) {
            let unit_ns = bench.limit_ns(Limit::AesBlocks)?;
            let figure = Measurement {
                bytes: table.len() as u64,
                party,
                phase: "offline",
                ..Measurement::new(id, items, &seconds)
            };
            let per_item = calls * ands_per_item as f64;
            bench.record(&figure.against(Limit::AesBlocks, per_item, unit_ns))?;
        }
    }
    Ok(())
}

/// One party garbles and sends, the other evaluates as pieces come in.
fn stream<S: GarblingScheme>(bench: &mut Bench, circuit: &Circuit, scheme: &S) -> Outcome {
    let id = format!("garble/stream/relu-17-37/{}/tcp", scheme.name());
    if !bench.wants(&id) {
        return Ok(());
    }
    let total = STREAM_CALLS * table_bytes(scheme, circuit, STREAM_LANES);
    let (mut garbler, mut evaluator) = loopback()?;
    let Material { delta, hash_seed, labels, mut rng } = Material::new(circuit, STREAM_LANES)?;
    let mut counters = [TweakCounter::new(), TweakCounter::new()];
    let mut failure = None;
    let seconds = repeat(bench.seconds(), || {
        let [ours, theirs] = &mut counters;
        let (labels, hash_seed) = (&labels, &hash_seed);
        let mut evaluate_all = || -> Result<(), GarbleError> {
            let receive = |bytes| Ok(evaluator.recv::<Bytes>(&bytes)?.0);
            let mut source = PieceReceiver::new(total, PIECE, receive);
            for _ in 0..STREAM_CALLS {
                let tweaks = Tweaks::reserve(theirs, circuit, STREAM_LANES)?;
                let (lanes, source) = (STREAM_LANES, &mut source);
                evaluate_from(scheme, circuit, lanes, hash_seed, &tweaks, labels, source)?;
            }
            Ok(())
        };
        let mut garble_all = || -> Result<(), GarbleError> {
            let send = |piece: &[u8]| Ok(garbler.send(&Bytes(piece.to_vec()), &piece.len())?);
            let mut sink = PieceSender::new(total, PIECE, send);
            for _ in 0..STREAM_CALLS {
                let tweaks = Tweaks::reserve(ours, circuit, STREAM_LANES)?;
                let (lanes, sink, rng) = (STREAM_LANES, &mut sink, &mut rng);
                garble_into(scheme, circuit, lanes, &delta, hash_seed, tweaks, labels, sink, rng)?;
            }
            sink.finish()?;
            Ok(garbler.flush()?)
        };
        let outcome = std::thread::scope(|scope| {
            let evaluating = scope.spawn(&mut evaluate_all);
            let garbled = garble_all();
            garbled.and(evaluating.join().unwrap_or(Ok(())))
        });
        failure = outcome.err();
    });
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    let runs = seconds.len() as u64 + 1;
    let unit_ns = bench.limit_ns(Limit::AesBlocks)?;
    let [garbling, _] = calls(scheme);
    let items = (circuit.and_count() * STREAM_LANES * STREAM_CALLS) as u64;
    let figure = Measurement {
        bytes: garbler.traffic().sent / runs,
        phase: "offline",
        ..Measurement::new(&id, items, &seconds)
    };
    bench.record(&figure.against(Limit::AesBlocks, garbling, unit_ns))
}

fn loopback() -> Result<(Channel, Channel), Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let there = TcpStream::connect(listener.local_addr()?)?;
    let (here, _) = listener.accept()?;
    let channel = |stream: TcpStream| -> Result<Channel, Error> {
        stream.set_nodelay(true)?;
        Ok(Channel::new(Box::new(stream.try_clone()?), Box::new(stream)))
    };
    Ok((channel(here)?, channel(there)?))
}

fn relu(bits: usize, l: usize) -> Circuit {
    let mut b = Builder::new();
    let (s, c, r) = (b.inputs(bits), b.inputs(bits), b.inputs(l));
    let out = arith::relu_on_shares(&mut b, &s, &c, bits, &r);
    b.finish(&out)
}

fn max_pool(window: usize, bits: usize, l: usize) -> Circuit {
    let mut b = Builder::new();
    let shares: Vec<_> = (0..window).map(|_| (b.inputs(bits), b.inputs(bits))).collect();
    let mask = b.inputs(l);
    let out = arith::max_pool_on_shares(&mut b, &shares, bits, &mask);
    b.finish(&out)
}
