//! The garbler.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step whose shares were checked"
)]

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_convert::{Planes, yao};
use gazelle_garble::garble_into;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_ot::{OtExtension, RcotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{NonlinearServer, ProtocolError, Shares};
use gazelle_wire::{Channel, SendHalf};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::garbled::messages::{Colours, Corrections, Labels, Tables};
use crate::garbled::program::{Chunk, CompiledStep, GarbledCompiled};
use crate::ot_session::{HashSeedMessage, Ot, ot_error};
use crate::shares::check_input;

/// The server's session.
pub struct GarbledServer<O: OtExtension, S> {
    pub(crate) compiled: Arc<GarbledCompiled>,
    pub(crate) scheme: S,
    pub(crate) down: Ot<O::Sender>,
}

/// The server's material of one step: Delta and the seed encode its labels, the permute bits decode.
pub struct GarbledServerPrepared {
    delta: Delta,
    zero_labels: Seed,
    /// Per chunk, `[wire][output]`.
    permute: Vec<BitVec>,
}

impl<O: OtExtension, S: GarblingScheme> NonlinearServer for GarbledServer<O, S> {
    type Prepared = GarbledServerPrepared;

    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = self.compiled.step(step)?;
        offline(step, &self.scheme, &mut self.down, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        online(self.compiled.step(step)?, prepared, input, channel)
    }
}

/// A chunk that waits for being garbled.
struct Job<'a> {
    index: usize,
    chunk: &'a Chunk,
    tweaks: Vec<Tweaks>,
    /// Zero labels of the client's share, then of its mask.
    client: Zeroizing<Vec<Block>>,
}

/// The offline phase, with the session's OTs.
pub(crate) fn offline<S: GarblingScheme, T: RcotSender>(
    step: &CompiledStep,
    scheme: &S,
    ot: &mut Ot<T>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GarbledServerPrepared, ProtocolError> {
    let hash_seed = Seed::random(rng);
    channel.send(&HashSeedMessage(hash_seed.clone()), &())?;
    let zero_labels = Seed::random(rng);
    let coins = Seed::random(rng);
    let delta = ot.session.delta().clone();
    let mut permute = Vec::with_capacity(step.chunks.len());
    let mut index = 0;
    for batch in step.batches() {
        let count = batch.iter().map(|chunk| step.ots(chunk)).sum();
        let mut y = Zeroizing::new(vec![Block::ZERO; count]);
        ot.session.extend(&mut y, channel, rng).map_err(ot_error)?;
        let Corrections(corrections) = channel.recv(&count)?;
        yao::client_zero_labels(&mut y, &corrections, &delta);
        let mut rest = y.as_slice();
        let mut jobs = Vec::with_capacity(batch.len());
        for chunk in batch {
            let mut tweaks = Vec::new();
            for stage in &step.program(chunk).stages {
                let circuit = &step.circuits[stage.circuit];
                let range = Tweaks::reserve(&mut ot.tweaks, circuit, stage.lanes);
                tweaks.push(range.map_err(ProtocolError::backend)?);
            }
            let (client, later) = rest.split_at_checked(step.ots(chunk)).ok_or_else(internal)?;
            rest = later;
            jobs.push(Job { index, chunk, tweaks, client: Zeroizing::new(client.to_vec()) });
            index += 1;
        }
        drop(y);
        // Garbling runs ahead of sending by a few chunks; the order is that of the chunks.
        let parallel = rayon::current_num_threads().max(1);
        std::thread::scope(|scope| {
            let (to_sender, garbled) = sync_channel(parallel);
            let (delta, zero_labels, coins, hash) = (&delta, &zero_labels, &coins, &hash_seed);
            scope.spawn(move || {
                let mut jobs = jobs.into_iter();
                loop {
                    let group: Vec<Job<'_>> = jobs.by_ref().take(parallel).collect();
                    if group.is_empty() {
                        return;
                    }
                    let done: Vec<_> = group
                        .into_par_iter()
                        .map(|job| garble_chunk(step, scheme, job, delta, zero_labels, coins, hash))
                        .collect();
                    for chunk in done {
                        if to_sender.send(chunk).is_err() {
                            return;
                        }
                    }
                }
            });
            for _ in batch {
                let (tables, bits) = garbled.recv().map_err(|_| internal())??;
                let len = tables.len();
                channel.send(&Tables(tables), &len)?;
                permute.push(bits);
            }
            Ok::<(), ProtocolError>(())
        })?;
        channel.flush()?;
    }
    Ok(GarbledServerPrepared { delta, zero_labels, permute })
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

/// Garbles one chunk: its tables and its outputs' permute bits.
fn garble_chunk<S: GarblingScheme>(
    step: &CompiledStep,
    scheme: &S,
    job: Job<'_>,
    delta: &Delta,
    zero_labels: &Seed,
    coins: &Seed,
    hash_seed: &Seed,
) -> Result<(Vec<u8>, BitVec), ProtocolError> {
    let program = step.program(job.chunk);
    let words = step.input_bits * program.inputs;
    let server = Zeroizing::new(yao::server_zero_labels(zero_labels, job.index as u64, words));
    let (client, mask) = job.client.split_at_checked(words).ok_or_else(internal)?;
    let mut tables = vec![0; step.table_len(scheme, program)];
    let mut sink = tables.as_mut_slice();
    let mut tweaks = job.tweaks.into_iter();
    let mut coins = Prg::new(&coins.fork(COINS, job.index as u64), COINS);
    let outputs = step.run(program, [&server, client, mask], |stage, circuit, operands| {
        let range = tweaks.next().ok_or_else(internal)?;
        let lanes = stage.lanes;
        garble_into(
            scheme, circuit, lanes, delta, hash_seed, range, operands, &mut sink, &mut coins,
        )
        .map_err(ProtocolError::backend)
    })?;
    Ok((tables, yao::colours(&Zeroizing::new(outputs))))
}

/// Fork domain of the garbler's private coins.
const COINS: u8 = 0x62;

/// The online phase.
pub(crate) fn online(
    step: &CompiledStep,
    prepared: GarbledServerPrepared,
    input: Shares,
    channel: &mut Channel,
) -> Result<Option<Shares>, ProtocolError> {
    check_input(&step.step, &input)?;
    let input = step.step.prepare_server(input, step.input_bits as u32);
    let GarbledServerPrepared { delta, zero_labels, permute } = prepared;
    let labels = |index: usize, chunk: &Chunk| -> Labels {
        let words = &input.words()[chunk.inputs.clone()];
        let bits = Planes::from_words(words, step.input_bits as u32).to_bits();
        let mut labels = yao::server_zero_labels(&zero_labels, index as u64, bits.len());
        yao::active_labels(&mut labels, &bits, &delta);
        Labels(Blocks(labels))
    };
    let send_labels = |send: &mut SendHalf, index: usize, chunk: &Chunk| {
        send.send(&labels(index, chunk), &(step.input_bits * chunk.inputs.len()))
    };
    if step.mask_bits == 0 {
        // Nothing comes back: one message per chunk, the permute bits behind the labels.
        for (index, (chunk, permute)) in step.chunks.iter().zip(permute).enumerate() {
            channel.send(&labels(index, chunk), &(step.input_bits * chunk.inputs.len()))?;
            let bits = permute.len();
            channel.send(&Colours(permute), &bits)?;
        }
        channel.flush()?;
        return Ok(None);
    }
    let mut output = vec![0u64; step.step.output_shape().len()];
    channel.flush()?;
    let (send, recv) = channel.halves();
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            for (index, chunk) in step.chunks.iter().enumerate() {
                send_labels(send, index, chunk)?;
            }
            send.flush()
        });
        let mut receive = || -> Result<(), ProtocolError> {
            for (chunk, permute) in step.chunks.iter().zip(&permute) {
                let Colours(colours) = recv.recv(&permute.len())?;
                let values = yao::decode(&colours, permute);
                let words = Planes::from_bits(&values, chunk.outputs.len()).to_words();
                output[chunk.outputs.clone()].copy_from_slice(&words);
            }
            Ok(())
        };
        let received = receive();
        let sent = sender.join().map_err(|_| internal())?;
        // The first cause: if sending failed, receiving did too.
        sent.map_err(ProtocolError::from).and(received)
    })?;
    Ok(Some(Shares::new(step.step.output_bits(), output)))
}
