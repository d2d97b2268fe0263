//! Tensors with their values: constants of a file, and what the reference computes.

use std::borrow::Cow;

use super::dims::{self, axis, count};

/// The element types of ONNX that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    /// `float` and `double`, which is read as `float`.
    Float,
    /// `float16`: computed with in f32, as onnxruntime does on a CPU.
    Half,
    /// `bfloat16`: computed with in f32.
    Brain,
    /// `bool`, as 0 and 1.
    Bool,
    /// A signed integer of so many bits.
    Signed(u32),
    /// An unsigned integer of so many bits.
    Unsigned(u32),
}

impl ElementType {
    /// From `TensorProto.DataType`.
    pub(super) fn from_onnx(code: i64) -> Result<Self, String> {
        Ok(match code {
            1 | 11 => Self::Float,
            10 => Self::Half,
            16 => Self::Brain,
            9 => Self::Bool,
            3 => Self::Signed(8),
            5 => Self::Signed(16),
            6 => Self::Signed(32),
            7 => Self::Signed(64),
            2 => Self::Unsigned(8),
            4 => Self::Unsigned(16),
            12 => Self::Unsigned(32),
            13 => Self::Unsigned(64),
            other => return Err(format!("the element type {} is not read", type_name(other))),
        })
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Half | Self::Brain)
    }

    /// Smallest and largest value of an integer type.
    pub(super) fn bounds(self) -> (i64, i64) {
        match self {
            Self::Bool => (0, 1),
            Self::Signed(bits) if bits < 64 => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            Self::Unsigned(bits) if bits < 63 => (0, (1 << bits) - 1),
            Self::Unsigned(_) => (0, i64::MAX),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// The value modulo the type's size.
    fn wrapped(self, value: i64) -> i64 {
        match self {
            Self::Bool => i64::from(value != 0),
            Self::Signed(8) => i64::from(value as i8),
            Self::Signed(16) => i64::from(value as i16),
            Self::Signed(32) => i64::from(value as i32),
            Self::Unsigned(8) => i64::from(value as u8),
            Self::Unsigned(16) => i64::from(value as u16),
            Self::Unsigned(32) => i64::from(value as u32),
            _ => value,
        }
    }
}

/// The name of a `TensorProto.DataType`.
pub(super) fn type_name(code: i64) -> String {
    let name = match code {
        1 => "float",
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        6 => "int32",
        7 => "int64",
        8 => "string",
        9 => "bool",
        10 => "float16",
        11 => "double",
        12 => "uint32",
        13 => "uint64",
        14 => "complex64",
        15 => "complex128",
        16 => "bfloat16",
        17..=20 => "float8",
        21 => "uint4",
        22 => "int4",
        23 => "float4",
        _ => return format!("number {code}"),
    };
    name.to_owned()
}

/// Values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// Of every float type.
    Float(Vec<f32>),
    /// Of every integer type and of `bool`.
    Int(Vec<i64>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// The elements at `indices`, in that order.
    fn gather(&self, indices: &[usize]) -> Self {
        match self {
            Self::Float(values) => {
                Self::Float(indices.iter().filter_map(|i| values.get(*i).copied()).collect())
            }
            Self::Int(values) => {
                Self::Int(indices.iter().filter_map(|i| values.get(*i).copied()).collect())
            }
        }
    }
}

/// A tensor and its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    pub(super) dims: Vec<usize>,
    pub(super) kind: ElementType,
    pub(super) data: Data,
}

impl Array {
    /// Floats; their number is the product of the axes.
    pub(super) fn floats_of(dims: Vec<usize>, values: Vec<f32>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), values.len(), "as many as the axes say");
        Self { dims, kind: ElementType::Float, data: Data::Float(values) }
    }

    /// 64-bit integers.
    pub(super) fn ints(dims: Vec<usize>, values: Vec<i64>) -> Self {
        Self { dims, kind: ElementType::Signed(64), data: Data::Int(values) }
    }

    pub(super) fn bools(dims: Vec<usize>, values: Vec<bool>) -> Self {
        let values = values.into_iter().map(i64::from).collect();
        Self { dims, kind: ElementType::Bool, data: Data::Int(values) }
    }

    pub(super) fn scalar(value: f32) -> Self {
        Self::floats_of(Vec::new(), vec![value])
    }

    /// Integers of this type, wrapped around where they do not fit.
    pub(super) fn integers(dims: Vec<usize>, kind: ElementType, mut values: Vec<i64>) -> Self {
        for value in &mut values {
            *value = kind.wrapped(*value);
        }
        Self { dims, kind, data: Data::Int(values) }
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// The floats, without a copy; an error for integers.
    pub(super) fn as_floats(&self) -> Result<&[f32], String> {
        match &self.data {
            Data::Float(values) => Ok(values),
            Data::Int(_) => Err("a tensor of floats is needed, this one has integers".into()),
        }
    }

    /// The integers, without a copy; an error for floats.
    pub(super) fn as_ints(&self) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(values) => Ok(values),
            Data::Float(_) => Err("a tensor of integers is needed, this one has floats".into()),
        }
    }

    pub(super) fn floats(&self) -> Vec<f32> {
        self.to_floats().into_owned()
    }

    /// The same, without a copy where they are floats already.
    pub(super) fn to_floats(&self) -> Cow<'_, [f32]> {
        match &self.data {
            Data::Float(values) => Cow::Borrowed(values),
            Data::Int(values) => Cow::Owned(values.iter().map(|v| *v as f32).collect()),
        }
    }

    /// Floats that are all finite: weights.
    pub(super) fn finite(&self) -> Result<Vec<f32>, String> {
        let values = self.floats();
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(format!("weight {at} is not a finite number")),
            None => Ok(values),
        }
    }

    pub(super) fn int_list(&self) -> Vec<i64> {
        match &self.data {
            Data::Int(values) => values.clone(),
            Data::Float(values) => values.iter().map(|v| *v as i64).collect(),
        }
    }

    /// The one value of a tensor of one element.
    pub(super) fn single(&self) -> Option<f32> {
        match self.floats().as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }

    pub(super) fn reshape(&self, dims: Vec<usize>) -> Result<Self, String> {
        if count(&dims)? == self.data.len() {
            Ok(Self { dims, kind: self.kind, data: self.data.clone() })
        } else {
            Err(format!("{:?} cannot be reshaped to {dims:?}", self.dims))
        }
    }

    /// The elements at these flat positions, in that order.
    pub(super) fn pick(&self, dims: Vec<usize>, positions: &[usize]) -> Self {
        Self { dims, kind: self.kind, data: self.data.gather(positions) }
    }

    pub(super) fn transpose(&self, order: &[usize]) -> Result<Self, String> {
        let strides = strides(&self.dims);
        let pick = |list: &[usize]| -> Option<Vec<usize>> {
            order.iter().map(|axis| list.get(*axis).copied()).collect()
        };
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.dims.len()) {
            return Err(format!("{order:?} is no order of the axes of {:?}", self.dims));
        }
        let (Some(dims), Some(strides)) = (pick(&self.dims), pick(&strides)) else {
            return Err("transpose of axes that are not there".into());
        };
        let positions = dims::indices(&dims, &strides, 0, self.data.len());
        Ok(self.pick(dims, &positions))
    }

    pub(super) fn broadcast_to(&self, to: &[usize]) -> Result<Self, String> {
        Ok(self.pick(to.to_vec(), &dims::broadcast_indices(&self.dims, to)?))
    }

    /// `count` positions from `start` every `step` along `axis`.
    pub(super) fn slice(
        &self,
        axis: usize,
        start: usize,
        step: usize,
        count: usize,
    ) -> Result<Self, String> {
        let positions: Vec<usize> = (0..count).map(|i| start + i * step).collect();
        self.take(axis, &positions)
    }

    /// These positions along `axis`.
    pub(super) fn take(&self, axis: usize, positions: &[usize]) -> Result<Self, String> {
        let mut dims = self.dims.clone();
        let Some(dim) = dims.get_mut(axis) else { return Err("no such axis".into()) };
        let size = std::mem::replace(dim, positions.len());
        if positions.iter().any(|at| *at >= size) {
            return Err(format!("a position beyond the {size} of axis {axis}"));
        }
        let inner: usize = self.dims.iter().skip(axis + 1).product();
        let outer: usize = self.dims.iter().take(axis).product();
        let mut flat = Vec::with_capacity(count(&dims)?);
        for block in 0..outer {
            for at in positions {
                let first = (block * size + at) * inner;
                flat.extend(first..first + inner);
            }
        }
        Ok(self.pick(dims, &flat))
    }

    pub(super) fn concat(parts: &[&Self], axis: usize) -> Result<Self, String> {
        let Some(first) = parts.first() else { return Err("nothing to concatenate".into()) };
        let mut dims = first.dims.clone();
        let Some(slot) = dims.get_mut(axis) else { return Err("no such axis".into()) };
        *slot = 0;
        for part in parts {
            let fits = part.dims.len() == first.dims.len()
                && part
                    .dims
                    .iter()
                    .zip(&first.dims)
                    .enumerate()
                    .all(|(i, (a, b))| i == axis || a == b);
            let (Some(slot), Some(dim), true) = (dims.get_mut(axis), part.dims.get(axis), fits)
            else {
                return Err(format!("{:?} beside {:?}", part.dims, first.dims));
            };
            *slot = slot.checked_add(*dim).ok_or("too large")?;
        }
        let total = count(&dims)?;
        let outer: usize = dims.iter().take(axis).product();
        let inner = |part: &Self| part.dims.iter().skip(axis).product::<usize>();
        let all_int = parts.iter().all(|part| matches!(part.data, Data::Int(_)));
        let mut floats = Vec::with_capacity(if all_int { 0 } else { total });
        let mut ints = Vec::with_capacity(if all_int { total } else { 0 });
        for block in 0..outer {
            for part in parts {
                let range = block * inner(part)..(block + 1) * inner(part);
                match &part.data {
                    Data::Float(values) => floats.extend(dims::part(values, range)),
                    Data::Int(values) if all_int => ints.extend(dims::part(values, range)),
                    Data::Int(values) => {
                        floats.extend(dims::part(values, range).iter().map(|value| *value as f32));
                    }
                }
            }
        }
        let data = if all_int { Data::Int(ints) } else { Data::Float(floats) };
        let kind = if all_int || first.kind.is_float() { first.kind } else { ElementType::Float };
        Ok(Self { dims, kind, data })
    }

    /// The values as another type: floats are cut off towards zero and saturate, integers wrap
    /// around.
    pub(super) fn cast(&self, kind: ElementType) -> Self {
        let dims = self.dims.clone();
        let data = match (&self.data, kind) {
            (Data::Float(values), kind) if kind.is_float() => Data::Float(values.clone()),
            (Data::Int(values), kind) if kind.is_float() => {
                Data::Float(values.iter().map(|value| *value as f32).collect())
            }
            (Data::Float(values), ElementType::Bool) => {
                Data::Int(values.iter().map(|value| i64::from(*value != 0.0)).collect())
            }
            (Data::Float(values), kind) => {
                let (low, high) = kind.bounds();
                Data::Int(values.iter().map(|value| (*value as i64).clamp(low, high)).collect())
            }
            (Data::Int(values), kind) => {
                return Self::integers(dims, kind, values.clone());
            }
        };
        Self { dims, kind, data }
    }

    /// An axis list, given as constant or attribute.
    pub(super) fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        self.int_list().into_iter().map(|value| axis(value, rank)).collect()
    }

    /// A list of sizes.
    pub(super) fn sizes(&self) -> Result<Vec<usize>, String> {
        self.int_list()
            .into_iter()
            .map(|size| {
                usize::try_from(size)
                    .ok()
                    .filter(|size| *size <= dims::MAX_ELEMENTS)
                    .ok_or_else(|| format!("a size of {size}"))
            })
            .collect()
    }
}

/// Row-major strides.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    let mut stride = 1usize;
    for (slot, dim) in strides.iter_mut().zip(dims).rev() {
        *slot = stride;
        stride = stride.saturating_mul(*dim);
    }
    strides
}

/// IEEE half precision.
pub(super) fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// A bfloat16: the upper half of a float.
pub(super) fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_halves_and_bfloat16s_are_those_of_numpy() {
        let halves = [(0x2e66, 0.099_975_586), (0x0002, 1.192_092_9e-7), (0xfbff, -65504.0)];
        for (bits, value) in halves {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:x}");
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f32::NEG_INFINITY);
        assert_eq!(brain(0x3dcd).to_bits(), 0.100_097_656_f32.to_bits());
    }

    #[test]
    fn known_answer_casts_saturate_from_floats_and_wrap_from_integers() {
        let floats = Array::floats_of(vec![3], vec![-1.7, 300.0, 2.9]);
        assert_eq!(floats.cast(ElementType::Signed(8)).int_list(), [-1, 127, 2]);
        let ints = Array::ints(vec![2], vec![300, -1]);
        assert_eq!(ints.cast(ElementType::Unsigned(8)).int_list(), [44, 255]);
    }
}
