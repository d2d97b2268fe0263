//! The client: OT receiver from the server, OT sender to it; its input share is known offline.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use std::sync::Arc;

use gazelle_block::{BitVec, Block};
use gazelle_convert::{ClientShare, Elect, Known, Planes, Rots};
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_share::shares::ring_mask;
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, NonlinearClient, Output, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::gmw::online::online as run_online;
use crate::gmw::pipeline::{Party, Work, run as run_offline};
use crate::gmw::plan::{GmwCompiled, GmwStep};
use crate::gmw::role::Client;
use crate::gmw::run::{Executions, initial};
use crate::gmw::schedule::Trip;
use crate::ot_session::{Made, Ot, Receiving, RotHashes, Sending};
use crate::shares::{check_input, check_output};

/// The client's session.
pub struct GmwClient<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: RotHashes,
    pub(crate) down: Ot<O::Receiver>,
    pub(crate) up: Ot<O::Sender>,
}

/// The client's material of one step.
pub struct GmwClientPrepared {
    chunks: Vec<(Executions, Planes)>,
}

impl<O: OtExtension> NonlinearClient for GmwClient<O> {
    type Prepared = GmwClientPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = self.compiled.step(step)?;
        let sessions = (&self.hash, &mut self.down, &mut self.up);
        offline(step, sessions, input, output, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        online(self.compiled.step(step)?, prepared, channel)
    }
}

/// The offline phase, with the session's OTs.
pub(crate) fn offline<D: RcotReceiver, U: RcotSender>(
    step: &GmwStep,
    (hash, down, up): (&RotHashes, &mut Ot<D>, &mut Ot<U>),
    input: &Shares,
    output: Output<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GmwClientPrepared, ProtocolError> {
    check_input(&step.step, input)?;
    let mask = check_output(&step.step, output)?;
    let input = step.step.prepare_client(input.clone(), step.chain.ring);
    let work = Prepare { step, hash, delta: up.session.delta().block(), input: &input, mask };
    let (mut down, mut up) = (Receiving(down), Sending(up));
    let chunks = run_offline(step, &work, Party::Client, (&mut down, &mut up), channel, rng)?;
    Ok(GmwClientPrepared { chunks })
}

/// What chunks are prepared from.
struct Prepare<'a> {
    step: &'a GmwStep,
    hash: &'a RotHashes,
    /// Of the OTs from C to S.
    delta: Block,
    input: &'a Shares,
    mask: &'a [u64],
}

impl Drop for Prepare<'_> {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl Work for Prepare<'_> {
    type Begun = Executions;
    type Ready = (Executions, Planes);

    fn begin(&self, chunk: usize, down: &Made, up: &Made) -> (Executions, BitVec) {
        let chunk = &self.step.chunks[chunk];
        let shape = self.step.shape_of(chunk);
        let mut rots = Rots::new(
            [&self.hash.up, &self.hash.down],
            (up.correlated(), self.delta),
            (down.correlated(), &down.choices),
        );
        let inputs = self.input.words()[chunk.inputs.clone()].to_vec();
        let words = Zeroizing::new(initial::<Client>(self.step, shape, inputs));
        let mask = if self.mask.is_empty() { &[] } else { &self.mask[chunk.outputs.clone()] };
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
        (begun, message)
    }

    fn finish(
        &self,
        chunk: usize,
        mut begun: Executions,
        corrections: &BitVec,
    ) -> (Executions, Planes) {
        let chunk = &self.step.chunks[chunk];
        self.step.correct::<Client>(chunk, &mut begun, corrections);
        let words = &self.input.words()[chunk.inputs.clone()];
        (begun, Planes::from_words(words, self.step.chain.ring))
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
