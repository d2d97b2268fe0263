//! Calibration inputs that lie beside a model: `samples/*.npy`, ready tensors of f32.

use std::path::Path;

use crate::error::ModelError;
use crate::graph::Graph;

/// Reads a tensor of f32; `expected` elements.
///
/// # Errors
/// [`ModelError::Input`] if the bytes are no such tensor.
pub fn read_npy(bytes: &[u8], expected: usize) -> Result<Vec<f32>, ModelError> {
    let fail = |why: String| ModelError::Input(why);
    let file = npyz::NpyFile::new(bytes).map_err(|error| fail(error.to_string()))?;
    if file.len() != expected as u64 {
        return Err(fail(format!("expected {expected} elements, got {}", file.len())));
    }
    if file.order() != npyz::Order::C {
        return Err(fail("a tensor in column-major order".into()));
    }
    file.into_vec::<f32>().map_err(|error| fail(error.to_string()))
}

/// Up to `limit` tensors from the directory `samples` beside the ONNX file, in the order of names;
/// files that do not fit are left out.
pub fn beside(model: &Path, graph: &Graph, limit: usize) -> Vec<Vec<f32>> {
    let Ok(entries) = std::fs::read_dir(model.with_file_name("samples")) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "npy"))
        .collect();
    paths.sort();
    let expected = graph.input_shape().len();
    paths
        .iter()
        .filter_map(|path| read_npy(&std::fs::read(path).ok()?, expected).ok())
        .take(limit)
        .collect()
}
