//! Attributes of a node, with defaults.

use super::generated::{AttributeProto, NodeProto};

/// Read access to a node's attributes.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(&'a NodeProto);

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto) -> Self {
        Self(node)
    }

    pub(super) fn get(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn int(self, name: &str, default: i64) -> i64 {
        // optional: an attribute may be left out
        self.get(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(self, name: &str, default: f32) -> f32 {
        // optional: an attribute may be left out
        self.get(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn string(self, name: &str) -> Option<String> {
        self.get(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    pub(super) fn ints(self, name: &str) -> Option<&'a [i64]> {
        self.get(name).map(|attribute| attribute.ints.as_slice())
    }

    /// Integers; none where the attribute is left out.
    pub(super) fn list(self, name: &str) -> &'a [i64] {
        // optional: an attribute may be left out
        self.ints(name).unwrap_or_default()
    }

    pub(super) fn floats(self, name: &str) -> Option<&'a [f32]> {
        self.get(name).map(|attribute| attribute.floats.as_slice())
    }

    /// Two sizes (rows, columns) of at least `least`; one-dimensional operators have one size and
    /// then 1 (or 0) for the columns.
    pub(super) fn pair(
        self,
        name: &str,
        rank: usize,
        default: usize,
    ) -> Result<[usize; 2], String> {
        let Some(values) = self.ints(name).filter(|values| !values.is_empty()) else {
            return Ok(if rank == 1 && default == 0 { [0, 0] } else { [default.max(1); 2] });
        };
        if values.len() != rank {
            return Err(format!("{name} has {} entries for {rank} axes", values.len()));
        }
        let mut pair = [1usize; 2];
        for (slot, value) in pair.iter_mut().zip(values) {
            *slot = usize::try_from(*value)
                .ok()
                .filter(|v| (1..=1 << 16).contains(v))
                .ok_or_else(|| format!("{name} {value} is out of range"))?;
        }
        Ok(pair)
    }
}
