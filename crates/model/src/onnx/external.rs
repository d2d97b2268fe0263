//! Weights that lie in files beside the model (`model.onnx.data`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::beginnings::LFS;
use super::generated::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::read::element_bytes;
use super::tensor::type_name;
use crate::error::ModelError;

/// Bytes of all external data together at most.
const MAX_BYTES: u64 = 4 << 30;

/// Reads all external data into the tensors that refer to them; `folder` is where the model lies. The files that
/// were read come back.
///
/// # Errors
/// [`ModelError::File`] with the file's and the tensor's name if a file is missing, too short, or
/// outside the folder.
pub(super) fn load(
    model: &mut ModelProto,
    folder: Option<&Path>,
) -> Result<Vec<PathBuf>, ModelError> {
    let mut loader = Loader { folder, left: MAX_BYTES, open: None, files: BTreeSet::new() };
    if let Some(graph) = &mut model.graph {
        loader.graph(graph)?;
    }
    for function in &mut model.functions {
        loader.nodes(&mut function.node)?;
    }
    Ok(loader.files.into_iter().collect())
}

struct Loader<'a> {
    folder: Option<&'a Path>,
    left: u64,
    /// The file read last.
    open: Option<(PathBuf, File)>,
    /// All files that were read.
    files: BTreeSet<PathBuf>,
}

impl Loader<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), ModelError> {
        for tensor in &mut graph.initializer {
            self.tensor(tensor)?;
        }
        self.nodes(&mut graph.node)
    }

    fn nodes(&mut self, nodes: &mut [NodeProto]) -> Result<(), ModelError> {
        for attribute in nodes.iter_mut().flat_map(|node| &mut node.attribute) {
            if let Some(tensor) = &mut attribute.t {
                self.tensor(tensor)?;
            }
            if let Some(graph) = &mut attribute.g {
                self.graph(graph)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), ModelError> {
        if tensor.data_location != 1 {
            return Ok(());
        }
        let name = tensor.name.clone();
        let fail = |why: String| ModelError::File(format!("weights {name:?}: {why}"));
        let entry = |key: &str| {
            tensor.external_data.iter().find(|entry| entry.key == key).map(|e| e.value.as_str())
        };
        let location = entry("location").ok_or_else(|| fail("no file is named".into()))?;
        let number = |key: &str| {
            let text = entry(key);
            text.map(str::parse::<u64>).transpose().map_err(|_| fail(format!("a bad {key}")))
        };
        // optional: a file may leave the offset out
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let kind = type_name(i64::from(tensor.data_type));
        let bytes = element_bytes(tensor.data_type)
            .ok_or_else(|| fail(format!("of type {kind}, which is not read")))?;
        let wanted = tensor
            .dims
            .iter()
            .try_fold(bytes, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?))
            .ok_or_else(|| fail(format!("axes {:?}", tensor.dims)))?;
        if let Some(length) = length.filter(|length| *length != wanted) {
            return Err(fail(format!("{length} bytes in {location:?} instead of {wanted}")));
        }
        self.left = self
            .left
            .checked_sub(wanted)
            .ok_or_else(|| fail(format!("more than {MAX_BYTES} bytes of external data")))?;
        let path = self.path(location).map_err(fail)?;
        let data = self.read(&path, offset, wanted).map_err(fail)?;
        tensor.raw_data = data;
        tensor.data_location = 0;
        Ok(())
    }

    /// The file, if it lies in the model's folder or below.
    fn path(&self, location: &str) -> Result<PathBuf, String> {
        let folder = self
            .folder
            .ok_or_else(|| format!("they lie in another file, {location:?}, that is not given"))?;
        let relative = Path::new(location);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(plain) {
            return Err(format!("the file {location:?} lies outside the model's folder"));
        }
        let path = folder.join(relative);
        let real = std::fs::canonicalize(&path).map_err(|error| {
            format!("the file {} is needed beside the model: {error}", path.display())
        })?;
        let root = std::fs::canonicalize(folder).map_err(|error| error.to_string())?;
        // A link in the folder may lead anywhere.
        if !real.starts_with(&root) {
            return Err(format!("the file {location:?} lies outside the model's folder"));
        }
        Ok(real)
    }

    fn read(&mut self, path: &Path, offset: u64, wanted: u64) -> Result<Vec<u8>, String> {
        let shown = path.display();
        let io = |error: std::io::Error| format!("{shown}: {error}");
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            let file = File::open(path).map_err(io)?;
            self.open = Some((path.to_owned(), file));
            self.files.insert(path.to_owned());
        }
        let Some((_, file)) = &mut self.open else { return Err(format!("{shown}: not open")) };
        let size = file.metadata().map_err(io)?.len();
        let mut head = Vec::with_capacity(LFS.len());
        file.rewind().map_err(io)?;
        file.take(LFS.len() as u64).read_to_end(&mut head).map_err(io)?;
        if head == LFS {
            return Err(format!("{shown} is a Git LFS pointer: fetch it with `git lfs pull`"));
        }
        if offset.checked_add(wanted).is_none_or(|end| end > size) {
            return Err(format!("{shown} has {size} bytes, {wanted} from {offset} on are needed"));
        }
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut data = vec![0; usize::try_from(wanted).map_err(|_| "too large".to_owned())?];
        file.read_exact(&mut data).map_err(io)?;
        Ok(data)
    }
}
