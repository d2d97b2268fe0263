//! Ready tensors: NPY files, and those that lie beside a model as `samples/*.npy`.

use std::path::{Path, PathBuf};

use npyz::{DType, NpyFile, TypeChar};

use crate::error::ModelError;
use crate::graph::Graph;

/// Values of one tensor at most.
const MAX_VALUES: u64 = 1 << 28;

/// A tensor as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyTensor {
    /// Its axes, batch axis included where the file has one.
    pub shape: Vec<u64>,
    /// Its elements, row-major.
    pub values: Vec<f32>,
}

/// Reads an NPY file: float32 as it is, float64 rounded to the nearest float32, integers where each
/// is a float32.
///
/// # Errors
/// [`ModelError::Input`] if the bytes are no plain tensor in row-major order, its elements are of
/// another type, or one is not finite or not exact.
pub fn npy(bytes: &[u8]) -> Result<NpyTensor, ModelError> {
    let fail = |why: String| ModelError::Input(why);
    check_npy_header(bytes)?;
    let file = NpyFile::new(bytes).map_err(|error| fail(error.to_string()))?;
    let shape = file.shape().to_vec();
    let len = shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
    if len.is_none_or(|len| len > MAX_VALUES) {
        return Err(fail(format!("a tensor of shape {shape:?} is too large")));
    }
    if file.order() != npyz::Order::C && shape.len() > 1 {
        return Err(fail(
            "the tensor is in column-major order; save numpy.ascontiguousarray(x)".into(),
        ));
    }
    // A header alone must not make us reserve what the file does not hold.
    let each = match file.dtype() {
        // optional: types without a size are refused below
        DType::Plain(kind) => kind.num_bytes().unwrap_or(1),
        _ => 1,
    };
    if len.is_some_and(|len| len.saturating_mul(each as u64) > bytes.len() as u64) {
        return Err(fail(format!("the file ends before a tensor of shape {shape:?} does")));
    }
    let values = elements(file)?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(fail(format!("element {at} is not a finite float32 number")));
    }
    Ok(NpyTensor { shape, values })
}

fn elements(file: NpyFile<&[u8]>) -> Result<Vec<f32>, ModelError> {
    let fail = |why: String| ModelError::Input(why);
    let kind = match file.dtype() {
        DType::Plain(kind) => (kind.type_char(), kind.size_field()),
        _ => return Err(fail("an array of records is no tensor".into())),
    };
    match kind {
        (TypeChar::Float, 4) => file.into_vec::<f32>().map_err(|error| fail(error.to_string())),
        (TypeChar::Float, 8) => {
            let values = file.into_vec::<f64>().map_err(|error| fail(error.to_string()))?;
            Ok(values.into_iter().map(|value| value as f32).collect())
        }
        (TypeChar::Int, 1) => integers::<i8>(file),
        (TypeChar::Int, 2) => integers::<i16>(file),
        (TypeChar::Int, 4) => integers::<i32>(file),
        (TypeChar::Int, 8) => integers::<i64>(file),
        (TypeChar::Uint, 1) => integers::<u8>(file),
        (TypeChar::Uint, 2) => integers::<u16>(file),
        (TypeChar::Uint, 4) => integers::<u32>(file),
        (TypeChar::Uint, 8) => integers::<u64>(file),
        (kind, size) => Err(fail(format!(
            "elements of type {}{size}; save the tensor as float32: x.astype('float32')",
            kind.to_str()
        ))),
    }
}

/// Integers as floats: exact, or refused.
fn integers<T>(file: NpyFile<&[u8]>) -> Result<Vec<f32>, ModelError>
where
    T: npyz::Deserialize + Copy + Into<i128>,
{
    let values = file.into_vec::<T>().map_err(|error| ModelError::Input(error.to_string()))?;
    let exact = |value: &T| {
        let integer: i128 = (*value).into();
        let float = integer as f32;
        if float as i128 == integer {
            Ok(float)
        } else {
            Err(ModelError::Input(format!("the integer {integer} is no float32 number")))
        }
    };
    values.iter().map(exact).collect()
}

/// Reads a tensor for an input of the axes `shape` (see [`npy`]), which it may have without a
/// leading 1.
///
/// # Errors
/// As [`npy`]; [`ModelError::Input`] names both shapes if they differ.
pub(crate) fn read_npy(bytes: &[u8], shape: &[usize]) -> Result<Vec<f32>, ModelError> {
    let tensor = npy(bytes)?;
    if same_shape(shape, &tensor.shape) {
        Ok(tensor.values)
    } else {
        Err(differ(shape, &tensor.shape))
    }
}

/// Whether a tensor of shape `got` is an input of shape `wanted`: the same axes, or the same
/// without a leading batch axis of 1.
pub fn same_shape(wanted: &[usize], got: &[u64]) -> bool {
    let same =
        |own: &[usize]| own.len() == got.len() && own.iter().zip(got).all(|(a, b)| *a as u64 == *b);
    same(wanted) || matches!(wanted, [1, rest @ ..] if same(rest))
}

/// The refusal of a tensor of another shape.
pub fn differ(wanted: &[usize], got: &[u64]) -> ModelError {
    ModelError::Input(format!("a tensor of shape {got:?}, the model takes {wanted:?}"))
}

/// Refuses headers that no plain tensor has. The library's parser of Python literals takes time
/// exponential in the depth of nested brackets, and the fuzzer found it: this comes first.
///
/// # Errors
/// [`ModelError::Input`] if `bytes` does not begin with a small header of one dictionary and one
/// tuple.
pub(crate) fn check_npy_header(bytes: &[u8]) -> Result<(), ModelError> {
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

/// The directory of a model's samples.
pub fn folder(model: &Path) -> PathBuf {
    model.with_file_name("samples")
}

/// The NPY files in a model's directory of samples, in the order of names.
pub fn files(model: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder(model)) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "npy"))
        .collect();
    paths.sort();
    paths
}

/// Up to `limit` tensors from the directory `samples` beside the ONNX file, in the order of names;
/// files that do not fit are left out.
pub fn beside(model: &Path, graph: &Graph, limit: usize) -> Vec<Vec<f32>> {
    files(model)
        .iter()
        .filter_map(|path| read_npy(&std::fs::read(path).ok()?, &graph.input_dims).ok())
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{check_npy_header, npy, read_npy};

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn typed(kind: &str, count: usize, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count},), }}\n");
        file(&header, data)
    }

    #[test]
    fn known_answer_a_plain_tensor_is_read() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }\n";
        let bytes = file(header, &[0; 24]);
        assert_eq!(npy(&bytes).unwrap().shape, [1, 2, 3]);
        assert_eq!(read_npy(&bytes, &[1, 2, 3]).unwrap(), [0.0; 6]);
        let header = header.replace("1, 2", "2");
        let bytes = file(&header, &[0; 24]);
        assert_eq!(read_npy(&bytes, &[1, 2, 3]).unwrap(), [0.0; 6]);
        assert_eq!(read_npy(&bytes, &[2, 3]).unwrap(), [0.0; 6]);
        for other in [&[3, 2][..], &[6], &[1, 6], &[2, 1, 3], &[5]] {
            let error = read_npy(&bytes, other).unwrap_err().to_string();
            assert!(error.contains("[2, 3]") && error.contains(&format!("{other:?}")), "{error}");
        }
    }

    #[test]
    fn known_answer_wider_and_whole_numbers_are_read_where_they_are_exact() {
        let read = |kind: &str, count, data: &[u8]| npy(&typed(kind, count, data)).unwrap().values;
        assert_eq!(read("<f8", 1, &0.1f64.to_le_bytes()), [0.1f32]);
        assert_eq!(read(">f4", 1, &1.5f32.to_be_bytes()), [1.5]);
        assert_eq!(read("|u1", 3, &[0, 128, 255]), [0.0, 128.0, 255.0]);
        assert_eq!(read("|i1", 2, &[0x80, 0x7f]), [-128.0, 127.0]);
        assert_eq!(read(">u2", 1, &[1, 2]), [258.0]);
        assert_eq!(read("<i8", 1, &(-(1i64 << 40)).to_le_bytes()), [-(2f32.powi(40))]);
        assert_eq!(read("<i4", 1, &(1i32 << 24).to_le_bytes()), [16_777_216.0]);
    }

    #[test]
    fn adversarial_values_that_no_float_holds_are_refused() {
        for (kind, data) in [
            ("<i4", ((1i32 << 24) + 1).to_le_bytes().to_vec()),
            ("<u8", u64::MAX.to_le_bytes().to_vec()),
            ("<f8", 1e300f64.to_le_bytes().to_vec()),
            ("<f4", f32::NAN.to_le_bytes().to_vec()),
            ("<f2", vec![0, 0x3c]),
            ("|b1", vec![1]),
            ("<c8", vec![0; 8]),
        ] {
            assert!(npy(&typed(kind, 1, &data)).is_err(), "{kind}");
        }
        assert!(npy(&typed("<f4", 2, &[0; 4])).is_err());
        let columns = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }\n";
        assert!(npy(&file(columns, &[0; 16])).is_err());
        let large = "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
        assert!(npy(&file(large, &[])).is_err());
    }

    #[test]
    fn adversarial_nested_brackets_are_refused_at_once() {
        // What the fuzzer found: minutes in the parser of the header.
        for (open, count) in [("[", 22), ("(", 30), ("{", 30), ("[", 3000)] {
            let header = format!("{{'descr': '<f4', {}'s", open.repeat(count));
            assert!(check_npy_header(&file(&header, &[0; 4])).is_err());
            assert!(npy(&file(&header, &[0; 4])).is_err());
        }
        assert!(check_npy_header(b"\x93NUMPY\x01\0\xff\xff{}").is_err());
        assert!(check_npy_header(b"\x93NUMPY\x07\0\0\0").is_err());
    }
}
