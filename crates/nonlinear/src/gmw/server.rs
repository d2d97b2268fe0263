//! The server: OT sender to the client, OT receiver from it; it learns its share online.

#![expect(clippy::indexing_slicing, reason = "chunks are compiled from the step that was checked")]

use gazelle_block::{BitVec, Block};
use gazelle_convert::Rots;
use gazelle_prg::{Prg, Seed};
use gazelle_share::step::StepOutput;
use gazelle_share::{Misuse, ProtocolError, Shares};
use gazelle_wire::Channel;
use zeroize::Zeroizing;

use crate::gmw::online::online as run_online;
use crate::gmw::plan::GmwStep;
use crate::gmw::role::Server;
use crate::gmw::run::Executions;
use crate::gmw::schedule::Trip;
use crate::offline::plan::{OtCall, Unit};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Work};
use crate::ot_session::{Made, RotHashes};
use crate::shares::check_input;

/// The server's material of one step.
pub struct GmwServerPrepared {
    chunks: Vec<Executions>,
}

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
}

impl GmwServerStep<'_> {
    /// The material, once all chunks are ready.
    pub(crate) fn close(chunks: Vec<Executions>) -> GmwServerPrepared {
        GmwServerPrepared { chunks }
    }
}

impl Work for GmwServerStep<'_> {
    type Begun = Executions;
    type Ready = Executions;

    fn begin(
        &self,
        _unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<Executions>, ProtocolError> {
        let index = call.chunks.start;
        let shape = self.step.shape_of(&self.step.chunks[index]);
        let mut rots = Rots::new(
            [&self.hash.down, &self.hash.up],
            (down.correlated(), *self.delta),
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
        Ok((vec![begun], message))
    }

    fn finish(
        &self,
        chunk: usize,
        mut begun: Executions,
        heard: Heard,
    ) -> Result<FinishedChunk<Executions>, ProtocolError> {
        self.step.correct::<Server>(&self.step.chunks[chunk], &mut begun, &heard.bits()?);
        Ok((begun, None))
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
