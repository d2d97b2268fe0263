//! The client's side of an offline phase: OT receiver from the server, OT sender to it.

use gazelle_block::{BitVec, Block};
use gazelle_garble::GarblingScheme;
use gazelle_ot::{RcotReceiver, RcotSender};
use gazelle_prg::Seed;
use gazelle_share::{Output, ProtocolError, Shares, StepCost, StepSource};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::garbled::audited::LabelledStep;
use crate::garbled::client::{ChunkLabels, GarbledClientStep, PreparedChunk};
use crate::gmw::client::{BegunChunk, GmwClientStep, ReadyChunk};
use crate::offline::coordinator::{Sessions, run};
use crate::offline::material::PerLayerClientPrepared;
use crate::offline::plan::{OtCall, RunPlan, StepRef, Unit, ots};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Party, Work};
use crate::ot_session::{Extend, Made, Ot, Receiving, RotHashes, Sending, Silent};
use crate::shares::check_shares;

/// A client's OT sessions; those of GMW only if a step runs on it.
pub(crate) struct ClientSessions<'a, D, U> {
    pub(crate) down: &'a mut Ot<D>,
    pub(crate) gmw: Option<(&'a RotHashes, &'a mut Ot<U>)>,
    /// Whether the material is to be stored.
    pub(crate) record: bool,
}

/// Says what goes ahead of everything else in these steps' offline phase.
pub(crate) fn announce<D: RcotReceiver>(
    steps: &[StepRef<'_>],
    down: &mut Ot<D>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(), ProtocolError> {
    Receiving(&mut down.session).announce(ots(steps).0, channel, rng)
}

/// Prepares these steps, the first of which is number `first` of the network; their material goes to `ready`.
pub(crate) fn prepare<D: RcotReceiver, U: RcotSender, S: GarblingScheme>(
    (steps, first): (&[StepRef<'_>], usize),
    scheme: &S,
    sessions: ClientSessions<'_, D, U>,
    (source, ready): (&mut dyn StepSource, &mut dyn FnMut(PerLayerClientPrepared)),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Vec<StepCost>, ProtocolError> {
    let ClientSessions { down, gmw, record } = sessions;
    let (hash, mut up) = gmw.unzip();
    let tweaks = up.as_deref_mut().map(|up| &mut up.tweaks);
    let plan = RunPlan::new(steps, scheme, &mut down.tweaks, tweaks)?;
    let keys = hash.zip(up.as_ref().map(|up| Zeroizing::new(up.session.delta().block())));
    let mut down = Receiving(&mut down.session);
    let (mut sending, mut silent) = (up.map(|up| Sending(&mut up.session)), Silent);
    let up: &mut dyn Extend = match &mut sending {
        Some(up) => up,
        None => &mut silent,
    };
    let counts = ots(steps);
    down.announce(counts.0, channel, rng)?;
    up.announce(counts.1, channel, rng)?;
    let party = ClientParty { steps, first, keys, source, record };
    run(&plan, (party, ready), Sessions::new(&mut down, up), channel, rng)
}

/// A source of one step's shares.
pub(crate) struct OneStep(Option<(Shares, Option<Shares>)>);

impl OneStep {
    /// Refuses shares that do not fit, before anything is said.
    pub(crate) fn new(
        step: StepRef<'_>,
        input: &Shares,
        output: Output<'_>,
    ) -> Result<Self, ProtocolError> {
        let mask = match output {
            Output::Masked(mask) => Some(mask),
            Output::Reveal => None,
        };
        let step = match step {
            StepRef::Gmw(step) => &step.step,
            StepRef::Garbled(step) | StepRef::Checked(step) => &step.step,
        };
        check_shares(step, input, mask)?;
        Ok(Self(Some((input.clone(), mask.cloned()))))
    }
}

impl StepSource for OneStep {
    fn shares(&mut self, _step: usize) -> Result<(Shares, Option<Shares>), ProtocolError> {
        self.0.take().ok_or(ProtocolError::Defect("a step is prepared twice"))
    }
}

struct ClientParty<'a> {
    steps: &'a [StepRef<'a>],
    first: usize,
    /// The hash of random OTs, and the Delta of those from C to S.
    keys: Option<(&'a RotHashes, Zeroizing<Block>)>,
    source: &'a mut dyn StepSource,
    record: bool,
}

/// A step of either backend.
enum ClientStep<'a> {
    Gmw(GmwClientStep<'a>),
    Garbled(GarbledClientStep<'a>),
    /// Its tables come behind an audit.
    Checked(GarbledClientStep<'a>),
}

enum ClientBegun {
    Gmw(BegunChunk),
    Garbled(ChunkLabels),
}

enum ClientReady {
    Gmw(ReadyChunk),
    Garbled(PreparedChunk),
    Checked(ChunkLabels),
}

fn defect() -> ProtocolError {
    ProtocolError::Defect("a step of the other backend")
}

impl<'a> Party for ClientParty<'a> {
    type Work = ClientStep<'a>;
    type Prepared = PerLayerClientPrepared;
    const CLIENT: bool = true;

    fn open(&mut self, step: usize) -> Result<ClientStep<'a>, ProtocolError> {
        let shares = self.source.shares(self.first + step)?;
        Ok(match (self.steps.get(step), &self.keys) {
            (Some(StepRef::Gmw(step)), Some((hash, delta))) => {
                ClientStep::Gmw(GmwClientStep::new(step, hash, delta.clone(), shares, self.record)?)
            }
            (Some(StepRef::Garbled(step)), _) => {
                ClientStep::Garbled(GarbledClientStep::new(step, shares)?)
            }
            (Some(StepRef::Checked(step)), _) => {
                ClientStep::Checked(GarbledClientStep::new(step, shares)?)
            }
            _ => return Err(defect()),
        })
    }

    fn close(
        &mut self,
        step: usize,
        work: &ClientStep<'a>,
        ready: Vec<ClientReady>,
        seed: Option<Seed>,
    ) -> Result<PerLayerClientPrepared, ProtocolError> {
        let ready = ready.into_iter();
        let prepared = match work {
            ClientStep::Gmw(_) => {
                let chunks = ready.map(|ready| match ready {
                    ClientReady::Gmw(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerClientPrepared::Gmw(GmwClientStep::close(chunks))
            }
            ClientStep::Garbled(_) => {
                let chunks = ready.map(|ready| match ready {
                    ClientReady::Garbled(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerClientPrepared::Garbled(GarbledClientStep::close(chunks, seed)?)
            }
            ClientStep::Checked(_) => {
                let chunks = ready.map(|ready| match ready {
                    ClientReady::Checked(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerClientPrepared::Labelled(LabelledStep::new(chunks))
            }
        };
        self.source.prepared(self.first + step);
        Ok(prepared)
    }
}

impl Work for ClientStep<'_> {
    type Begun = ClientBegun;
    type Ready = ClientReady;

    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<ClientBegun>, ProtocolError> {
        fn lift<A, B>((begun, bits): Beginning<A>, to: fn(A) -> B) -> (Vec<B>, BitVec) {
            (begun.into_iter().map(to).collect(), bits)
        }
        Ok(match self {
            Self::Gmw(step) => lift(step.begin(unit, call, down, up)?, ClientBegun::Gmw),
            Self::Garbled(step) | Self::Checked(step) => {
                lift(step.begin(unit, call, down, up)?, ClientBegun::Garbled)
            }
        })
    }

    fn finish(
        &self,
        chunk: usize,
        begun: ClientBegun,
        heard: Heard,
    ) -> Result<FinishedChunk<ClientReady>, ProtocolError> {
        Ok(match (self, begun) {
            (Self::Gmw(step), ClientBegun::Gmw(begun)) => {
                let (ready, tables) = step.finish(chunk, begun, heard)?;
                (ClientReady::Gmw(ready), tables)
            }
            (Self::Garbled(step), ClientBegun::Garbled(begun)) => {
                let (ready, tables) = step.finish(chunk, begun, heard)?;
                (ClientReady::Garbled(ready), tables)
            }
            (Self::Checked(_), ClientBegun::Garbled(labels)) => {
                (ClientReady::Checked(labels), None)
            }
            _ => return Err(defect()),
        })
    }
}
