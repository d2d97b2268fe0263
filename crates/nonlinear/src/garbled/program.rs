//! A chunk of a step as a list of stages: which circuit runs over which words.
//!
//! Words of the same kind lie in *banks*, wire by wire: the server's input shares, the client's, the
//! client's mask, and two banks of values made on the way. A stage gathers its operands, runs one
//! circuit over as many lanes, and appends to a bank or writes the outputs. Garbler and evaluator
//! run the same program; only what "run a circuit" means differs.

#![expect(
    clippy::indexing_slicing,
    reason = "programs are compiled from the step; indices are in range by construction"
)]

use std::collections::HashMap;
use std::ops::Range;

use gazelle_block::Block;
use gazelle_garble::Circuit;
use gazelle_share::step::{StepFunction, StepOutput};
use gazelle_share::{ProtocolError, Step, TensorShape};
use zeroize::Zeroize;

use crate::chunks;
use crate::garbled::circuits;
use crate::pool::{MaxTree, sum_groups};
use crate::width::{function_width, input_width, result_width};

/// Elements per chunk of an elementwise step, and aimed at for pools.
pub(crate) const CHUNK: usize = 1024;

/// Where words lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bank {
    /// S's shares.
    Server,
    /// C's shares.
    Client,
    /// C's mask.
    Mask,
    /// Values before the (max-)pool's end.
    Value,
    /// Values to be summed.
    Term,
}

/// Which words of a bank.
#[derive(Debug, Clone)]
pub(crate) enum Ids {
    /// As many as there are lanes, from the first on.
    All,
    /// These.
    List(Vec<u32>),
}

/// Where a stage's words go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Appended.
    Bank(Bank),
    /// The chunk's outputs.
    Output(Ids),
}

/// One circuit over some lanes.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Index into the compiled circuits.
    pub(crate) circuit: usize,
    pub(crate) lanes: usize,
    pub(crate) sources: Vec<(Bank, Ids)>,
    pub(crate) target: Target,
}

/// All stages of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) stages: Vec<Stage>,
}

/// A part of a step that is garbled on its own.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) program: usize,
    pub(crate) inputs: Range<usize>,
    pub(crate) outputs: Range<usize>,
}

/// A step, compiled.
#[derive(Debug)]
pub(crate) struct GarbledStep {
    pub(crate) step: Step,
    pub(crate) circuits: Vec<Circuit>,
    pub(crate) programs: Vec<Program>,
    pub(crate) chunks: Vec<Chunk>,
    /// Wires of an input share.
    pub(crate) input_bits: usize,
    /// Wires of the mask; 0 if the step reveals.
    pub(crate) mask_bits: usize,
    /// Wires of an output.
    pub(crate) output_bits: usize,
}

impl GarbledStep {
    pub(crate) fn new(index: usize, step: &Step) -> Result<Self, ProtocolError> {
        let refuse = |why: String| ProtocolError::Plan(format!("non-linear step {index}: {why}"));
        step.check().map_err(refuse)?;
        if input_width(step) > step.input_bits {
            return Err(refuse("the value does not fit the ring".into()));
        }
        let (mask_bits, output_bits) = match step.output {
            StepOutput::Masked { bits } => (bits as usize, bits as usize),
            StepOutput::Reveal => (0, result_width(step).bits as usize),
        };
        let mut compiled = Self {
            step: step.clone(),
            circuits: Vec::new(),
            programs: Vec::new(),
            chunks: Vec::new(),
            input_bits: input_width(step) as usize,
            mask_bits,
            output_bits,
        };
        if step.ranked().is_some() {
            compiled.ranked();
            return Ok(compiled);
        }
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        let mut names: HashMap<(u8, usize), usize> = HashMap::new();
        for part in chunks::split(step, CHUNK) {
            let program = if let Some(program) = sizes.get(&part.units) {
                *program
            } else {
                let program = if chunks::is_pooled(step) {
                    compiled.pooled(index, part.units, &mut names)?
                } else {
                    compiled.elementwise(part.units, &mut names)
                };
                compiled.programs.push(program);
                sizes.insert(part.units, compiled.programs.len() - 1);
                compiled.programs.len() - 1
            };
            compiled.chunks.push(Chunk { program, inputs: part.inputs, outputs: part.outputs });
        }
        Ok(compiled)
    }

    /// Index of a circuit, built once.
    fn circuit(
        &mut self,
        names: &mut HashMap<(u8, usize), usize>,
        name: (u8, usize),
        build: impl FnOnce(&Step) -> Circuit,
    ) -> usize {
        *names.entry(name).or_insert_with(|| {
            self.circuits.push(build(&self.step));
            self.circuits.len() - 1
        })
    }

    fn mask(&self, ids: Ids) -> Option<(Bank, Ids)> {
        (self.mask_bits > 0).then_some((Bank::Mask, ids))
    }

    fn elementwise(&mut self, lanes: usize, names: &mut HashMap<(u8, usize), usize>) -> Program {
        let circuit = self.circuit(names, (0, 0), circuits::whole);
        let mut sources = vec![(Bank::Server, Ids::All), (Bank::Client, Ids::All)];
        sources.extend(self.mask(Ids::All));
        let stage = Stage { circuit, lanes, sources, target: Target::Output(Ids::All) };
        Program { inputs: lanes, outputs: lanes, stages: vec![stage] }
    }

    /// One chunk: all values opened side by side, then one circuit over all of them.
    fn ranked(&mut self) {
        let (inputs, outputs) = (self.step.input.len(), self.step.output_shape().len());
        self.circuits = vec![circuits::open(&self.step), circuits::rank(&self.step)];
        let open = Stage {
            circuit: 0,
            lanes: inputs,
            sources: vec![(Bank::Server, Ids::All), (Bank::Client, Ids::All)],
            target: Target::Bank(Bank::Value),
        };
        let sources = (0..inputs as u32).map(|i| (Bank::Value, Ids::List(vec![i]))).collect();
        let rank = Stage { circuit: 1, lanes: 1, sources, target: Target::Output(Ids::All) };
        self.programs = vec![Program { inputs, outputs, stages: vec![open, rank] }];
        self.chunks = vec![Chunk { program: 0, inputs: 0..inputs, outputs: 0..outputs }];
    }

    fn pooled(
        &mut self,
        index: usize,
        channels: usize,
        names: &mut HashMap<(u8, usize), usize>,
    ) -> Result<Program, ProtocolError> {
        let step = self.step.clone();
        let input = TensorShape { channels, ..step.input };
        let middle = TensorShape { channels, ..step.function_shape() };
        let max_pool = match &step.function {
            StepFunction::MaxPool { window, .. } => {
                let tree = MaxTree::new(window, input).ok_or_else(|| {
                    ProtocolError::Plan(format!("non-linear step {index}: a window is empty"))
                })?;
                Some(tree.expand(channels))
            }
            _ => None,
        };
        let mut stages = Vec::new();
        stages.push(Stage {
            circuit: self.circuit(names, (1, 0), circuits::open),
            lanes: input.len(),
            sources: vec![(Bank::Server, Ids::All), (Bank::Client, Ids::All)],
            target: Target::Bank(if max_pool.is_some() { Bank::Value } else { Bank::Term }),
        });
        let outputs = step.sum_pool.map_or(middle, |window| window.output(middle)).len();
        if let Some(levels) = max_pool {
            let circuit = self.circuit(names, (2, 0), circuits::max);
            for (a, b) in levels.pairs {
                stages.push(Stage {
                    circuit,
                    lanes: a.len(),
                    sources: vec![(Bank::Value, Ids::List(a)), (Bank::Value, Ids::List(b))],
                    target: Target::Bank(Bank::Value),
                });
            }
            let mut sources = vec![(Bank::Value, Ids::List(levels.outputs))];
            if step.sum_pool.is_some() {
                stages.push(Stage {
                    circuit: self.circuit(names, (3, 0), circuits::rectify),
                    lanes: middle.len(),
                    sources,
                    target: Target::Bank(Bank::Term),
                });
            } else {
                sources.extend(self.mask(Ids::All));
                stages.push(Stage {
                    circuit: self.circuit(names, (4, 0), circuits::close_max),
                    lanes: middle.len(),
                    sources,
                    target: Target::Output(Ids::All),
                });
            }
        }
        if let Some(window) = &step.sum_pool {
            for group in sum_groups(window, middle) {
                let terms = group.terms.len();
                let mut sources: Vec<_> =
                    group.terms.into_iter().map(|term| (Bank::Term, Ids::List(term))).collect();
                sources.extend(self.mask(Ids::List(group.outputs.clone())));
                stages.push(Stage {
                    circuit: self
                        .circuit(names, (5, terms), |step| circuits::close_sum(step, terms)),
                    lanes: group.outputs.len(),
                    sources,
                    target: Target::Output(Ids::List(group.outputs)),
                });
            }
        }
        Ok(Program { inputs: input.len(), outputs, stages })
    }

    /// AND gates of the whole step.
    pub(crate) fn and_count(&self) -> usize {
        self.chunks
            .iter()
            .flat_map(|chunk| &self.programs[chunk.program].stages)
            .map(|stage| stage.lanes * self.circuits[stage.circuit].and_count())
            .sum()
    }

    /// Wires of the function's values between stages.
    fn bank_bits(&self, bank: Bank) -> usize {
        match bank {
            Bank::Server | Bank::Client => self.input_bits,
            Bank::Mask => self.mask_bits,
            Bank::Value => self.step.value_bits as usize,
            Bank::Term => function_width(&self.step).bits as usize,
        }
    }

    /// Runs a chunk's program: `server`, `client` and `mask` are labels `[wire][word]`; `run` turns
    /// a stage's operands `[wire][lane]` into its results. Gives the outputs `[wire][output]`.
    pub(crate) fn run<E>(
        &self,
        program: &Program,
        [server, client, mask]: [&[Block]; 3],
        mut run: impl FnMut(&Stage, &Circuit, &[Block]) -> Result<Vec<Block>, E>,
    ) -> Result<Vec<Block>, E> {
        let mut values = Words::new(self.bank_bits(Bank::Value));
        let mut terms = Words::new(self.bank_bits(Bank::Term));
        let mut outputs = vec![Block::ZERO; self.output_bits * program.outputs];
        let mut operands = Vec::new();
        for stage in &program.stages {
            operands.clear();
            for (bank, ids) in &stage.sources {
                match bank {
                    Bank::Server => gather(server, program.inputs, ids, stage.lanes, &mut operands),
                    Bank::Client => gather(client, program.inputs, ids, stage.lanes, &mut operands),
                    Bank::Mask => gather(mask, program.outputs, ids, stage.lanes, &mut operands),
                    Bank::Value => values.gather(ids, stage.lanes, &mut operands),
                    Bank::Term => terms.gather(ids, stage.lanes, &mut operands),
                }
            }
            let mut results = run(stage, &self.circuits[stage.circuit], &operands)?;
            match &stage.target {
                Target::Bank(Bank::Value) => values.append(&results, stage.lanes),
                Target::Bank(_) => terms.append(&results, stage.lanes),
                Target::Output(Ids::All) => outputs.copy_from_slice(&results),
                Target::Output(Ids::List(ids)) => {
                    for (wire, lanes) in results.chunks(stage.lanes).enumerate() {
                        for (label, id) in lanes.iter().zip(ids) {
                            outputs[wire * program.outputs + *id as usize] = *label;
                        }
                    }
                }
            }
            results.zeroize();
        }
        operands.zeroize();
        Ok(outputs)
    }
}

/// A bank that grows.
struct Words {
    wires: Vec<Vec<Block>>,
}

impl Words {
    fn new(bits: usize) -> Self {
        Self { wires: vec![Vec::new(); bits] }
    }

    fn append(&mut self, labels: &[Block], lanes: usize) {
        for (wire, labels) in self.wires.iter_mut().zip(labels.chunks(lanes)) {
            wire.extend_from_slice(labels);
        }
    }

    fn gather(&self, ids: &Ids, lanes: usize, out: &mut Vec<Block>) {
        for wire in &self.wires {
            gather(wire, wire.len(), ids, lanes, out);
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.wires.zeroize();
    }
}

/// Appends the chosen words of a bank of `count` words, wire by wire.
fn gather(bank: &[Block], count: usize, ids: &Ids, lanes: usize, out: &mut Vec<Block>) {
    for wire in bank.chunks(count.max(1)) {
        match ids {
            Ids::All => out.extend_from_slice(&wire[..lanes]),
            Ids::List(ids) => out.extend(ids.iter().map(|id| wire[*id as usize])),
        }
    }
}
