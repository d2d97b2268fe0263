//! From a file, or its bytes, to a graph and its reference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use zeroize::Zeroizing;

use super::generated::ModelProto;
use super::import::lower;
use super::program::FileGraph;
use super::reference::Reference;
use super::{beginnings, count, external};
use crate::error::ModelError;
use crate::graph::Graph;
use crate::watcher::Watcher;

/// Bytes of an ONNX file at most; weights beside it are counted apart.
const MAX_BYTES: u64 = 2 << 30;

/// What the caller may say about a file.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Sizes of the input's axes, where the file leaves them open; with the input's name or for the
    /// one input.
    pub input_shape: Vec<(Option<String>, Vec<usize>)>,
    /// The output to compute; the first of floats that depends on the input if not given.
    pub output: Option<String>,
    /// Where the file lies: its weights may be in files beside it.
    pub folder: Option<PathBuf>,
    /// Is told how far loading and quantising is.
    pub watcher: Watcher,
}

/// A network as imported.
#[derive(Debug, Clone)]
pub struct ImportedModel {
    /// What the passes rewrite and the protocol will run.
    pub graph: Graph,
    /// The file itself, evaluated node by node.
    pub reference: Reference,
    /// The name of the output that is computed.
    pub output: String,
    /// Names of the file's outputs that are not computed.
    pub other_outputs: Vec<String>,
    /// What a user should know, though it is no fault.
    pub warnings: Vec<String>,
    /// Files of weights beside the model that were read.
    pub external_files: Vec<PathBuf>,
    /// Is told how far the rest is.
    pub watcher: Watcher,
    /// The graph's tensor for each value of the file that has one.
    pub(super) places: Arc<std::collections::HashMap<String, usize>>,
}

/// Reads an ONNX file that holds all its weights; the graph alone.
///
/// # Errors
/// As [`load`].
pub fn import(bytes: &[u8]) -> Result<Graph, ModelError> {
    ImportedModel::read(bytes, &ImportOptions::default()).map(|imported| imported.graph)
}

/// Reads an ONNX file, and the weights beside it.
///
/// # Errors
/// [`ModelError::File`] if a file cannot be read or is no ONNX model, [`ModelError::Malformed`] if it
/// is broken, [`ModelError::Unsupported`] with every node that cannot be run.
pub fn load(path: &Path, options: &ImportOptions) -> Result<ImportedModel, ModelError> {
    let fail = |error: std::io::Error| ModelError::File(format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > MAX_BYTES {
        let why = format!("{}: {size} bytes; {MAX_BYTES} at most are read", path.display());
        return Err(ModelError::File(why));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(fail)?);
    let folder = path.parent().map(|folder| {
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
    });
    let options = ImportOptions { folder: options.folder.clone().or(folder), ..options.clone() };
    ImportedModel::read(&bytes, &options)
}

impl ImportedModel {
    /// What a client reads for this input, computed in the clear: the logits, or the file's output
    /// where something stands behind its activation.
    ///
    /// # Errors
    /// As [`Reference::logits`].
    pub fn values(&self, input: &[f32]) -> Result<Vec<f32>, ModelError> {
        if self.graph.activated_output {
            self.reference.output(input)
        } else {
            self.reference.logits(input)
        }
    }

    /// Reads an ONNX file from memory.
    ///
    /// # Errors
    /// As [`load`].
    pub fn read(bytes: &[u8], options: &ImportOptions) -> Result<Self, ModelError> {
        if let Some(what) = beginnings::known_beginning(bytes) {
            return Err(ModelError::File(what.into()));
        }
        count::check(bytes)?;
        let mut model =
            ModelProto::decode(bytes).map_err(|error| ModelError::Malformed(error.to_string()))?;
        let external_files = external::load(&mut model, options.folder.as_deref())?;
        let program = Arc::new(FileGraph::new(model, options)?);
        let mut reference = Reference {
            program: Arc::clone(&program),
            batch: 1,
            activation: Vec::new(),
            known: Arc::default(),
        };
        reference.batch = batch_of(&reference);
        let lowered = lower(&program, reference.batch)?;
        reference.activation = lowered.activation;
        Ok(Self {
            graph: lowered.graph,
            reference,
            output: program.output.clone(),
            other_outputs: program.others.clone(),
            warnings: program.warnings.clone(),
            external_files,
            watcher: options.watcher.clone(),
            places: Arc::new(lowered.places),
        })
    }
}

/// The images of a file's fixed batch: its first axis, if the output has it too.
fn batch_of(reference: &Reference) -> usize {
    match reference.program.input_dims.as_slice() {
        [batch, _, ..] if *batch > 1 => match reference.output_dims() {
            Ok(dims) if dims.first() == Some(batch) => *batch,
            _ => 1,
        },
        _ => 1,
    }
}
