//! The garbled backend: every step in one online round trip (protocol.md 6).
//!
//! The server garbles and is the sender of the correlated OTs; the client evaluates.
//!
//! | client (`client`) | server (`server`) |
//! |---|---|
//! | offline (`offline`): | fresh hash seed, ahead of the tables |
//! | per batch of chunks: OTs for the bits of its share and mask; sends d = b ^ c | OTs; W^0 = y ^ d Delta |
//! | keeps labels and tables | garbles the batch's chunks, sends tables; keeps seed, Delta, permute bits |
//! | online: evaluates chunk by chunk | sends the labels of its share, chunk by chunk (and, to reveal, the permute bits) |
//! | sends the outputs' colours | decodes z - r |
//!
//! Before the circuit both shift their shares (protocol.md 5.1) and reduce them to b bits; `Round`
//! and exact steps keep the T bits below too, whose addition costs T ANDs more. Cost per ReLU: 2b + l - 3 AND gates, b + l OTs offline; 16 b bytes and l
//! bits online.
//!
//! With the checks of `check` (`StepChoice::Checked`) what the client put in can be audited, before anything is
//! garbled (`audited`), and the colours that it returns are authenticated: 24 bytes per step, 24 and a round trip
//! before the reveal.
//!
//! Security: semi-honest; a client that cheats is caught where steps are checked (docs/protocol.md, 10). Tables and the client's labels go before the server's inputs exist;
//! output permute bits never go offline. If x may depend on the client's offline view, the argument
//! is in the ideal-cipher model.

pub(crate) mod audited;
pub(crate) mod check;
mod circuits;
pub(crate) mod client;
pub(crate) mod cost;
pub(crate) mod messages;
pub(crate) mod program;
pub(crate) mod server;

use std::sync::Arc;

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{NonlinearProtocol, NonlinearTraffic, ProtocolError, Step};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::garbled::program::GarbledStep;
use crate::session::{CompiledStep, CompiledSteps, StepsClient, StepsServer};

/// Garbled circuits over an OT extension.
#[derive(Debug, Clone, Copy, Default)]
pub struct Garbled<O, S> {
    /// Makes the correlated OTs for the client's labels.
    pub ot: O,
    /// Garbles AND gates.
    pub scheme: S,
}

impl<O, S> NonlinearProtocol for Garbled<O, S>
where
    O: OtExtension,
    S: GarblingScheme,
{
    type Compiled = CompiledSteps;
    type Client = StepsClient<O, S>;
    type Server = StepsServer<O, S>;

    fn name(&self, compiled: &CompiledSteps, step: usize) -> &'static str {
        compiled.backend(step)
    }

    fn primitives(&self) -> String {
        format!("{}; {}", self.ot.name(), self.scheme.name())
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<CompiledSteps, ProtocolError> {
        CompiledSteps::new(&steps, |index, step| {
            GarbledStep::new(index, step).map(CompiledStep::Garbled)
        })
    }

    fn traffic(&self, compiled: &CompiledSteps, earlier: usize) -> NonlinearTraffic {
        compiled.traffic(&self.ot, &self.scheme, earlier)
    }

    fn client(
        &self,
        compiled: Arc<CompiledSteps>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        StepsClient::set_up((&self.ot, self.scheme.clone()), compiled, channel, rng)
    }

    fn server(
        &self,
        compiled: Arc<CompiledSteps>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        StepsServer::set_up((&self.ot, self.scheme.clone()), compiled, channel, rng)
    }
}
