//! Constant tensors, and the arithmetic on shapes that exporters leave in a graph.

use super::attributes::Attributes;
use super::dims::{self, axis, count};
use super::generated::TensorProto;

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

/// Its elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

impl Data {
    fn len(&self) -> usize {
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

impl Constant {
    pub(super) fn ints(dims: Vec<usize>, values: Vec<i64>) -> Self {
        Self { dims, data: Data::Int(values) }
    }

    pub(super) fn scalar(value: f32) -> Self {
        Self { dims: Vec::new(), data: Data::Float(vec![value]) }
    }

    /// Reads a `TensorProto`; memory is bounded by the file.
    pub(super) fn from_proto(tensor: &TensorProto) -> Result<Self, String> {
        if tensor.data_location == 1 {
            return Err(format!("tensor {:?} lies in another file", tensor.name));
        }
        let dims: Option<Vec<usize>> =
            tensor.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let dims = dims.ok_or_else(|| format!("tensor {:?} has a negative axis", tensor.name))?;
        let expected = count(&dims)?;
        let raw = &tensor.raw_data;
        let typed = raw.is_empty();
        let ints = |bytes: usize, read: fn(&[u8]) -> i64| -> Vec<i64> {
            raw.chunks_exact(bytes).map(read).collect()
        };
        let small = || tensor.int32_data.iter().map(|v| i64::from(*v)).collect();
        let data = match tensor.data_type {
            1 if typed => Data::Float(tensor.float_data.clone()),
            1 => {
                let (words, _) = raw.as_chunks::<4>();
                Data::Float(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
            }
            11 if typed => Data::Float(tensor.double_data.iter().map(|v| *v as f32).collect()),
            11 => {
                let (words, _) = raw.as_chunks::<8>();
                Data::Float(words.iter().map(|word| f64::from_le_bytes(*word) as f32).collect())
            }
            10 if typed => Data::Float(tensor.int32_data.iter().map(|v| half(*v as u16)).collect()),
            10 => {
                let (words, _) = raw.as_chunks::<2>();
                Data::Float(words.iter().map(|word| half(u16::from_le_bytes(*word))).collect())
            }
            7 if typed => Data::Int(tensor.int64_data.clone()),
            2..=6 | 9 if typed => Data::Int(small()),
            7 => Data::Int(ints(8, |b| b.try_into().map_or(0, i64::from_le_bytes))),
            6 => Data::Int(ints(4, |b| b.try_into().map_or(0, i32::from_le_bytes).into())),
            5 => Data::Int(ints(2, |b| b.try_into().map_or(0, i16::from_le_bytes).into())),
            4 => Data::Int(ints(2, |b| b.try_into().map_or(0, u16::from_le_bytes).into())),
            3 => Data::Int(raw.iter().map(|b| i64::from(*b as i8)).collect()),
            2 | 9 => Data::Int(raw.iter().map(|b| i64::from(*b)).collect()),
            other => return Err(format!("tensor {:?} has data type {other}", tensor.name)),
        };
        if data.len() == expected {
            Ok(Self { dims, data })
        } else {
            let got = data.len();
            Err(format!("tensor {:?} of {dims:?} has {got} elements", tensor.name))
        }
    }

    pub(super) fn floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|v| *v as f32).collect(),
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

    pub(super) fn single(&self) -> Option<f32> {
        match self.floats().as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }

    pub(super) fn reshape(&self, dims: Vec<usize>) -> Result<Self, String> {
        if count(&dims)? == self.data.len() {
            Ok(Self { dims, data: self.data.clone() })
        } else {
            Err(format!("reshape of a constant {:?} to {dims:?}", self.dims))
        }
    }

    pub(super) fn transpose(&self, order: &[usize]) -> Result<Self, String> {
        let strides = strides(&self.dims);
        let pick = |list: &[usize]| -> Option<Vec<usize>> {
            order.iter().map(|axis| list.get(*axis).copied()).collect()
        };
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.dims.len()) {
            return Err(format!("transpose of {:?} by {order:?}", self.dims));
        }
        let (Some(dims), Some(strides)) = (pick(&self.dims), pick(&strides)) else {
            return Err("transpose of axes that are not there".into());
        };
        let data = self.data.gather(&dims::indices(&dims, &strides, 0, self.data.len()));
        Ok(Self { dims, data })
    }

    pub(super) fn broadcast_to(&self, to: &[usize]) -> Result<Self, String> {
        let data = self.data.gather(&dims::broadcast_indices(&self.dims, to)?);
        Ok(Self { dims: to.to_vec(), data })
    }

    /// `count` positions from `start` every `step` along `axis`.
    pub(super) fn slice(
        &self,
        axis: usize,
        start: usize,
        step: usize,
        count: usize,
    ) -> Result<Self, String> {
        let mut strides = strides(&self.dims);
        let mut dims = self.dims.clone();
        let (Some(dim), Some(stride)) = (dims.get_mut(axis), strides.get_mut(axis)) else {
            return Err("slice of an axis that is not there".into());
        };
        let begin = start * *stride;
        *stride *= step;
        *dim = count;
        let total = dims::count(&dims)?;
        let data = self.data.gather(&dims::indices(&dims, &strides, begin, total));
        Ok(Self { dims, data })
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
                return Err("constants that do not concatenate".into());
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
                let (start, len) = (block * inner(part), inner(part));
                match &part.data {
                    Data::Int(values) if all_int => {
                        ints.extend(values.get(start..start + len).unwrap_or_default());
                    }
                    _ => floats.extend(part.floats().get(start..start + len).unwrap_or_default()),
                }
            }
        }
        let data = if all_int { Data::Int(ints) } else { Data::Float(floats) };
        Ok(Self { dims, data })
    }

    /// `Gather`: the entries `indices` along `axis`.
    pub(super) fn gather(&self, indices: &Self, axis: usize) -> Result<Self, String> {
        let dim = *self.dims.get(axis).ok_or("no such axis")?;
        let mut parts = Vec::new();
        for index in indices.int_list() {
            let at = dims::axis(index, dim)?;
            parts.push(self.slice(axis, at, 1, 1)?);
        }
        let joined = Self::concat(&parts.iter().collect::<Vec<_>>(), axis)?;
        let mut dims = self.dims.clone();
        dims.splice(axis..=axis, indices.dims.iter().copied());
        joined.reshape(dims)
    }

    /// Elementwise arithmetic with broadcasting; integers stay integers.
    pub(super) fn arithmetic(&self, other: &Self, op: &str) -> Result<Self, String> {
        let dims = dims::broadcast(&self.dims, &other.dims)?;
        let (a, b) = (self.broadcast_to(&dims)?, other.broadcast_to(&dims)?);
        if let (Data::Int(a), Data::Int(b)) = (&a.data, &b.data) {
            let act = |a: i64, b: i64| match op {
                "Add" => a.checked_add(b),
                "Sub" => a.checked_sub(b),
                "Mul" => a.checked_mul(b),
                "Div" => a.checked_div(b),
                _ => None,
            };
            let values: Option<Vec<i64>> = a.iter().zip(b).map(|(a, b)| act(*a, *b)).collect();
            let values = values.ok_or_else(|| format!("{op} of constants overflows"))?;
            return Ok(Self { dims, data: Data::Int(values) });
        }
        let act = |(a, b): (f32, f32)| match op {
            "Add" => a + b,
            "Sub" => a - b,
            "Mul" => a * b,
            _ => a / b,
        };
        let values = a.floats().into_iter().zip(b.floats()).map(act).collect();
        Ok(Self { dims, data: Data::Float(values) })
    }

    pub(super) fn cast(&self, to: i64) -> Result<Self, String> {
        let data = match to {
            1 | 10 | 11 => Data::Float(self.floats()),
            2..=7 | 9 => Data::Int(self.int_list()),
            _ => return Err(format!("cast to type {to}")),
        };
        Ok(Self { dims: self.dims.clone(), data })
    }

    /// The value of a `Constant` node.
    pub(super) fn from_attributes(attributes: Attributes<'_>) -> Result<Self, String> {
        if let Some(tensor) = attributes.get("value").and_then(|value| value.t.as_ref()) {
            return Self::from_proto(tensor);
        }
        if let Some(value) = attributes.get("value_float") {
            return Ok(Self::scalar(value.f));
        }
        if let Some(value) = attributes.get("value_int") {
            return Ok(Self::ints(Vec::new(), vec![value.i]));
        }
        if let Some(value) = attributes.get("value_ints") {
            return Ok(Self::ints(vec![value.ints.len()], value.ints.clone()));
        }
        if let Some(value) = attributes.get("value_floats") {
            let dims = vec![value.floats.len()];
            return Ok(Self { dims, data: Data::Float(value.floats.clone()) });
        }
        Err("a constant of a kind that is not supported".into())
    }

    /// `ConstantOfShape`.
    pub(super) fn filled(dims: &[usize], value: Option<&Self>) -> Result<Self, String> {
        let zero = Self::scalar(0.0);
        let value = value.unwrap_or(&zero).reshape(Vec::new())?;
        value.broadcast_to(dims)
    }

    /// An axis list, given as constant or attribute.
    pub(super) fn axes(&self, rank: usize) -> Result<Vec<usize>, String> {
        self.int_list().into_iter().map(|value| axis(value, rank)).collect()
    }
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    let mut stride = 1usize;
    for (slot, dim) in strides.iter_mut().zip(dims).rev() {
        *slot = stride;
        stride = stride.saturating_mul(*dim);
    }
    strides
}

/// IEEE half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}
