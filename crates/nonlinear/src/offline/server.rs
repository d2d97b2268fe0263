//! The server's side of an offline phase: OT sender to the client, OT receiver from it.

use gazelle_block::{BitVec, Delta};
use gazelle_garble::GarblingScheme;
use gazelle_ot::{RcotReceiver, RcotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{ProtocolError, StepCost};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::garbled::audited::{CheckSeeds, CheckedServerStep};
use crate::garbled::server::{ChunkOts, GarbledServerStep, StepGarbler};
use crate::gmw::server::{BegunServerChunk, GmwServerStep, ReadyServerChunk};
use crate::offline::coordinator::{Sessions, run};
use crate::offline::material::PerLayerServerPrepared;
use crate::offline::plan::{OtCall, RunPlan, StepRef, Unit, ots};
use crate::offline::work::{Beginning, FinishedChunk, Heard, Party, Work};
use crate::ot_session::{Extend, Made, Ot, Receiving, RotHashes, Sending, Silent};

/// A server's OT sessions; those of GMW only if a step runs on it.
pub(crate) struct ServerSessions<'a, D, U> {
    pub(crate) down: &'a mut Ot<D>,
    pub(crate) gmw: Option<(&'a RotHashes, &'a mut Ot<U>)>,
    /// Whether the material is to be stored.
    pub(crate) record: bool,
}

/// Hears what goes ahead of everything else in these steps' offline phase.
pub(crate) fn announce<D: RcotSender>(
    steps: &[StepRef<'_>],
    down: &mut Ot<D>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(), ProtocolError> {
    Sending(&mut down.session).announce(ots(steps).0, channel, rng)
}

/// Prepares these steps; their material goes to `ready`.
pub(crate) fn prepare<D: RcotSender, U: RcotReceiver, S: GarblingScheme>(
    steps: &[StepRef<'_>],
    scheme: &S,
    sessions: ServerSessions<'_, D, U>,
    channel: &mut Channel,
    (rng, ready): (&mut (dyn CryptoRng + Send), &mut dyn FnMut(PerLayerServerPrepared)),
) -> Result<Vec<StepCost>, ProtocolError> {
    let ServerSessions { down, gmw, record } = sessions;
    let (hash, mut up) = gmw.unzip();
    let tweaks = up.as_deref_mut().map(|up| &mut up.tweaks);
    let plan = RunPlan::new(steps, scheme, &mut down.tweaks, tweaks)?;
    let delta = down.session.delta().clone();
    let mut down = Sending(&mut down.session);
    let (mut receiving, mut silent) = (up.map(|up| Receiving(&mut up.session)), Silent);
    let up: &mut dyn Extend = match &mut receiving {
        Some(up) => up,
        None => &mut silent,
    };
    let counts = ots(steps);
    down.announce(counts.0, channel, rng)?;
    up.announce(counts.1, channel, rng)?;
    let mut coins = Prg::new(&Seed::random(rng), COINS);
    let checks = CheckSeeds::random(&mut coins);
    let party = ServerParty { steps, scheme, hash, delta, coins, record, checks };
    run(&plan, (party, ready), Sessions::new(&mut down, up), channel, rng)
}

/// PRG domain of the steps' coins.
const COINS: u8 = 0x68;

struct ServerParty<'a, S> {
    steps: &'a [StepRef<'a>],
    scheme: &'a S,
    hash: Option<&'a RotHashes>,
    /// Of the OTs from S to C.
    delta: Delta,
    coins: Prg,
    record: bool,
    /// Of the steps that are checked.
    checks: CheckSeeds,
}

/// A step of either backend.
enum ServerStep<'a, S> {
    Gmw(GmwServerStep<'a>),
    Garbled(GarbledServerStep<'a, S>),
    Checked(CheckedServerStep<'a>),
}

enum ServerBegun {
    Gmw(BegunServerChunk),
    Garbled(ChunkOts),
}

enum ServerReady {
    Gmw(ReadyServerChunk),
    /// Permute bits.
    Garbled(BitVec),
    Checked(ChunkOts),
}

fn defect() -> ProtocolError {
    ProtocolError::Defect("a step of the other backend")
}

impl<'a, S: GarblingScheme> Party for ServerParty<'a, S> {
    type Work = ServerStep<'a, S>;
    type Prepared = PerLayerServerPrepared;
    const CLIENT: bool = false;

    fn open(&mut self, step: usize) -> Result<ServerStep<'a, S>, ProtocolError> {
        Ok(match (self.steps.get(step), self.hash) {
            (Some(StepRef::Gmw(step)), Some(hash)) => {
                let delta = Zeroizing::new(self.delta.block());
                let seed = Seed::random(&mut self.coins);
                ServerStep::Gmw(GmwServerStep { step, hash, delta, seed, record: self.record })
            }
            (Some(StepRef::Garbled(garbled)), _) => {
                let garbler = StepGarbler::random(self.delta.clone(), &mut self.coins);
                ServerStep::Garbled(GarbledServerStep::new(garbled, self.scheme, garbler))
            }
            (Some(StepRef::Checked(garbled)), _) => {
                let garbler = StepGarbler::random(self.delta.clone(), &mut self.coins);
                let checks = (step, &self.checks);
                ServerStep::Checked(CheckedServerStep::new(garbled, garbler, checks))
            }
            _ => return Err(defect()),
        })
    }

    fn close(
        &mut self,
        _step: usize,
        work: &ServerStep<'a, S>,
        ready: Vec<ServerReady>,
        _seed: Option<Seed>,
    ) -> Result<PerLayerServerPrepared, ProtocolError> {
        let ready = ready.into_iter();
        Ok(match work {
            ServerStep::Gmw(step) => {
                let chunks = ready.map(|ready| match ready {
                    ServerReady::Gmw(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerServerPrepared::Gmw(step.close(chunks))
            }
            ServerStep::Garbled(step) => {
                let chunks = ready.map(|ready| match ready {
                    ServerReady::Garbled(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerServerPrepared::Garbled(step.close(chunks))
            }
            ServerStep::Checked(step) => {
                let chunks = ready.map(|ready| match ready {
                    ServerReady::Checked(chunk) => Ok(chunk),
                    _ => Err(defect()),
                });
                let chunks = chunks.collect::<Result<_, _>>()?;
                PerLayerServerPrepared::Ungarbled(step.close(chunks))
            }
        })
    }
}

impl<S: GarblingScheme> Work for ServerStep<'_, S> {
    type Begun = ServerBegun;
    type Ready = ServerReady;

    fn seed(&self) -> Option<Seed> {
        match self {
            Self::Gmw(step) => step.seed(),
            Self::Garbled(step) => step.seed(),
            Self::Checked(step) => step.seed(),
        }
    }

    fn begin(
        &self,
        unit: &Unit,
        call: &OtCall,
        down: &Made,
        up: &Made,
    ) -> Result<Beginning<ServerBegun>, ProtocolError> {
        fn lift<A, B>((begun, bits): Beginning<A>, to: fn(A) -> B) -> (Vec<B>, BitVec) {
            (begun.into_iter().map(to).collect(), bits)
        }
        Ok(match self {
            Self::Gmw(step) => lift(step.begin(unit, call, down, up)?, ServerBegun::Gmw),
            Self::Garbled(step) => lift(step.begin(unit, call, down, up)?, ServerBegun::Garbled),
            Self::Checked(step) => lift(step.begin(unit, call, down, up)?, ServerBegun::Garbled),
        })
    }

    fn finish(
        &self,
        chunk: usize,
        begun: ServerBegun,
        heard: Heard,
    ) -> Result<FinishedChunk<ServerReady>, ProtocolError> {
        Ok(match (self, begun) {
            (Self::Gmw(step), ServerBegun::Gmw(begun)) => {
                let (ready, tables) = step.finish(chunk, begun, heard)?;
                (ServerReady::Gmw(ready), tables)
            }
            (Self::Garbled(step), ServerBegun::Garbled(begun)) => {
                let (ready, tables) = step.finish(chunk, begun, heard)?;
                (ServerReady::Garbled(ready), tables)
            }
            (Self::Checked(step), ServerBegun::Garbled(begun)) => {
                let (ready, tables) = step.finish(chunk, begun, heard)?;
                (ServerReady::Checked(ready), tables)
            }
            _ => return Err(defect()),
        })
    }
}
