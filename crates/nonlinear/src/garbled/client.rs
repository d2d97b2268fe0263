//! The evaluator.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step whose shares were checked"
)]

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use gazelle_block::{BitVec, Block};
use gazelle_convert::{Planes, yao};
use gazelle_garble::evaluate_from;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_ot::{OtExtension, RcotReceiver};
use gazelle_prg::Seed;
use gazelle_share::shares::to_signed;
use gazelle_share::{Misuse, NonlinearClient, Output, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::garbled::messages::{Colours, Corrections, Labels, Tables};
use crate::garbled::program::{Chunk, CompiledStep, GarbledCompiled};
use crate::ot_session::{HashSeedMessage, Ot, ot_error};
use crate::shares::{check_input, check_output};
use crate::width::result_width;

/// The client's session.
pub struct GarbledClient<O: OtExtension, S> {
    pub(crate) compiled: Arc<GarbledCompiled>,
    pub(crate) scheme: S,
    pub(crate) down: Ot<O::Receiver>,
}

/// The client's material of one step: its labels and all tables.
pub struct GarbledClientPrepared {
    hash_seed: Seed,
    chunks: Vec<PreparedChunk>,
}

struct PreparedChunk {
    /// Of its share, then of its mask, `[wire][word]`.
    labels: Vec<Block>,
    tables: Vec<u8>,
    tweaks: Vec<Tweaks>,
}

impl Drop for PreparedChunk {
    fn drop(&mut self) {
        self.labels.zeroize();
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearClient for GarbledClient<O, S> {
    type Prepared = GarbledClientPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = self.compiled.step(step)?;
        offline(step, &self.scheme, &mut self.down, input, output, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        online(self.compiled.step(step)?, &self.scheme, prepared, channel)
    }
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

/// The offline phase, with the session's OT and tweaks.
pub(crate) fn offline<S: GarblingScheme, T: RcotReceiver>(
    step: &CompiledStep,
    scheme: &S,
    ot: &mut Ot<T>,
    input: &Shares,
    output: Output<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GarbledClientPrepared, ProtocolError> {
    check_input(&step.step, input)?;
    let mask = check_output(&step.step, output)?;
    let input = step.step.prepare_client(input.clone(), step.input_bits as u32);
    let HashSeedMessage(hash_seed) = channel.recv(&())?;
    let mut chunks = Vec::with_capacity(step.chunks.len());
    for batch in step.batches() {
        let mut bits = BitVec::new();
        for chunk in batch {
            let words = &input.words()[chunk.inputs.clone()];
            bits.extend(&Planes::from_words(words, step.input_bits as u32).to_bits());
            // A step that reveals has no mask.
            let words = if mask.is_empty() { mask } else { &mask[chunk.outputs.clone()] };
            bits.extend(&Planes::from_words(words, step.mask_bits as u32).to_bits());
        }
        let count = bits.len();
        let mut z = Zeroizing::new(vec![Block::ZERO; count]);
        let mut choices = BitVec::new();
        ot.session.extend(&mut choices, &mut z, channel, rng).map_err(ot_error)?;
        channel.send(&Corrections(yao::client_corrections(&choices, &bits)), &count)?;
        channel.flush()?;
        let mut rest = z.as_slice();
        for chunk in batch {
            let program = step.program(chunk);
            let mut tweaks = Vec::with_capacity(program.stages.len());
            for stage in &program.stages {
                let circuit = &step.circuits[stage.circuit];
                let range = Tweaks::reserve(&mut ot.tweaks, circuit, stage.lanes);
                tweaks.push(range.map_err(ProtocolError::backend)?);
            }
            let (labels, later) = rest.split_at_checked(step.ots(chunk)).ok_or_else(internal)?;
            rest = later;
            let Tables(tables) = channel.recv(&step.table_len(scheme, program))?;
            chunks.push(PreparedChunk { labels: labels.to_vec(), tables, tweaks });
        }
    }
    Ok(GarbledClientPrepared { hash_seed, chunks })
}

/// Evaluates one chunk: its outputs' colours.
fn evaluate_chunk<S: GarblingScheme>(
    step: &CompiledStep,
    scheme: &S,
    hash_seed: &Seed,
    chunk: &Chunk,
    prepared: &PreparedChunk,
    server: &[Block],
) -> Result<BitVec, ProtocolError> {
    let program = step.program(chunk);
    let words = step.input_bits * program.inputs;
    let (client, mask) = prepared.labels.split_at_checked(words).ok_or_else(internal)?;
    let mut tables = prepared.tables.as_slice();
    let mut tweaks = prepared.tweaks.iter();
    let outputs = step.run(program, [server, client, mask], |stage, circuit, operands| {
        let range = tweaks.next().ok_or_else(internal)?;
        evaluate_from(scheme, circuit, stage.lanes, hash_seed, range, operands, &mut tables)
            .map_err(ProtocolError::backend)
    })?;
    Ok(yao::colours(&Zeroizing::new(outputs)))
}

/// The online phase.
pub(crate) fn online<S: GarblingScheme>(
    step: &CompiledStep,
    scheme: &S,
    prepared: GarbledClientPrepared,
    channel: &mut Channel,
) -> Result<Option<Vec<i64>>, ProtocolError> {
    let hash_seed = &prepared.hash_seed;
    if prepared.chunks.len() != step.chunks.len() {
        return Err(Misuse::Material.into());
    }
    let chunks: Vec<(&Chunk, PreparedChunk)> = step.chunks.iter().zip(prepared.chunks).collect();
    if step.mask_bits == 0 {
        let width = result_width(&step.step);
        let mut values = Vec::with_capacity(step.step.output_shape().len());
        for (chunk, prepared) in chunks {
            let Labels(labels) = channel.recv(&(step.input_bits * chunk.inputs.len()))?;
            let count = step.output_bits * chunk.outputs.len();
            let Colours(permute) = channel.recv(&count)?;
            let colours = evaluate_chunk(step, scheme, hash_seed, chunk, &prepared, &labels.0)?;
            let bits = yao::decode(&colours, &permute);
            let words = Planes::from_bits(&bits, chunk.outputs.len()).to_words();
            values.extend(
                words.into_iter().map(|word| {
                    if width.signed { to_signed(word, width.bits) } else { word as i64 }
                }),
            );
        }
        return Ok(Some(values));
    }
    channel.flush()?;
    let (send, recv) = channel.halves();
    let parallel = rayon::current_num_threads().max(1);
    std::thread::scope(|scope| {
        let (to_worker, received) = sync_channel(2 * parallel);
        let reader = scope.spawn(move || {
            for chunk in &step.chunks {
                let labels = recv.recv::<Labels>(&(step.input_bits * chunk.inputs.len()))?;
                if to_worker.send(labels).is_err() {
                    break;
                }
            }
            Ok::<(), ProtocolError>(())
        });
        let work = || -> Result<(), ProtocolError> {
            let mut chunks = chunks.into_iter();
            loop {
                // One group: at least one chunk, and those that have come in meanwhile.
                let Ok(first) = received.recv() else { return Ok(()) };
                let labels = std::iter::once(first).chain(received.try_iter()).take(parallel);
                let group: Vec<_> = labels.zip(chunks.by_ref()).collect();
                let colours: Vec<_> = group
                    .into_par_iter()
                    .map(|(Labels(labels), (chunk, prepared))| {
                        evaluate_chunk(step, scheme, hash_seed, chunk, &prepared, &labels.0)
                    })
                    .collect();
                for colours in colours {
                    let colours = Colours(colours?);
                    let bits = colours.0.len();
                    send.send(&colours, &bits)?;
                }
                send.flush()?;
            }
        };
        let worked = work();
        drop(received);
        let read = reader.join().map_err(|_| internal())?;
        worked.and(read)
    })?;
    Ok(None)
}
