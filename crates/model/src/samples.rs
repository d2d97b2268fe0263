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
    check_npy_header(bytes)?;
    let file = npyz::NpyFile::new(bytes).map_err(|error| fail(error.to_string()))?;
    if file.len() != expected as u64 {
        return Err(fail(format!("expected {expected} elements, got {}", file.len())));
    }
    if file.order() != npyz::Order::C {
        return Err(fail("a tensor in column-major order".into()));
    }
    file.into_vec::<f32>().map_err(|error| fail(error.to_string()))
}

/// Refuses headers that no plain tensor has. The library's parser of Python literals takes time
/// exponential in the depth of nested brackets, and the fuzzer found it: this comes first.
///
/// # Errors
/// [`ModelError::Input`] if `bytes` does not begin with a small header of one dictionary and one
/// tuple.
pub fn check_npy_header(bytes: &[u8]) -> Result<(), ModelError> {
    let fail = |why: &str| ModelError::Input(why.to_owned());
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| fail("not an NPY file"))?;
    let (length, text) = match rest {
        [1, _, a, b, text @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), text),
        [2 | 3, _, a, b, c, d, text @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, text),
        _ => return Err(fail("an NPY file of an unknown version")),
    };
    let text = text.get(..length).ok_or_else(|| fail("the NPY header ends early"))?;
    let pieces = |byte: u8| text.split(|found| *found == byte).take(3).count();
    if length > MAX_NPY_HEADER || pieces(b'[') > 1 || pieces(b'(') > 2 || pieces(b'{') > 2 {
        return Err(fail("the NPY header is not that of a plain tensor"));
    }
    Ok(())
}

/// Bytes of an NPY header at most.
const MAX_NPY_HEADER: usize = 4096;

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

#[cfg(test)]
mod tests {
    use super::{check_npy_header, read_npy};

    fn file(header: &str, values: usize) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + 4 * values, 0);
        bytes
    }

    #[test]
    fn known_answer_a_plain_tensor_is_read() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        assert_eq!(read_npy(&file(header, 6), 6).unwrap(), [0.0; 6]);
        assert!(read_npy(&file(header, 6), 5).is_err());
    }

    #[test]
    fn adversarial_nested_brackets_are_refused_at_once() {
        // What the fuzzer found: minutes in the parser of the header.
        for (open, count) in [("[", 22), ("(", 30), ("{", 30), ("[", 3000)] {
            let header = format!("{{'descr': '<f4', {}'s", open.repeat(count));
            assert!(check_npy_header(&file(&header, 1)).is_err());
            assert!(read_npy(&file(&header, 1), 1).is_err());
        }
        assert!(check_npy_header(b"\x93NUMPY\x01\0\xff\xff{}").is_err());
        assert!(check_npy_header(b"\x93NUMPY\x07\0\0\0").is_err());
    }
}
