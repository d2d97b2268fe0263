//! Garbling and evaluating a circuit over many lanes.
//!
//! | evaluator | garbler |
//! |---|---|
//! | has active labels of all inputs `[input][lane]` | has zero labels of all inputs `[input][lane]` |
//! | receives the table | [`garble`] makes the table and the outputs' zero labels |
//! | [`evaluate`] gives the outputs' active labels | |
//!
//! Labels are wire-major: wire w, lane n at index `w·lanes + n`. Lanes are worked on in strips of
//! [`STRIP`], through the whole circuit each, so that working labels stay in the nearest cache;
//! hash keys are made for [`LANES_PER_KEY`] lanes at a time.
#![expect(clippy::inline_always, reason = "kernels are compiled per instruction set by inlining")]

use gazelle_block::aes::{AesIsa, Kernel, Vector, dispatch};
use gazelle_block::hash::{HashKey, HashSeed};
use gazelle_block::{Block, Delta};
use gazelle_prg::{Prg, Seed};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::Zeroize;

use crate::circuit::{Circuit, Gate, Output, Source};
use crate::error::GarbleError;
use crate::scheme::{AndGate, GarblingScheme, Operand};
use crate::table::{TableSink, TableSource};
use crate::tweaks::{LANES_PER_KEY, Tweaks};

/// Lanes taken through the whole circuit together; divides [`LANES_PER_KEY`].
pub const STRIP: usize = 128;

/// PRG domain of the garbler's private coins.
const COINS: u8 = 0x41;

/// Bytes of table for `circuit` over `lanes` lanes.
pub fn table_bytes<S: GarblingScheme>(scheme: &S, circuit: &Circuit, lanes: usize) -> usize {
    circuit.and_count() * lane_bytes(scheme, lanes)
}

/// Garbles `circuit` over `lanes` lanes in memory, in parallel over blocks of lanes.
///
/// - `delta`: the free-XOR offset; that of the OTs whose outputs are input labels.
/// - `hash_seed`: public, fresh, independent of the labels; `tweaks`: reserved under `delta`.
/// - `input_zero`: `[input][lane]`, from correlated OTs or a private PRG.
/// - `table`: overwritten with [`table_bytes`] bytes.
/// - `rng`: draws the seed of the garbler's private coins.
/// - returns the outputs' zero labels `[output][lane]`; that of a constant c is `c Delta`.
///
/// Cost: 4 AES calls and 32 bytes per AND and lane for half gates.
///
/// # Errors
/// [`GarbleError::Length`] if the labels or tweaks do not fit the circuit and the lanes.
pub fn garble<S: GarblingScheme>(
    scheme: &S,
    circuit: &Circuit,
    lanes: usize,
    delta: &Delta,
    hash_seed: &Seed,
    tweaks: Tweaks,
    input_zero: &[Block],
    table: &mut Vec<u8>,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<Block>, GarbleError> {
    check(circuit, lanes, &tweaks, input_zero)?;
    let bytes = table_bytes(scheme, circuit, lanes);
    if table.capacity() < bytes {
        // Fresh zero pages cost nothing until they are written.
        *table = vec![0; bytes];
    }
    table.resize(bytes, 0);
    let garbler = Garbler::new(scheme, circuit, delta, hash_seed, tweaks, rng);
    let blocks = cut(lanes, table_bytes(scheme, circuit, LANES_PER_KEY), table);
    let parts: Result<Vec<_>, _> = blocks
        .into_par_iter()
        .map_init(Work::default, |work, (first, count, mut table)| {
            let inputs = Inputs { labels: input_zero, lanes, first };
            garbler.block(inputs, count, work, &mut table)
        })
        .collect();
    Ok(join(circuit, lanes, parts?))
}

/// As [`garble`], giving the table to `sink` gate by gate: bounded memory, one thread.
///
/// # Errors
/// As [`garble`], and the sink's.
pub fn garble_into<S: GarblingScheme, T: TableSink>(
    scheme: &S,
    circuit: &Circuit,
    lanes: usize,
    delta: &Delta,
    hash_seed: &Seed,
    tweaks: Tweaks,
    input_zero: &[Block],
    sink: &mut T,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<Block>, GarbleError> {
    check(circuit, lanes, &tweaks, input_zero)?;
    let garbler = Garbler::new(scheme, circuit, delta, hash_seed, tweaks, rng);
    let mut work = Work::default();
    let parts: Result<Vec<_>, _> = (0..lanes)
        .step_by(LANES_PER_KEY)
        .map(|first| {
            let inputs = Inputs { labels: input_zero, lanes, first };
            garbler.block(inputs, LANES_PER_KEY.min(lanes - first), &mut work, sink)
        })
        .collect();
    Ok(join(circuit, lanes, parts?))
}

/// Evaluates `circuit` over `lanes` lanes in memory, in parallel over blocks of lanes.
///
/// - `input`: the active labels `[input][lane]`; `tweaks` and `hash_seed`: the garbler's.
/// - returns the outputs' active labels `[output][lane]`; that of a constant is zero.
///
/// Cost: 2 AES calls per AND and lane for half gates. A wrong table gives wrong labels.
///
/// # Errors
/// [`GarbleError::Length`] if labels, tweaks or table do not fit the circuit and the lanes.
pub fn evaluate<S: GarblingScheme>(
    scheme: &S,
    circuit: &Circuit,
    lanes: usize,
    hash_seed: &Seed,
    tweaks: &Tweaks,
    input: &[Block],
    table: &[u8],
) -> Result<Vec<Block>, GarbleError> {
    check(circuit, lanes, tweaks, input)?;
    GarbleError::check("bytes of tables", table_bytes(scheme, circuit, lanes), table.len())?;
    let evaluator = Evaluator(Common::new(scheme, circuit, hash_seed, tweaks.first_batch()));
    let block_bytes = table_bytes(scheme, circuit, LANES_PER_KEY);
    let parts: Result<Vec<_>, _> = (0..lanes.div_ceil(LANES_PER_KEY))
        .into_par_iter()
        .map_init(Work::default, |work, block| {
            let first = block * LANES_PER_KEY;
            let mut table = table.get(block * block_bytes..).unwrap_or_default();
            let inputs = Inputs { labels: input, lanes, first };
            evaluator.block(inputs, LANES_PER_KEY.min(lanes - first), work, &mut table)
        })
        .collect();
    Ok(join(circuit, lanes, parts?))
}

/// As [`evaluate`], taking the table from `source` gate by gate: bounded memory, one thread.
///
/// # Errors
/// As [`evaluate`], and the source's.
pub fn evaluate_from<S: GarblingScheme, T: TableSource>(
    scheme: &S,
    circuit: &Circuit,
    lanes: usize,
    hash_seed: &Seed,
    tweaks: &Tweaks,
    input: &[Block],
    source: &mut T,
) -> Result<Vec<Block>, GarbleError> {
    check(circuit, lanes, tweaks, input)?;
    let evaluator = Evaluator(Common::new(scheme, circuit, hash_seed, tweaks.first_batch()));
    let mut work = Work::default();
    let parts: Result<Vec<_>, _> = (0..lanes)
        .step_by(LANES_PER_KEY)
        .map(|first| {
            let inputs = Inputs { labels: input, lanes, first };
            evaluator.block(inputs, LANES_PER_KEY.min(lanes - first), &mut work, source)
        })
        .collect();
    Ok(join(circuit, lanes, parts?))
}

/// Table bytes of one AND over `lanes` lanes, strip by strip.
fn lane_bytes<S: GarblingScheme>(scheme: &S, lanes: usize) -> usize {
    lanes / STRIP * scheme.table_len(STRIP) + scheme.table_len(lanes % STRIP)
}

fn check(
    circuit: &Circuit,
    lanes: usize,
    tweaks: &Tweaks,
    inputs: &[Block],
) -> Result<(), GarbleError> {
    tweaks.check(circuit, lanes)?;
    GarbleError::check("input labels", circuit.input_count() * lanes, inputs.len())
}

/// The table of every block of lanes: (first lane, lanes, bytes).
fn cut(lanes: usize, block_bytes: usize, table: &mut [u8]) -> Vec<(usize, usize, &mut [u8])> {
    let mut rest = table;
    (0..lanes)
        .step_by(LANES_PER_KEY)
        .map(|first| {
            let bytes = block_bytes.min(rest.len());
            let (now, later) = std::mem::take(&mut rest).split_at_mut(bytes);
            rest = later;
            (first, LANES_PER_KEY.min(lanes - first), now)
        })
        .collect()
}

/// Labels `[output][lane]` from blocks of lanes.
fn join(circuit: &Circuit, lanes: usize, parts: Vec<Vec<Block>>) -> Vec<Block> {
    let mut parts = parts;
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    let mut out = vec![Block::ZERO; circuit.output_count() * lanes];
    if lanes == 0 {
        return out;
    }
    for (index, row) in out.chunks_exact_mut(lanes).enumerate() {
        for (part, target) in parts.iter().zip(row.chunks_mut(LANES_PER_KEY)) {
            let count = target.len();
            if let Some(source) = part.get(index * count..(index + 1) * count) {
                target.copy_from_slice(source);
            }
        }
    }
    for part in &mut parts {
        part.zeroize();
    }
    out
}

/// The labels of a block of lanes among all lanes.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    labels: &'a [Block],
    lanes: usize,
    first: usize,
}

impl<'a> Inputs<'a> {
    fn row(&self, input: usize, first: usize, count: usize) -> &'a [Block] {
        let start = input * self.lanes + self.first + first;
        self.labels.get(start..start + count).unwrap_or_default()
    }
}

/// Working labels: rows of [`STRIP`], wiped on drop.
#[derive(Default)]
struct Work {
    labels: Vec<Block>,
    /// Where the first cache line starts.
    start: usize,
}

impl Work {
    fn prepare(&mut self, circuit: &Circuit) {
        const LINE: usize = 4;
        let needed = circuit.working_rows() * STRIP + LINE;
        if self.labels.len() < needed {
            self.labels.zeroize();
            self.labels = vec![Block::ZERO; needed];
            self.start = self.labels.as_ptr().align_offset(64).min(LINE);
        }
    }

    fn rows(&self) -> &[Block] {
        self.labels.get(self.start..).unwrap_or_default()
    }

    /// Row `out` to write, and a view of all the others to read.
    fn split(&mut self, circuit: &Circuit, out: u32, count: usize) -> (Others<'_>, &mut [Block]) {
        let row = (out as usize).saturating_sub(circuit.input_count());
        let rows = self.labels.get_mut(self.start..).unwrap_or_default();
        let (before, rest) = rows.split_at_mut(row * STRIP);
        let (out, after) = rest.split_at_mut(STRIP);
        let (out, _) = out.split_at_mut(count);
        (Others { before, after, count }, out)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.labels.zeroize();
    }
}

/// All working rows but one.
struct Others<'a> {
    before: &'a [Block],
    after: &'a [Block],
    count: usize,
}

impl Others<'_> {
    fn row(&self, row: usize) -> &[Block] {
        let start = row * STRIP;
        let (rows, start) = if start < self.before.len() {
            (self.before, start)
        } else {
            (self.after, start.saturating_sub(self.before.len() + STRIP))
        };
        rows.get(start..start + self.count).unwrap_or_default()
    }

    /// A row of the circuit: an input or a working row.
    fn get<'a>(
        &'a self,
        inputs: &Inputs<'a>,
        circuit: &Circuit,
        first: usize,
        row: u32,
    ) -> &'a [Block] {
        let row = row as usize;
        match row.checked_sub(circuit.input_count()) {
            None => inputs.row(row, first, self.count),
            Some(working) => self.row(working),
        }
    }
}

/// What both sides know of one garbling.
struct Common<'a, S> {
    scheme: &'a S,
    circuit: &'a Circuit,
    hash: HashSeed,
    first_batch: u64,
    isa: AesIsa,
}

impl<'a, S: GarblingScheme> Common<'a, S> {
    fn new(scheme: &'a S, circuit: &'a Circuit, hash_seed: &Seed, first_batch: u64) -> Self {
        Self { scheme, circuit, hash: HashSeed::new(hash_seed), first_batch, isa: AesIsa::best() }
    }

    /// The keys of the block that starts at lane `first`: one per AND.
    fn keys(&self, first: usize) -> Vec<HashKey> {
        let ands = self.circuit.and_count();
        self.hash.keys(self.first_batch + (first / LANES_PER_KEY * ands) as u64, ands)
    }

    /// Takes one block of lanes through the circuit; `and` does the AND gates and gets (gate, a, b, out).
    fn block(
        &self,
        inputs: Inputs<'_>,
        lanes: usize,
        work: &mut Work,
        delta: Block,
        mut and: impl FnMut(
            AndGate<'_>,
            [(&[Block], Source); 2],
            &mut [Block],
        ) -> Result<(), GarbleError>,
    ) -> Result<Vec<Block>, GarbleError> {
        let circuit = self.circuit;
        work.prepare(circuit);
        let keys = self.keys(inputs.first);
        let mut outputs = vec![Block::ZERO; circuit.output_count() * lanes];
        for first in (0..lanes).step_by(STRIP) {
            let count = STRIP.min(lanes - first);
            let mut key = keys.iter();
            for gate in circuit.gates() {
                match *gate {
                    Gate::Xor { a, b, out } => {
                        let (others, out) = work.split(circuit, out, count);
                        let [a, b] = [a, b].map(|row| others.get(&inputs, circuit, first, row));
                        dispatch(self.isa, Xor { a, b, out });
                    }
                    Gate::And { a, b, out } => {
                        let Some(key) = key.next() else { break };
                        let (others, out) = work.split(circuit, out, count);
                        let operands =
                            [a, b].map(|x| (others.get(&inputs, circuit, first, x.row), x));
                        and(AndGate { key, first_lane: first }, operands, out)?;
                    }
                }
            }
            for (output, row) in circuit.outputs().iter().zip(outputs.chunks_exact_mut(lanes)) {
                let Some(target) = row.get_mut(first..first + count) else { continue };
                match *output {
                    Output::Constant(bit) => target.fill(delta.select(bit)),
                    Output::Row(from) => {
                        let all = Others { before: work.rows(), after: &[], count };
                        let shift = delta.select(from.inverted);
                        let source = all.get(&inputs, circuit, first, from.row);
                        for (to, from) in target.iter_mut().zip(source) {
                            *to = *from ^ shift;
                        }
                    }
                }
            }
        }
        Ok(outputs)
    }
}

struct Garbler<'a, S> {
    common: Common<'a, S>,
    delta: &'a Delta,
    coins: Seed,
    /// Spent here.
    _tweaks: Tweaks,
}

impl<'a, S: GarblingScheme> Garbler<'a, S> {
    fn new(
        scheme: &'a S,
        circuit: &'a Circuit,
        delta: &'a Delta,
        hash_seed: &Seed,
        tweaks: Tweaks,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let common = Common::new(scheme, circuit, hash_seed, tweaks.first_batch());
        Self { common, delta, coins: Seed::random(rng), _tweaks: tweaks }
    }

    fn block<T: TableSink>(
        &self,
        inputs: Inputs<'_>,
        lanes: usize,
        work: &mut Work,
        sink: &mut T,
    ) -> Result<Vec<Block>, GarbleError> {
        let scheme = self.common.scheme;
        let seed = self.coins.fork(COINS, (inputs.first / LANES_PER_KEY) as u64);
        let mut coins = Prg::new(&seed, COINS);
        self.common.block(inputs, lanes, work, self.delta.block(), |gate, [a, b], out| {
            let [a, b] = [a, b].map(|(zero, from)| Operand { zero, inverted: from.inverted });
            let table = sink.next(scheme.table_len(out.len()))?;
            scheme.garble_and(gate, self.delta, &mut coins, a, b, out, table);
            Ok(())
        })
    }
}

struct Evaluator<'a, S>(Common<'a, S>);

impl<S: GarblingScheme> Evaluator<'_, S> {
    fn block<T: TableSource>(
        &self,
        inputs: Inputs<'_>,
        lanes: usize,
        work: &mut Work,
        source: &mut T,
    ) -> Result<Vec<Block>, GarbleError> {
        let scheme = self.0.scheme;
        // The evaluator has no Delta: constants are zero labels and inversion changes nothing.
        self.0.block(inputs, lanes, work, Block::ZERO, |gate, [(a, _), (b, _)], out| {
            let table = source.next(scheme.table_len(out.len()))?;
            scheme.evaluate_and(gate, a, b, table, out);
            Ok(())
        })
    }
}

struct Xor<'a> {
    a: &'a [Block],
    b: &'a [Block],
    out: &'a mut [Block],
}

impl Kernel for Xor<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (a, a_tail) = self.a.split_at(self.a.len() - self.a.len() % V::BLOCKS);
        let (b, b_tail) = self.b.split_at(a.len());
        let (out, out_tail) = self.out.split_at_mut(a.len());
        for ((a, b), out) in a
            .chunks_exact(V::BLOCKS)
            .zip(b.chunks_exact(V::BLOCKS))
            .zip(out.chunks_exact_mut(V::BLOCKS))
        {
            V::load(a).xor(V::load(b)).store(out);
        }
        for ((a, b), out) in a_tail.iter().zip(b_tail).zip(out_tail) {
            *out = *a ^ *b;
        }
    }
}
