//! Both backends behind one protocol: each step runs on the one that the plan chose.
//!
//! They share the OT session in which the server is the sender; the other direction is set up only
//! if some step runs on GMW.
//!
//! | client | server |
//! |---|---|
//! | setup: as [`Gmw`](crate::Gmw)'s if a step runs on it, else as [`Garbled`](crate::Garbled)'s | the same |
//! | offline, online: those of the step's backend | the same |

use std::ops::Range;
use std::sync::Arc;

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{
    Misuse, NonlinearClient, NonlinearProtocol, NonlinearServer, NonlinearTraffic, Output,
    PreparedSteps, ProtocolError, Shares, Step, StepSource,
};
use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

use crate::garbled;
use crate::garbled::cost::step_traffic;
use crate::garbled::program::CompiledStep;
use crate::gmw;
use crate::gmw::chain::Variant;
use crate::gmw::plan::GmwStep;
use crate::offline::client::{ClientSessions, OneStep};
use crate::offline::material::{PerLayerClientPrepared, PerLayerServerPrepared};
use crate::offline::plan::StepRef;
use crate::offline::server::ServerSessions;
use crate::offline::{self, single};
use crate::ot_session::{
    Ot, RotHashes, client_setup, client_setup_down, down_cost, made_at_setup, server_setup,
    server_setup_down, setup_traffic,
};

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
    /// GMW wherever it computes the step.
    pub fn auto(ot: O, scheme: S) -> Self {
        Self { ot, scheme, choices: Arc::new([]) }
    }
}

/// A step, compiled for its backend.
#[derive(Debug)]
enum Compiled {
    Garbled(CompiledStep),
    Gmw(GmwStep),
}

/// All steps, each compiled for its backend.
#[derive(Debug)]
pub struct PerLayerCompiled {
    steps: Vec<Compiled>,
}

impl PerLayerCompiled {
    fn refs(&self, steps: Range<usize>) -> Result<Vec<StepRef<'_>>, ProtocolError> {
        let step = |step| match self.step(step)? {
            Compiled::Garbled(step) => Ok(StepRef::Garbled(step)),
            Compiled::Gmw(step) => Ok(StepRef::Gmw(step)),
        };
        steps.map(step).collect()
    }

    fn uses_gmw(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Compiled::Gmw(_)))
    }

    fn step(&self, index: usize) -> Result<&Compiled, ProtocolError> {
        self.steps.get(index).ok_or_else(|| Misuse::Step(index).into())
    }
}

/// The client's session.
pub struct PerLayerClient<O: OtExtension, S> {
    compiled: Arc<PerLayerCompiled>,
    scheme: S,
    down: Ot<O::Receiver>,
    gmw: Option<(RotHashes, Ot<O::Sender>)>,
}

/// The server's session.
pub struct PerLayerServer<O: OtExtension, S> {
    compiled: Arc<PerLayerCompiled>,
    scheme: S,
    down: Ot<O::Sender>,
    gmw: Option<(RotHashes, Ot<O::Receiver>)>,
}

fn mismatch() -> ProtocolError {
    Misuse::Material.into()
}

impl<O, S> NonlinearProtocol for PerLayer<O, S>
where
    O: OtExtension,
    S: GarblingScheme,
{
    type Compiled = PerLayerCompiled;
    type Client = PerLayerClient<O, S>;
    type Server = PerLayerServer<O, S>;

    fn name(&self, compiled: &PerLayerCompiled, step: usize) -> &'static str {
        match compiled.steps.get(step) {
            Some(Compiled::Gmw(_)) => "gmw",
            _ => "garbled",
        }
    }

    fn primitives(&self) -> String {
        format!("{}; {}", self.ot.name(), self.scheme.name())
    }

    fn compile(&self, steps: Arc<[Step]>) -> Result<PerLayerCompiled, ProtocolError> {
        let compile = |(index, step): (usize, &Step)| match self
            .choices
            .get(index)
            .copied()
            .unwrap_or(StepChoice::Auto)
        {
            StepChoice::Garbled => CompiledStep::new(index, step).map(Compiled::Garbled),
            StepChoice::Gmw => GmwStep::new(index, step, Variant::FewBits).map(Compiled::Gmw),
            StepChoice::GmwFewTrips => {
                GmwStep::new(index, step, Variant::FewTrips).map(Compiled::Gmw)
            }
            StepChoice::Auto => GmwStep::new(index, step, Variant::preferred(step))
                .map(Compiled::Gmw)
                .or_else(|_| CompiledStep::new(index, step).map(Compiled::Garbled)),
        };
        let steps = steps.iter().enumerate().map(compile);
        Ok(PerLayerCompiled { steps: steps.collect::<Result<_, _>>()? })
    }

    fn traffic(&self, compiled: &PerLayerCompiled) -> NonlinearTraffic {
        let mut made = if compiled.uses_gmw() { made_at_setup(&self.ot) } else { (0, 0) };
        let cost = |step: &Compiled| -> (Cost, Cost) {
            match step {
                Compiled::Garbled(step) => step_traffic(&self.ot, &self.scheme, step, &mut made.0),
                Compiled::Gmw(step) => step.traffic(&self.ot, &mut made),
            }
        };
        let (offline, online) = compiled.steps.iter().map(cost).unzip();
        let setup = if compiled.uses_gmw() {
            setup_traffic(&self.ot)
        } else {
            down_cost(self.ot.setup_traffic())
        };
        NonlinearTraffic { setup, offline, online }
    }

    fn client(
        &self,
        compiled: Arc<PerLayerCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Client, ProtocolError> {
        let scheme = self.scheme.clone();
        if compiled.uses_gmw() {
            let (hash, down, up) = client_setup(&self.ot, channel, rng)?;
            let gmw = Some((hash, up));
            return Ok(PerLayerClient { compiled, scheme, down, gmw });
        }
        let down = client_setup_down(&self.ot, channel, rng)?;
        Ok(PerLayerClient { compiled, scheme, down, gmw: None })
    }

    fn server(
        &self,
        compiled: Arc<PerLayerCompiled>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Server, ProtocolError> {
        let scheme = self.scheme.clone();
        if compiled.uses_gmw() {
            let (hash, down, up) = server_setup(&self.ot, channel, rng)?;
            let gmw = Some((hash, up));
            return Ok(PerLayerServer { compiled, scheme, down, gmw });
        }
        let down = server_setup_down(&self.ot, channel, rng)?;
        Ok(PerLayerServer { compiled, scheme, down, gmw: None })
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearClient for PerLayerClient<O, S> {
    type Prepared = PerLayerClientPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let here = self.compiled.refs(step..step + 1)?;
        let here = here.first().ok_or(Misuse::Step(step))?;
        let mut source = OneStep::new(*here, input, output)?;
        single(self.prepare(step..step + 1, &mut source, channel, rng)?)
    }

    fn announce(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        offline::client::announce(&self.compiled.refs(steps)?, &mut self.down, channel, rng)
    }

    fn prepare(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down, gmw } = self;
        let refs = compiled.refs(steps.clone())?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        let (steps, sessions) = ((&refs[..], steps.start), ClientSessions { down, gmw });
        offline::client::prepare(steps, scheme, sessions, source, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        match (self.compiled.step(step)?, prepared) {
            (Compiled::Garbled(step), PerLayerClientPrepared::Garbled(prepared)) => {
                garbled::client::online(step, &self.scheme, prepared, channel)
            }
            (Compiled::Gmw(step), PerLayerClientPrepared::Gmw(prepared)) => {
                gmw::client::online(step, prepared, channel)
            }
            _ => Err(mismatch()),
        }
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearServer for PerLayerServer<O, S> {
    type Prepared = PerLayerServerPrepared;

    fn offline(
        &mut self,
        step: usize,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        single(self.prepare(step..step + 1, channel, rng)?)
    }

    fn announce(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        offline::server::announce(&self.compiled.refs(steps)?, &mut self.down, channel, rng)
    }

    fn prepare(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down, gmw } = self;
        let refs = compiled.refs(steps)?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        offline::server::prepare(&refs, scheme, ServerSessions { down, gmw }, channel, rng)
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        match (self.compiled.step(step)?, prepared) {
            (Compiled::Garbled(step), PerLayerServerPrepared::Garbled(prepared)) => {
                garbled::server::online(step, prepared, input, channel)
            }
            (Compiled::Gmw(step), PerLayerServerPrepared::Gmw(prepared)) => {
                gmw::server::online(step, prepared, input, channel)
            }
            _ => Err(mismatch()),
        }
    }
}
