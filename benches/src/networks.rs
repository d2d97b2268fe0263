//! The networks of the suite `inference`.

use std::path::{Path, PathBuf};

use gazelle::backend::{Choice, DefaultService, DefaultSuite, StepProtocol, planner, quantise};
use gazelle::{AuditRate, Description, GazelleError, ModelInfo};
use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Graph, InputRange, Options, RoundingMode, generate, import};
use gazelle_share::{Network, NodeKind};
use gazelle_wire::Link;
use serde::{Deserialize, Serialize};

/// Where a network comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A folder of `models/` or of the shared data, with samples beside the file.
    Folder,
    /// Random weights in a well-known shape, 224 x 224 pixels, 1000 classes.
    Generated(fn() -> Vec<u8>),
}

/// A network by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    source: Source,
    /// Takes seconds or minutes: measured only when it is asked for by name.
    pub(crate) large: bool,
}

const fn folder(name: &'static str, large: bool) -> Known {
    Known { name, source: Source::Folder, large }
}

const fn generated(name: &'static str, make: fn() -> Vec<u8>) -> Known {
    Known { name, source: Source::Generated(make), large: true }
}

const SEED: u64 = 1;
const SIDE: usize = 224;
const CLASSES: usize = 1000;

/// By size.
pub(crate) const NETWORKS: [Known; 12] = [
    folder("mnist_a_secureml", false),
    folder("mnist_b_cryptonets", false),
    folder("mnist_c_chameleon", false),
    folder("mnist_d_minionn", false),
    folder("pneumonia_cnn", false),
    folder("cifar10_minionn_gazelle", false),
    folder("cifar10_resnet20", false),
    generated("squeezenet", || generate::squeezenet1_1(SEED, SIDE, CLASSES)),
    folder("imagenet_squeezenet1.0", true),
    generated("mobilenet", || generate::mobilenet_v1(SEED, SIDE, CLASSES, true)),
    generated("densenet121", || generate::densenet121(SEED, SIDE, CLASSES)),
    generated("resnet50", || generate::resnet50(SEED, SIDE, CLASSES)),
];

/// The network of this name.
pub(crate) fn named(name: &str) -> Option<Known> {
    NETWORKS.into_iter().find(|known| known.name == name)
}

/// A quantised network, one encoded input, and what it must give.
pub(crate) struct Loaded {
    name: &'static str,
    network: Network,
    tolerance: f64,
    pub(crate) input: Vec<i64>,
    /// Of the inputs that it was calibrated with, and [0, 1].
    range: InputRange,
    /// Logits of the fixed-point reference, not rounded for the reveal.
    reference: Vec<f64>,
}

/// How the non-linear steps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Backend {
    Garbled,
    Gmw,
    Auto,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Garbled => "garbled",
            Self::Gmw => "gmw",
            Self::Auto => "auto",
        }
    }

    /// The name in ids: that of local rounding ends in `-local`.
    pub(crate) fn id(self, rounding: RoundingMode) -> String {
        let tail = if rounding == RoundingMode::Local { "-local" } else { "" };
        format!("{}{tail}", self.name())
    }
}

/// All of them.
pub(crate) fn backends() -> [Backend; 3] {
    [Backend::Garbled, Backend::Gmw, Backend::Auto]
}

impl Loaded {
    /// Plans and compiles the network for a link.
    pub(crate) fn compile(
        &self,
        backend: Backend,
        link: Link,
    ) -> Result<DefaultService, GazelleError> {
        let architecture = &self.network.architecture();
        let nodes = &architecture.nodes();
        let steps = nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count();
        let choice = match backend {
            Backend::Garbled => Choice::uniform(architecture, StepProtocol::Garbled)?,
            Backend::Gmw => Choice::uniform(architecture, StepProtocol::Gmw)?,
            Backend::Auto => planner::choose(architecture, link, 1)?,
        };
        let model =
            ModelInfo { name: self.name.into(), tolerance: self.tolerance, ..ModelInfo::default() };
        let value = choice.to_value();
        let network = self.network.clone();
        DefaultService::compile(choice.suite(steps), network, model, value)
    }

    /// Plans and compiles the network for clients that are not trusted: what they ask is held to its range.
    pub(crate) fn untrusted(
        &self,
        rate: AuditRate,
    ) -> Result<DefaultService, Box<dyn std::error::Error>> {
        let mut network = self.network.clone();
        gazelle_model::hold_input(&mut network, &self.range)?;
        let garbled = Choice::uniform(network.architecture(), StepProtocol::Garbled)?;
        let choice = garbled.for_untrusted_clients(rate);
        let model =
            ModelInfo { name: self.name.into(), tolerance: self.tolerance, ..ModelInfo::default() };
        let nodes = network.architecture().nodes();
        let steps = nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count();
        let value = choice.to_value();
        Ok(DefaultService::compile(choice.suite(steps), network, model, value)?)
    }

    /// Compares what a client learnt with the fixed-point reference: every logit must be within
    /// the tolerance.
    ///
    /// # Errors
    /// Which logit is not.
    pub(crate) fn check(&self, values: &[i64]) -> Result<(), Box<dyn std::error::Error>> {
        let logits = fixed::decode(self.network.architecture(), values);
        if logits.len() != self.reference.len() {
            let (got, wanted) = (logits.len(), self.reference.len());
            return Err(format!("{}: {got} logits instead of {wanted}", self.name).into());
        }
        for (class, (got, wanted)) in logits.iter().zip(&self.reference).enumerate() {
            if (got - wanted).abs() > self.tolerance {
                return Err(format!(
                    "{}: logit {class} is {got}, the fixed-point reference says {wanted}, the \
                     tolerance is {}",
                    self.name, self.tolerance
                )
                .into());
            }
        }
        Ok(())
    }
}

/// The suite that a description asks for.
pub(crate) fn suite(description: &Description) -> Result<DefaultSuite, GazelleError> {
    Ok(Choice::parse(description)?.suite(description.nonlinear.len()))
}

/// Loads and quantises; nothing if the file is not there.
pub(crate) fn load(
    known: Known,
    rounding: RoundingMode,
) -> Result<Option<Loaded>, Box<dyn std::error::Error>> {
    let (graph, calibration) = match known.source {
        Source::Folder => {
            let there = |path: &PathBuf| path.join("model.onnx").exists();
            let Some(folder) = folders(known.name).into_iter().find(there) else {
                return Ok(None);
            };
            let path = folder.join("model.onnx");
            let graph = import(&std::fs::read(&path)?)?;
            let samples = gazelle_model::samples::beside(&path, &graph, 8);
            (graph, samples)
        }
        Source::Generated(make) => {
            let graph = import(&make())?;
            let images = random_images(&graph, 4);
            (graph, images)
        }
    };
    let options = Options { calibration: calibration.clone(), rounding, ..Options::default() };
    let quantised = quantise(&graph, &options)?;
    let first = calibration.first().ok_or("a network without samples")?;
    let ends = |(low, high): (f32, f32), x: &f32| (low.min(*x), high.max(*x));
    let (low, high) = calibration.iter().flatten().fold((0.0, 1.0), ends);
    let architecture = &quantised.network.architecture();
    let input = fixed::encode(architecture, first)?;
    let (values, _) = fixed::unrounded(&quantised.network, &input, Rounding::Nearest)?;
    let unit = f64::from(-architecture.tensor(architecture.last().input()).scale).exp2();
    let reference = values.into_iter().map(|value| value as f64 * unit).collect();
    Ok(Some(Loaded {
        name: known.name,
        reference,
        network: quantised.network,
        tolerance: quantised.report.tolerance,
        input,
        range: InputRange::uniform(low, high),
    }))
}

fn folders(name: &str) -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    [root.join("models").join(name), root.join("../shared/data/models").join(name)]
}

/// Images of uniform pixels in [0, 1), always the same.
fn random_images(graph: &Graph, count: u64) -> Vec<Vec<f32>> {
    let image = |number: u64| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let pixel = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u32 << 24) as f32
        };
        (0..graph.input_shape().len()).map(pixel).collect()
    };
    (1..=count).map(image).collect()
}
