//! The garbler.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step whose shares were checked"
)]

use std::io::{self, Read, Write};

use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_convert::{Planes, yao};
use gazelle_garble::garble_into;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{ProtocolError, Shares};
use gazelle_wire::{Channel, SendHalf};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::garbled::messages::{Colours, Labels};
use crate::garbled::program::{Chunk, GarbledStep};
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::Made;
use crate::shares::check_input;
use crate::stored::{get_bits, get_blocks, get_seed, put_bits, put_blocks, put_seed, refused};

/// The server's material of one step: Delta and the seed encode its labels, the permute bits decode.
pub struct GarbledServerPrepared {
    delta: Delta,
    zero_labels: Seed,
    /// Per chunk, `[wire][output]`.
    permute: Vec<BitVec>,
}

impl GarbledServerPrepared {
    /// Writes the material.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        put_blocks(out, &[self.delta.block()])?;
        put_seed(out, &self.zero_labels)?;
        self.permute.iter().try_for_each(|bits| put_bits(out, bits))
    }

    /// Reads it again.
    pub(crate) fn load(step: &GarbledStep, input: &mut dyn Read) -> Result<Self, ProtocolError> {
        let delta = get_blocks(input, 1)?;
        let delta = delta.first().and_then(|block| Delta::from_block(*block).ok());
        let zero_labels = get_seed(input)?;
        let read = |chunk: &Chunk| get_bits(input, step.output_bits * chunk.outputs.len());
        let permute = step.chunks.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { delta: delta.ok_or_else(refused)?, zero_labels, permute })
    }
}

/// A step that is being garbled.
pub(crate) struct GarbledServerStep<'a, S> {
    step: &'a GarbledStep,
    scheme: &'a S,
    delta: Delta,
    /// Of the hash: public, fresh, ahead of the tables.
    hash: Seed,
    /// Of the zero labels of the server's inputs.
    zero_labels: Seed,
    /// Of the garbler's private coins.
    coins: Seed,
}

/// y of a chunk's labels, and its tweaks.
pub(crate) type ChunkOts = (Zeroizing<Vec<Block>>, Vec<Tweaks>);

impl<'a, S> GarbledServerStep<'a, S> {
    /// With fresh seeds from `rng`.
    pub(crate) fn new(
        step: &'a GarbledStep,
        scheme: &'a S,
        delta: Delta,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let (hash, zero_labels, coins) = (Seed::random(rng), Seed::random(rng), Seed::random(rng));
        Self { step, scheme, delta, hash, zero_labels, coins }
    }

    /// The material, once all chunks are garbled.
    pub(crate) fn close(&self, permute: Vec<BitVec>) -> GarbledServerPrepared {
        let (delta, zero_labels) = (self.delta.clone(), self.zero_labels.clone());
        GarbledServerPrepared { delta, zero_labels, permute }
    }
}

impl<S: GarblingScheme> Work for GarbledServerStep<'_, S> {
    type Begun = ChunkOts;
    type Ready = BitVec;

    fn seed(&self) -> Option<Seed> {
        Some(self.hash.clone())
    }

    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        _up: &Made,
    ) -> Result<Beginning<ChunkOts>, ProtocolError> {
        let mut rest = down.blocks();
        let mut begun = Vec::with_capacity(call.chunks.len());
        for (chunk, tweaks) in self.step.chunks[call.chunks.clone()].iter().zip(unit.take_tweaks())
        {
            let (y, later) = rest.split_at_checked(self.step.ots(chunk)).ok_or_else(internal)?;
            rest = later;
            begun.push((Zeroizing::new(y.to_vec()), tweaks));
        }
        Ok((begun, BitVec::new()))
    }

    fn finish(
        &self,
        chunk: usize,
        (mut client, tweaks): ChunkOts,
        heard: Heard,
    ) -> Result<FinishedChunk<BitVec>, ProtocolError> {
        yao::client_zero_labels(&mut client, &heard.bits()?, &self.delta);
        let (tables, permute) = self.garble(chunk, &client, tweaks)?;
        Ok((permute, Some(tables)))
    }
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

impl<S: GarblingScheme> GarbledServerStep<'_, S> {
    /// Garbles one chunk under the zero labels of the client's share and mask: its tables and its
    /// outputs' permute bits.
    fn garble(
        &self,
        chunk: usize,
        client: &[Block],
        tweaks: Vec<Tweaks>,
    ) -> Result<(Vec<u8>, BitVec), ProtocolError> {
        let Self { step, scheme, delta, hash, zero_labels, coins } = self;
        let program = step.program(&step.chunks[chunk]);
        let words = step.input_bits * program.inputs;
        let server = Zeroizing::new(yao::server_zero_labels(zero_labels, chunk as u64, words));
        let (client, mask) = client.split_at_checked(words).ok_or_else(internal)?;
        let mut tables = vec![0; step.table_len(*scheme, program)];
        let mut sink = tables.as_mut_slice();
        let mut tweaks = tweaks.into_iter();
        let mut coins = Prg::new(&coins.fork(COINS, chunk as u64), COINS);
        let outputs = step.run(program, [&server, client, mask], |stage, circuit, operands| {
            let range = tweaks.next().ok_or_else(internal)?;
            let lanes = stage.lanes;
            garble_into(
                *scheme, circuit, lanes, delta, hash, range, operands, &mut sink, &mut coins,
            )
            .map_err(ProtocolError::backend)
        })?;
        Ok((tables, yao::colours(&Zeroizing::new(outputs))))
    }
}

/// Fork domain of the garbler's private coins.
const COINS: u8 = 0x62;

/// The online phase.
pub(crate) fn online(
    step: &GarbledStep,
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
