//! The sessions in which steps run, each on the backend that it was compiled for.
//!
//! Both backends share the OT session in which the server is the sender; the other direction is set
//! up only if some step runs on GMW.
//!
//! | client ([`StepsClient`]) | server ([`StepsServer`]) |
//! |---|---|
//! | `set_up`: OT receiver; for GMW the hash seed before it, and OT sender | OT sender; hash seed, OT receiver |
//! | `announce`, `prepare`: the [offline phase](crate::offline) of all steps at once | the same |
//! | `online`: that of the step's backend | the same |

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use gazelle_block::Block;
use gazelle_garble::GarblingScheme;
use gazelle_ot::OtExtension;
use gazelle_prg::Seed;
use gazelle_share::step::StepOutput;
use gazelle_share::{
    Misuse, NonlinearClient, NonlinearServer, NonlinearTraffic, Output, PreparedSteps,
    ProtocolError, Shares, Step, StepSource,
};
use gazelle_wire::{Channel, Cost};
use rand_core::CryptoRng;

use crate::garbled::audited::garble;
use crate::garbled::check::{
    ClientColours, ServerColours, check_traffic, require_equal, step_seed,
};
use crate::garbled::client::{GarbledClientPrepared, GarbledClientStep};
use crate::garbled::cost::{step_traffic, table_traffic};
use crate::garbled::program::GarbledStep;
use crate::garbled::server::GarbledServerPrepared;
use crate::gmw::client::GmwClientPrepared;
use crate::gmw::plan::GmwStep;
use crate::gmw::server::GmwServerPrepared;
use crate::offline::client::{ClientSessions, OneStep};
use crate::offline::material::{PerLayerClientPrepared, PerLayerServerPrepared};
use crate::offline::plan::StepRef;
use crate::offline::server::ServerSessions;
use crate::offline::{self, single};
use crate::ot_session::{
    Ot, RotHashes, client_setup, client_setup_down, down_cost, made_at_setup, server_setup,
    server_setup_down, setup_traffic,
};

/// A step, compiled for its backend.
#[derive(Debug)]
pub(crate) enum CompiledStep {
    Garbled(GarbledStep),
    Gmw(GmwStep),
}

impl CompiledStep {
    /// The name of its backend.
    pub(crate) fn backend(&self) -> &'static str {
        match self {
            Self::Garbled(_) => "garbled",
            Self::Gmw(_) => "gmw",
        }
    }
}

/// All steps, each compiled for its backend.
#[derive(Debug)]
pub struct CompiledSteps {
    pub(crate) steps: Vec<CompiledStep>,
    /// Whether the client's labels and colours are checked; all steps are garbled and exact then.
    checked: bool,
}

impl CompiledSteps {
    /// Compiles each step by `compile`, which gets its number.
    ///
    /// # Errors
    /// Those of `compile`.
    pub(crate) fn new(
        steps: &[Step],
        compile: impl Fn(usize, &Step) -> Result<CompiledStep, ProtocolError>,
    ) -> Result<Self, ProtocolError> {
        let steps = steps.iter().enumerate().map(|(index, step)| compile(index, step));
        Ok(Self::unchecked(steps.collect::<Result<_, _>>()?))
    }

    /// Of these, for clients that are trusted.
    pub(crate) fn unchecked(steps: Vec<CompiledStep>) -> Self {
        Self { steps, checked: false }
    }

    /// All steps garbled, the client's labels and colours checked.
    ///
    /// # Errors
    /// [`ProtocolError::Plan`] if a step rounds locally, or cannot be garbled, or the last one does not reveal.
    pub(crate) fn checked(steps: &[Step]) -> Result<Self, ProtocolError> {
        let garbled = Self::new(steps, |index, step| {
            if step.rounding.is_local() {
                let why =
                    format!("non-linear step {index} rounds locally: its client is not checked");
                return Err(ProtocolError::Plan(why));
            }
            GarbledStep::new(index, step).map(CompiledStep::Garbled)
        })?;
        if steps.last().is_none_or(|step| step.output != StepOutput::Reveal) {
            // What the colours say is compared before a reveal.
            let why = "the last step does not reveal: its client's colours would not be checked";
            return Err(ProtocolError::Plan(why.into()));
        }
        Ok(Self { checked: true, ..garbled })
    }

    /// The name of a step's backend.
    pub(crate) fn backend(&self, step: usize) -> &'static str {
        // optional: a name for a report, of a step that the caller counted
        self.steps.get(step).map_or("garbled", CompiledStep::backend)
    }

    /// What setup and each step move, offline and online, in a session that has prepared `earlier` inferences.
    pub(crate) fn traffic<O: OtExtension, S: GarblingScheme>(
        &self,
        ot: &O,
        scheme: &S,
        earlier: usize,
    ) -> NonlinearTraffic {
        let by_step = |made: &mut (usize, usize)| -> (Vec<Cost>, Vec<Cost>) {
            let cost = |step: &CompiledStep| match step {
                CompiledStep::Garbled(step) => step_traffic(ot, scheme, step, &mut made.0),
                CompiledStep::Gmw(step) => step.traffic(ot, made),
            };
            self.steps.iter().map(cost).unzip()
        };
        let mut made = if self.uses_gmw() { made_at_setup(ot) } else { (0, 0) };
        let begun = made;
        let (mut offline, mut online) = by_step(&mut made);
        if earlier > 0 {
            // What an OT costs depends on how many there were.
            let more = |begun: usize, made: usize| begun + earlier * (made - begun);
            made = (more(begun.0, made.0), more(begun.1, made.1));
            offline = by_step(&mut made).0;
        }
        let mut kept_back = Cost::default();
        if self.checked {
            let tables = self.steps.iter().filter_map(|step| match step {
                CompiledStep::Garbled(step) => Some(table_traffic(scheme, step)),
                CompiledStep::Gmw(_) => None,
            });
            kept_back = tables.sum();
            let reveals = self.steps.iter().map(|step| match step {
                CompiledStep::Garbled(step) => step.mask_bits == 0,
                CompiledStep::Gmw(_) => false,
            });
            for (cost, check) in online.iter_mut().zip(check_traffic(reveals)) {
                *cost += check;
            }
        }
        let setup = if self.uses_gmw() { setup_traffic(ot) } else { down_cost(ot.setup_traffic()) };
        NonlinearTraffic { setup, offline, online, kept_back }
    }

    fn refs(&self, steps: Range<usize>) -> Result<Vec<StepRef<'_>>, ProtocolError> {
        let step = |step| match self.step(step)? {
            CompiledStep::Garbled(step) if self.checked => Ok(StepRef::Checked(step)),
            CompiledStep::Garbled(step) => Ok(StepRef::Garbled(step)),
            CompiledStep::Gmw(step) => Ok(StepRef::Gmw(step)),
        };
        steps.map(step).collect()
    }

    fn uses_gmw(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, CompiledStep::Gmw(_)))
    }

    fn step(&self, index: usize) -> Result<&CompiledStep, ProtocolError> {
        self.steps.get(index).ok_or_else(|| Misuse::Step(index).into())
    }
}

/// The error of who audits steps that are not checked.
fn unchecked() -> ProtocolError {
    Misuse::Unplanned("audit").into()
}

/// The error of who prepares in a session that has no OTs.
fn no_setup() -> ProtocolError {
    Misuse::Unplanned("preparation without a setup").into()
}

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

    fn prepare(
        &mut self,
        steps: Range<usize>,
        source: &mut dyn StepSource,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down, gmw, record, .. } = self;
        let (down, record) = (down.as_mut().ok_or_else(no_setup)?, *record);
        let refs = compiled.refs(steps.clone())?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        let (steps, sessions) = ((&refs[..], steps.start), ClientSessions { down, gmw, record });
        offline::client::prepare(steps, scheme, sessions, source, channel, rng)
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
        match (self.compiled.step(step)?, prepared) {
            (CompiledStep::Garbled(step), PerLayerClientPrepared::Garbled(prepared)) => {
                let colours = self.compiled.checked.then_some(&mut self.colours);
                crate::garbled::client::online(step, &self.scheme, prepared, colours, channel)
            }
            (CompiledStep::Gmw(step), PerLayerClientPrepared::Gmw(prepared)) => {
                crate::gmw::client::online(step, prepared, channel)
            }
            _ => Err(Misuse::Material.into()),
        }
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

    fn prepare(
        &mut self,
        steps: Range<usize>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<PreparedSteps<Self::Prepared>, ProtocolError> {
        let Self { compiled, scheme, down, gmw, record, .. } = self;
        let (down, record) = (down.as_mut().ok_or_else(no_setup)?, *record);
        let refs = compiled.refs(steps)?;
        let gmw = gmw.as_mut().map(|(hash, up)| (&*hash, up));
        let sessions = ServerSessions { down, gmw, record };
        offline::server::prepare(&refs, scheme, sessions, channel, rng)
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
        match (self.compiled.step(step)?, prepared) {
            (CompiledStep::Garbled(step), PerLayerServerPrepared::Garbled(prepared)) => {
                let sums = (&mut self.colours, self.compiled.checked);
                crate::garbled::server::online(step, prepared, input, sums, channel)
            }
            (CompiledStep::Gmw(step), PerLayerServerPrepared::Gmw(prepared)) => {
                crate::gmw::server::online(step, prepared, input, channel)
            }
            _ => Err(Misuse::Material.into()),
        }
    }
}
