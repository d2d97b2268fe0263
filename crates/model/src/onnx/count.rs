//! A look at a file's outline before it is decoded, so that a small file cannot ask for much
//! memory.

use crate::error::ModelError;

/// Entries of any one kind at most.
const MAX_ENTRIES: usize = 1 << 17;
/// Nesting of model, graph, node, attribute, and graphs within attributes.
const MAX_DEPTH: u32 = 32;

/// Counts the length-delimited fields that become structures of their own when decoded.
///
/// # Errors
/// [`ModelError::Malformed`] if there are too many, or the outline is broken.
pub(super) fn check(bytes: &[u8]) -> Result<(), ModelError> {
    let mut count = 0;
    walk(bytes, Kind::Model, &mut count, 0).map_err(|why| ModelError::Malformed(why.into()))
}

#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Value,
    Leaf,
}

impl Kind {
    fn child(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6) => Some(Self::Graph),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Graph | Self::Attribute, 5) => Some(Self::Tensor),
            (Self::Graph, 11 | 12) => Some(Self::Value),
            (Self::Model, 8)
            | (Self::Graph, 15)
            | (Self::Function, 4 | 5 | 6 | 9)
            | (Self::Tensor, 13)
            | (Self::Attribute, 9)
            | (Self::Node, 1 | 2)
            | (Self::Value, 2) => Some(Self::Leaf),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            _ => None,
        }
    }
}

fn walk(mut bytes: &[u8], kind: Kind, count: &mut usize, depth: u32) -> Result<(), &'static str> {
    if depth > MAX_DEPTH {
        return Err("nested too deeply");
    }
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let len = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes)?,
            5 => 4,
            _ => return Err("unknown wire type"),
        };
        let len = usize::try_from(len).map_err(|_| "a length is too large")?;
        let (field, rest) = bytes.split_at_checked(len).ok_or("the file ends early")?;
        bytes = rest;
        if key & 7 == 2
            && let Some(child) = kind.child(key >> 3)
        {
            *count += 1;
            if *count > MAX_ENTRIES {
                return Err("too many nodes, tensors or attributes");
            }
            if !matches!(child, Kind::Leaf) {
                walk(field, child, count, depth + 1)?;
            }
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("the file ends early")?;
        *bytes = rest;
        // The tenth byte holds the highest bit; what lies above is cut off, as protobuf does.
        value |= ((u128::from(byte & 127)) << shift) as u64;
        if byte & 128 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}
