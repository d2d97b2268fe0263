//! The client's first step: what does this server offer, and is it acceptable?

use std::sync::Arc;

use gazelle_share::{LinearProtocol, NonlinearProtocol, NonlinearTraffic};
use gazelle_wire::handshake::{self, Caps, Hello, Line, ModelName};
use gazelle_wire::{Channel, HandshakeError};
use rand_core::{CryptoRng, Rng};

use crate::description::{self, Description};
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::Meter;
use crate::session::Client;
use crate::session::audit::check_auditable;
use crate::session::coins;
use crate::session::kept::{ClientShelf, LinearSetup};
use crate::suite::{Clients, Suite};
use crate::traffic::PlannedTraffic;

/// What a client is willing to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one cold inference, both directions.
    pub traffic_bytes: u64,
    /// Bytes of memory for one prepared inference, estimated.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// 64 GiB of traffic, 16 GiB of memory.
    fn default() -> Self {
        Self { traffic_bytes: 64 << 30, memory_bytes: 16 << 30 }
    }
}

/// What a client wants of a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking<'a> {
    /// What it is willing to spend.
    pub limits: Limits,
    /// The only description digest that it accepts.
    pub pinned: Option<[u8; 32]>,
    /// The model's name; empty for a server's only one.
    pub model: &'a str,
}

/// A server's description, parsed but not yet accepted.
#[derive(Debug)]
pub struct Offer {
    channel: Channel,
    inner: handshake::Proposal,
    description: Description,
    limits: Limits,
    meter: Meter,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

impl Offer {
    /// Says hello and receives the description. `pinned`: the only description digest accepted.
    ///
    /// # Errors
    /// The server's refusal, the link's, or [`GazelleError::Description`].
    pub fn receive(
        channel: Channel,
        limits: Limits,
        pinned: Option<[u8; 32]>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, GazelleError> {
        Self::ask(channel, &Asking { limits, pinned, model: "" }, &mut |_| false, rng)
    }

    /// As [`receive`](Self::receive), of a model by name, and in line if the server is full: `line` is told
    /// the place, 1 for the next, and says whether to go on waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); [`GazelleError::Busy`] if `line` does not wait.
    pub fn ask(
        mut channel: Channel,
        asking: &Asking<'_>,
        line: &mut Line<'_>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Self, GazelleError> {
        let Asking { limits, pinned, model } = *asking;
        let model = ModelName::new(model).ok_or(GazelleError::NoModel)?;
        let meter = Meter::start(&channel);
        let caps = Caps {
            traffic_bytes: limits.traffic_bytes,
            memory_bytes: limits.memory_bytes,
            ..Caps::default()
        };
        let hello = Hello { caps, pinned, model, ..Hello::default() };
        let mut nonce = [0; 32];
        coins::fresh(rng)?.fill_bytes(&mut nonce);
        let inner =
            handshake::request(&mut channel, &hello, &nonce, line).map_err(handshake_error)?;
        match Description::parse(inner.description()) {
            Ok(description) => Ok(Self { channel, inner, description, limits, meter }),
            Err(error) => {
                channel.send_error();
                Err(error)
            }
        }
    }

    /// Returns what the server offers; not validated.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// How many inferences the server allows now; `u64::MAX` if it does not limit them.
    pub fn allowance(&self) -> u64 {
        self.inner.allowance()
    }

    /// BLAKE3 of the description: what later sessions may pin.
    pub fn digest(&self) -> [u8; 32] {
        self.inner.digest()
    }

    /// Validates everything against `suite` and this client's limits, confirms, and runs both
    /// protocols' setup.
    ///
    /// # Errors
    /// [`GazelleError::Description`] or [`GazelleError::Limit`] if the offer is not acceptable
    /// (the server is told that something is), else the protocols' and the link's.
    pub fn accept<L: LinearProtocol, N: NonlinearProtocol>(
        self,
        suite: Suite<L, N>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Client<L, N>, GazelleError> {
        self.accept_with(suite, None, rng)
    }

    /// As [`accept`](Self::accept); goes on with a setup of `shelf` if the server knows one of them too, and
    /// keeps a new one there.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_with<L: LinearProtocol, N: NonlinearProtocol>(
        self,
        suite: Suite<L, N>,
        shelf: Option<&dyn ClientShelf>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Client<L, N>, GazelleError> {
        let mut client = self.accept_unprepared(suite)?;
        client.set_up(shelf, rng)?;
        Ok(client)
    }

    /// Validates and confirms as [`accept`](Self::accept), without a setup: for sessions that use stored material,
    /// and may [set up](Client::set_up) later.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_unprepared<L: LinearProtocol, N: NonlinearProtocol>(
        mut self,
        suite: Suite<L, N>,
    ) -> Result<Client<L, N>, GazelleError> {
        match self.confirm(&suite) {
            Ok(parts) => {
                let handshake = self.meter.stop(&self.channel);
                let allowance = self.inner.allowance();
                let start = (handshake, allowance);
                Ok(Client::new(suite, self.description, parts, self.channel, start))
            }
            Err(error) => {
                self.channel.send_error();
                Err(error)
            }
        }
    }

    fn confirm<L: LinearProtocol, N: NonlinearProtocol>(
        &mut self,
        suite: &Suite<L, N>,
    ) -> Result<SessionParts<L, N>, GazelleError> {
        let refuse = |error: &dyn std::fmt::Display| GazelleError::Description(error.to_string());
        let description = &self.description;
        let (linear, nonlinear) = (suite.linear(), suite.nonlinear());
        if description.linear != linear.name() {
            return Err(GazelleError::Description(format!(
                "linear protocol `{}`, this client has `{}`",
                description.linear,
                linear.name()
            )));
        }
        let tolerance = description.model.tolerance;
        if !tolerance.is_finite() || tolerance < 0.0 {
            return Err(GazelleError::Description(format!("tolerance {tolerance}")));
        }
        // Before anything is allocated by the description's sizes.
        let tensors = description.architecture.tensors();
        let elements: u64 = tensors.iter().map(|tensor| tensor.shape.len() as u64).sum();
        self.limit_memory(16 * elements)?;
        if let Some(interface) = &description.model.interface {
            let architecture = &description.architecture;
            let input = architecture.input().shape;
            let classes = gazelle_model::reveal::classes(architecture);
            interface.check(input, classes).map_err(|e| refuse(&e))?;
            if interface.output.reveal != gazelle_model::reveal::revealed(architecture) {
                return Err(GazelleError::Description(
                    "the network does not reveal what the description says".into(),
                ));
            }
        }
        let plan = Plan::new(description.architecture.clone()).map_err(|e| refuse(&e))?;
        let linear_plan: L::Plan =
            serde_json::from_value(description.linear_plan.clone()).map_err(|e| refuse(&e))?;
        let linear_plan = Arc::new(linear_plan);
        linear.validate(plan.groups(), &linear_plan).map_err(|e| refuse(&e))?;
        let compiled =
            Arc::new(nonlinear.compile(Arc::clone(plan.steps())).map_err(|e| refuse(&e))?);
        let names: Vec<String> = (0..plan.steps().len())
            .map(|step| nonlinear.name(&compiled, step).to_owned())
            .collect();
        if names != description.nonlinear {
            return Err(GazelleError::Description(
                "this client's suite computes some step by another protocol".into(),
            ));
        }
        if suite.clients() != Clients::Trusted {
            check_auditable(&plan).map_err(|e| refuse(&e))?;
        }
        let traffic = PlannedTraffic::predict(
            suite.clients(),
            &plan,
            (linear, &linear_plan),
            (nonlinear, &compiled),
            self.inner.description().len(),
        );
        self.check_limits(&plan, &traffic)?;
        let suite_bytes = Description::suite_bytes(suite, &names);
        self.channel.begin_phase();
        let inner = self.inner.clone();
        let coin = inner.accept(&mut self.channel, &suite_bytes).map_err(handshake_error)?;
        let link = self.channel.link_binding();
        let context = description::context(&coin, &suite_bytes, self.inner.description(), link);
        self.channel.bind(context);
        let bound = description::kept_binding(&suite_bytes, self.inner.description());
        let setup = LinearSetup { plan: linear_plan, context };
        Ok(SessionParts { plan, names, traffic, setup, bound, compiled })
    }

    fn check_limits(&self, plan: &Plan, traffic: &PlannedTraffic) -> Result<(), GazelleError> {
        let needed = traffic.cold().total();
        let limit = self.limits.traffic_bytes;
        if needed > limit {
            return Err(GazelleError::Limit { what: "one inference's traffic", needed, limit });
        }
        self.limit_memory(memory_estimate(plan, traffic))
    }

    fn limit_memory(&self, needed: u64) -> Result<(), GazelleError> {
        let limit = self.limits.memory_bytes;
        if needed > limit {
            return Err(GazelleError::Limit { what: "one inference's memory", needed, limit });
        }
        Ok(())
    }
}

/// What models a server has for this client, in the server's own words: at most 4 MiB.
///
/// Cost: one round trip; the channel is used up.
///
/// # Errors
/// The server's refusal, or the link's.
pub fn catalogue(mut channel: Channel) -> Result<Vec<u8>, GazelleError> {
    handshake::request_catalogue(&mut channel).map_err(handshake_error)
}

/// Returns bytes that a prepared inference may take: every tensor as 64-bit words, all that the offline
/// phase of the non-linear steps brings, and all that they say online, which waits here for a peer that does not read.
pub(crate) fn memory_estimate(plan: &Plan, traffic: &PlannedTraffic) -> u64 {
    let (_, elements) = plan.elements();
    let NonlinearTraffic { offline, online, .. } = &traffic.nonlinear;
    let steps: u64 = offline.iter().chain(online).map(gazelle_wire::Cost::total).sum();
    let setup = traffic.linear.setup.server_to_client;
    (elements as u64) * 8 + steps + 2 * setup
}

/// What acceptance gives to the client's session.
pub(crate) struct SessionParts<L: LinearProtocol, N: NonlinearProtocol> {
    pub(crate) plan: Plan,
    pub(crate) names: Vec<String>,
    pub(crate) traffic: PlannedTraffic,
    pub(crate) setup: LinearSetup<L::Plan>,
    /// What setups and material that are kept are good for.
    pub(crate) bound: [u8; 32],
    pub(crate) compiled: Arc<N::Compiled>,
}

/// Returns the handshake's errors in the terms of sessions.
pub(crate) fn handshake_error(error: HandshakeError) -> GazelleError {
    match error {
        HandshakeError::Channel(error) => GazelleError::Channel(error),
        HandshakeError::Busy => GazelleError::Busy,
        HandshakeError::Refused => GazelleError::Refused,
        HandshakeError::Version { .. } => GazelleError::Version(error.to_string()),
        HandshakeError::Exhausted { seconds } => GazelleError::Exhausted { seconds },
        HandshakeError::Model => GazelleError::NoModel,
        HandshakeError::Pinned { served, pinned } => GazelleError::Pinned { served, pinned },
        other => GazelleError::Peer(other.to_string()),
    }
}
