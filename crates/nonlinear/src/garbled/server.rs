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
use gazelle_share::{Misuse, ProtocolError, Shares};
use gazelle_wire::{Channel, SendHalf};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::garbled::check::{ColourCheck, ServerColours};
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
    /// Where steps are checked: of the colours that come back.
    colours: Option<ColourCheck>,
}

impl GarbledServerPrepared {
    /// Of a step whose chunks have these permute bits.
    pub(crate) fn new(
        garbler: &StepGarbler,
        permute: Vec<BitVec>,
        colours: Option<ColourCheck>,
    ) -> Self {
        let (delta, zero_labels) = (garbler.delta.clone(), garbler.zero_labels.clone());
        Self { delta, zero_labels, permute, colours }
    }

    /// Writes the material.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        put_blocks(out, &[self.delta.block()])?;
        put_seed(out, &self.zero_labels)?;
        if let Some(colours) = &self.colours {
            put_seed(out, &colours.seed)?;
            put_blocks(out, &[*colours.zeros])?;
        }
        self.permute.iter().try_for_each(|bits| put_bits(out, bits))
    }

    /// Reads it again.
    pub(crate) fn load(
        step: &GarbledStep,
        checked: bool,
        input: &mut dyn Read,
    ) -> Result<Self, ProtocolError> {
        let delta = get_blocks(input, 1)?;
        let delta = delta.first().and_then(|block| Delta::from_block(*block).ok());
        let zero_labels = get_seed(input)?;
        let mut colours = None;
        if checked {
            let seed = get_seed(input)?;
            let zeros = Zeroizing::new(*get_blocks(input, 1)?.first().ok_or_else(refused)?);
            colours = Some(ColourCheck { seed, zeros });
        }
        let read = |chunk: &Chunk| get_bits(input, step.output_bits * chunk.outputs.len());
        let permute = step.chunks.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { delta: delta.ok_or_else(refused)?, zero_labels, permute, colours })
    }
}

/// What a step is garbled with.
#[derive(Clone)]
pub(crate) struct StepGarbler {
    delta: Delta,
    /// Of the hash: public, fresh, ahead of the tables.
    pub(crate) hash: Seed,
    /// Of the zero labels of the server's inputs.
    zero_labels: Seed,
    /// Of the garbler's private coins.
    coins: Seed,
}

impl StepGarbler {
    /// With fresh seeds from `rng`.
    pub(crate) fn random(delta: Delta, rng: &mut (dyn CryptoRng + Send)) -> Self {
        let (hash, zero_labels, coins) = (Seed::random(rng), Seed::random(rng), Seed::random(rng));
        Self { delta, hash, zero_labels, coins }
    }

    /// Of the labels.
    pub(crate) fn delta(&self) -> &Delta {
        &self.delta
    }

    /// Garbles one chunk under the zero labels of the client's share and mask: its tables and its
    /// outputs' zero labels.
    pub(crate) fn garble<S: GarblingScheme>(
        &self,
        (step, scheme): (&GarbledStep, &S),
        chunk: usize,
        client: &[Block],
        tweaks: Vec<Tweaks>,
    ) -> Result<(Vec<u8>, Zeroizing<Vec<Block>>), ProtocolError> {
        let Self { delta, hash, zero_labels, coins } = self;
        let program = step.program(&step.chunks[chunk]);
        let words = step.input_bits * program.inputs;
        let server = Zeroizing::new(yao::server_zero_labels(zero_labels, chunk as u64, words));
        let (client, mask) = client.split_at_checked(words).ok_or_else(internal)?;
        let mut tables = vec![0; step.table_len(scheme, program)];
        let mut sink = tables.as_mut_slice();
        let mut tweaks = tweaks.into_iter();
        let mut coins = Prg::new(&coins.fork(COINS, chunk as u64), COINS);
        let outputs = step.run(program, [&server, client, mask], |stage, circuit, operands| {
            let range = tweaks.next().ok_or_else(internal)?;
            let lanes = stage.lanes;
            garble_into(scheme, circuit, lanes, delta, hash, range, operands, &mut sink, &mut coins)
                .map_err(ProtocolError::backend)
        })?;
        Ok((tables, Zeroizing::new(outputs)))
    }
}

/// A step that is being garbled while its OTs are made.
pub(crate) struct GarbledServerStep<'a, S> {
    step: &'a GarbledStep,
    scheme: &'a S,
    garbler: StepGarbler,
}

/// A chunk's tweaks with y of its labels, or with their zero labels once the client has said d.
pub(crate) type ChunkOts = (Zeroizing<Vec<Block>>, Vec<Tweaks>);

impl<'a, S> GarbledServerStep<'a, S> {
    /// With this garbler.
    pub(crate) fn new(step: &'a GarbledStep, scheme: &'a S, garbler: StepGarbler) -> Self {
        Self { step, scheme, garbler }
    }

    /// The material, once all chunks are garbled.
    pub(crate) fn close(&self, permute: Vec<BitVec>) -> GarbledServerPrepared {
        GarbledServerPrepared::new(&self.garbler, permute, None)
    }
}

/// Deals a call's OTs out to its chunks.
pub(crate) fn deal(
    step: &GarbledStep,
    unit: &Unit,
    call: &OtCall,
    down: &Made,
) -> Result<Beginning<ChunkOts>, ProtocolError> {
    let mut rest = down.blocks();
    let mut begun = Vec::with_capacity(call.chunks.len());
    for (chunk, tweaks) in step.chunks[call.chunks.clone()].iter().zip(unit.take_tweaks()) {
        let (y, later) = rest.split_at_checked(step.ots(chunk)).ok_or_else(internal)?;
        rest = later;
        begun.push((Zeroizing::new(y.to_vec()), tweaks));
    }
    Ok((begun, BitVec::new()))
}

impl<S: GarblingScheme> Work for GarbledServerStep<'_, S> {
    type Begun = ChunkOts;
    type Ready = BitVec;

    fn seed(&self) -> Option<Seed> {
        Some(self.garbler.hash.clone())
    }

    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        _up: &Made,
    ) -> Result<Beginning<ChunkOts>, ProtocolError> {
        deal(self.step, unit, call, down)
    }

    fn finish(
        &self,
        chunk: usize,
        (mut client, tweaks): ChunkOts,
        heard: Heard,
    ) -> Result<FinishedChunk<BitVec>, ProtocolError> {
        yao::client_zero_labels(&mut client, &heard.bits()?, self.garbler.delta());
        let (tables, outputs) =
            self.garbler.garble((self.step, self.scheme), chunk, &client, tweaks)?;
        Ok((yao::colours(&outputs), Some(tables)))
    }
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

/// Fork domain of the garbler's private coins.
const COINS: u8 = 0x62;

/// The online phase; where steps are checked `sums` takes the colours, and has them compared before a reveal.
pub(crate) fn online(
    step: &GarbledStep,
    prepared: GarbledServerPrepared,
    input: Shares,
    (sums, checked): (&mut ServerColours, bool),
    channel: &mut Channel,
) -> Result<Option<Shares>, ProtocolError> {
    check_input(&step.step, &input)?;
    if checked != prepared.colours.is_some() {
        // Colours that nothing can be held against would pass.
        return Err(Misuse::Material.into());
    }
    let input = step.step.prepare_server(input, step.input_bits as u32);
    let GarbledServerPrepared { delta, zero_labels, permute, colours: check } = prepared;
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
        sums.verify(channel)?;
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
    sums.say(channel)?;
    channel.flush()?;
    let (send, recv) = channel.halves();
    let mut said = Vec::with_capacity(step.chunks.len());
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
                if checked {
                    said.push(values);
                }
            }
            Ok(())
        };
        let received = receive();
        let sent = sender.join().map_err(|_| internal())?;
        // The first cause: if sending failed, receiving did too.
        sent.map_err(ProtocolError::from).and(received)
    })?;
    if let Some(check) = check {
        sums.add(check, &said, &delta);
    }
    Ok(Some(Shares::new(step.step.output_bits(), output)))
}
