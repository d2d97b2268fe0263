//! The client's session.

mod at_once;
mod entries;
mod online;
mod prepare;

pub use entries::{Claim, Claimed, EntryKept, KeepHalf};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_share::{LinearProtocol, NonlinearClient, NonlinearProtocol, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::description::Description;
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::{InferenceReport, Meter, Phase};
use crate::session::apart::{OfflineStart, apart};
use crate::session::coins;
use crate::session::kept::{self, ClientSetup, ClientShelf, LateHints, LinearSetup, SetupWanted};
use crate::session::message::ClientCommand;
use crate::session::offer::SessionParts;
use crate::session::{Observer, Progress};
use crate::suite::{Clients, Suite};
use crate::traffic::PlannedTraffic;

/// A client's session with one server.
pub struct Client<L: LinearProtocol, N: NonlinearProtocol> {
    suite: Suite<L, N>,
    description: Description,
    plan: Plan,
    names: Vec<String>,
    traffic: PlannedTraffic,
    linear_setup: LinearSetup<L::Plan>,
    /// What setups and material that are kept are good for.
    bound: [u8; 32],
    compiled: Arc<N::Compiled>,
    /// The session's protocols, once they are set up.
    made: Option<(L::Client, N::Client)>,
    /// For stored material.
    stored: Option<N::Client>,
    channel: Channel,
    setup: Phase,
    resumed: bool,
    /// Inferences that the server still allows.
    allowance: u64,
    observer: Option<Box<Observer>>,
    /// What threads that make material do first; without, the session's own thread makes it.
    offline_start: Option<Arc<dyn Fn() + Send + Sync>>,
    session: u64,
    /// Of the next material, made here or in another session.
    next: u32,
    /// The server has not said yet whether it could read the entry that was claimed last.
    unheard: bool,
    /// Offline phases that ran in this session.
    runs: u64,
    /// Of these, such as the server opened.
    opened: u64,
    dead: bool,
}

/// The material of one inference, made before its input is known. Single use: [`Client::infer`]
/// consumes it. Wiped on drop, never printed.
pub struct Prepared<N: NonlinearProtocol> {
    session: u64,
    id: u32,
    /// It was made in another session.
    stored: bool,
    input_mask: Shares,
    steps: Vec<<N::Client as NonlinearClient>::Prepared>,
    offline: Phase,
    groups_offline: Vec<Phase>,
    steps_offline: Vec<Phase>,
}

/// What the client learns.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// The revealed integers.
    pub values: Vec<i64>,
    /// `values / 2^scale` are the logits.
    pub scale: i32,
    /// The values are indices of classes, best first.
    pub ranked: bool,
    /// Seconds, bytes, turns.
    pub report: InferenceReport,
}

/// What an inference tells the client, by what the network reveals.
#[derive(Debug, Clone, PartialEq)]
pub enum Learnt {
    /// All logits, rounded to the resolution.
    Logits(Vec<f64>),
    /// The best classes, best first.
    Classes(Vec<usize>),
}

impl Inference {
    /// Returns the revealed values as logits: what they are unless the network reveals classes.
    pub fn logits(&self) -> Vec<f64> {
        let unit = (-f64::from(self.scale)).exp2();
        self.values.iter().map(|value| *value as f64 * unit).collect()
    }

    /// Logits or classes.
    pub fn learnt(&self) -> Learnt {
        if self.ranked {
            // What the server's last message made of them was checked when they came.
            Learnt::Classes(self.values.iter().map(|value| *value as usize).collect())
        } else {
            Learnt::Logits(self.logits())
        }
    }
}

impl<L: LinearProtocol, N: NonlinearProtocol> std::fmt::Debug for Client<L, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("model", &self.description.model.name)
            .finish_non_exhaustive()
    }
}

impl<N: NonlinearProtocol> std::fmt::Debug for Prepared<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Tells sessions of one process apart.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    pub(crate) fn new(
        suite: Suite<L, N>,
        description: Description,
        parts: SessionParts<L, N>,
        channel: Channel,
        (setup, allowance): (Phase, u64),
    ) -> Self {
        let SessionParts { plan, names, traffic, setup: linear_setup, bound, compiled } = parts;
        Self {
            suite,
            description,
            plan,
            names,
            traffic,
            linear_setup,
            bound,
            compiled,
            made: None,
            stored: None,
            channel,
            setup,
            resumed: false,
            allowance,
            observer: None,
            offline_start: None,
            session: SESSIONS.fetch_add(1, Ordering::Relaxed),
            next: 0,
            unheard: false,
            runs: 0,
            opened: 0,
            dead: false,
        }
    }

    /// Reports progress to `observer` from now on.
    pub fn observe(&mut self, observer: Box<Observer>) {
        self.observer = Some(observer);
    }

    /// Gives setups and offline phases threads of their own from now on; `start` is what each does first, such as to
    /// lower its priority.
    pub fn start_offline_by(&mut self, start: Arc<dyn Fn() + Send + Sync>) {
        self.offline_start = Some(start);
    }

    fn offline_start(&self) -> Option<OfflineStart<'static>> {
        let start = self.offline_start.clone()?;
        Some(Box::new(move || start()))
    }

    /// Returns what the server said.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the order of work.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns what the plan puts on the wire.
    pub fn traffic(&self) -> &PlannedTraffic {
        &self.traffic
    }

    /// Returns what handshake and setup took.
    pub fn setup(&self) -> Phase {
        self.setup
    }

    /// Whether the session goes on with a setup that was kept.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// How many inferences may still be prepared; `u64::MAX` if the server does not limit them.
    pub fn allowance(&self) -> u64 {
        self.allowance
    }

    /// How many inferences the server has opened, and thrown away, instead of using them: audits of a client
    /// that is not trusted. They count for nothing.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Sets up both protocols, once; goes on with a setup of `shelf` if the server knows one of them too, and keeps
    /// a new one there. Sessions that use stored material alone need none.
    ///
    /// # Errors
    /// The protocols' and the link's, and the session is dead afterwards.
    pub fn set_up(
        &mut self,
        shelf: Option<&dyn ClientShelf>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        self.alive()?;
        if self.made.is_some() {
            return Ok(());
        }
        let mut rng = coins::fresh(rng)?;
        let start = self.offline_start();
        let result = apart(start, || self.set_up_inner(shelf, false, &mut rng));
        self.bury(result).map(|_| ())
    }

    /// With `late` a new setup's hints are still to come.
    fn set_up_inner<'a>(
        &mut self,
        shelf: Option<&'a dyn ClientShelf>,
        late: bool,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<LateHints<'a>>, GazelleError> {
        self.hear()?;
        let channel = &mut self.channel;
        let meter = Meter::start(channel);
        channel.begin_phase();
        let (bound, setup) = (&self.bound, &self.linear_setup);
        let wanted = SetupWanted { shelf, bound, late };
        let begun = kept::client(&self.suite, &self.plan, setup, wanted, channel, rng)?;
        let nonlinear = self
            .suite
            .nonlinear()
            .client(Arc::clone(&self.compiled), channel, rng)
            .map_err(GazelleError::layer("setup of the non-linear layers"))?;
        let settled = begun.settle(&self.suite, &self.plan, (setup, late), channel, rng)?;
        let ClientSetup { linear, resumed, late, id } = settled;
        if !late {
            kept::keep(&linear, id, (shelf, bound));
        }
        self.resumed = resumed;
        self.made = Some((linear, nonlinear));
        self.setup += meter.stop(&self.channel);
        Ok(late.then_some(LateHints { id, shelf }))
    }

    /// What setups and material that are kept are good for: sessions with this description and suite.
    pub fn bound(&self) -> &[u8; 32] {
        &self.bound
    }

    /// Makes the material of one inference with the server.
    ///
    /// # Errors
    /// [`GazelleError::Allowance`] if the server allows no more (nothing was sent); else the protocols' and
    /// the link's, and the session is dead afterwards.
    pub fn prepare(
        &mut self,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Prepared<N>, GazelleError> {
        self.alive()?;
        self.charge()?;
        let mut rng = coins::fresh(rng)?;
        let start = self.offline_start();
        let result = apart(start, || self.prepare_inner(&mut rng));
        self.bury(result)
    }

    /// Computes the prediction for `input`: integers `x 2^scale` of the input tensor, row-major.
    ///
    /// # Errors
    /// [`GazelleError::InputLength`], [`GazelleError::InputRange`] or [`GazelleError::Material`] if the
    /// input or the material does not fit (nothing was sent: the material is lost, the session lives
    /// on); else the protocols' and the link's, and the session is dead.
    pub fn infer(
        &mut self,
        prepared: Prepared<N>,
        input: &[i64],
    ) -> Result<Inference, GazelleError> {
        self.alive()?;
        if prepared.session != self.session {
            return Err(GazelleError::Material);
        }
        let words = self.encode(input)?;
        let result = self.infer_inner(prepared, words);
        self.bury(result)
    }

    /// Makes material and computes the prediction for `input` with it, side by side where that can be: the online
    /// phase waits for its round trips while the offline phase goes on. As [`prepare`](Self::prepare) and
    /// [`infer`](Self::infer), byte for byte. One after the other where the server audits its clients, where this
    /// party has one thread, and with protocols that have no session for material made elsewhere.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`infer`](Self::infer); nothing is sent for an input that does not fit.
    pub fn infer_at_once(
        &mut self,
        input: &[i64],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        self.alive()?;
        let words = self.encode(input)?;
        let Some(online) = self.online_session() else {
            let prepared = self.prepare(rng)?;
            return self.infer(prepared, input);
        };
        self.charge()?;
        let mut rng = coins::fresh(rng)?;
        let result = self.at_once(words, online, None, &mut rng);
        self.bury(result)
    }

    /// Sets the session up as [`set_up`](Self::set_up) does, unless it is, and predicts as
    /// [`infer_at_once`](Self::infer_at_once) does; where both phases run side by side, a new setup's hints come beside
    /// them: of what is made offline only what needs a layer's hints waits for these, and the online phase begins behind
    /// all of them.
    ///
    /// # Errors
    /// As both.
    pub fn set_up_and_infer(
        &mut self,
        shelf: Option<&dyn ClientShelf>,
        input: &[i64],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        self.alive()?;
        let words = self.encode(input)?;
        let late = self.made.is_none() && self.suite.linear().has_late_hints();
        let (true, Some(online)) = (late, self.online_session()) else {
            self.set_up(shelf, rng)?;
            return self.infer_at_once(input, rng);
        };
        self.charge()?;
        let mut rng = coins::fresh(rng)?;
        let result = self.set_up_and_infer_inner(shelf, words, online, &mut rng);
        self.bury(result)
    }

    fn set_up_and_infer_inner(
        &mut self,
        shelf: Option<&dyn ClientShelf>,
        words: Shares,
        online: N::Client,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        if let Some(observer) = &self.observer {
            let of = self.plan.steps().len();
            observer(&Progress { phase: "setup", done: 0, of, layer: "" });
        }
        let start = self.offline_start();
        let late = apart(start, || self.set_up_inner(shelf, true, rng))?;
        self.at_once(words, online, late, rng)
    }

    /// A session for an online phase beside the offline phase; nothing where phases come one after the other.
    fn online_session(&self) -> Option<N::Client> {
        if self.suite.clients() != Clients::Trusted || self.channel.is_single_threaded() {
            return None;
        }
        self.suite.nonlinear().client_of_stored(Arc::clone(&self.compiled)).ok()
    }

    /// Ends the session; the server need not wait for more.
    ///
    /// # Errors
    /// The link's.
    pub fn close(mut self) -> Result<(), GazelleError> {
        self.alive()?;
        self.channel.send(&ClientCommand::Close, &())?;
        Ok(self.channel.flush()?)
    }

    /// One inference less of those that the server allows.
    fn charge(&mut self) -> Result<(), GazelleError> {
        match &mut self.allowance {
            0 => return Err(GazelleError::Allowance),
            &mut u64::MAX => {}
            left => *left -= 1,
        }
        Ok(())
    }

    fn alive(&self) -> Result<(), GazelleError> {
        if self.dead {
            return Err(GazelleError::Dead);
        }
        Ok(())
    }

    fn bury<T>(&mut self, result: Result<T, GazelleError>) -> Result<T, GazelleError> {
        if result.is_err() {
            self.dead = true;
            self.channel.send_error();
        }
        result
    }

    /// Checks the input against its tensor's range; gives reduced words.
    fn encode(&self, input: &[i64]) -> Result<Shares, GazelleError> {
        let tensor = self.plan.architecture().input();
        let (len, bits) = (tensor.shape.len(), tensor.value_bits);
        if input.len() != len {
            return Err(GazelleError::InputLength { expected: len, got: input.len() });
        }
        let limit = 1i64 << (bits - 1);
        if let Some(element) = input.iter().position(|value| *value < -limit || *value >= limit) {
            return Err(GazelleError::InputRange { element, bits });
        }
        Ok(Shares::new(tensor.ring_bits, input.iter().map(|value| *value as u64).collect()))
    }
}

/// A defect: material of a session without a setup.
fn no_setup() -> GazelleError {
    GazelleError::Defect("a session without a setup".into())
}
