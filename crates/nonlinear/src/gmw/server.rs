//! The server: OT sender to the client, OT receiver from it; it learns its share online.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use std::io::{self, Read, Write};

use gazelle_block::{BitVec, Block};
use gazelle_convert::{RotLog, Rots};
use gazelle_prg::{Prg, Seed};
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, OnlineSteps, ProtocolError, Shares, StepCost};
use gazelle_wire::Channel;
use zeroize::Zeroizing;

use crate::gmw::online::online as run_online;
use crate::gmw::plan::{Chunk, GmwStep};
use crate::gmw::role::Server;
use crate::gmw::run::Executions;
use crate::gmw::schedule::Trip;
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::{Made, RotHashes};
use crate::shares::check_input;
use crate::stored::{
    get_bits, get_log, get_seed, load_chunks, put_bits, put_log, put_seed, refused, unrecorded,
};

/// The server's material of one step.
pub struct GmwServerPrepared {
    chunks: Vec<ReadyServerChunk>,
    /// Of the step's coins.
    seed: Seed,
}

/// A chunk's.
pub(crate) struct ReadyServerChunk {
    /// None yet if the chunk is to be stored.
    executions: Executions,
    /// What they are begun from again: what the OTs gave, and the client's corrections.
    stored: Option<(RotLog, BitVec)>,
}

/// A chunk's executions without the client's corrections, and what its OTs gave if it is to be stored.
pub(crate) type BegunServerChunk = (Executions, Option<RotLog>);

/// PRG domain of the server's own coins.
const COINS: u8 = 0x63;

/// A step that is being prepared.
pub(crate) struct GmwServerStep<'a> {
    pub(crate) step: &'a GmwStep,
    pub(crate) hash: &'a RotHashes,
    /// Of the OTs from S to C.
    pub(crate) delta: Zeroizing<Block>,
    /// For the server's own coins.
    pub(crate) seed: Seed,
    /// Whether the material is to be stored.
    pub(crate) record: bool,
}

/// Begins chunk `index` of a step; its corrections.
fn begin_chunk(
    step: &GmwStep,
    index: usize,
    seed: &Seed,
    rots: &mut Rots<'_>,
) -> (Executions, BitVec) {
    let shape = step.shape_of(&step.chunks[index]);
    let mut coins = Prg::new(&seed.fork(COINS, index as u64), COINS);
    let mut message = BitVec::new();
    let mut begun = Executions::with_capacity(shape.gathers.len());
    for (link, gather) in step.chain.links.iter().zip(&shape.gathers) {
        rots.set_lanes(gather.lanes());
        let begins = link.operation.server(rots, &mut coins);
        message.extend(&begins.corrections.to_bits());
        begun.push_back(begins.execution);
    }
    (begun, message)
}

impl GmwServerPrepared {
    /// Writes material that was made to be stored.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        put_seed(out, &self.seed)?;
        for chunk in &self.chunks {
            let (log, corrections) = chunk.stored.as_ref().ok_or_else(unrecorded)?;
            put_log(out, log)?;
            put_bits(out, corrections)?;
        }
        Ok(())
    }

    /// Reads it again.
    pub(crate) fn load(step: &GmwStep, input: &mut dyn Read) -> Result<Self, ProtocolError> {
        let seed = get_seed(input)?;
        let read = |chunk: &Chunk| {
            Ok((get_log(input)?, get_bits(input, step.corrections::<Server>(chunk))?))
        };
        let begin = |index, chunk: &Chunk, (log, corrections): (RotLog, BitVec)| {
            let mut rots = Rots::kept(&log);
            let (mut executions, _) = begin_chunk(step, index, &seed, &mut rots);
            if !rots.is_spent() {
                return Err(refused());
            }
            step.correct::<Server>(chunk, &mut executions, &corrections);
            Ok(ReadyServerChunk { executions, stored: None })
        };
        Ok(Self { chunks: load_chunks(&step.chunks, read, begin)?, seed: seed.clone() })
    }
}

impl GmwServerStep<'_> {
    /// The material, once all chunks are ready.
    pub(crate) fn close(&self, chunks: Vec<ReadyServerChunk>) -> GmwServerPrepared {
        GmwServerPrepared { chunks, seed: self.seed.clone() }
    }
}

impl Work for GmwServerStep<'_> {
    type Begun = BegunServerChunk;
    type Ready = ReadyServerChunk;

    fn begin(
        &self,
        _unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<BegunServerChunk>, ProtocolError> {
        let mut rots = Rots::new(
            [&self.hash.down, &self.hash.up],
            (down.correlated(), *self.delta),
            (up.correlated(), &up.choices),
        );
        if self.record {
            rots.record();
        }
        let (begun, message) = begin_chunk(self.step, call.chunks.start, &self.seed, &mut rots);
        Ok((vec![(begun, rots.into_log())], message))
    }

    fn finish(
        &self,
        chunk: usize,
        (mut executions, log): BegunServerChunk,
        heard: Heard,
    ) -> Result<FinishedChunk<ReadyServerChunk>, ProtocolError> {
        let corrections = heard.bits()?;
        let Some(log) = log else {
            self.step.correct::<Server>(&self.step.chunks[chunk], &mut executions, &corrections);
            return Ok((ReadyServerChunk { executions, stored: None }, None));
        };
        // They are begun again when the material is used.
        let executions = Executions::new();
        Ok((ReadyServerChunk { executions, stored: Some((log, corrections)) }, None))
    }
}

/// The online phase of a wave of steps, each with its material and this party's share; its share of what is not
/// revealed, and what each step took.
pub(crate) fn online(
    wave: Vec<(&GmwStep, GmwServerPrepared, Shares)>,
    channel: &mut Channel,
) -> Result<OnlineSteps<Option<Shares>>, ProtocolError> {
    let steps: Vec<&GmwStep> = wave.iter().map(|(step, ..)| *step).collect();
    let mut inputs = Vec::with_capacity(wave.len());
    for (step, prepared, input) in wave {
        check_input(&step.step, &input)?;
        let stored = |chunk: &ReadyServerChunk| chunk.stored.is_some();
        if prepared.chunks.len() != step.chunks.len() || prepared.chunks.iter().any(stored) {
            return Err(Misuse::Material.into());
        }
        let input = step.step.prepare_server(input, step.chain.ring);
        let words = |(chunk, ready): (&Chunk, ReadyServerChunk)| {
            (ready.executions, input.words()[chunk.inputs.clone()].to_vec())
        };
        inputs.push((step, step.chunks.iter().zip(prepared.chunks).map(words).collect()));
    }
    let results = run_online::<Server>(inputs, |trip| matches!(trip, Trip::Down(_)), channel)?;
    let shared = |(step, (results, cost)): (&GmwStep, (Vec<Vec<u64>>, StepCost))| {
        let share = match step.step.output {
            StepOutput::Reveal => None,
            StepOutput::Masked { bits } => Some(Shares::new(bits, results.concat())),
        };
        (share, cost)
    };
    Ok(steps.into_iter().zip(results).map(shared).collect())
}
