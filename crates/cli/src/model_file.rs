//! The model of the command line, and the one that is built into the program.

use std::path::Path;

use gazelle::backend::StepProtocol;
use gazelle::share::{NodeKind, StepOutput};
use gazelle::wire::Link;
use gazelle_host::{HostError, Loaded, ModelFile, Wanted};
use gazelle_model::{ImportOptions, ImportedModel, Interface, ModelError, Watcher};

use crate::arguments::{Backend, ClientsArgument, ModelArguments, RoundingArgument};
use crate::failure::Failure;
use crate::output;
use crate::screen::visible;
use gazelle_input::{Encoder, Input};

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

impl From<HostError> for LoadFailure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Model(error) => Self::Model(error),
            error => Self::Other(error.into()),
        }
    }
}

impl From<gazelle_input::InputError> for LoadFailure {
    fn from(error: gazelle_input::InputError) -> Self {
        Self::Other(error.into())
    }
}

impl From<Failure> for LoadFailure {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// Loads the model of the command line.
pub(crate) fn load(
    path: &Path,
    model: &ModelArguments,
    name: Option<&str>,
    link: Link,
    watcher: Watcher,
) -> Result<Loaded, LoadFailure> {
    if model.clients == ClientsArgument::Untrusted
        && (model.rounding == RoundingArgument::Local || model.backend == Backend::Gmw)
    {
        let what = "--clients untrusted needs exact rounding and garbled circuits in every step";
        return Err(Failure::Usage(what.into()).into());
    }
    let options = ImportOptions {
        watcher,
        input_shape: model.input_shape.clone(),
        output: model.output.clone(),
        ..ImportOptions::default()
    };
    let mut file = ModelFile::open(path, &options)?;
    let output = &mut file.interface.output;
    output.resolution = model.resolution.or(output.resolution);
    if let Some(reveal) = model.reveal {
        output.reveal = reveal.into();
    }
    if let Some(name) = name {
        name.clone_into(&mut file.name);
    }
    let calibration = calibration(model, &file)?;
    Ok(file.load(calibration, model.wanted(link))?)
}

impl Backend {
    /// The protocol of all steps; none where the planner chooses.
    pub(crate) fn step_protocol(self) -> Option<StepProtocol> {
        match self {
            Self::Auto => None,
            Self::Garbled => Some(StepProtocol::Garbled),
            Self::Gmw => Some(StepProtocol::Gmw),
        }
    }
}

impl ModelArguments {
    /// What the plan is to be made for.
    pub(crate) fn wanted(&self, link: Link) -> Wanted {
        Wanted {
            backend: self.backend.step_protocol(),
            link,
            reveal_count: self.reveal_count,
            inferences: self.inferences_per_setup,
            base_ot: self.base_ot.into(),
            hints: self.hints.into(),
            anonymous_names: self.anonymous_names,
            rounding: self.rounding.into(),
            guaranteed: self.guaranteed,
            audit: (self.clients == ClientsArgument::Untrusted).then_some(self.audit_rate),
        }
    }
}

/// Calibration tensors: from the command line, or the samples beside the model.
fn calibration(model: &ModelArguments, file: &ModelFile) -> Result<Vec<Vec<f32>>, Failure> {
    if model.calibration.is_empty() {
        return Ok(file.samples(model.calibration_limit));
    }
    let inputs = gazelle_input::read_all(&model.calibration, model.calibration_limit)?;
    if inputs.is_empty() {
        return Err(Failure::Run("no calibration inputs were found".into()));
    }
    let encoder = Encoder::uncoded(&file.interface);
    Ok(inputs.iter().map(|input| encoder.tensor(input)).collect::<Result<_, _>>()?)
}

/// The prediction in the clear: what the file itself computes, in floating point.
pub(crate) fn plaintext(
    model: &Loaded,
    encoder: &Encoder,
    input: &Input,
) -> Result<Vec<f64>, Failure> {
    let tensor = encoder.tensor(input)?;
    let logits = model.model.values(&tensor).map_err(Failure::run(&input.name))?;
    Ok(logits.into_iter().map(f64::from).collect())
}

/// Some lines for people.
pub(crate) fn summary(model: &Loaded) -> String {
    let architecture = &model.quantised.network.architecture();
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
    let report = &model.quantised.report;
    format!(
        "{}: {} linear layers, {:.2} M products, {} non-linear elements;\n  {}\n\
         fixed point: {} bits a value, {} rounding;\n  {} calibration inputs, {} checked,\n  \
         {:.1} % of these with the f32 network's class;\n  logits in steps of {}, tolerance {}\n{}\n{}\n{}",
        visible(&model.info.name),
        macs.len(),
        macs.iter().sum::<u64>() as f64 / 1e6,
        elements,
        model.hints(),
        output::widths(report),
        if architecture.is_exact() { "exact" } else { "local" },
        report.calibration_inputs,
        report.checked_inputs,
        report.agreement * 100.0,
        output::step(report.resolution),
        output::rounded(report.tolerance),
        model.range(),
        model.proof(),
        model.clients(),
    )
}

/// The network and the images that are built into the program.
pub(crate) fn embedded(
    backend: Backend,
    count: usize,
) -> Result<(Loaded, Vec<Input>), LoadFailure> {
    let model = ImportedModel::read(EMBEDDED, &ImportOptions::default())?;
    let graph = &model.graph;
    let interface = Interface::parse(EMBEDDED_TOML, graph, None)?;
    let images: Vec<Input> =
        IMAGES.iter().map(|(name, bytes)| Input::decode(name, bytes)).collect::<Result<_, _>>()?;
    let encoder = Encoder::uncoded(&interface);
    let calibration: Vec<Vec<f32>> =
        images.iter().map(|image| encoder.tensor(image)).collect::<Result<_, _>>()?;
    let wanted = Wanted { backend: backend.step_protocol(), ..Wanted::default() };
    let loaded =
        gazelle_host::load(model, "mnist_d_minionn".into(), interface, calibration, wanted)?;
    Ok((loaded, images.into_iter().take(count.max(1)).collect()))
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
