//! The client's session.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use gazelle_block::Block;
use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_prg::Seed;
use gazelle_share::{
    Misuse, NonlinearClient, OnlineSteps, Output, PreparedSteps, ProtocolError, Shares, StepCost,
    StepSource,
};
use gazelle_wire::{Channel, Instant};
use rand_core::CryptoRng;

use super::{CompiledStep, CompiledSteps, SplitWave, no_setup, unchecked};
use crate::garbled::check::{ClientColours, step_seed};
use crate::garbled::client::GarbledClientPrepared;
use crate::gmw::client::GmwClientPrepared;
use crate::offline::client::{ClientSessions, OneStep};
use crate::offline::material::PerLayerClientPrepared;
use crate::offline::{self, single};
use crate::ot_session::{Ot, RotHashes, client_setup, client_setup_down};

/// The client's session.
pub struct StepsClient<O: OtExtension, S> {
    pub(crate) compiled: Arc<CompiledSteps>,
    pub(crate) scheme: S,
    /// Nothing in a session that uses stored material alone.
    down: Option<Ot<O::Receiver>>,
    gmw: Option<(RotHashes, Ot<O::Sender>)>,
    /// Whether what is prepared is to be stored.
    record: bool,
    colours: ClientColours,
}

impl<O: OtExtension, S> StepsClient<O, S> {
    fn new(
        compiled: Arc<CompiledSteps>,
        scheme: S,
        down: Option<Ot<O::Receiver>>,
        gmw: Option<(RotHashes, Ot<O::Sender>)>,
    ) -> Self {
        Self { compiled, scheme, down, gmw, record: false, colours: ClientColours::default() }
    }

    /// A session that uses stored material, and makes none.
    pub(crate) fn of_stored(scheme: S, compiled: Arc<CompiledSteps>) -> Self {
        Self::new(compiled, scheme, None, None)
    }

    /// Sets up the OT sessions that the steps need.
    ///
    /// # Errors
    /// The link's, or the OT extension's.
    pub(crate) fn set_up(
        (ot, scheme): (&O, S),
        compiled: Arc<CompiledSteps>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, ProtocolError> {
        if compiled.uses_gmw() {
            let (hash, down, up) = client_setup(ot, channel, rng)?;
            return Ok(Self::new(compiled, scheme, Some(down), Some((hash, up))));
        }
        let down = client_setup_down(ot, channel, rng)?;
        Ok(Self::new(compiled, scheme, Some(down), None))
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearClient for StepsClient<O, S> {
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
        let down = self.down.as_mut().ok_or_else(no_setup)?;
        offline::client::announce(&self.compiled.refs(steps)?, down, channel, rng)
    }

    fn prepare_each(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
        ready: &mut dyn FnMut(Self::Prepared),
    ) -> Result<Vec<StepCost>, ProtocolError> {
        let Self { compiled, scheme, down, gmw, record, .. } = self;
        let (down, record) = (down.as_mut().ok_or_else(no_setup)?, *record);
        let refs = compiled.refs(steps.clone())?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        let (steps, sessions) = ((&refs[..], steps.start), ClientSessions { down, gmw, record });
        offline::client::prepare(steps, scheme, sessions, (source, ready), channel, rng)
    }

    fn record(&mut self, on: bool) {
        self.record = on;
    }

    fn store(&self, prepared: &Self::Prepared, out: &mut dyn Write) -> io::Result<()> {
        match prepared {
            PerLayerClientPrepared::Garbled(prepared) => prepared.store(out),
            PerLayerClientPrepared::Gmw(prepared) => prepared.store(out),
            PerLayerClientPrepared::Labelled(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn load(&self, step: usize, input: &mut dyn Read) -> Result<Self::Prepared, ProtocolError> {
        Ok(match self.compiled.step(step)? {
            CompiledStep::Garbled(step) => PerLayerClientPrepared::Garbled(
                GarbledClientPrepared::load(step, &self.scheme, input)?,
            ),
            CompiledStep::Gmw(step) => {
                PerLayerClientPrepared::Gmw(GmwClientPrepared::load(step, input)?)
            }
        })
    }

    fn answer(
        &self,
        prepared: &[Self::Prepared],
        challenge: &[u8; 16],
    ) -> Result<[u8; 16], ProtocolError> {
        let seed = Seed::from_bytes(*challenge);
        let mut sum = Block::ZERO;
        for (number, prepared) in prepared.iter().enumerate() {
            let PerLayerClientPrepared::Labelled(prepared) = prepared else {
                return Err(unchecked());
            };
            sum ^= prepared.label_sum(&step_seed(&seed, number));
        }
        Ok(sum.to_bytes())
    }

    fn complete(
        &mut self,
        prepared: Vec<Self::Prepared>,
        channel: &mut Channel,
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, .. } = self;
        let complete = |(number, prepared)| match (compiled.step(number)?, prepared) {
            (CompiledStep::Garbled(step), PerLayerClientPrepared::Labelled(labelled)) => {
                let (prepared, cost) = labelled.complete(step, scheme, channel)?;
                Ok((PerLayerClientPrepared::Garbled(prepared), cost))
            }
            _ => Err(unchecked()),
        };
        prepared.into_iter().enumerate().map(complete).collect()
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        channel: &mut Channel,
    ) -> Result<Option<Vec<i64>>, ProtocolError> {
        single(self.online_wave(vec![(step, prepared)], channel)?)
    }

    fn online_wave(
        &mut self,
        steps: Vec<(usize, Self::Prepared)>,
        channel: &mut Channel,
    ) -> Result<OnlineSteps<Option<Vec<i64>>>, ProtocolError> {
        let Self { compiled, scheme, colours, .. } = self;
        let mut wave = SplitWave::default();
        for (step, prepared) in steps {
            match (compiled.step(step)?, prepared) {
                (CompiledStep::Garbled(step), PerLayerClientPrepared::Garbled(prepared)) => {
                    let (start, before) = (Instant::now(), channel.traffic());
                    let colours = compiled.checked.then_some(&mut *colours);
                    let values =
                        crate::garbled::client::online(step, scheme, prepared, colours, channel)?;
                    wave.done(values, StepCost::since(start, before, channel));
                }
                (CompiledStep::Gmw(step), PerLayerClientPrepared::Gmw(prepared)) => {
                    wave.wait((step, prepared));
                }
                _ => return Err(Misuse::Material.into()),
            }
        }
        wave.finish(|waiting| crate::gmw::client::online(waiting, channel))
    }
}
