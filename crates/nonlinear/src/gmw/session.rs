//! The sessions of the GMW backend.

use std::ops::Range;
use std::sync::Arc;

use gazelle_garble::HalfGates;
use gazelle_ot::OtExtension;
use gazelle_share::{
    Misuse, NonlinearClient, NonlinearServer, Output, PreparedSteps, ProtocolError, Shares,
    StepSource,
};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::gmw::client::{self, GmwClientPrepared};
use crate::gmw::plan::GmwCompiled;
use crate::gmw::server::{self, GmwServerPrepared};
use crate::offline::client::{ClientSessions, OneStep};
use crate::offline::material::{PerLayerClientPrepared, PerLayerServerPrepared};
use crate::offline::plan::StepRef;
use crate::offline::server::ServerSessions;
use crate::offline::{client as offline_client, server as offline_server, single};
use crate::ot_session::{Ot, RotHashes};

/// The client's session.
pub struct GmwClient<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: RotHashes,
    pub(crate) down: Ot<O::Receiver>,
    pub(crate) up: Ot<O::Sender>,
}

/// The server's session.
pub struct GmwServer<O: OtExtension> {
    pub(crate) compiled: Arc<GmwCompiled>,
    pub(crate) hash: RotHashes,
    pub(crate) down: Ot<O::Sender>,
    pub(crate) up: Ot<O::Receiver>,
}

impl GmwCompiled {
    fn refs(&self, steps: Range<usize>) -> Result<Vec<StepRef<'_>>, ProtocolError> {
        steps.map(|step| self.step(step).map(StepRef::Gmw)).collect()
    }
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
        let here = StepRef::Gmw(self.compiled.step(step)?);
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
        let Self { compiled, hash, down, up } = self;
        let refs = compiled.refs(steps.clone())?;
        let sessions = ClientSessions { down, gmw: Some((&*hash, up)) };
        let (steps, scheme) = ((&refs[..], steps.start), HalfGates::default());
        let all = offline_client::prepare(steps, &scheme, sessions, source, channel, rng)?;
        let own = all.into_iter().map(|(prepared, cost)| match prepared {
            PerLayerClientPrepared::Gmw(prepared) => Ok((prepared, cost)),
            PerLayerClientPrepared::Garbled(_) => Err(Misuse::Material.into()),
        });
        own.collect()
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        client::online(self.compiled.step(step)?, prepared, channel)
    }
}

impl<O: OtExtension> NonlinearServer for GmwServer<O> {
    type Prepared = GmwServerPrepared;

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
        let Self { compiled, hash, down, up } = self;
        let refs = compiled.refs(steps)?;
        let sessions = ServerSessions { down, gmw: Some((&*hash, up)) };
        let scheme = HalfGates::default();
        let all = offline_server::prepare(&refs, &scheme, sessions, channel, rng)?;
        let own = all.into_iter().map(|(prepared, cost)| match prepared {
            PerLayerServerPrepared::Gmw(prepared) => Ok((prepared, cost)),
            PerLayerServerPrepared::Garbled(_) => Err(Misuse::Material.into()),
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
