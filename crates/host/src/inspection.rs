//! Can a model run privately, and what will it take?

use gazelle::backend::planner::StepPrediction;
use gazelle::backend::{Choice, DefaultService, Machine, StepProtocol, planner};
use gazelle::share::Step;
use gazelle::wire::{Cost, Link};
use gazelle::{Description, Hints};
use gazelle_model::{ModelError, Unsupported};
use serde::Serialize;

use crate::error::HostError;
use crate::loaded::{Loaded, Wanted, choose};

/// What is known of a model before anybody serves it. Serialized: the stable form of `gazelle inspect
/// --json`.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Whether it can run.
    pub supported: bool,
    /// What keeps it from running: nodes, or the file as a whole.
    pub unsupported: Vec<Unsupported>,
    /// What a user should know about a model that can run.
    pub remarks: Vec<String>,
    /// As the file has it, with the batch axis.
    pub input_shape: Vec<usize>,
    /// What inputs are held to: `[[low, high]]`, or one pair per channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_range: Option<gazelle_model::InputRange>,
    /// Who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_range_source: Option<gazelle_model::RangeSource>,
    /// The same in words.
    #[serde(skip)]
    pub inputs: String,
    /// Of the largest ring.
    pub ring_bits: u32,
    /// Whether every inference has hints of its own.
    pub fresh_hints: bool,
    /// The same in words.
    #[serde(skip)]
    pub hints: &'static str,
    /// Whether clients are trusted, and how many of their inferences are opened if not: each of these costs an
    /// offline phase more.
    pub clients: String,
    /// Bytes that an inference which is opened takes, where clients are not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_bytes: Option<u64>,
    /// Bytes of a first inference and of those that are opened before one is used, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_bytes: Option<u64>,
    /// Linear groups, then non-linear steps.
    pub layers: Vec<PlannedLayer>,
    /// By link: a [`gazelle::backend::Prediction`].
    pub predicted: serde_json::Map<String, serde_json::Value>,
    /// By what prices the times are predicted: of an instruction set, or measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<String>,
    /// What quantisation did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_point: Option<gazelle_model::Report>,
    /// Whether no input in the range can overflow a hidden value.
    pub proven: bool,
    /// The same in words.
    #[serde(skip)]
    pub proof: String,
    /// What `--guaranteed` would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guaranteed: Option<Guarantee>,
}

/// Bytes of a first inference with ranges that are known for inputs like the calibration's, and with
/// guaranteed ones; or why there are none.
#[derive(Debug, Serialize)]
pub struct Guarantee {
    /// With ranges for inputs like the calibration's.
    pub bytes: u64,
    /// With guaranteed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guaranteed_bytes: Option<u64>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A linear group or a non-linear step, before it runs.
#[derive(Debug, Serialize)]
pub struct PlannedLayer {
    /// Name of the node; of all nodes for a linear group.
    pub name: String,
    /// `linear`, `nonlinear` or `output`.
    pub kind: &'static str,
    /// `public-coin`, `garbled`, `gmw`, ..
    pub protocol: String,
    /// Of its operands.
    pub ring_bits: u32,
    /// Both directions.
    pub offline_bytes: u64,
    /// Both directions.
    pub online_bytes: u64,
    /// Of non-linear layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<StepPrediction>,
    /// OTs of a non-linear layer, in the busier direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ots: Option<u32>,
}

impl Inspection {
    /// Of a model that cannot run.
    pub fn refused(error: ModelError) -> Self {
        Self {
            supported: false,
            unsupported: error.reasons(),
            remarks: Vec::new(),
            input_shape: Vec::new(),
            input_range: None,
            input_range_source: None,
            inputs: String::new(),
            ring_bits: 0,
            fresh_hints: false,
            hints: "",
            clients: String::new(),
            opened_bytes: None,
            audited_bytes: None,
            layers: Vec::new(),
            predicted: serde_json::Map::new(),
            prices: None,
            fixed_point: None,
            proven: false,
            proof: String::new(),
            guaranteed: None,
        }
    }

    /// Plans a model for each link, the last of which it keeps; the layers told are those of the first.
    /// `prices`: where the machine's come from.
    ///
    /// # Errors
    /// [`HostError::Session`] if it cannot be planned.
    pub fn of(
        model: &mut Loaded,
        wanted: Wanted,
        links: &[Link],
        (machine, prices): (&Machine, String),
    ) -> Result<Self, HostError> {
        let mut predicted = serde_json::Map::new();
        let mut shown = Vec::new();
        let (mut ring_bits, mut audits) = (0, None);
        for link in links {
            let architecture = &model.quantised.network.architecture();
            model.choice = choose(architecture, Wanted { link: *link, ..wanted })?;
            let server = model.compile()?;
            let (plan, traffic) = (server.plan(), server.traffic());
            let description = Description::parse(server.description())?;
            let prediction = planner::predict(plan, traffic, &description, *link, machine)?;
            let value = serde_json::to_value(prediction)
                .map_err(|error| HostError::Caller(format!("prediction: {error}")))?;
            predicted.insert(link.to_string(), value);
            if shown.is_empty() {
                let opened = traffic.opened.total();
                audits = server.audited_bytes().map(|audited| (opened, audited.round() as u64));
                let tensors = plan.architecture().tensors();
                ring_bits = tensors.iter().map(|tensor| tensor.ring_bits).max().unwrap_or(0);
                let steps = planner::predict_steps(plan, &description, *link, machine)?;
                let choice = Choice::parse(&description)?;
                shown = layers(&server, &steps, &choice);
            }
        }
        let guaranteed =
            links.first().and_then(|link| price(model, Wanted { link: *link, ..wanted }, machine));
        let interface = model.info.interface.as_ref();
        Ok(Self {
            supported: true,
            unsupported: Vec::new(),
            remarks: model.remarks(),
            input_shape: model.model.graph.input_dims.clone(),
            input_range: interface.and_then(|interface| interface.range.clone()),
            input_range_source: Some(model.range_source),
            inputs: model.range(),
            ring_bits,
            fresh_hints: model.choice.hints == Hints::Fresh,
            hints: model.hints(),
            clients: model.clients(),
            opened_bytes: audits.map(|(opened, _)| opened),
            audited_bytes: audits.map(|(_, audited)| audited),
            layers: shown,
            predicted,
            prices: Some(prices),
            fixed_point: Some(model.quantised.report.clone()),
            proven: model.quantised.report.proven(),
            proof: model.proof(),
            guaranteed,
        })
    }
}

/// What a guarantee for every input would cost, where it can be told: by one backend, so that the
/// ranges alone make the difference.
fn price(model: &Loaded, wanted: Wanted, machine: &Machine) -> Option<Guarantee> {
    let wanted = Wanted { backend: wanted.backend.or(Some(StepProtocol::Gmw)), ..wanted };
    let total = |model: &Loaded| -> Result<u64, HostError> {
        let network = model.quantised.network.clone();
        let choice = choose(network.architecture(), wanted)?;
        let suite = choice.suite(model.steps());
        let info = model.info.clone();
        let server = DefaultService::compile(suite, network, info, choice.to_value())?;
        let description = Description::parse(server.description())?;
        let (plan, traffic) = (server.plan(), server.traffic());
        let prediction = planner::predict(plan, traffic, &description, wanted.link, machine)?;
        let phases = [prediction.setup, prediction.offline, prediction.online];
        Ok(phases.iter().map(gazelle::Phase::bytes).sum())
    };
    let guaranteed = model.guaranteed(wanted)?;
    let guaranteed = guaranteed.and_then(|model| total(&model));
    let bytes = total(model).ok()?;
    Some(match guaranteed {
        Ok(guaranteed) => Guarantee { bytes, guaranteed_bytes: Some(guaranteed), why: None },
        Err(why) => Guarantee { bytes, guaranteed_bytes: None, why: Some(why.to_string()) },
    })
}

fn layers(
    server: &DefaultService,
    predicted: &[StepPrediction],
    choice: &Choice,
) -> Vec<PlannedLayer> {
    let plan = server.plan();
    let traffic = server.traffic();
    let total = |cost: Option<&Cost>| cost.map_or(0, Cost::total);
    let groups = plan.groups().iter().enumerate().map(|(index, group)| PlannedLayer {
        name: group.name.clone(),
        kind: "linear",
        protocol: "public-coin".into(),
        ring_bits: group.ring_bits,
        offline_bytes: total(traffic.linear.offline.get(index)),
        online_bytes: 0,
        predicted: None,
        ots: None,
    });
    // The last protocol named counts for all steps that follow.
    let named = choice.steps.len().saturating_sub(1);
    let protocol = |index: usize| choice.steps.get(index.min(named)..).unwrap_or_default();
    let last = plan.steps().len().saturating_sub(1);
    let steps = plan.steps().iter().enumerate().map(|(index, step)| PlannedLayer {
        name: plan.step_name(index).to_owned(),
        kind: if index == last { "output" } else { "nonlinear" },
        protocol: server.protocols().get(index).cloned().unwrap_or_default(),
        ring_bits: step.input_bits,
        offline_bytes: total(traffic.nonlinear.offline.get(index)),
        online_bytes: total(traffic.nonlinear.online.get(index)),
        predicted: predicted.get(index).copied(),
        ots: Some(ots(step, protocol(index))),
    });
    groups.chain(steps).collect()
}

/// OTs of a step's inference in the direction that has more of them.
fn ots(step: &Step, protocol: &[StepProtocol]) -> u32 {
    let (down, up) = planner::rots(std::slice::from_ref(step), protocol);
    down.max(up)
}
