//! The GMW backend: non-linear steps from random OTs (protocol.md 5).
//!
//! Two OT extensions, one per direction; all correlations are made offline, and the online phase
//! computes only XORs, additions and bit transposes, all elements of a step advancing together.
//!
//! | client (`client`) | server (`server`) |
//! |---|---|
//! | setup: receives the hash seed; OT receiver, then sender | hash seed; OT sender, then receiver |
//! | offline, per batch (`pipeline`): both extensions; corrections d, tq | both extensions; corrections t |
//! | online, per trip: its halves of the openings it can make | the same; the server begins |
//! | ends with f = Z - r | z - r = Z + f |
//!
//! Per ReLU with truncation and re-sharing: (b, l) = (12, 20): 71 bits online, 51 offline, 24 ROTs,
//! 6 trips; (17, 37): 110, 85, 33, 6. One message per trip and step.
//!
//! Computes ReLU, clip, max-pool (ReLU behind it), square, rescale, and sum-pools behind them,
//! re-shared under a mask, and the indices of the largest values, revealed. Revealing values and
//! rounding exactly are the garbled backend's: see [`PerLayer`](crate::PerLayer).

pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod messages;
pub(crate) mod online;
pub(crate) mod op;
pub(crate) mod ops;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod server;

use std::sync::Arc;

use gazelle_block::Delta;
use gazelle_block::hash::HashSeed;
use gazelle_ot::OtExtension;
use gazelle_prg::Seed;
use gazelle_share::{NonlinearProtocol, NonlinearTraffic, ProtocolError, Step};
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

pub use client::{GmwClient, GmwClientPrepared};
pub use server::{GmwServer, GmwServerPrepared};

use crate::garbled::messages::HashSeedMessage;
use crate::garbled::{ot_cost, ot_error};
use crate::gmw::chain::Variant;
use crate::gmw::pipeline::Ot;
use crate::gmw::plan::GmwStep;

/// Sharing-based steps over an OT extension.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gmw<O> {
    /// Makes the correlated OTs, one session per direction.
    pub ot: O,
}

/// The chains of all steps.
#[derive(Debug)]
pub struct GmwCompiled {
    pub(crate) steps: Vec<GmwStep>,
}

/// Whether this backend computes the step; else [`Garbled`](crate::Garbled) does.
pub fn supports(step: &Step) -> bool {
    GmwStep::new(0, step, Variant::FewBits).is_ok()
}

/// Setup traffic: the hash seed and both OT sessions.
pub(crate) fn setup_traffic<O: OtExtension>(ot: &O) -> Cost {
    let (down, up) = (ot_cost(ot.setup_traffic()), ot_cost(ot.setup_traffic()));
    Cost {
        client_to_server: down.client_to_server + up.server_to_client,
        server_to_client: down.server_to_client + up.client_to_server + framed_len(16),
    }
}

/// The client's setup of the ROT hash and of the sessions S to C (`down`) and C to S.
pub(crate) fn client_setup<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(HashSeed, O::Receiver, O::Sender), ProtocolError> {
    let HashSeedMessage(seed) = channel.recv(&())?;
    let down = ot.receiver(channel, rng).map_err(ot_error)?;
    let up = ot.sender(Delta::random(rng), channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok((HashSeed::new(&seed), down, up))
}

/// The server's setup.
pub(crate) fn server_setup<O: OtExtension>(
    ot: &O,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(HashSeed, O::Sender, O::Receiver), ProtocolError> {
    let seed = Seed::random(rng);
    channel.send(&HashSeedMessage(seed.clone()), &())?;
    let down = ot.sender(Delta::random(rng), channel, rng).map_err(ot_error)?;
    let up = ot.receiver(channel, rng).map_err(ot_error)?;
    channel.flush()?;
    Ok((HashSeed::new(&seed), down, up))
}

impl<O: OtExtension> NonlinearProtocol for Gmw<O> {
    type Compiled = GmwCompiled;
    type Client = GmwClient<O>;
    type Server = GmwServer<O>;

    fn name(&self, _compiled: &GmwCompiled, _step: usize) -> &'static str {
        "gmw"
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<GmwCompiled, ProtocolError> {
        let steps = steps
            .iter()
            .enumerate()
            .map(|(i, step)| GmwStep::new(i, step, Variant::preferred(step)));
        Ok(GmwCompiled { steps: steps.collect::<Result<_, _>>()? })
    }

    fn traffic(&self, compiled: &GmwCompiled) -> NonlinearTraffic {
        let mut made = (0, 0);
        let steps = compiled.steps.iter();
        let (offline, online) = steps.map(|step| step.traffic(&self.ot, &mut made)).unzip();
        NonlinearTraffic { setup: setup_traffic(&self.ot), offline, online }
    }

    fn client(
        &self,
        compiled: Arc<GmwCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        let (hash, down, up) = client_setup(&self.ot, channel, rng)?;
        Ok(GmwClient { compiled, hash, down: Ot::new(down), up: Ot::new(up) })
    }

    fn server(
        &self,
        compiled: Arc<GmwCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        let (hash, down, up) = server_setup(&self.ot, channel, rng)?;
        Ok(GmwServer { compiled, hash, down: Ot::new(down), up: Ot::new(up) })
    }
}

/// A step by number.
pub(crate) fn step_of(steps: &[GmwStep], index: usize) -> Result<&GmwStep, ProtocolError> {
    steps
        .get(index)
        .ok_or_else(|| ProtocolError::Caller(format!("there is no non-linear step {index}")))
}
