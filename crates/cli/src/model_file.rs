//! Loading a model: ONNX, `model.toml`, calibration, quantisation, plan.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use gazelle::backend::{BaseOt, Choice, DefaultService, StepProtocol, planner};
use gazelle::share::{NodeKind, StepOutput};
use gazelle::wire::Link;
use gazelle::{GazelleError, Hints, ModelInfo};
use gazelle_model::{
    Graph, ImportOptions, ImportedModel, Interface, Likeness, ModelError, Options, Quantised,
    RangeSource, RoundingMode, quantise,
};

use crate::arguments::{Backend, ModelArguments};
use crate::failure::Failure;
use crate::image_input::Encoder;
use crate::input::{self, Input};
use crate::output;
use crate::screen::visible;

/// A quantised model with all that describes it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// As imported, with the reference that evaluates the file itself.
    pub(crate) model: ImportedModel,
    pub(crate) quantised: Quantised,
    pub(crate) info: ModelInfo,
    pub(crate) range_source: RangeSource,
    pub(crate) choice: Choice,
    /// What it was quantised by.
    options: Options,
}

/// Why a model cannot be loaded: unsupported operators are kept apart.
#[derive(Debug)]
pub(crate) enum LoadFailure {
    /// The file or its description.
    Model(ModelError),
    /// Anything else.
    Other(Failure),
}

impl From<LoadFailure> for Failure {
    fn from(failure: LoadFailure) -> Self {
        match failure {
            LoadFailure::Model(error) => Self::Run(error.to_string()),
            LoadFailure::Other(failure) => failure,
        }
    }
}

impl From<ModelError> for LoadFailure {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl From<Failure> for LoadFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// Loads the model of the command line.
pub(crate) fn load(
    model: &ModelArguments,
    name: Option<&str>,
    link: Link,
) -> Result<Loaded, LoadFailure> {
    let path = &model.file;
    let options = ImportOptions {
        input_shape: model.input_shape.clone(),
        output: model.output.clone(),
        ..ImportOptions::default()
    };
    let imported = gazelle_model::load(path, &options)?;
    let graph = &imported.graph;
    let mut interface = Interface::beside(path, graph)?;
    interface.output.resolution = model.resolution.or(interface.output.resolution);
    if let Some(reveal) = model.reveal {
        interface.output.reveal = reveal.into();
    }
    let calibration = calibration(model, graph, &interface)?;
    let own = || interface.name.clone().unwrap_or_else(|| name_of(path));
    let name = name.map_or_else(own, str::to_owned);
    build(imported, name, interface, calibration, model.wanted(link))
}

/// What the plan is to be made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) backend: Backend,
    pub(crate) link: Link,
    /// Classes that a top-k reveals.
    pub(crate) reveal_count: usize,
    /// Inferences per setup.
    pub(crate) inferences: u32,
    pub(crate) base_ot: BaseOt,
    pub(crate) hints: Hints,
    /// Whether nodes are numbered instead of named.
    pub(crate) anonymous_names: bool,
    pub(crate) rounding: RoundingMode,
    /// Whether every input in the range must be proven to fit.
    pub(crate) guaranteed: bool,
}

/// Everything behind the files.
fn build(
    model: ImportedModel,
    name: String,
    mut interface: Interface,
    calibration: Vec<Vec<f32>>,
    wanted: Wanted,
) -> Result<Loaded, LoadFailure> {
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
        ..Options::default()
    };
    let mut quantised = quantise(&model.graph, &options)?;
    interface.output.resolution = Some(quantised.report.resolution);
    let what = interface.output.reveal;
    gazelle_model::reveal::reveal(&mut quantised.network, what, wanted.reveal_count)?;
    if wanted.anonymous_names {
        let network = &mut quantised.network;
        let anonymous = network.architecture().clone().with_anonymous_names();
        network.set_architecture(anonymous).map_err(Failure::run("anonymous names"))?;
    }
    let tolerance = quantised.report.tolerance;
    let proven = quantised.report.proven();
    interface.likeness =
        if proven { None } else { Likeness::of(&options.calibration, model.graph.input_shape()) };
    let info = ModelInfo { name, interface: Some(interface), tolerance, proven };
    let choice = choose(quantised.network.architecture(), wanted).map_err(Failure::from)?;
    Ok(Loaded { model, quantised, info, range_source, choice, options })
}

impl ModelArguments {
    /// What the plan is to be made for.
    pub(crate) fn wanted(&self, link: Link) -> Wanted {
        Wanted {
            backend: self.backend,
            link,
            reveal_count: self.reveal_count,
            inferences: self.inferences_per_setup,
            base_ot: self.base_ot.into(),
            hints: self.hints.into(),
            anonymous_names: self.anonymous_names,
            rounding: self.rounding.into(),
            guaranteed: self.guaranteed,
        }
    }
}

/// The protocols for a network, a link and what the user wants.
pub(crate) fn choose(
    architecture: &gazelle::share::Architecture,
    wanted: Wanted,
) -> Result<Choice, GazelleError> {
    let uniform = |step| {
        let choice = Choice::uniform(architecture, step)?;
        Ok(choice.for_inferences(wanted.inferences))
    };
    let choice = match wanted.backend {
        Backend::Garbled => uniform(StepProtocol::Garbled),
        Backend::Gmw => uniform(StepProtocol::Gmw),
        Backend::Auto => planner::choose(architecture, wanted.link, wanted.inferences),
    }?;
    Ok(Choice { base_ot: wanted.base_ot, hints: wanted.hints, ..choice })
}

/// Calibration tensors: from the command line, or the samples beside the model.
fn calibration(
    model: &ModelArguments,
    graph: &Graph,
    interface: &Interface,
) -> Result<Vec<Vec<f32>>, LoadFailure> {
    if model.calibration.is_empty() {
        return Ok(gazelle_model::samples::beside(&model.file, graph, model.calibration_limit));
    }
    let inputs = input::read_all(&model.calibration, model.calibration_limit)?;
    if inputs.is_empty() {
        return Err(Failure::Run("no calibration inputs were found".into()).into());
    }
    let encoder = Encoder::uncoded(interface);
    Ok(inputs.iter().map(|input| encoder.tensor(input)).collect::<Result<_, _>>()?)
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
    pub(crate) fn steps(&self) -> usize {
        let nodes = &self.quantised.network.architecture().nodes();
        nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count()
    }

    /// Plans and compiles.
    pub(crate) fn compile(&self) -> Result<DefaultService, GazelleError> {
        let suite = self.choice.suite(self.steps());
        let network = self.quantised.network.clone();
        DefaultService::compile(suite, network, self.info.clone(), self.choice.to_value())
    }

    /// The prediction in the clear: what the file itself computes, in floating point.
    pub(crate) fn plaintext(&self, encoder: &Encoder, input: &Input) -> Result<Vec<f64>, Failure> {
        let tensor = encoder.tensor(input)?;
        let logits = self.model.values(&tensor).map_err(Failure::run(&input.name))?;
        Ok(logits.into_iter().map(f64::from).collect())
    }

    /// What was chosen of the file, and what a user should know about it.
    pub(crate) fn remarks(&self) -> Vec<String> {
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

    /// Some lines for people.
    pub(crate) fn summary(&self) -> String {
        let architecture = &self.quantised.network.architecture();
        let linear = |kind: &NodeKind| match kind {
            NodeKind::Linear(op) => Some(op.macs()),
            _ => None,
        };
        let macs: Vec<u64> = architecture.nodes().iter().filter_map(|n| linear(&n.kind)).collect();
        let elements: usize = architecture
            .nodes()
            .iter()
            .filter_map(|node| match &node.kind {
                NodeKind::Step(step) if matches!(step.output, StepOutput::Masked { .. }) => {
                    Some(step.input.len())
                }
                _ => None,
            })
            .sum();
        let report = &self.quantised.report;
        format!(
            "{}: {} linear layers, {:.2} M products, {} non-linear elements;\n  {}\n\
             fixed point: {} bits a value, {} rounding;\n  {} calibration inputs, {} checked,\n  \
             {:.1} % of these with the f32 network's class;\n  logits in steps of {}, tolerance {}\n{}\n{}",
            visible(&self.info.name),
            macs.len(),
            macs.iter().sum::<u64>() as f64 / 1e6,
            elements,
            self.hints(),
            output::widths(report),
            if architecture.is_exact() { "exact" } else { "local" },
            report.calibration_inputs,
            report.checked_inputs,
            report.agreement * 100.0,
            output::step(report.resolution),
            output::rounded(report.tolerance),
            self.range(),
            self.proof(),
        )
    }

    /// The same model with ranges that hold for every input; none where it has them, or is too large
    /// to try.
    pub(crate) fn guaranteed(&self, wanted: Wanted) -> Option<Result<Self, LoadFailure>> {
        let small = self.model.graph.macs() <= GUARANTEED_AT_MOST;
        if !small || self.quantised.report.proven() {
            return None;
        }
        let (model, info) = (self.model.clone(), self.info.clone());
        let calibration = self.options.calibration.clone();
        let wanted = Wanted { guaranteed: true, ..wanted };
        let interface = info.interface?;
        Some(build(model, info.name, interface, calibration, wanted))
    }

    /// Whether hidden values fit, of which inputs.
    pub(crate) fn proof(&self) -> String {
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
    pub(crate) fn hints(&self) -> &'static str {
        match self.choice.hints {
            Hints::Reused => "hints serve a session",
            Hints::Fresh => "hints are fresh in every inference",
        }
    }

    /// Which inputs are taken, and who said so.
    pub(crate) fn range(&self) -> String {
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

/// The network and the images that are built into the program.
pub(crate) fn embedded(
    backend: Backend,
    count: usize,
) -> Result<(Loaded, Vec<Input>), LoadFailure> {
    let model = ImportedModel::read(EMBEDDED, &ImportOptions::default())?;
    let graph = &model.graph;
    let interface = Interface::parse(EMBEDDED_TOML, graph, None)?;
    let images: Vec<Input> = IMAGES
        .iter()
        .map(|(name, bytes)| input::embedded(name, bytes))
        .collect::<Result<_, _>>()?;
    let encoder = Encoder::uncoded(&interface);
    let calibration: Vec<Vec<f32>> =
        images.iter().map(|image| encoder.tensor(image)).collect::<Result<_, _>>()?;
    let wanted = Wanted {
        backend,
        link: Link::LAN,
        reveal_count: 1,
        inferences: 1,
        base_ot: BaseOt::default(),
        hints: Hints::default(),
        anonymous_names: false,
        rounding: RoundingMode::Exact,
        guaranteed: false,
    };
    let loaded = build(model, "mnist_d_minionn".into(), interface, calibration, wanted)?;
    Ok((loaded, images.into_iter().take(count.max(1)).collect()))
}

/// BLAKE3 of a description: what clients pin.
pub(crate) fn digest(description: &[u8]) -> [u8; 32] {
    gazelle::digest(description)
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const EMBEDDED: &[u8] = include_bytes!("../../../models/mnist_d_minionn/model.onnx");
const EMBEDDED_TOML: &str = include_str!("../../../models/mnist_d_minionn/model.toml");
macro_rules! images {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../models/mnist_d_minionn/samples/", $name)).as_slice())),*]
    };
}
const IMAGES: [(&str, &[u8]); 10] = images![
    "000.png", "001.png", "002.png", "003.png", "004.png", "005.png", "006.png", "007.png",
    "008.png", "009.png",
];
