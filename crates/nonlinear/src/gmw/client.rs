//! The client: OT receiver from the server, OT sender to it; its input share is known offline.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use gazelle_block::{BitVec, Block};
use gazelle_convert::{ClientShare, Elect, Known, Planes, Rots};
use gazelle_share::shares::ring_mask;
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, ProtocolError, Shares};
use gazelle_wire::Channel;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::gmw::online::online as run_online;
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Client;
use crate::gmw::run::{Executions, initial};
use crate::gmw::schedule::Trip;
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::{Made, RotHashes};
use crate::shares::check_shares;

/// The client's material of one step.
pub struct GmwClientPrepared {
    chunks: Vec<(Executions, Planes)>,
}

/// A step that is being prepared.
pub(crate) struct GmwClientStep<'a> {
    step: &'a GmwStep,
    hash: &'a RotHashes,
    /// Of the OTs from C to S.
    delta: Zeroizing<Block>,
    input: Shares,
    mask: Option<Shares>,
}

impl<'a> GmwClientStep<'a> {
    /// With the client's share of the input and the mask of the output.
    pub(crate) fn new(
        step: &'a GmwStep,
        hash: &'a RotHashes,
        delta: Zeroizing<Block>,
        (input, mask): (Shares, Option<Shares>),
    ) -> Result<Self, ProtocolError> {
        check_shares(&step.step, &input, mask.as_ref())?;
        let input = step.step.prepare_client(input, step.chain.ring);
        Ok(Self { step, hash, delta, input, mask })
    }

    /// The material, once all chunks are ready.
    pub(crate) fn close(chunks: Vec<(Executions, Planes)>) -> GmwClientPrepared {
        GmwClientPrepared { chunks }
    }
}

impl Work for GmwClientStep<'_> {
    type Begun = Executions;
    type Ready = (Executions, Planes);

    fn begin(
        &self,
        _unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<Executions>, ProtocolError> {
        let chunk = &self.step.chunks[call.chunks.start];
        let shape = self.step.shape_of(chunk);
        let mut rots = Rots::new(
            [&self.hash.up, &self.hash.down],
            (up.correlated(), *self.delta),
            (down.correlated(), &down.choices),
        );
        let inputs = self.input.words()[chunk.inputs.clone()].to_vec();
        let words = Zeroizing::new(initial::<Client>(self.step, shape, inputs));
        let mask = self.mask.as_ref().map_or(&[][..], |mask| &mask.words()[chunk.outputs.clone()]);
        let mut message = BitVec::new();
        let mut begun = Executions::with_capacity(shape.gathers.len());
        for (link, gather) in self.step.chain.links.iter().zip(&shape.gathers) {
            let operation = &link.operation;
            rots.set_lanes(gather.lanes());
            let operand = Zeroizing::new(match operation.client_share() {
                ClientShare::Offline => gather.known::<Client>(operation.operand_bits(), &words),
                ClientShare::Online => Vec::new(),
            });
            let begins = operation.client(&mut rots, Known { operand: &operand, mask });
            message.extend(&begins.corrections.to_bits());
            begun.push_back(begins.execution);
        }
        Ok((vec![begun], message))
    }

    fn finish(
        &self,
        chunk: usize,
        mut begun: Executions,
        heard: Heard,
    ) -> Result<FinishedChunk<(Executions, Planes)>, ProtocolError> {
        let chunk = &self.step.chunks[chunk];
        self.step.correct::<Client>(chunk, &mut begun, &heard.bits()?);
        let words = &self.input.words()[chunk.inputs.clone()];
        Ok(((begun, Planes::from_words(words, self.step.chain.ring)), None))
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

/// The online phase.
pub(crate) fn online(
    step: &GmwStep,
    prepared: GmwClientPrepared,
    channel: &mut Channel,
) -> Result<Option<Vec<i64>>, ProtocolError> {
    if prepared.chunks.len() != step.chunks.len() {
        return Err(Misuse::Material.into());
    }
    let chunks = prepared.chunks.into_par_iter();
    let chunks = chunks.map(|(ops, planes)| (ops, planes.to_words())).collect();
    let results = run_online::<Client>(step, chunks, |trip| matches!(trip, Trip::Up(_)), channel)?;
    match step.step.output {
        StepOutput::Reveal => indices(step, &results.concat()).map(Some),
        StepOutput::Masked { .. } => Ok(None),
    }
}
