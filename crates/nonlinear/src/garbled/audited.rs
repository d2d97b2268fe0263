//! A checked step between what the client has put in and its tables: until an audit has let the inference pass
//! nothing is garbled. An inference that is opened costs no table, and the server does the same until then
//! whether it opens or not.
//!
//! | client | server |
//! |---|---|
//! | `prepare`: labels z of its share and mask, by OT; says d | zero labels W^0 of them |
//! | answers by [`LabelledStep::label_sum`] | an audit compares with [`UngarbledStep::label_sum`] |
//! | [`LabelledStep::complete`] | [`garble`]: hash seed, tables |
//!
//! Memory at the server: 16 bytes per label of the client's, until the tables are made.

use std::sync::mpsc::sync_channel;

use gazelle_block::{BitVec, Block, Delta, gf128};
use gazelle_convert::yao;
use gazelle_garble::GarblingScheme;
use gazelle_prg::Seed;
use gazelle_share::{Misuse, PreparedSteps, ProtocolError, StepCost};
use gazelle_wire::{Channel, Instant};
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::garbled::check::{ColourCheck, bit_sum, label_sum, step_seed, sum};
use crate::garbled::client::{
    ChunkLabels, GarbledClientPrepared, GarbledClientStep, PreparedChunk,
};
use crate::garbled::messages::Tables;
use crate::garbled::program::GarbledStep;
use crate::garbled::server::{ChunkOts, GarbledServerPrepared, StepGarbler, deal};
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::{HashSeedMessage, Made};

/// The client's material of a checked step whose tables have not come.
pub struct LabelledStep {
    chunks: Vec<ChunkLabels>,
}

impl LabelledStep {
    /// Of the labels by chunk.
    pub(crate) fn new(chunks: Vec<ChunkLabels>) -> Self {
        Self { chunks }
    }

    /// The sum of all labels that the client put into the step.
    pub(crate) fn label_sum(&self, seed: &Seed) -> Block {
        let chunks = self.chunks.par_iter().enumerate();
        sum(chunks.map(|(index, (labels, _))| label_sum(seed, index, labels)))
    }

    /// Hears the hash seed and the tables.
    pub(crate) fn complete<S: GarblingScheme>(
        self,
        step: &GarbledStep,
        scheme: &S,
        channel: &mut Channel,
    ) -> Result<(GarbledClientPrepared, StepCost), ProtocolError> {
        if self.chunks.len() != step.chunks.len() {
            return Err(Misuse::Material.into());
        }
        let (start, before) = (Instant::now(), channel.traffic());
        let HashSeedMessage(seed) = channel.recv(&())?;
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for (chunk, labels) in step.chunks.iter().zip(self.chunks) {
            let Tables(tables) = channel.recv(&step.table_len(scheme, step.program(chunk)))?;
            chunks.push(PreparedChunk::new(labels, tables));
        }
        let received = (channel.traffic() - before).received;
        let cost = StepCost { seconds: start.elapsed().as_secs_f64(), sent: 0, received };
        Ok((GarbledClientPrepared::new(seed, chunks), cost))
    }
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

/// A checked step at the server while its OTs are made.
pub(crate) struct CheckedServerStep<'a> {
    step: &'a GarbledStep,
    garbler: StepGarbler,
    seeds: CheckSeeds,
}

impl<'a> CheckedServerStep<'a> {
    /// Step `number` of an inference with these seeds.
    pub(crate) fn new(
        step: &'a GarbledStep,
        garbler: StepGarbler,
        (number, seeds): (usize, &CheckSeeds),
    ) -> Self {
        Self { step, garbler, seeds: seeds.of(number) }
    }

    /// The material, once the client has put in all.
    pub(crate) fn close(&self, chunks: Vec<ChunkOts>) -> UngarbledStep {
        UngarbledStep { garbler: self.garbler.clone(), seeds: self.seeds.clone(), chunks }
    }
}

impl Work for CheckedServerStep<'_> {
    type Begun = ChunkOts;
    type Ready = ChunkOts;

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
        _chunk: usize,
        (mut client, tweaks): ChunkOts,
        heard: Heard,
    ) -> Result<FinishedChunk<ChunkOts>, ProtocolError> {
        yao::client_zero_labels(&mut client, &heard.bits()?, self.garbler.delta());
        Ok(((client, tweaks), None))
    }
}

/// The server's material of a checked step that is not garbled: what the client put in may be opened.
pub struct UngarbledStep {
    garbler: StepGarbler,
    seeds: CheckSeeds,
    /// Zero labels of the client's share and mask.
    chunks: Vec<ChunkOts>,
}

impl UngarbledStep {
    /// The seed of what the client is asked about an inference's labels.
    pub(crate) fn challenge(&self) -> &Seed {
        &self.seeds.inputs
    }

    /// The sum of labels of a client that put into step `number` what `client` does.
    pub(crate) fn label_sum(&self, number: usize, client: &GarbledClientStep<'_>) -> Block {
        let seed = &step_seed(&self.seeds.inputs, number);
        let zeros = self.chunks.par_iter().enumerate();
        let zeros = sum(zeros.map(|(index, (zeros, _))| label_sum(seed, index, zeros)));
        let bits = client.chunks().par_iter().enumerate();
        let bits = sum(bits.map(|(index, chunk)| bit_sum(seed, index, &client.bits(chunk))));
        zeros ^ gf128::mul(bits, self.delta().block())
    }

    fn delta(&self) -> &Delta {
        self.garbler.delta()
    }
}

/// A chunk's tables, and what the server keeps: permute bits, and the sum of the outputs' zero labels.
type GarbledChunk = (Vec<u8>, BitVec, Block);

/// Garbles steps and says their tables; chunks are garbled while others are on their way.
pub(crate) fn garble<S: GarblingScheme>(
    steps: Vec<(&GarbledStep, UngarbledStep)>,
    scheme: &S,
    channel: &mut Channel,
) -> Result<PreparedSteps<GarbledServerPrepared>, ProtocolError> {
    let (mut jobs, mut opened) = (Vec::new(), Vec::with_capacity(steps.len()));
    for (step, UngarbledStep { garbler, seeds, chunks }) in steps {
        if chunks.len() != step.chunks.len() {
            return Err(Misuse::Material.into());
        }
        let place = opened.len();
        jobs.extend(chunks.into_iter().enumerate().map(|(chunk, ots)| (place, chunk, ots)));
        opened.push((step, garbler, seeds.colours));
    }
    let opened = &opened[..];
    let one = |(place, chunk, (client, tweaks)): (usize, usize, ChunkOts)| {
        let defect = ProtocolError::Defect("a chunk of no step");
        let (step, garbler, colours) = opened.get(place).ok_or(defect)?;
        let (tables, outputs) = garbler.garble((step, scheme), chunk, &client, tweaks)?;
        let zeros = label_sum(colours, chunk, &outputs);
        Ok::<GarbledChunk, ProtocolError>((tables, yao::colours(&outputs), zeros))
    };
    std::thread::scope(|scope| {
        let (to_link, garbled) = sync_channel(1);
        let worker = scope.spawn(move || {
            let (together, mut jobs) = (rayon::current_num_threads().max(1), jobs.into_iter());
            loop {
                let group: Vec<_> = jobs.by_ref().take(together).collect();
                let done: Vec<_> = group.into_par_iter().map(one).collect();
                if done.is_empty() || to_link.send(done).is_err() {
                    return;
                }
            }
        });
        let mut garbled = garbled.into_iter().flatten();
        let mut say = || -> Result<PreparedSteps<GarbledServerPrepared>, ProtocolError> {
            let mut prepared = Vec::with_capacity(opened.len());
            for (step, garbler, colours) in opened {
                let (start, before) = (Instant::now(), channel.traffic());
                channel.send(&HashSeedMessage(garbler.hash.clone()), &())?;
                let mut permute = Vec::with_capacity(step.chunks.len());
                let mut zeros = Zeroizing::new(Block::ZERO);
                for _ in &step.chunks {
                    let (tables, bits, part) = garbled.next().ok_or(ProtocolError::Panicked)??;
                    let length = tables.len();
                    channel.send(&Tables(tables), &length)?;
                    permute.push(bits);
                    *zeros ^= part;
                }
                let sent = (channel.traffic() - before).sent;
                let cost = StepCost { seconds: start.elapsed().as_secs_f64(), sent, received: 0 };
                let check = ColourCheck { seed: colours.clone(), zeros };
                prepared.push((GarbledServerPrepared::new(garbler, permute, Some(check)), cost));
            }
            channel.flush()?;
            Ok(prepared)
        };
        let said = say();
        drop(garbled);
        worker.join().map_err(|_| ProtocolError::Panicked)?;
        said
    })
}
