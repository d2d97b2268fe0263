//! The program's protocols: public-coin linear layers; for each non-linear step garbled circuits
//! or GMW, over one OT extension. The only module that names those primitives.

mod any_ot;
mod compiled;
mod machine;
mod plannable;
pub mod planner;
mod side_by_side;
mod stretch;

use gazelle_garble::HalfGates;
use gazelle_linear::PublicCoin;
use gazelle_nonlinear::{PerLayer, StepChoice};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use any_ot::{AnyOt, Extension};
pub use compiled::CompiledModel;
pub use gazelle_ot::BaseOt;
pub use machine::Machine;
pub use plannable::quantise;
pub use planner::Prediction;
pub use side_by_side::SideBySide;

use crate::description::Description;
use crate::error::GazelleError;
use crate::session::client::Prepared;
use crate::session::{Client, Service};
use crate::suite::{AuditRate, Clients, Hints, Suite};

/// The program's non-linear protocol.
pub(crate) type Nonlinear = PerLayer<Extension, HalfGates>;
/// The program's suite.
pub type DefaultSuite = Suite<PublicCoin, Nonlinear>;
/// A server with the program's suite.
pub type DefaultService = Service<PublicCoin, Nonlinear>;
/// A client with the program's suite.
pub type DefaultClient = Client<PublicCoin, Nonlinear>;

/// A client's material with the program's suite.
pub type DefaultPrepared = Prepared<Nonlinear>;

/// What computes the non-linear steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepProtocol {
    /// Garbled circuits: one round trip, kilobytes per element.
    Garbled,
    /// Shares and random OTs: some trips, a few bytes per element.
    Gmw,
    /// The same with fewer trips and more bytes, for steps that have such a variant.
    GmwFewTrips,
}

impl StepProtocol {
    /// Returns the name in reports and descriptions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Garbled => "garbled",
            Self::Gmw => "gmw",
            Self::GmwFewTrips => "gmw-few-trips",
        }
    }

    /// In the terms of the non-linear layers; what GMW does not compute is garbled.
    pub(crate) fn step_choice(self) -> StepChoice {
        match self {
            Self::Garbled => StepChoice::Garbled,
            Self::Gmw => StepChoice::Auto,
            Self::GmwFewTrips => StepChoice::GmwFewTrips,
        }
    }
}

/// The protocol of a step: the last one named counts for all that follow; garbled circuits if none is.
pub(crate) fn protocol_of(named: &[StepProtocol], step: usize) -> StepProtocol {
    match named.get(step).or(named.last()) {
        Some(protocol) => *protocol,
        None => StepProtocol::Garbled,
    }
}

/// Which protocols a suite is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Inferences that share one setup: linear plans weigh hints against requests with it.
    pub inferences_per_setup: u32,
    /// The OT extension.
    pub ot: AnyOt,
    /// The base OTs under it.
    pub base_ot: BaseOt,
    /// Whether linear setups serve a session or one inference.
    pub hints: Hints,
    /// How many inferences a client may make, where the server's owner says so; it is the server that
    /// counts.
    pub max_inferences: Option<u64>,
    /// Where clients are not trusted: how many of their prepared inferences are opened. All steps are garbled then.
    pub audit: Option<AuditRate>,
    /// By step; the last one counts for all that follow.
    pub steps: Vec<StepProtocol>,
}

/// What of a [`Choice`] travels in a description beside the steps' names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Travelling {
    inferences_per_setup: u32,
    ot: AnyOt,
    /// Whether the base OTs rest on Ristretto255 alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    classic_base_ot: bool,
    /// Whether every inference has a linear setup of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fresh_hints: bool,
    /// How many inferences a client may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_inferences: Option<u64>,
    /// Where clients are not trusted: one of how many inferences is opened, as a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audit: Option<[u32; 2]>,
    /// Steps of the variant with few trips.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    few_trips: Vec<usize>,
}

impl Travelling {
    fn parse(value: Value) -> Result<Self, GazelleError> {
        let travelling: Self = serde_json::from_value(value)
            .map_err(|error| GazelleError::Description(format!("choice of backends: {error}")))?;
        if travelling.audit_rate().is_some_and(|rate| !rate.is_sensible()) {
            return Err(GazelleError::Description("audits of none, or of more than half".into()));
        }
        Ok(travelling)
    }

    fn audit_rate(&self) -> Option<AuditRate> {
        self.audit.map(|[audits, of]| AuditRate { audits, of })
    }

    fn with(self, steps: Vec<StepProtocol>) -> Choice {
        Choice {
            inferences_per_setup: self.inferences_per_setup,
            ot: self.ot,
            base_ot: if self.classic_base_ot { BaseOt::Classic } else { BaseOt::Hybrid },
            hints: if self.fresh_hints { Hints::Fresh } else { Hints::Reused },
            max_inferences: self.max_inferences,
            audit: self.audit_rate(),
            steps,
        }
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self::all(StepProtocol::Garbled)
    }
}

impl Choice {
    /// The same protocol for every step.
    pub fn all(step: StepProtocol) -> Self {
        Self {
            inferences_per_setup: 1,
            ot: AnyOt::default(),
            base_ot: BaseOt::default(),
            hints: Hints::Reused,
            max_inferences: None,
            audit: None,
            steps: vec![step],
        }
    }

    /// The same protocol for every step, with the OT extension that suits the network.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the network cannot be planned.
    pub fn uniform(
        architecture: &gazelle_share::Architecture,
        step: StepProtocol,
    ) -> Result<Self, GazelleError> {
        let plan = crate::plan::Plan::new(architecture.clone())?;
        let (down, up) = planner::rots(plan.steps(), &[step]);
        let ot = AnyOt::For(down, up);
        Ok(Self { ot, ..Self::all(step) })
    }

    /// The same choice for a client that makes `inferences` in each session: linear plans send
    /// more ahead, and the OT extension is chosen for all of them together.
    #[must_use]
    pub fn for_inferences(mut self, inferences: u32) -> Self {
        self.inferences_per_setup = inferences.max(1);
        if let AnyOt::For(down, up) = &mut self.ot {
            for count in [down, up] {
                *count = count.saturating_mul(inferences.max(1));
            }
        }
        self
    }

    /// Returns what a server's description asks for.
    ///
    /// # Errors
    /// [`GazelleError::Description`] if this program does not know it.
    pub fn parse(description: &Description) -> Result<Self, GazelleError> {
        let travelling = Travelling::parse(description.choice.clone())?;
        let step = |(index, name): (usize, &String)| match name.as_str() {
            "garbled" => Ok(StepProtocol::Garbled),
            "gmw" if travelling.few_trips.contains(&index) => Ok(StepProtocol::GmwFewTrips),
            "gmw" => Ok(StepProtocol::Gmw),
            _ => Err(GazelleError::Description(format!("unknown step protocol {name:?}"))),
        };
        let steps = description.nonlinear.iter().enumerate().map(step).collect::<Result<_, _>>()?;
        Ok(travelling.with(steps))
    }

    /// Returns what [`to_value`](Self::to_value) wrote, with the steps' protocols.
    ///
    /// # Errors
    /// [`GazelleError::Description`] if this program does not know it.
    pub(crate) fn from_value(value: Value, steps: Vec<StepProtocol>) -> Result<Self, GazelleError> {
        Ok(Travelling::parse(value)?.with(steps))
    }

    /// The same choice for clients that are not trusted: all steps garbled and checked, and one of so many prepared
    /// inferences opened.
    #[must_use]
    pub fn for_untrusted_clients(self, rate: AuditRate) -> Self {
        Self { audit: Some(rate), steps: vec![StepProtocol::Garbled], ..self }
    }

    /// Returns the protocol of a step.
    pub(crate) fn step(&self, step: usize) -> StepProtocol {
        protocol_of(&self.steps, step)
    }

    /// Returns how a step runs: where clients are not trusted it is checked.
    pub(crate) fn step_choice(&self, step: usize) -> StepChoice {
        match self.audit {
            Some(_) => StepChoice::Checked,
            None => self.step(step).step_choice(),
        }
    }

    /// Returns the part that travels in the description.
    pub fn to_value(&self) -> Value {
        let few = |step: &(usize, &StepProtocol)| *step.1 == StepProtocol::GmwFewTrips;
        let travelling = Travelling {
            inferences_per_setup: self.inferences_per_setup,
            ot: self.ot,
            classic_base_ot: self.base_ot == BaseOt::Classic,
            fresh_hints: self.hints == Hints::Fresh,
            max_inferences: self.max_inferences,
            audit: self.audit.map(|AuditRate { audits, of }| [audits, of]),
            few_trips: self.steps.iter().enumerate().filter(few).map(|(index, _)| index).collect(),
        };
        // optional: JSON holds all of it: this does not fail
        serde_json::to_value(travelling).unwrap_or(Value::Null)
    }

    /// Returns the suite of this choice, for a network of `steps` non-linear steps.
    pub fn suite(&self, steps: usize) -> DefaultSuite {
        let choices = (0..steps).map(|step| self.step_choice(step)).collect();
        let clients = match self.audit {
            Some(rate) => Clients::Untrusted(self.base_ot, rate),
            None => Clients::Trusted,
        };
        let inferences_per_setup = match self.hints {
            Hints::Reused => self.inferences_per_setup,
            Hints::Fresh => 1,
        };
        let linear = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
        let ot = self.ot.extension(self.base_ot);
        Suite::new(linear, PerLayer { ot, scheme: HalfGates::default(), choices })
            .with_hints(self.hints)
            .with_clients(clients)
    }
}
