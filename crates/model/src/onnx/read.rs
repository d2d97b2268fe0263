//! From the file's tensors to values.

use super::dims::count;
use super::generated::TensorProto;
use super::tensor::{Array, Data, ElementType, brain, half, type_name};

/// Reads a `TensorProto` whose data lie in the file; memory is bounded by the file.
pub(super) fn tensor(proto: &TensorProto) -> Result<Array, String> {
    let name = &proto.name;
    let code = i64::from(proto.data_type);
    let kind = ElementType::from_onnx(code).map_err(|_| {
        format!("tensor {name:?} is of type {}, which is not read", type_name(code))
    })?;
    let dims: Option<Vec<usize>> =
        proto.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let dims = dims.ok_or_else(|| format!("tensor {name:?} has a negative axis"))?;
    let expected = count(&dims)?;
    let raw = &proto.raw_data;
    let typed = raw.is_empty();
    let narrow = |bits: &[i32]| -> Vec<u16> { bits.iter().map(|bits| *bits as u16).collect() };
    let words = || -> Vec<u16> {
        raw.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect()
    };
    let data = match code {
        1 if typed => Data::Float(proto.float_data.clone()),
        1 => {
            let words = raw.as_chunks::<4>().0;
            Data::Float(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
        }
        11 if typed => Data::Float(proto.double_data.iter().map(|v| *v as f32).collect()),
        11 => {
            let words = raw.as_chunks::<8>().0;
            Data::Float(words.iter().map(|word| f64::from_le_bytes(*word) as f32).collect())
        }
        10 | 16 => {
            let bits = if typed { narrow(&proto.int32_data) } else { words() };
            let read = if code == 10 { half } else { brain };
            Data::Float(bits.into_iter().map(read).collect())
        }
        7 if typed => Data::Int(proto.int64_data.clone()),
        12 | 13 if typed => Data::Int(proto.uint64_data.iter().map(|v| *v as i64).collect()),
        _ if typed => Data::Int(proto.int32_data.iter().map(|v| i64::from(*v)).collect()),
        7 | 13 => {
            Data::Int(raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
        }
        6 => Data::Int(
            raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        ),
        12 => Data::Int(
            raw.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
        ),
        5 => Data::Int(
            raw.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect(),
        ),
        4 => Data::Int(
            raw.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b).into()).collect(),
        ),
        3 => Data::Int(raw.iter().map(|b| i64::from(*b as i8)).collect()),
        _ => Data::Int(raw.iter().map(|b| i64::from(*b)).collect()),
    };
    if data.len() == expected {
        Ok(Array { dims, kind, data })
    } else {
        let got = data.len();
        Err(format!("tensor {name:?} of {dims:?} has {got} elements"))
    }
}

/// Bytes of one element in raw data, or `None` for a type that is not read.
pub(super) fn element_bytes(code: i32) -> Option<u64> {
    match code {
        2 | 3 | 9 => Some(1),
        4 | 5 | 10 | 16 => Some(2),
        1 | 6 | 12 => Some(4),
        7 | 11 | 13 => Some(8),
        _ => None,
    }
}
