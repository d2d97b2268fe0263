//! The garbler.

#![expect(
    clippy::indexing_slicing,
    reason = "chunks are compiled from the step whose shares were checked"
)]

use std::io::{self, Read, Write};

use gazelle_block::gf128;
use gazelle_block::{BitVec, Block, Blocks, Delta};
use gazelle_convert::{Planes, yao};
use gazelle_garble::garble_into;
use gazelle_garble::{GarblingScheme, Tweaks};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{Misuse, ProtocolError, Shares};
use gazelle_wire::{Channel, SendHalf};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::garbled::check::{ColourCheck, ServerColours, bit_sum, label_sum, step_seed};
use crate::garbled::client::GarbledClientStep;
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
    /// Where steps are checked.
    checks: Option<ServerChecks>,
}

/// What a server keeps of a checked step's labels.
struct ServerChecks {
    /// Of the labels that the client put in, until the audit is over: the sum's seed and zero labels.
    inputs: Option<(Seed, Block)>,
    colours: ColourCheck,
}

/// A chunk that is garbled.
pub(crate) struct GarbledChunk {
    permute: BitVec,
    /// Sums of the zero labels of what the client puts in, and of the outputs; zero where nothing is checked.
    sums: [Block; 2],
}

/// The seeds of a step's checks: of what the client puts in, and of its colours.
#[derive(Clone)]
pub(crate) struct CheckSeeds {
    inputs: Seed,
    colours: Seed,
}

impl CheckSeeds {
    /// For one inference.
    pub(crate) fn random(rng: &mut (dyn CryptoRng + Send)) -> Self {
        Self { inputs: Seed::random(rng), colours: Seed::random(rng) }
    }

    /// For one of its steps.
    fn of(&self, step: usize) -> Self {
        Self { inputs: self.inputs.clone(), colours: step_seed(&self.colours, step) }
    }
}

impl GarbledServerPrepared {
    /// The seed of what the client is asked about an inference's labels; nothing where none are checked.
    pub(crate) fn challenge(&self) -> Option<&Seed> {
        self.checks.as_ref()?.inputs.as_ref().map(|(seed, _)| seed)
    }

    /// The sum of labels of a client that put in what `client` does; nothing where none are checked.
    pub(crate) fn label_sum(&self, number: usize, client: &GarbledClientStep<'_>) -> Option<Block> {
        let (seed, zeros) = self.checks.as_ref()?.inputs.as_ref()?;
        let seed = step_seed(seed, number);
        let chunks = client.chunks().iter().enumerate();
        let sums = chunks.map(|(index, chunk)| bit_sum(&seed, index, &client.bits(chunk)));
        let bits = sums.fold(Block::ZERO, |sum, part| sum ^ part);
        Some(*zeros ^ gf128::mul(bits, self.delta.block()))
    }

    /// Writes the material.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        put_blocks(out, &[self.delta.block()])?;
        put_seed(out, &self.zero_labels)?;
        if let Some(ServerChecks { colours, .. }) = &self.checks {
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
        let mut checks = None;
        if checked {
            let seed = get_seed(input)?;
            let zeros = Zeroizing::new(*get_blocks(input, 1)?.first().ok_or_else(refused)?);
            checks = Some(ServerChecks { inputs: None, colours: ColourCheck { seed, zeros } });
        }
        let read = |chunk: &Chunk| get_bits(input, step.output_bits * chunk.outputs.len());
        let permute = step.chunks.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { delta: delta.ok_or_else(refused)?, zero_labels, permute, checks })
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
    /// Where the step is checked: its number and seeds.
    checks: Option<(usize, CheckSeeds)>,
}

/// y of a chunk's labels, and its tweaks.
pub(crate) type ChunkOts = (Zeroizing<Vec<Block>>, Vec<Tweaks>);

impl<'a, S> GarbledServerStep<'a, S> {
    /// With fresh seeds from `rng`.
    pub(crate) fn new(
        step: &'a GarbledStep,
        scheme: &'a S,
        delta: Delta,
        checks: Option<(usize, &CheckSeeds)>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Self {
        let (hash, zero_labels, coins) = (Seed::random(rng), Seed::random(rng), Seed::random(rng));
        let checks = checks.map(|(number, seeds)| (number, seeds.of(number)));
        Self { step, scheme, delta, hash, zero_labels, coins, checks }
    }

    /// The material, once all chunks are garbled.
    pub(crate) fn close(&self, chunks: Vec<GarbledChunk>) -> GarbledServerPrepared {
        let (delta, zero_labels) = (self.delta.clone(), self.zero_labels.clone());
        let mut sums = [Block::ZERO; 2];
        for chunk in &chunks {
            sums.iter_mut().zip(chunk.sums).for_each(|(sum, part)| *sum ^= part);
        }
        let [inputs, zeros] = sums;
        let checks = self.checks.as_ref().map(|(_, seeds)| ServerChecks {
            inputs: Some((seeds.inputs.clone(), inputs)),
            colours: ColourCheck { seed: seeds.colours.clone(), zeros: Zeroizing::new(zeros) },
        });
        let permute = chunks.into_iter().map(|chunk| chunk.permute).collect();
        GarbledServerPrepared { delta, zero_labels, permute, checks }
    }
}

impl<S: GarblingScheme> Work for GarbledServerStep<'_, S> {
    type Begun = ChunkOts;
    type Ready = GarbledChunk;

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
    ) -> Result<FinishedChunk<GarbledChunk>, ProtocolError> {
        yao::client_zero_labels(&mut client, &heard.bits()?, &self.delta);
        let (tables, outputs) = self.garble(chunk, &client, tweaks)?;
        let mut sums = [Block::ZERO; 2];
        if let Some((number, seeds)) = &self.checks {
            sums = [
                label_sum(&step_seed(&seeds.inputs, *number), chunk, &client),
                label_sum(&seeds.colours, chunk, &outputs),
            ];
        }
        Ok((GarbledChunk { permute: yao::colours(&outputs), sums }, Some(tables)))
    }
}

fn internal() -> ProtocolError {
    ProtocolError::Defect("the compiled step does not fit itself")
}

impl<S: GarblingScheme> GarbledServerStep<'_, S> {
    /// Garbles one chunk under the zero labels of the client's share and mask: its tables and its
    /// outputs' zero labels.
    fn garble(
        &self,
        chunk: usize,
        client: &[Block],
        tweaks: Vec<Tweaks>,
    ) -> Result<(Vec<u8>, Zeroizing<Vec<Block>>), ProtocolError> {
        let Self { step, scheme, delta, hash, zero_labels, coins, .. } = self;
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
        Ok((tables, Zeroizing::new(outputs)))
    }
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
    if checked != prepared.checks.is_some() {
        // Colours that nothing can be held against would pass.
        return Err(Misuse::Material.into());
    }
    let input = step.step.prepare_server(input, step.input_bits as u32);
    let GarbledServerPrepared { delta, zero_labels, permute, checks } = prepared;
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
    if let Some(ServerChecks { colours, .. }) = checks {
        sums.add(colours, &said, &delta);
    }
    Ok(Some(Shares::new(step.step.output_bits(), output)))
}
