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

pub(crate) mod rows;

use gazelle_block::aes::AesIsa;
use gazelle_block::hash::{HashKey, HashSeed};
use gazelle_block::{Block, Delta};
use gazelle_prg::{Prg, Seed};
use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::circuit::Circuit;
use crate::error::GarbleError;
use crate::gate::Gate;
use crate::scheme::{AndGate, GarblingScheme, Operand, Secrets};
use crate::table::{TableSink, TableSource};
use crate::tweaks::{LANES_PER_KEY, Tweaks};
use rows::{Inputs, StripRows, Working, WorkingRows};

pub(crate) use rows::STRIP;

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
    let block_bytes = table_bytes(scheme, circuit, LANES_PER_KEY);
    let mut output = vec![Block::ZERO; circuit.output_count() * lanes];
    let outputs = cut_labels(&mut output, lanes);
    let tables = cut_table(table, block_bytes, outputs.len());
    tables.into_par_iter().zip(outputs).enumerate().try_for_each_init(
        WorkingRows::default,
        |work, (block, (mut table, outputs))| {
            let inputs = Inputs::block(input_zero, lanes, block);
            garbler.block(inputs, work, &mut table, outputs)
        },
    )?;
    Ok(output)
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
    let mut work = WorkingRows::default();
    let mut output = vec![Block::ZERO; circuit.output_count() * lanes];
    for (block, outputs) in cut_labels(&mut output, lanes).into_iter().enumerate() {
        garbler.block(Inputs::block(input_zero, lanes, block), &mut work, sink, outputs)?;
    }
    Ok(output)
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
    let mut output = vec![Block::ZERO; circuit.output_count() * lanes];
    cut_labels(&mut output, lanes).into_par_iter().enumerate().try_for_each_init(
        WorkingRows::default,
        |work, (block, outputs)| {
            let mut table = table.get(block * block_bytes..).unwrap_or_default();
            evaluator.block(Inputs::block(input, lanes, block), work, &mut table, outputs)
        },
    )?;
    Ok(output)
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
    let mut work = WorkingRows::default();
    let mut output = vec![Block::ZERO; circuit.output_count() * lanes];
    for (block, outputs) in cut_labels(&mut output, lanes).into_iter().enumerate() {
        evaluator.block(Inputs::block(input, lanes, block), &mut work, source, outputs)?;
    }
    Ok(output)
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

/// The parts of a table that belong to the blocks of lanes.
fn cut_table(table: &mut [u8], block_bytes: usize, blocks: usize) -> Vec<&mut [u8]> {
    let mut parts: Vec<&mut [u8]> = table.chunks_mut(block_bytes.max(1)).collect();
    parts.resize_with(blocks, Default::default);
    parts
}

/// The parts of labels `[output][lane]` that belong to the blocks of lanes: per block, a row for
/// each output.
fn cut_labels(labels: &mut [Block], lanes: usize) -> Vec<Vec<&mut [Block]>> {
    let mut blocks: Vec<Vec<&mut [Block]>> = Vec::new();
    blocks.resize_with(lanes.div_ceil(LANES_PER_KEY), Vec::new);
    for row in labels.chunks_mut(lanes.max(1)) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(LANES_PER_KEY)) {
            block.push(part);
        }
    }
    blocks
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

    /// Takes one block of lanes through the circuit; `and` does the AND gates.
    fn block(
        &self,
        inputs: Inputs<'_>,
        work: &mut WorkingRows,
        mut outputs: Vec<&mut [Block]>,
        delta: Block,
        mut and: impl FnMut(AndGate<'_>, AndGates<'_>) -> Result<(), GarbleError>,
    ) -> Result<(), GarbleError> {
        let (circuit, lanes) = (self.circuit, inputs.count());
        let input_count = circuit.input_count();
        work.prepare(circuit);
        let keys = self.keys(inputs.first);
        for &(output, bit) in circuit.constants() {
            if let Some(row) = outputs.get_mut(output as usize) {
                row.fill(delta.select(bit));
            }
        }
        for first in (0..lanes).step_by(STRIP) {
            let count = STRIP.min(lanes - first);
            let mut keys = keys.iter();
            let strip = StripRows { inputs, input_count, first, count };
            for gate in circuit.gates() {
                match *gate {
                    Gate::Sum { x, out } => {
                        let (out, working) = work.split(out as usize - input_count);
                        let (out, _) = out.split_at_mut(count);
                        strip.rows(working).add_up(self.isa, x, Block::ZERO, out);
                    }
                    Gate::And { a, b, add, out } => {
                        let Some(key) = keys.next() else { break };
                        let (out, working) = work.split(out as usize - input_count);
                        let (out, _) = out.split_at_mut(count);
                        let rows = strip.rows(working);
                        let (a, b, add) = (rows.operand(a), rows.operand(b), rows.get(add));
                        and(AndGate { key, first_lane: first }, AndGates { a, b, add, out })?;
                    }
                    Gate::Emit { x, output } => {
                        let working = Working { before: work.rows(), after: &[] };
                        if let Some(row) = outputs.get_mut(output as usize)
                            && let Some(out) = row.get_mut(first..first + count)
                        {
                            strip.rows(working).add_up(self.isa, x, delta, out);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Operands and result of an AND gate.
struct AndGates<'a> {
    a: Operand<'a>,
    b: Operand<'a>,
    add: &'a [Block],
    out: &'a mut [Block],
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
        work: &mut WorkingRows,
        sink: &mut T,
        outputs: Vec<&mut [Block]>,
    ) -> Result<(), GarbleError> {
        let scheme = self.common.scheme;
        let seed = self.coins.fork(COINS, (inputs.first / LANES_PER_KEY) as u64);
        let mut coins = Prg::new(&seed, COINS);
        let delta = self.delta;
        self.common.block(
            inputs,
            work,
            outputs,
            delta.block(),
            |gate, AndGates { a, b, add, out }| {
                let table = sink.next(scheme.table_len(out.len()))?;
                let secrets = Secrets { delta, coins: &mut coins };
                scheme.garble_and(gate, secrets, a, b, add, out, table);
                Ok(())
            },
        )
    }
}

struct Evaluator<'a, S>(Common<'a, S>);

impl<S: GarblingScheme> Evaluator<'_, S> {
    fn block<T: TableSource>(
        &self,
        inputs: Inputs<'_>,
        work: &mut WorkingRows,
        source: &mut T,
        outputs: Vec<&mut [Block]>,
    ) -> Result<(), GarbleError> {
        let scheme = self.0.scheme;
        // The evaluator has no Delta: constants are zero labels and inversion changes nothing.
        self.0.block(inputs, work, outputs, Block::ZERO, |gate, AndGates { a, b, add, out }| {
            let table = source.next(scheme.table_len(out.len()))?;
            scheme.evaluate_and(gate, a, b, add, table, out);
            Ok(())
        })
    }
}
