//! The evaluator.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step whose shares were checked"
)]

use std::io::{self, Read, Write};
use std::sync::mpsc::sync_channel;

use gazelle_block::{BitVec, Block, Blocks};
use gazelle_convert::{Planes, yao};
use gazelle_garble::evaluate_from;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_prg::Seed;
use gazelle_share::shares::to_signed;
use gazelle_share::{Misuse, ProtocolError, Shares};
use gazelle_wire::Channel;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::garbled::check::ClientColours;
use crate::garbled::messages::{Colours, Labels};
use crate::garbled::program::{Chunk, GarbledStep};
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::Made;
use crate::shares::check_shares;
use crate::stored::{get, get_blocks, get_bytes, get_seed, put, put_blocks, put_seed, refused};
use crate::width::result_width;

/// The client's material of one step: its labels and all tables.
pub struct GarbledClientPrepared {
    hash_seed: Seed,
    chunks: Vec<PreparedChunk>,
}

/// A chunk's.
pub(crate) struct PreparedChunk {
    /// Of its share, then of its mask, `[wire][word]`.
    labels: Vec<Block>,
    tables: Vec<u8>,
    tweaks: Vec<Tweaks>,
}

impl PreparedChunk {
    /// Of a chunk's labels and what came for it.
    pub(crate) fn new((mut labels, tweaks): ChunkLabels, tables: Vec<u8>) -> Self {
        Self { labels: std::mem::take(&mut *labels), tables, tweaks }
    }
}

impl Drop for PreparedChunk {
    fn drop(&mut self) {
        self.labels.zeroize();
    }
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

impl GarbledClientPrepared {
    /// Of labels, tables and tweaks by chunk.
    pub(crate) fn new(hash_seed: Seed, chunks: Vec<PreparedChunk>) -> Self {
        Self { hash_seed, chunks }
    }

    /// Writes the material.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        put_seed(out, &self.hash_seed)?;
        for chunk in &self.chunks {
            put_blocks(out, &chunk.labels)?;
            out.write_all(&chunk.tables)?;
            let first: Vec<u64> = chunk.tweaks.iter().map(Tweaks::first_batch).collect();
            put(out, &first)?;
        }
        Ok(())
    }

    /// Reads it again.
    pub(crate) fn load<S: GarblingScheme>(
        step: &GarbledStep,
        scheme: &S,
        input: &mut dyn Read,
    ) -> Result<Self, ProtocolError> {
        let hash_seed = get_seed(input)?;
        let read = |chunk: &Chunk| {
            let program = step.program(chunk);
            let mut labels = get_blocks(input, step.ots(chunk))?;
            let tables = get_bytes(input, step.table_len(scheme, program))?;
            let first = get(input)?;
            // Hash points are counted far below 2^52.
            if first.len() != program.stages.len() || first.iter().any(|first| first >> 52 != 0) {
                return Err(refused());
            }
            let tweaks = program.stages.iter().zip(first.iter());
            let tweaks = tweaks.map(|(stage, first)| {
                Tweaks::restore(*first, &step.circuits[stage.circuit], stage.lanes)
            });
            let tweaks = tweaks.collect();
            Ok(PreparedChunk { labels: std::mem::take(&mut *labels), tables, tweaks })
        };
        let chunks = step.chunks.iter().map(read).collect::<Result<_, ProtocolError>>()?;
        Ok(Self { hash_seed, chunks })
    }
}

/// A step that is being prepared.
pub(crate) struct GarbledClientStep<'a> {
    step: &'a GarbledStep,
    input: Shares,
    mask: Option<Shares>,
}

/// The client's labels of a chunk, and its tweaks.
pub(crate) type ChunkLabels = (Zeroizing<Vec<Block>>, Vec<Tweaks>);

impl<'a> GarbledClientStep<'a> {
    /// With the client's share of the input and the mask of the output.
    pub(crate) fn new(
        step: &'a GarbledStep,
        (input, mask): (Shares, Option<Shares>),
    ) -> Result<Self, ProtocolError> {
        check_shares(&step.step, &input, mask.as_ref())?;
        let input = step.step.prepare_client(input, step.input_bits as u32);
        Ok(Self { step, input, mask })
    }

    /// The step's chunks.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.step.chunks
    }

    /// What the client puts into a chunk: its share's bits, then its mask's, `[wire][word]`.
    pub(crate) fn bits(&self, chunk: &Chunk) -> BitVec {
        let Self { step, input, mask } = self;
        let words = &input.words()[chunk.inputs.clone()];
        let mut bits = Planes::from_words(words, step.input_bits as u32).to_bits();
        // A step that reveals has no mask.
        let words = mask.as_ref().map_or(&[][..], |mask| &mask.words()[chunk.outputs.clone()]);
        bits.extend(&Planes::from_words(words, step.mask_bits as u32).to_bits());
        bits
    }

    /// The material, once all chunks are ready and the server's hash seed is there.
    pub(crate) fn close(
        chunks: Vec<PreparedChunk>,
        seed: Option<Seed>,
    ) -> Result<GarbledClientPrepared, ProtocolError> {
        Ok(GarbledClientPrepared::new(seed.ok_or_else(internal)?, chunks))
    }
}

impl Work for GarbledClientStep<'_> {
    type Begun = ChunkLabels;
    type Ready = PreparedChunk;

    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        _up: &Made,
    ) -> Result<Beginning<ChunkLabels>, ProtocolError> {
        let step = self.step;
        let (mut bits, mut labels) = (BitVec::new(), down.blocks());
        let mut begun = Vec::with_capacity(call.chunks.len());
        for (chunk, tweaks) in step.chunks[call.chunks.clone()].iter().zip(unit.take_tweaks()) {
            bits.extend(&self.bits(chunk));
            let (own, rest) = labels.split_at_checked(step.ots(chunk)).ok_or_else(internal)?;
            labels = rest;
            begun.push((Zeroizing::new(own.to_vec()), tweaks));
        }
        Ok((begun, yao::client_corrections(&down.choices, &bits)))
    }

    fn finish(
        &self,
        _chunk: usize,
        labels: ChunkLabels,
        heard: Heard,
    ) -> Result<FinishedChunk<PreparedChunk>, ProtocolError> {
        Ok((PreparedChunk::new(labels, heard.tables()?), None))
    }
}

/// Evaluates one chunk: its outputs' labels.
fn evaluate_chunk<S: GarblingScheme>(
    step: &GarbledStep,
    scheme: &S,
    hash_seed: &Seed,
    chunk: &Chunk,
    prepared: &PreparedChunk,
    server: &[Block],
) -> Result<Blocks, ProtocolError> {
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
    Ok(Blocks(outputs))
}

/// The online phase; output labels go to `colours` where they are checked.
pub(crate) fn online<S: GarblingScheme>(
    step: &GarbledStep,
    scheme: &S,
    prepared: GarbledClientPrepared,
    mut colours: Option<&mut ClientColours>,
    channel: &mut Channel,
) -> Result<Option<Vec<i64>>, ProtocolError> {
    let hash_seed = &prepared.hash_seed;
    if prepared.chunks.len() != step.chunks.len() {
        return Err(Misuse::Material.into());
    }
    let chunks: Vec<(&Chunk, PreparedChunk)> = step.chunks.iter().zip(prepared.chunks).collect();
    if step.mask_bits == 0 {
        if let Some(colours) = colours {
            colours.say(channel)?;
        }
        let width = result_width(&step.step);
        let mut values = Vec::with_capacity(step.step.output_shape().len());
        for (chunk, prepared) in chunks {
            let Labels(labels) = channel.recv(&(step.input_bits * chunk.inputs.len()))?;
            let count = step.output_bits * chunk.outputs.len();
            let Colours(permute) = channel.recv(&count)?;
            let outputs = evaluate_chunk(step, scheme, hash_seed, chunk, &prepared, &labels.0)?;
            let bits = yao::decode(&yao::colours(&outputs.0), &permute);
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
    let alone = channel.is_single_threaded();
    if let Some(colours) = colours.as_deref_mut() {
        colours.fold(channel)?;
    }
    let (send, recv) = channel.halves();
    if alone {
        for (chunk, prepared) in chunks {
            let Labels(labels) = recv.recv(&(step.input_bits * chunk.inputs.len()))?;
            let labels = evaluate_chunk(step, scheme, hash_seed, chunk, &prepared, &labels.0)?;
            let said = Colours(yao::colours(&labels.0));
            let bits = said.0.len();
            send.send(&said, &bits)?;
            send.flush()?;
            if let Some(colours) = colours.as_deref_mut() {
                colours.keep(labels);
            }
        }
        return Ok(None);
    }
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
                let outputs: Vec<_> = group
                    .into_par_iter()
                    .map(|(Labels(labels), (chunk, prepared))| {
                        evaluate_chunk(step, scheme, hash_seed, chunk, &prepared, &labels.0)
                    })
                    .collect();
                for labels in outputs {
                    let labels = labels?;
                    let said = Colours(yao::colours(&labels.0));
                    let bits = said.0.len();
                    send.send(&said, &bits)?;
                    if let Some(colours) = colours.as_deref_mut() {
                        colours.keep(labels);
                    }
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
