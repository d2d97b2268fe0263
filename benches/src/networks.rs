//! The networks of the suite `inference`.

use std::path::{Path, PathBuf};

use gazelle::backend::{Choice, DefaultServer, DefaultSuite, Machine, StepProtocol, planner};
use gazelle::{Description, GazelleError, ModelInfo};
use gazelle_model::{Options, fixed, import, quantise};
use gazelle_share::{Network, NodeKind};
use gazelle_wire::Link;

/// By size.
pub(crate) const NETWORKS: [&str; 8] = [
    "mnist_a_secureml",
    "mnist_b_cryptonets",
    "mnist_c_chameleon",
    "mnist_d_minionn",
    "pneumonia_cnn",
    "cifar10_minionn_gazelle",
    "cifar10_resnet20",
    "imagenet_squeezenet1.0",
];

/// A quantised network and one encoded input.
pub(crate) struct Loaded {
    name: &'static str,
    network: Network,
    tolerance: f64,
    pub(crate) input: Vec<i64>,
}

/// How the non-linear steps are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        machine: &Machine,
    ) -> Result<(DefaultServer, Choice), GazelleError> {
        let architecture = &self.network.architecture;
        let nodes = &architecture.nodes;
        let steps = nodes.iter().filter(|node| matches!(node.kind, NodeKind::Step(_))).count();
        let choice = match backend {
            Backend::Garbled => Choice::uniform(architecture, StepProtocol::Garbled)?,
            Backend::Gmw => Choice::uniform(architecture, StepProtocol::Gmw)?,
            Backend::Auto => planner::choose(architecture, link, machine)?,
        };
        let model =
            ModelInfo { name: self.name.into(), tolerance: self.tolerance, ..ModelInfo::default() };
        let value = choice.to_value();
        let network = self.network.clone();
        let server = DefaultServer::compile(choice.suite(steps), network, model, value)?;
        Ok((server, choice))
    }
}

/// The suite that a description asks for.
pub(crate) fn suite(description: &Description) -> Result<DefaultSuite, GazelleError> {
    Ok(Choice::parse(description)?.suite(description.nonlinear.len()))
}

/// Loads and quantises; nothing if the file is not there.
pub(crate) fn load(name: &'static str) -> Result<Option<Loaded>, Box<dyn std::error::Error>> {
    let Some(folder) = folders(name).into_iter().find(|path| path.join("model.onnx").exists())
    else {
        return Ok(None);
    };
    let graph = import(&std::fs::read(folder.join("model.onnx"))?)?;
    let mut calibration = samples(&folder)?;
    calibration.truncate(8);
    let options = Options { calibration: calibration.clone(), ..Options::default() };
    let quantised = quantise(&graph, &options)?;
    let first = calibration.first().ok_or("a network without samples")?;
    let input = fixed::encode(&quantised.network.architecture, first)?;
    let tolerance = quantised.report.tolerance;
    Ok(Some(Loaded { name, network: quantised.network, tolerance, input }))
}

fn folders(name: &str) -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    [root.join("models").join(name), root.join("../shared/data/models").join(name)]
}

fn samples(folder: &Path) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("samples"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "npy"))
        .collect();
    files.sort();
    let read = |path: &PathBuf| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
        Ok(npyz::NpyFile::new(std::fs::File::open(path)?)?.into_vec::<f32>()?)
    };
    files.iter().map(read).collect()
}
