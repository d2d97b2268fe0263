//! The server: one compiled model, shared by all sessions.

use std::sync::Arc;

use gazelle_share::{LinearProtocol, LinearWeights, Network, NonlinearProtocol};
use gazelle_wire::handshake;
use serde_json::Value;

use crate::description::{self, Description, ModelInfo};
use crate::error::GazelleError;
use crate::plan::{GroupPlace, Plan};
use crate::report::{InferenceReport, Phase};
use crate::session::audit::{OPENINGS, check_auditable};
use crate::session::offer::memory_estimate;
use crate::suite::{Clients, Suite};
use crate::traffic::PlannedTraffic;

/// What one session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Prepared inferences that wait for their input.
    pub prepared: usize,
    /// Inferences in all.
    pub inferences: usize,
    /// Memory of the waiting ones, estimated from the plan; one is always allowed.
    pub memory_bytes: u64,
}

impl Default for ServerLimits {
    /// 64 waiting in 4 GiB, 2^20 in all (hints are to be refreshed after that many).
    fn default() -> Self {
        Self { prepared: 64, inferences: 1 << 20, memory_bytes: 4 << 30 }
    }
}

/// What a session did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerReport {
    /// Handshake and setup.
    pub setup: Phase,
    /// Completed inferences, in the order of their online phases.
    pub inferences: Vec<InferenceReport>,
}

/// A compiled model, ready to be served to many clients at once.
pub struct Service<L: LinearProtocol, N: NonlinearProtocol> {
    pub(crate) suite: Suite<L, N>,
    pub(crate) plan: Plan,
    pub(crate) network: Network,
    pub(crate) linear: Arc<L::Compiled>,
    pub(crate) nonlinear: Arc<N::Compiled>,
    pub(crate) names: Vec<String>,
    pub(crate) description: Vec<u8>,
    pub(crate) suite_bytes: Vec<u8>,
    pub(crate) traffic: PlannedTraffic,
}

/// The weights of each linear group's operators.
fn grouped<'a>(plan: &Plan, network: &'a Network) -> Vec<Vec<&'a LinearWeights>> {
    let weights_of =
        |place: &GroupPlace| place.nodes.iter().map(|node| network.weights(*node)).collect();
    plan.places().iter().map(weights_of).collect()
}

/// Chooses parameters and packings of the linear layers.
///
/// # Errors
/// [`GazelleError::Layer`] names a layer that has none.
pub(crate) fn plan_linear<L: LinearProtocol>(
    linear: &L,
    plan: &Plan,
    network: &Network,
) -> Result<L::Plan, GazelleError> {
    let refuse = GazelleError::layer("plan of the linear layers");
    linear.plan(plan.groups(), &grouped(plan, network)).map_err(refuse)
}

impl<L: LinearProtocol, N: NonlinearProtocol> std::fmt::Debug for Service<L, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("steps", &self.names.len()).finish_non_exhaustive()
    }
}

impl<L: LinearProtocol, N: NonlinearProtocol> Service<L, N> {
    /// Plans and compiles `network`. `choice` travels in the description: what clients need to
    /// build the same suite.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the network cannot be computed by this suite.
    pub fn compile(
        suite: Suite<L, N>,
        network: Network,
        model: ModelInfo,
        choice: Value,
    ) -> Result<Self, GazelleError> {
        let plan = Plan::new(network.architecture().clone())?;
        let linear_plan = plan_linear(suite.linear(), &plan, &network)?;
        let grouped = grouped(&plan, &network);
        let refuse = GazelleError::layer("plan of the linear layers");
        suite.linear().validate(plan.groups(), &linear_plan).map_err(refuse)?;
        let linear_value = serde_json::to_value(&linear_plan)
            .map_err(|error| GazelleError::Plan(error.to_string()))?;
        let linear_plan = Arc::new(linear_plan);
        let linear = suite
            .linear()
            .compile(Arc::clone(plan.groups()), Arc::clone(&linear_plan), &grouped)
            .map_err(GazelleError::layer("weights of the linear layers"))?;
        let nonlinear = suite
            .nonlinear()
            .compile(Arc::clone(plan.steps()))
            .map_err(GazelleError::layer("plan of the non-linear layers"))?;
        let names: Vec<String> = (0..plan.steps().len())
            .map(|step| suite.nonlinear().name(&nonlinear, step).to_owned())
            .collect();
        let description = Description {
            model,
            architecture: plan.architecture().clone(),
            linear: suite.linear().name().to_owned(),
            linear_plan: linear_value,
            nonlinear: names.clone(),
            choice,
        }
        .to_bytes()?;
        if description.len() > handshake::DESCRIPTION_BYTES {
            return Err(GazelleError::Plan(format!(
                "the description takes {} bytes, more than {}",
                description.len(),
                handshake::DESCRIPTION_BYTES
            )));
        }
        if suite.clients() != Clients::Trusted {
            check_auditable(&plan)?;
        }
        let traffic = PlannedTraffic::predict(
            suite.clients(),
            &plan,
            (suite.linear(), &linear_plan),
            (suite.nonlinear(), &nonlinear),
            description.len(),
        );
        let suite_bytes = Description::suite_bytes(&suite, &names);
        Ok(Self {
            suite,
            plan,
            network,
            linear: Arc::new(linear),
            nonlinear: Arc::new(nonlinear),
            names,
            description,
            suite_bytes,
            traffic,
        })
    }

    /// Returns the order of work.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns what the plan puts on the wire.
    pub fn traffic(&self) -> &PlannedTraffic {
        &self.traffic
    }

    /// Returns the same of an inference before which its session has prepared or opened `earlier` ones.
    pub fn traffic_after(&self, earlier: usize) -> PlannedTraffic {
        self.traffic.later(self.suite.nonlinear().traffic(&self.nonlinear, earlier))
    }

    /// Bytes of a cold inference with those of the inferences that are opened before it, on average; nothing where
    /// clients are trusted. Linear setups of opened inferences apart, where each has its own.
    pub fn audited_bytes(&self) -> Option<f64> {
        let (_, rate) = self.suite.clients().audits()?;
        let opens = f64::from(rate.audits) / f64::from(rate.of.max(1));
        let (mut reached, mut mean) =
            (1.0, (self.traffic.setup + self.traffic.online).total() as f64);
        for earlier in 0..OPENINGS as usize {
            let PlannedTraffic { offline, opened, .. } = self.traffic_after(earlier);
            let [offline, opened] = [offline, opened].map(|cost| cost.total() as f64);
            mean += reached * ((1.0 - opens) * offline + opens * opened);
            reached *= opens;
        }
        Some(mean)
    }

    /// Protocol of each non-linear step.
    pub fn protocols(&self) -> &[String] {
        &self.names
    }

    /// Returns the bytes that clients get; BLAKE3 of them is what they may pin.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// Bytes that a session with one prepared inference is predicted to take at the server.
    pub fn session_memory(&self) -> u64 {
        memory_estimate(&self.plan, &self.traffic)
    }

    /// What setups that are kept are bound to; the weights, by the linear protocol itself.
    pub(crate) fn kept_binding(&self) -> [u8; 32] {
        description::kept_binding(&self.suite_bytes, &self.description)
    }

    /// What the client's confirmation covers besides the description.
    pub(crate) fn suite_bytes(&self) -> &[u8] {
        &self.suite_bytes
    }
}
