//! The server's session.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use gazelle_block::Block;
use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_share::{
    Misuse, NonlinearServer, OnlineSteps, PreparedSteps, ProtocolError, Shares, StepCost,
    StepSource,
};
use gazelle_wire::{Channel, Instant};
use rand_core::CryptoRng;

use super::{CompiledStep, CompiledSteps, SplitWave, no_setup, unchecked};
use crate::garbled::audited::garble;
use crate::garbled::check::{ServerColours, require_equal};
use crate::garbled::client::GarbledClientStep;
use crate::garbled::server::GarbledServerPrepared;
use crate::gmw::server::GmwServerPrepared;
use crate::offline::material::PerLayerServerPrepared;
use crate::offline::server::ServerSessions;
use crate::offline::{self, single};
use crate::ot_session::{Ot, RotHashes, server_setup, server_setup_down};

/// The server's session.
pub struct StepsServer<O: OtExtension, S> {
    pub(crate) compiled: Arc<CompiledSteps>,
    pub(crate) scheme: S,
    /// Nothing in a session that uses stored material alone.
    down: Option<Ot<O::Sender>>,
    gmw: Option<(RotHashes, Ot<O::Receiver>)>,
    /// Whether what is prepared is to be stored.
    record: bool,
    colours: ServerColours,
}

impl<O: OtExtension, S> StepsServer<O, S> {
    fn new(
        compiled: Arc<CompiledSteps>,
        scheme: S,
        down: Option<Ot<O::Sender>>,
        gmw: Option<(RotHashes, Ot<O::Receiver>)>,
    ) -> Self {
        Self { compiled, scheme, down, gmw, record: false, colours: ServerColours::default() }
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
            let (hash, down, up) = server_setup(ot, channel, rng)?;
            return Ok(Self::new(compiled, scheme, Some(down), Some((hash, up))));
        }
        let down = server_setup_down(ot, channel, rng)?;
        Ok(Self::new(compiled, scheme, Some(down), None))
    }
}

impl<O: OtExtension, S: GarblingScheme> NonlinearServer for StepsServer<O, S> {
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
        let down = self.down.as_mut().ok_or_else(no_setup)?;
        offline::server::announce(&self.compiled.refs(steps)?, down, channel, rng)
    }

    fn prepare_each(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
        ready: &mut dyn FnMut(Self::Prepared),
    ) -> Result<Vec<StepCost>, ProtocolError> {
        let Self { compiled, scheme, down, gmw, record, .. } = self;
        let (down, record) = (down.as_mut().ok_or_else(no_setup)?, *record);
        let refs = compiled.refs(steps)?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        let sessions = ServerSessions { down, gmw, record };
        offline::server::prepare(&refs, scheme, sessions, channel, (rng, ready))
    }

    fn record(&mut self, on: bool) {
        self.record = on;
    }

    fn store(&self, prepared: &Self::Prepared, out: &mut dyn Write) -> io::Result<()> {
        match prepared {
            PerLayerServerPrepared::Garbled(prepared) => prepared.store(out),
            PerLayerServerPrepared::Gmw(prepared) => prepared.store(out),
            PerLayerServerPrepared::Ungarbled(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn load(&self, step: usize, input: &mut dyn Read) -> Result<Self::Prepared, ProtocolError> {
        Ok(match self.compiled.step(step)? {
            CompiledStep::Garbled(step) => {
                let checked = self.compiled.checked;
                PerLayerServerPrepared::Garbled(GarbledServerPrepared::load(step, checked, input)?)
            }
            CompiledStep::Gmw(step) => {
                PerLayerServerPrepared::Gmw(GmwServerPrepared::load(step, input)?)
            }
        })
    }

    fn challenge(&self, prepared: &[Self::Prepared]) -> Result<[u8; 16], ProtocolError> {
        let mut challenge = None;
        for prepared in prepared {
            let PerLayerServerPrepared::Ungarbled(prepared) = prepared else {
                return Err(unchecked());
            };
            let seed = *prepared.challenge().bytes();
            if *challenge.get_or_insert(seed) != seed {
                return Err(
                    Misuse::Unplanned("audit of steps that were not prepared together").into()
                );
            }
        }
        challenge.ok_or_else(unchecked)
    }

    fn audit(
        &self,
        prepared: &[Self::Prepared],
        source: &mut dyn StepSource,
        answer: &[u8; 16],
    ) -> Result<(), ProtocolError> {
        let mut expected = Block::ZERO;
        for (number, prepared) in prepared.iter().enumerate() {
            let (CompiledStep::Garbled(step), PerLayerServerPrepared::Ungarbled(prepared)) =
                (self.compiled.step(number)?, prepared)
            else {
                return Err(unchecked());
            };
            let client = GarbledClientStep::new(step, source.shares(number)?)?;
            expected ^= prepared.label_sum(number, &client);
        }
        let said = Block::from_bytes(*answer);
        require_equal(said, expected, "the audit of what it put into circuits")
    }

    fn complete(
        &mut self,
        prepared: Vec<Self::Prepared>,
        channel: &mut Channel,
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, .. } = self;
        let mut ungarbled = Vec::with_capacity(prepared.len());
        for (number, prepared) in prepared.into_iter().enumerate() {
            match (compiled.step(number)?, prepared) {
                (CompiledStep::Garbled(step), PerLayerServerPrepared::Ungarbled(prepared)) => {
                    ungarbled.push((step, prepared));
                }
                _ => return Err(unchecked()),
            }
        }
        let garbled = garble(ungarbled, scheme, channel)?.into_iter();
        Ok(garbled.map(|(step, cost)| (PerLayerServerPrepared::Garbled(step), cost)).collect())
    }

    fn online(
        &mut self,
        step: usize,
        prepared: Self::Prepared,
        input: Shares,
        channel: &mut Channel,
    ) -> Result<Option<Shares>, ProtocolError> {
        single(self.online_wave(vec![(step, prepared, input)], channel)?)
    }

    fn online_wave(
        &mut self,
        steps: Vec<(usize, Self::Prepared, Shares)>,
        channel: &mut Channel,
    ) -> Result<OnlineSteps<Option<Shares>>, ProtocolError> {
        let Self { compiled, colours, .. } = self;
        let mut wave = SplitWave::default();
        for (step, prepared, input) in steps {
            match (compiled.step(step)?, prepared) {
                (CompiledStep::Garbled(step), PerLayerServerPrepared::Garbled(prepared)) => {
                    let (start, before) = (Instant::now(), channel.traffic());
                    let sums = (&mut *colours, compiled.checked);
                    let share =
                        crate::garbled::server::online(step, prepared, input, sums, channel)?;
                    wave.done(share, StepCost::since(start, before, channel));
                }
                (CompiledStep::Gmw(step), PerLayerServerPrepared::Gmw(prepared)) => {
                    wave.wait((step, prepared, input));
                }
                _ => return Err(Misuse::Material.into()),
            }
        }
        wave.finish(|waiting| crate::gmw::server::online(waiting, channel))
    }
}
