//! The server: OT sender to the client, OT receiver from it; it learns its share online.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use std::sync::Arc;

use gazelle_block::{BitVec, Block};
use gazelle_convert::Rots;
use gazelle_ot::{OtExtension, RcotReceiver, RcotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, NonlinearServer, ProtocolError, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::gmw::online::online as run_online;
use crate::gmw::pipeline::{Party, Work, run as run_offline};
use crate::gmw::plan::{GmwCompiled, GmwStep};
use crate::gmw::role::Server;
use crate::gmw::run::Executions;
use crate::gmw::schedule::Trip;
use crate::ot_session::{Made, Ot, Receiving, RotHashes, Sending};
use crate::shares::check_input;

/// The server's session.
pub struct GmwServer<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: RotHashes,
    pub(crate) down: Ot<O::Sender>,
    pub(crate) up: Ot<O::Receiver>,
}

/// The server's material of one step.
pub struct GmwServerPrepared {
    chunks: Vec<Executions>,
}

impl<O: OtExtension> NonlinearServer for GmwServer<O> {
    type Prepared = GmwServerPrepared;

    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let step = self.compiled.step(step)?;
        offline(step, (&self.hash, &mut self.down, &mut self.up), channel, rng)
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

/// PRG domain of the server's own coins.
const COINS: u8 = 0x63;

/// The offline phase, with the session's OTs.
pub(crate) fn offline<D: RcotSender, U: RcotReceiver>(
    step: &GmwStep,
    (hash, down, up): (&RotHashes, &mut Ot<D>, &mut Ot<U>),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<GmwServerPrepared, ProtocolError> {
    let seed = Seed::random(rng);
    let work = Prepare { step, hash, delta: down.session.delta().block(), seed };
    let (mut down, mut up) = (Sending(down), Receiving(up));
    let chunks = run_offline(step, &work, Party::Server, (&mut down, &mut up), channel, rng)?;
    Ok(GmwServerPrepared { chunks })
}

/// What chunks are prepared from.
struct Prepare<'a> {
    step: &'a GmwStep,
    hash: &'a RotHashes,
    /// Of the OTs from S to C.
    delta: Block,
    /// For the server's own coins.
    seed: Seed,
}

impl Drop for Prepare<'_> {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl Work for Prepare<'_> {
    type Begun = Executions;
    type Ready = Executions;

    fn begin(&self, index: usize, down: &Made, up: &Made) -> (Executions, BitVec) {
        let shape = self.step.shape_of(&self.step.chunks[index]);
        let mut rots = Rots::new(
            [&self.hash.down, &self.hash.up],
            (down.correlated(), self.delta),
            (up.correlated(), &up.choices),
        );
        let mut coins = Prg::new(&self.seed.fork(COINS, index as u64), COINS);
        let mut message = BitVec::new();
        let mut begun = Executions::with_capacity(shape.gathers.len());
        for (link, gather) in self.step.chain.links.iter().zip(&shape.gathers) {
            rots.set_lanes(gather.lanes());
            let begins = link.operation.server(&mut rots, &mut coins);
            message.extend(&begins.corrections.to_bits());
            begun.push_back(begins.execution);
        }
        (begun, message)
    }

    fn finish(&self, index: usize, mut begun: Executions, corrections: &BitVec) -> Executions {
        self.step.correct::<Server>(&self.step.chunks[index], &mut begun, corrections);
        begun
    }
}

/// The online phase.
pub(crate) fn online(
    step: &GmwStep,
    prepared: GmwServerPrepared,
    input: Shares,
    channel: &mut Channel,
) -> Result<Option<Shares>, ProtocolError> {
    check_input(&step.step, &input)?;
    if prepared.chunks.len() != step.chunks.len() {
        return Err(Misuse::Material.into());
    }
    let input = step.step.prepare_server(input, step.chain.ring);
    let chunks = step
        .chunks
        .iter()
        .zip(prepared.chunks)
        .map(|(chunk, executions)| (executions, input.words()[chunk.inputs.clone()].to_vec()))
        .collect();
    let results =
        run_online::<Server>(step, chunks, |trip| matches!(trip, Trip::Down(_)), channel)?;
    Ok(match step.step.output {
        StepOutput::Reveal => None,
        StepOutput::Masked { bits } => Some(Shares::new(bits, results.concat())),
    })
}
