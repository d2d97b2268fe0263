//! The sessions of the garbled backend.

use std::ops::Range;
use std::sync::Arc;

use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{
    Misuse, NonlinearClient, NonlinearServer, Output, PreparedSteps, ProtocolError, Shares,
    StepSource,
};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::garbled::client::{self, GarbledClientPrepared};
use crate::garbled::program::GarbledCompiled;
use crate::garbled::server::{self, GarbledServerPrepared};
use crate::offline::client::{ClientSessions, OneStep};
use crate::offline::material::{PerLayerClientPrepared, PerLayerServerPrepared};
use crate::offline::plan::StepRef;
use crate::offline::server::ServerSessions;
use crate::offline::{client as offline_client, server as offline_server, single};
use crate::ot_session::Ot;

/// The client's session.
pub struct GarbledClient<O: OtExtension, S> {
    pub(crate) compiled: Arc<GarbledCompiled>,
    pub(crate) scheme: S,
    pub(crate) down: Ot<O::Receiver>,
}

/// The server's session.
pub struct GarbledServer<O: OtExtension, S> {
    pub(crate) compiled: Arc<GarbledCompiled>,
    pub(crate) scheme: S,
    pub(crate) down: Ot<O::Sender>,
}

impl GarbledCompiled {
    fn refs(&self, steps: Range<usize>) -> Result<Vec<StepRef<'_>>, ProtocolError> {
        steps.map(|step| self.step(step).map(StepRef::Garbled)).collect()
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearClient for GarbledClient<O, S> {
    type Prepared = GarbledClientPrepared;

    fn offline(
        &mut self,
        step: usize,
        input: &Shares,
        output: Output<'_>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self::Prepared, ProtocolError> {
        let here = StepRef::Garbled(self.compiled.step(step)?);
        let mut source = OneStep::new(here, input, output)?;
        single(self.prepare(step..step + 1, &mut source, channel, rng)?)
    }

    fn announce(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), ProtocolError> {
        offline_client::announce(&self.compiled.refs(steps)?, &mut self.down, channel, rng)
    }

    fn prepare(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down } = self;
        let refs = compiled.refs(steps.clone())?;
        let sessions: ClientSessions<'_, _, O::Sender> = ClientSessions { down, gmw: None };
        let steps = (&refs[..], steps.start);
        let all = offline_client::prepare(steps, scheme, sessions, source, channel, rng)?;
        let own = all.into_iter().map(|(prepared, cost)| match prepared {
            PerLayerClientPrepared::Garbled(prepared) => Ok((prepared, cost)),
            PerLayerClientPrepared::Gmw(_) => Err(Misuse::Material.into()),
        });
        own.collect()
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        client::online(self.compiled.step(step)?, &self.scheme, prepared, channel)
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearServer for GarbledServer<O, S> {
    type Prepared = GarbledServerPrepared;

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
        offline_server::announce(&self.compiled.refs(steps)?, &mut self.down, channel, rng)
    }

    fn prepare(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down } = self;
        let refs = compiled.refs(steps)?;
        let sessions: ServerSessions<'_, _, O::Receiver> = ServerSessions { down, gmw: None };
        let all = offline_server::prepare(&refs, scheme, sessions, channel, rng)?;
        let own = all.into_iter().map(|(prepared, cost)| match prepared {
            PerLayerServerPrepared::Garbled(prepared) => Ok((prepared, cost)),
            PerLayerServerPrepared::Gmw(_) => Err(Misuse::Material.into()),
        });
        own.collect()
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        server::online(self.compiled.step(step)?, prepared, input, channel)
    }
}
