//! Both backends behind one protocol: each step runs on the one that the plan chose.

use std::sync::Arc;

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{NonlinearProtocol, NonlinearTraffic, ProtocolError, Step};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::garbled::program::GarbledStep;
use crate::gmw::chain::Variant;
use crate::gmw::plan::GmwStep;
use crate::session::{CompiledStep, CompiledSteps, StepsClient, StepsServer};

/// Which backend computes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepChoice {
    /// Garbled circuits: two trips, kilobytes per element offline.
    Garbled,
    /// Random OTs: several trips, a few bytes per element.
    Gmw,
    /// As [`Gmw`](Self::Gmw), by the chain with the fewest trips where that is another one: it
    /// sends more.
    GmwFewTrips,
    /// GMW where it computes the step, else garbled circuits.
    Auto,
    /// [`Garbled`](Self::Garbled), with checks of what a client that cheats may say (docs/protocol.md, 10): for all
    /// steps or none, and exact ones alone.
    Checked,
}

/// A choice per step.
#[derive(Debug, Clone)]
pub struct PerLayer<O, S> {
    /// Makes the correlated OTs of both backends.
    pub ot: O,
    /// Garbles AND gates.
    pub scheme: S,
    /// By step; steps beyond the end are [`StepChoice::Auto`].
    pub choices: Arc<[StepChoice]>,
}

impl<O, S> PerLayer<O, S> {
    /// Whether clients are checked: then all steps are.
    fn is_checked(&self) -> bool {
        self.choices.contains(&StepChoice::Checked)
    }

    /// GMW wherever it computes the step.
    pub fn auto(ot: O, scheme: S) -> Self {
        Self { ot, scheme, choices: Arc::new([]) }
    }
}

impl<O, S> NonlinearProtocol for PerLayer<O, S>
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
        let checks =
            if self.is_checked() { "; checked labels, then tables; checked colours" } else { "" };
        format!("{}; {}{checks}", self.ot.name(), self.scheme.name())
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<CompiledSteps, ProtocolError> {
        if self.is_checked() {
            return CompiledSteps::checked(&steps);
        }
        CompiledSteps::new(&steps, |index, step| {
            let garbled = || GarbledStep::new(index, step).map(CompiledStep::Garbled);
            let gmw = |variant| GmwStep::new(index, step, variant).map(CompiledStep::Gmw);
            match self.choices.get(index).copied().unwrap_or(StepChoice::Auto) {
                StepChoice::Garbled | StepChoice::Checked => garbled(),
                StepChoice::Gmw => gmw(Variant::FewBits),
                StepChoice::GmwFewTrips => gmw(Variant::FewTrips),
                StepChoice::Auto => gmw(Variant::preferred(step)).or_else(|_| garbled()),
            }
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

    fn client_of_stored(
        &self,
        compiled: Arc<CompiledSteps>,
    ) -> Result<Self::Client, ProtocolError> {
        Ok(StepsClient::of_stored(self.scheme.clone(), compiled))
    }

    fn server_of_stored(
        &self,
        compiled: Arc<CompiledSteps>,
    ) -> Result<Self::Server, ProtocolError> {
        Ok(StepsServer::of_stored(self.scheme.clone(), compiled))
    }
}
