//! The client: OT receiver from the server, OT sender to it; its input share is known offline.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use std::io::{self, Read, Write};

use gazelle_block::{BitVec, Block};
use gazelle_convert::{ClientShare, Elect, Known, Planes, RotLog, Rots};
use gazelle_share::shares::ring_mask;
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, OnlineSteps, ProtocolError, Shares, StepCost};
use gazelle_wire::Channel;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::gmw::online::online as run_online;
use crate::gmw::plan::{Chunk, GmwStep};
use crate::gmw::role::Client;
use crate::gmw::run::{Executions, initial};
use crate::gmw::schedule::Trip;
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::{Made, RotHashes};
use crate::shares::check_shares;
use crate::stored::{
    get_bits, get_log, get_planes, load_chunks, put_bits, put_log, put_planes, refused, unrecorded,
};

/// The client's material of one step.
pub struct GmwClientPrepared {
    chunks: Vec<ReadyChunk>,
}

/// A chunk's.
pub(crate) struct ReadyChunk {
    /// None yet if the chunk is to be stored.
    executions: Executions,
    /// This party's share.
    input: Planes,
    stored: Option<StoredChunk>,
}

/// What a chunk's executions are begun from again.
struct StoredChunk {
    log: RotLog,
    mask: Planes,
    corrections: BitVec,
}

/// A chunk's executions without the server's corrections, and what its OTs gave if it is to be stored.
pub(crate) type BegunChunk = (Executions, Option<RotLog>);

/// A step that is being prepared.
pub(crate) struct GmwClientStep<'a> {
    step: &'a GmwStep,
    hash: &'a RotHashes,
    /// Of the OTs from C to S.
    delta: Zeroizing<Block>,
    input: Shares,
    mask: Option<Shares>,
    /// Whether the material is to be stored.
    record: bool,
}

impl<'a> GmwClientStep<'a> {
    /// With the client's share of the input and the mask of the output.
    pub(crate) fn new(
        step: &'a GmwStep,
        hash: &'a RotHashes,
        delta: Zeroizing<Block>,
        (input, mask): (Shares, Option<Shares>),
        record: bool,
    ) -> Result<Self, ProtocolError> {
        check_shares(&step.step, &input, mask.as_ref())?;
        let input = step.step.prepare_client(input, step.chain.ring);
        Ok(Self { step, hash, delta, input, mask, record })
    }

    /// The material, once all chunks are ready.
    pub(crate) fn close(chunks: Vec<ReadyChunk>) -> GmwClientPrepared {
        GmwClientPrepared { chunks }
    }

    /// The mask of a chunk's outputs; nothing where they are revealed.
    fn mask(&self, chunk: &Chunk) -> &[u64] {
        self.mask.as_ref().map_or(&[][..], |mask| &mask.words()[chunk.outputs.clone()])
    }
}

/// Begins a chunk's operations with this party's share and mask; its corrections.
fn begin_chunk(
    step: &GmwStep,
    chunk: &Chunk,
    rots: &mut Rots<'_>,
    (input, mask): (&[u64], &[u64]),
) -> (Executions, BitVec) {
    let shape = step.shape_of(chunk);
    let words = Zeroizing::new(initial::<Client>(step, shape, input.to_vec()));
    let mut message = BitVec::new();
    let mut begun = Executions::with_capacity(shape.gathers.len());
    for (link, gather) in step.chain.links.iter().zip(&shape.gathers) {
        let operation = &link.operation;
        rots.set_lanes(gather.lanes());
        let operand = Zeroizing::new(match operation.client_share() {
            ClientShare::Offline => gather.known::<Client>(operation.operand_bits(), &words),
            ClientShare::Online => Vec::new(),
        });
        let begins = operation.client(rots, Known { operand: &operand, mask });
        message.extend(&begins.corrections.to_bits());
        begun.push_back(begins.execution);
    }
    (begun, message)
}

impl GmwClientPrepared {
    /// Writes material that was made to be stored.
    pub(crate) fn store(&self, out: &mut dyn Write) -> io::Result<()> {
        for chunk in &self.chunks {
            let stored = chunk.stored.as_ref().ok_or_else(unrecorded)?;
            put_log(out, &stored.log)?;
            put_planes(out, &chunk.input)?;
            put_planes(out, &stored.mask)?;
            put_bits(out, &stored.corrections)?;
        }
        Ok(())
    }

    /// Reads it again.
    pub(crate) fn load(step: &GmwStep, input: &mut dyn Read) -> Result<Self, ProtocolError> {
        let ring = step.chain.ring as usize;
        let mask_bits = match step.step.output {
            StepOutput::Masked { bits } => bits as usize,
            StepOutput::Reveal => 0,
        };
        let read = |chunk: &Chunk| {
            let log = get_log(input)?;
            let share = get_planes(input, chunk.inputs.len(), ring)?;
            let mask = get_planes(input, chunk.outputs.len(), mask_bits)?;
            let corrections = get_bits(input, step.corrections::<Client>(chunk))?;
            Ok((share, StoredChunk { log, mask, corrections }))
        };
        let begin = |_, chunk: &Chunk, (input, stored): (Planes, StoredChunk)| {
            let StoredChunk { log, mask, corrections } = stored;
            let share = Zeroizing::new(input.to_words());
            let mask = Zeroizing::new(if mask_bits == 0 { Vec::new() } else { mask.to_words() });
            let mut rots = Rots::kept(&log);
            let (mut executions, _) = begin_chunk(step, chunk, &mut rots, (&share, &mask));
            if !rots.is_spent() {
                return Err(refused());
            }
            step.correct::<Client>(chunk, &mut executions, &corrections);
            Ok(ReadyChunk { executions, input, stored: None })
        };
        Ok(Self { chunks: load_chunks(&step.chunks, read, begin)? })
    }
}

impl Work for GmwClientStep<'_> {
    type Begun = BegunChunk;
    type Ready = ReadyChunk;

    fn begin(
        &self,
        _unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<BegunChunk>, ProtocolError> {
        let chunk = &self.step.chunks[call.chunks.start];
        let mut rots = Rots::new(
            [&self.hash.up, &self.hash.down],
            (up.correlated(), *self.delta),
            (down.correlated(), &down.choices),
        );
        if self.record {
            rots.record();
        }
        let input = &self.input.words()[chunk.inputs.clone()];
        let (begun, message) = begin_chunk(self.step, chunk, &mut rots, (input, self.mask(chunk)));
        Ok((vec![(begun, rots.into_log())], message))
    }

    fn finish(
        &self,
        chunk: usize,
        (mut executions, log): BegunChunk,
        heard: Heard,
    ) -> Result<FinishedChunk<ReadyChunk>, ProtocolError> {
        let chunk = &self.step.chunks[chunk];
        let words = &self.input.words()[chunk.inputs.clone()];
        let input = Planes::from_words(words, self.step.chain.ring);
        let corrections = heard.bits()?;
        let Some(log) = log else {
            self.step.correct::<Client>(chunk, &mut executions, &corrections);
            return Ok((ReadyChunk { executions, input, stored: None }, None));
        };
        let mask_bits = self.mask.as_ref().map_or(0, Shares::bits);
        let mask = Planes::from_words(self.mask(chunk), mask_bits);
        // They are begun again when the material is used.
        let executions = Executions::new();
        let stored = Some(StoredChunk { log, mask, corrections });
        Ok((ReadyChunk { executions, input, stored }, None))
    }
}

/// The indices behind revealed words: keys modulo `2^i`, or the verdicts on all rows.
fn indices(step: &GmwStep, words: &[u64]) -> Result<Vec<i64>, ProtocolError> {
    if let Some(bits) = step.chain.keys {
        return Ok(words.iter().map(|key| (ring_mask(bits) - key) as i64).collect());
    }
    let none = || ProtocolError::Peer("no value, or more than one, is the largest".into());
    Elect::winner(words).map(|index| vec![index as i64]).ok_or_else(none)
}

/// The online phase of a wave of steps, each with its material; what each reveals, and what it took.
pub(crate) fn online(
    wave: Vec<(&GmwStep, GmwClientPrepared)>,
    channel: &mut Channel,
) -> Result<OnlineSteps<Option<Vec<i64>>>, ProtocolError> {
    let steps: Vec<&GmwStep> = wave.iter().map(|(step, _)| *step).collect();
    let mut inputs = Vec::with_capacity(wave.len());
    for (step, prepared) in wave {
        let stored = |chunk: &ReadyChunk| chunk.stored.is_some();
        if prepared.chunks.len() != step.chunks.len() || prepared.chunks.iter().any(stored) {
            return Err(Misuse::Material.into());
        }
        let chunks = prepared.chunks.into_par_iter();
        let chunks = chunks.map(|chunk| (chunk.executions, chunk.input.to_words())).collect();
        inputs.push((step, chunks));
    }
    let results = run_online::<Client>(inputs, |trip| matches!(trip, Trip::Up(_)), channel)?;
    let revealed = |(step, (results, cost)): (&GmwStep, (Vec<Vec<u64>>, StepCost))| {
        let values = match step.step.output {
            StepOutput::Reveal => Some(indices(step, &results.concat())?),
            StepOutput::Masked { .. } => None,
        };
        Ok((values, cost))
    };
    steps.into_iter().zip(results).map(revealed).collect()
}
