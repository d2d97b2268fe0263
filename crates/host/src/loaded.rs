//! From an ONNX file to a model that can be served: description, calibration, quantisation, plan.

use std::path::{Path, PathBuf};

use gazelle::backend::{
    BaseOt, Choice, CompiledModel, DefaultService, StepProtocol, planner, quantise,
};
use gazelle::share::{Architecture, NodeKind};
use gazelle::wire::Link;
use gazelle::{AuditRate, GazelleError, Hints, ModelInfo};
use gazelle_model::{
    ImportOptions, ImportedModel, Interface, Likeness, Options, Quantised, RangeSource,
    RoundingMode, hold_input,
};

use crate::error::HostError;

/// A model as its files say it, not quantised yet.
#[derive(Debug)]
pub struct ModelFile {
    /// What clients see, unless somebody wants another name.
    pub name: String,
    /// The network.
    pub imported: ImportedModel,
    /// What inputs and outputs mean: of `model.toml`, or taken for granted.
    pub interface: Interface,
    path: PathBuf,
}

impl ModelFile {
    /// Reads an ONNX file and the `model.toml` beside it.
    ///
    /// # Errors
    /// [`HostError::Model`] if one of them cannot be used.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Self, HostError> {
        let imported = gazelle_model::load(path, options)?;
        let interface = Interface::beside(path, &imported.graph)?;
        let name = interface.name.clone().unwrap_or_else(|| name_of(path));
        Ok(Self { name, imported, interface, path: path.to_path_buf() })
    }

    /// The tensors of `samples/*.npy` beside the model, `limit` at most.
    pub fn samples(&self, limit: usize) -> Vec<Vec<f32>> {
        gazelle_model::samples::beside(&self.path, &self.imported.graph, limit)
    }

    /// Quantises and chooses protocols. `calibration`: input tensors, row-major.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(self, calibration: Vec<Vec<f32>>, wanted: Wanted) -> Result<Loaded, HostError> {
        load(self.imported, self.name, self.interface, calibration, wanted)
    }
}

/// A quantised model with all that describes it.
#[derive(Debug)]
pub struct Loaded {
    /// As imported, with the reference that evaluates the file itself.
    pub model: ImportedModel,
    /// The fixed-point network and what was found out about it.
    pub quantised: Quantised,
    /// What clients are told.
    pub info: ModelInfo,
    /// Who said which inputs are taken.
    pub range_source: RangeSource,
    /// The protocols.
    pub choice: Choice,
    /// What it was quantised by.
    options: Options,
}

/// What the plan is to be made for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// What computes the non-linear steps; none: whatever is better for network and link.
    pub backend: Option<StepProtocol>,
    /// Between the parties.
    pub link: Link,
    /// Classes that a top-k reveals.
    pub reveal_count: usize,
    /// Inferences per setup.
    pub inferences: u32,
    /// Under the OT extension.
    pub base_ot: BaseOt,
    /// How long hints serve.
    pub hints: Hints,
    /// Whether nodes are numbered instead of named.
    pub anonymous_names: bool,
    /// What the steps do with the bits below the scale.
    pub rounding: RoundingMode,
    /// Whether every input in the range must be proven to fit.
    pub guaranteed: bool,
    /// Where clients are not trusted: how many of their prepared inferences are opened. Needs exact rounding; all
    /// steps are garbled then.
    pub audit: Option<AuditRate>,
}

impl Default for Wanted {
    /// What the program does where nothing is said: for a LAN, exact, one class of a top-k.
    fn default() -> Self {
        Self {
            backend: None,
            link: Link::LAN,
            reveal_count: 1,
            inferences: 1,
            base_ot: BaseOt::default(),
            hints: Hints::default(),
            anonymous_names: false,
            rounding: RoundingMode::Exact,
            guaranteed: false,
            audit: None,
        }
    }
}

/// Everything behind the files: declares the input's range, quantises, chooses what is revealed and the
/// protocols.
///
/// # Errors
/// [`HostError::Model`] if the network cannot be quantised, or does not compute what the file does;
/// [`HostError::Session`] if it cannot be planned.
pub fn load(
    model: ImportedModel,
    name: String,
    mut interface: Interface,
    calibration: Vec<Vec<f32>>,
    wanted: Wanted,
) -> Result<Loaded, HostError> {
    let (input_range, range_source) = interface.declare(&model.graph, &calibration)?;
    model.verify(&input_range, &calibration)?;
    let resolution = interface.output.resolution;
    let reference = Some(model.reference.clone());
    let Wanted { rounding, guaranteed, .. } = wanted;
    let options = Options {
        calibration,
        input_range,
        resolution,
        reference,
        rounding,
        guaranteed,
        watcher: model.watcher.clone(),
        ..Options::default()
    };
    let mut quantised = quantise(&model.graph, &options)?;
    interface.output.resolution = Some(quantised.report.resolution);
    let what = interface.output.reveal;
    gazelle_model::reveal::reveal(&mut quantised.network, what, wanted.reveal_count)?;
    if wanted.audit.is_some() {
        hold_input(&mut quantised.network, &options.input_range)?;
    }
    if wanted.anonymous_names {
        let network = &mut quantised.network;
        let anonymous = network.architecture().clone().with_anonymous_names();
        network
            .set_architecture(anonymous)
            .map_err(|error| HostError::Caller(format!("anonymous names: {error}")))?;
    }
    let tolerance = quantised.report.tolerance;
    let proven = quantised.report.proven();
    interface.likeness =
        if proven { None } else { Likeness::of(&options.calibration, model.graph.input_shape()) };
    let info = ModelInfo { name, interface: Some(interface), tolerance, proven };
    let choice = choose(quantised.network.architecture(), wanted)?;
    Ok(Loaded { model, quantised, info, range_source, choice, options })
}

/// The protocols for a network, a link and what the user wants.
///
/// # Errors
/// [`GazelleError::Plan`] if the network cannot be planned.
pub fn choose(architecture: &Architecture, wanted: Wanted) -> Result<Choice, GazelleError> {
    let uniform = |step| {
        let choice = Choice::uniform(architecture, step)?;
        Ok(choice.for_inferences(wanted.inferences))
    };
    if let Some(rate) = wanted.audit {
        let choice = uniform(StepProtocol::Garbled)?.for_untrusted_clients(rate);
        return Ok(Choice { base_ot: wanted.base_ot, hints: wanted.hints, ..choice });
    }
    let choice = match wanted.backend {
        Some(step) => uniform(step),
        None => planner::choose(architecture, wanted.link, wanted.inferences),
    }?;
    Ok(Choice { base_ot: wanted.base_ot, hints: wanted.hints, ..choice })
}

/// `models/mnist/model.onnx` is called `mnist`, `net.onnx` is called `net`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let folder = || {
        let parent: PathBuf = std::fs::canonicalize(path).ok()?.parent()?.to_path_buf();
        Some(parent.file_name()?.to_string_lossy().into_owned())
    };
    match stem {
        Some(stem) if stem == "model" => folder().unwrap_or(stem),
        Some(stem) => stem,
        None => "model".into(),
    }
}

impl Loaded {
    /// Non-linear steps.
    pub fn steps(&self) -> usize {
        let nodes = &self.quantised.network.architecture().nodes();
        nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count()
    }

    /// What serving it takes; `remarks` are for its owner.
    pub fn compiled(&self, remarks: Vec<String>) -> CompiledModel {
        CompiledModel {
            info: self.info.clone(),
            choice: self.choice.clone(),
            network: self.quantised.network.clone(),
            remarks,
        }
    }

    /// The same, where nothing else is needed of it any more.
    pub fn into_compiled(self, remarks: Vec<String>) -> CompiledModel {
        let Self { info, choice, quantised, .. } = self;
        CompiledModel { info, choice, network: quantised.network, remarks }
    }

    /// Plans and compiles.
    ///
    /// # Errors
    /// [`GazelleError::Plan`] if the network cannot be planned.
    pub fn compile(&self) -> Result<DefaultService, GazelleError> {
        let suite = self.choice.suite(self.steps());
        let network = self.quantised.network.clone();
        DefaultService::compile(suite, network, self.info.clone(), self.choice.to_value())
    }

    /// What was chosen of the file, and what a user should know about it.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.model.warnings.clone();
        if !self.model.other_outputs.is_empty() {
            remarks.push(format!(
                "computes the output {:?}; the file also has {} (--output NAME)",
                self.model.output,
                self.model.other_outputs.join(", ")
            ));
        }
        remarks
    }

    /// The same model with ranges that hold for every input; none where it has them, or is too large
    /// to try.
    pub fn guaranteed(&self, wanted: Wanted) -> Option<Result<Self, HostError>> {
        let small = self.model.graph.macs() <= GUARANTEED_AT_MOST;
        if !small || self.quantised.report.proven() {
            return None;
        }
        let (model, info) = (self.model.clone(), self.info.clone());
        let calibration = self.options.calibration.clone();
        let wanted = Wanted { guaranteed: true, ..wanted };
        let interface = info.interface?;
        Some(load(model, info.name, interface, calibration, wanted))
    }

    /// Whether hidden values fit, of which inputs.
    pub fn proof(&self) -> String {
        match &self.quantised.report.unproven {
            Some(steps) if steps.is_empty() => {
                "hidden values: proven to fit for every input in this range".into()
            }
            Some(steps) => format!(
                "hidden values: fit for inputs like the calibration's; {} of {} steps may\n  \
                 overflow for others in the range, which gives a wrong answer (--guaranteed)",
                steps.len(),
                self.steps()
            ),
            None => "hidden values: fit for inputs like the calibration's; others in the range\n  \
                     may overflow, which gives a wrong answer (--guaranteed)"
                .into(),
        }
    }

    /// How long hints serve.
    pub fn hints(&self) -> &'static str {
        match self.choice.hints {
            Hints::Reused => "hints serve a session",
            Hints::Fresh => "hints are fresh in every inference",
        }
    }

    /// Whether clients are trusted.
    pub fn clients(&self) -> String {
        match self.choice.audit {
            None => "clients are trusted to follow the protocol".into(),
            Some(rate) => format!("clients are not trusted: {rate} of what they prepare is opened"),
        }
    }

    /// Which inputs are taken, and who said so.
    pub fn range(&self) -> String {
        let range = self.info.interface.as_ref().and_then(|interface| interface.range.as_ref());
        let range = range.map(ToString::to_string).unwrap_or_default();
        match self.range_source {
            RangeSource::Given => format!("inputs: {range}, by model.toml"),
            RangeSource::Calibration => format!(
                "inputs: {range}, from {} calibration inputs and a margin\n  \
                 (model.toml may say otherwise: [input] range = [low, high])",
                self.quantised.report.calibration_inputs
            ),
            RangeSource::Assumed => format!(
                "inputs: {range}, ASSUMED: no calibration inputs, no range in model.toml.\n  \
                 Give --calibration, or [input] range = [low, high] in model.toml"
            ),
        }
    }
}

/// Multiply-adds of networks that are quantised a second time, to tell what a guarantee would cost.
const GUARANTEED_AT_MOST: u64 = 1 << 27;
