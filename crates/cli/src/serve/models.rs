//! The models that are served: one or several behind one port, exchanged while the server runs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use gazelle::backend::DefaultService;
use gazelle_model::Reveal;
use serde::{Deserialize, Serialize};

use crate::arguments::{ModelArguments, RoundingArgument, Serve};
use crate::failure::Failure;
use crate::model_file;
use crate::screen::{tell, visible};

/// What a session takes beside its material: OT states, buffers, threads. Measured with the material
/// of one inference: 14 MB a session for MNIST-D, 34 MB for ResNet-20.
const SESSION_BYTES: u64 = 32 << 20;

/// One model, compiled.
pub(crate) struct ServedModel {
    /// What clients ask for.
    pub(crate) name: String,
    /// BLAKE3 of the description, in hexadecimal digits.
    pub(crate) digest: String,
    /// `logits`, `top-k` or `class`.
    pub(crate) reveals: &'static str,
    /// Input shape without the batch axis, and number of classes.
    shape: [usize; 3],
    classes: usize,
    /// Bytes that a session is predicted to take.
    pub(crate) session_bytes: u64,
    pub(crate) service: DefaultService,
}

/// A model in the list that clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogueEntry {
    /// What `infer --model` takes.
    pub(crate) name: String,
    /// What `infer --pin` takes.
    pub(crate) digest: String,
    /// Channels, height, width.
    pub(crate) input: [usize; 3],
    pub(crate) classes: usize,
    /// `logits`, `top-k` or `class`.
    pub(crate) reveals: String,
    /// Inferences that this client may make now; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u64>,
}

/// All models; what a session has begun with, it keeps.
#[derive(Default)]
pub(crate) struct Models(RwLock<Arc<Vec<Arc<ServedModel>>>>);

impl Models {
    /// Loads what the command line names.
    pub(crate) fn load(command: &Serve, quiet: bool) -> Result<Self, Failure> {
        Ok(Self(RwLock::new(Arc::new(load_all(command, quiet)?))))
    }

    /// Loads everything again, and exchanges all of it or nothing.
    pub(crate) fn reload(&self, command: &Serve) -> Result<(), Failure> {
        let new = Arc::new(load_all(command, true)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// The models as they are now.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<ServedModel>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model of a name; the only one if none is asked for.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ServedModel>> {
        let all = self.all();
        let found = match (name, &**all) {
            ("", [only]) => Some(only),
            (name, _) => all.iter().find(|model| model.name == name),
        };
        found.cloned()
    }
}

impl ServedModel {
    /// Its line in the list, for a client that may make `left` inferences.
    pub(crate) fn entry(&self, left: u64) -> CatalogueEntry {
        CatalogueEntry {
            name: self.name.clone(),
            digest: self.digest.clone(),
            input: self.shape,
            classes: self.classes,
            reveals: self.reveals.to_owned(),
            left: (left != u64::MAX).then_some(left),
        }
    }
}

fn load_all(command: &Serve, quiet: bool) -> Result<Vec<Arc<ServedModel>>, Failure> {
    let mut files = Vec::new();
    for path in std::iter::once(&command.model.file).chain(&command.more) {
        files.extend(files_of(path)?);
    }
    if command.model_name.is_some() && files.len() > 1 {
        return Err(Failure::Usage("--model-name is for one model: model.toml names each".into()));
    }
    let mut names = HashSet::new();
    let mut models = Vec::with_capacity(files.len());
    for file in files {
        let arguments = ModelArguments { file, ..command.model.clone() };
        let model = load_one(&arguments, command, quiet)?;
        if !names.insert(model.name.clone()) {
            return Err(Failure::Run(format!(
                "two models are called {}: name one of them otherwise, in its model.toml",
                visible(&model.name)
            )));
        }
        models.push(Arc::new(model));
    }
    Ok(models)
}

/// The file, or the ONNX files of a folder and `model.onnx` of its folders.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Failure::run(path.display()))? {
        let entry = entry.map_err(Failure::run(path.display()))?.path();
        let inner = entry.join("model.onnx");
        if entry.extension().is_some_and(|extension| extension == "onnx") {
            files.push(entry);
        } else if inner.is_file() {
            files.push(inner);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::Run(format!(
            "{}: no ONNX files",
            visible(&path.display().to_string())
        )));
    }
    Ok(files)
}

fn load_one(
    arguments: &ModelArguments,
    command: &Serve,
    quiet: bool,
) -> Result<ServedModel, Failure> {
    let file = visible(&arguments.file.display().to_string()).into_owned();
    let mut model = model_file::load(arguments, command.model_name.as_deref(), command.link)
        .map_err(Failure::from)?;
    model.choice.max_inferences = command.inferences_in_all();
    if !quiet {
        tell!("{}", model.summary());
        if let (true, Some(most)) =
            (command.model.rounding == RoundingArgument::Local, model.choice.max_inferences)
        {
            tell!(
                "note: a client may make {most} inferences (--max-inferences): local rounding tells it \
                 a little about the weights in each"
            );
        }
        for remark in model.remarks() {
            tell!("note: {}", visible(&remark));
        }
    }
    let service = model.compile()?;
    let digest = model_file::hex(&model_file::digest(service.description()));
    if !quiet {
        tell!("model digest {digest}");
    }
    let (name, memory) = (model.info.name.clone(), service.session_memory() + SESSION_BYTES);
    if gazelle::wire::handshake::ModelName::new(&name).is_none() {
        return Err(Failure::Run(format!(
            "{file}: a name of more than 64 bytes: see --model-name"
        )));
    }
    if memory > command.memory_bytes() {
        return Err(Failure::Run(format!(
            "{file}: a session takes about {} MiB, more than --memory {} allows for all",
            memory.div_ceil(1 << 20),
            command.memory
        )));
    }
    let architecture = model.quantised.network.architecture();
    let shape = architecture.input().shape;
    let revealed = model.info.interface.as_ref().map(|interface| interface.output.reveal);
    let reveals = match revealed {
        Some(Reveal::TopK) => "top-k",
        Some(Reveal::Class) => "class",
        Some(Reveal::Logits) | None => "logits",
    };
    Ok(ServedModel {
        name,
        digest,
        reveals,
        shape: [shape.channels, shape.height, shape.width],
        classes: gazelle_model::reveal::classes(architecture),
        session_bytes: memory,
        service,
    })
}
