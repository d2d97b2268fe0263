//! The GMW backend: non-linear steps from random OTs (protocol.md 5).
//!
//! Two OT extensions, one per direction; all correlations are made offline, and the online phase
//! computes only XORs, additions and bit transposes, all elements of a step advancing together.
//!
//! | client (`client`) | server (`server`) |
//! |---|---|
//! | setup: receives the hash seed; OT receiver, then sender | hash seed; OT sender, then receiver |
//! | offline ([`offline`](crate::offline)): both extensions; corrections d, tq | both extensions; corrections t |
//! | online, per trip: its halves of the openings it can make | the same; the server begins |
//! | ends with f = Z - r | z - r = Z + f |
//!
//! Per ReLU with truncation and re-sharing: (b, l) = (12, 20): 74 bits online, 44 offline, 23 ROTs,
//! 6 trips; (17, 37): 110, 85, 33, 6. Exactly, with 9 bits to drop, (12, 20): 134, 49, 42, 8. One
//! message per trip and [piece](online) of a step.
//!
//! Computes ReLU, clip, max-pool (ReLU behind it), square, rescale, and sum-pools behind them,
//! re-shared under a mask, and the indices of the largest values, revealed; with local or exact
//! rounding. Revealing values is the garbled backend's: see [`PerLayer`](crate::PerLayer).

mod all_pairs;
pub(crate) mod chain;
pub(crate) mod client;
mod gather;
pub(crate) mod messages;
mod online;
pub(crate) mod plan;
pub(crate) mod role;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gazelle_garble::HalfGates;
use gazelle_ot::OtExtension;
use gazelle_share::{NonlinearProtocol, NonlinearTraffic, ProtocolError, Step};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::gmw::chain::Variant;
use crate::gmw::plan::GmwStep;
use crate::session::{CompiledStep, CompiledSteps, StepsClient, StepsServer};

/// Sharing-based steps over an OT extension.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gmw<O> {
    /// Makes the correlated OTs, one session per direction.
    pub ot: O,
}

// A session of steps takes a garbling scheme; it garbles none of these.
impl<O: OtExtension> NonlinearProtocol for Gmw<O> {
    type Compiled = CompiledSteps;
    type Client = StepsClient<O, HalfGates>;
    type Server = StepsServer<O, HalfGates>;

    fn name(&self, compiled: &CompiledSteps, step: usize) -> &'static str {
        compiled.backend(step)
    }

    fn primitives(&self) -> String {
        self.ot.name()
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<CompiledSteps, ProtocolError> {
        CompiledSteps::new(&steps, |index, step| {
            GmwStep::new(index, step, Variant::preferred(step)).map(CompiledStep::Gmw)
        })
    }

    fn traffic(&self, compiled: &CompiledSteps, earlier: usize) -> NonlinearTraffic {
        compiled.traffic(&self.ot, &HalfGates::default(), earlier)
    }

    fn client(
        &self,
        compiled: Arc<CompiledSteps>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        StepsClient::set_up((&self.ot, HalfGates::default()), compiled, channel, rng)
    }

    fn server(
        &self,
        compiled: Arc<CompiledSteps>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        StepsServer::set_up((&self.ot, HalfGates::default()), compiled, channel, rng)
    }
}
