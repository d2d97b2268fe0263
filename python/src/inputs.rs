//! Arrays and files as the network's input, read one after the other.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gazelle_input::{Content, Image, Input, Source};
use gazelle_model::samples::NpyTensor;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::failures::Failure;
use crate::lock;
use crate::waiting::wait_for;

/// An input as the Python side hands it over.
#[derive(FromPyObject)]
pub(crate) enum Given {
    /// A ready tensor: name, axes, float32 in this machine's order, row-major.
    #[pyo3(transparent)]
    Tensor((String, Vec<u64>, PyBackedBytes)),
    /// An 8-bit image: name, rows, columns, channels (1 or 3), interleaved bytes.
    #[pyo3(transparent)]
    Image((String, usize, usize, usize, PyBackedBytes)),
    /// A file of one or more inputs, a folder or a pattern.
    #[pyo3(transparent)]
    Path(PathBuf),
}

/// Inputs that are read when they are asked for.
pub(crate) type Stream = Box<dyn Iterator<Item = Result<Input, Failure>> + Send>;

/// One input, or those of files.
///
/// # Errors
/// [`Failure::Input`] if there is no such file, or bytes and shape do not agree.
pub(crate) fn stream(given: Given) -> Result<Stream, Failure> {
    let (name, content) = match given {
        Given::Path(path) => {
            let files = gazelle_input::find(&path)?.files;
            return Ok(Box::new(files.into_iter().flat_map(|file| file_inputs(&file))));
        }
        Given::Tensor((name, shape, bytes)) => {
            let (words, rest) = bytes.as_chunks::<4>();
            let values: Vec<f32> = words.iter().map(|word| f32::from_ne_bytes(*word)).collect();
            let elements = shape.iter().try_fold(1u64, |product, axis| product.checked_mul(*axis));
            if !rest.is_empty() || elements != Some(values.len() as u64) {
                return Err(Failure::Input(format!("{name}: bytes and shape do not agree")));
            }
            (name, Content::Tensor(NpyTensor { shape, values }))
        }
        Given::Image((name, height, width, channels, bytes)) => {
            let pixels = height.checked_mul(width).and_then(|count| count.checked_mul(channels));
            if pixels != Some(bytes.len()) || !matches!(channels, 1 | 3) || bytes.is_empty() {
                return Err(Failure::Input(format!("{name}: bytes and shape do not agree")));
            }
            let bytes = bytes.to_vec();
            (name, Content::Image(Image { width, height, channels, bytes }))
        }
    };
    Ok(Box::new(std::iter::once(Ok(Input { name, content, transparent: false }))))
}

fn file_inputs(file: &std::path::Path) -> Stream {
    match Source::open(file, usize::MAX) {
        Ok(source) => Box::new(source.inputs().map(|input| Ok(input?))),
        Err(error) => Box::new(std::iter::once(Err(error.into()))),
    }
}

/// An iterator over inputs.
#[pyclass(frozen, module = "gazelle._native")]
pub(crate) struct Inputs(Arc<Mutex<Stream>>);

#[pymethods]
impl Inputs {
    /// Looks at an array, a file, a folder or a pattern.
    #[new]
    fn new(py: Python<'_>, given: Given) -> PyResult<Self> {
        Ok(Self(Arc::new(Mutex::new(wait_for(py, move || stream(given))?))))
    }

    fn __iter__(own: Py<Self>) -> Py<Self> {
        own
    }

    /// Reads the next one.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<HeldInput>> {
        let stream = Arc::clone(&self.0);
        let next = wait_for(py, move || lock(&stream).next().transpose())?;
        Ok(next.map(|input| HeldInput(Arc::new(input))))
    }
}

/// An input that was read.
#[pyclass(frozen, name = "Input", module = "gazelle._native")]
pub(crate) struct HeldInput(pub(crate) Arc<Input>);
