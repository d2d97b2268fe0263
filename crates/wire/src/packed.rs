//! The two plain messages: bytes, and words packed at a given width.

use crate::error::DecodeError;
use crate::message::{Message, Reader, decode_all};

/// A byte string of agreed length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Message for Bytes {
    type Shape = usize;
    const KIND: u16 = 0x0001;
    const NAME: &'static str = "bytes";

    fn encoded_len(shape: &usize) -> usize {
        *shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        Ok(Self(input.take(*shape)?.to_vec()))
    }
    fn encoded(&self) -> Option<&[u8]> {
        Some(&self.0)
    }
    fn decode_owned(payload: Vec<u8>, shape: &usize) -> Result<Self, DecodeError> {
        if payload.len() == *shape { Ok(Self(payload)) } else { decode_all(&payload, shape) }
    }
}

/// Shape of [`Packed`]: `count` words of `bits` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedShape {
    /// Number of words.
    pub count: usize,
    /// Width of each word, 1 to 64.
    pub bits: u32,
}

impl PackedShape {
    /// Bytes needed: `ceil(count * bits / 8)`.
    pub fn bytes(&self) -> usize {
        (self.count * self.bits as usize).div_ceil(8)
    }
}

/// Words below `2^bits`, packed little-endian without gaps; unused bits of the last byte are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Width of each word, 1 to 64.
    pub bits: u32,
    /// The words, each below `2^bits`.
    pub words: Vec<u64>,
}

impl Message for Packed {
    type Shape = PackedShape;
    const KIND: u16 = 0x0002;
    const NAME: &'static str = "packed words";

    fn encoded_len(shape: &PackedShape) -> usize {
        shape.bytes()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        pack(&self.words, self.bits, out);
    }
    fn decode(input: &mut Reader<'_>, shape: &PackedShape) -> Result<Self, DecodeError> {
        let words = unpack(input.take(shape.bytes())?, shape.bits, shape.count)?;
        Ok(Self { bits: shape.bits, words })
    }
}

/// Appends `words` at `bits` bits each; bits above the width are dropped.
pub fn pack(words: &[u64], bits: u32, out: &mut Vec<u8>) {
    let mask = mask(bits);
    out.reserve(PackedShape { count: words.len(), bits }.bytes());
    let mut buffer = 0u64;
    let mut filled = 0u32;
    for word in words {
        let word = word & mask;
        buffer |= word << filled;
        let end = filled + bits;
        if end >= 64 {
            out.extend_from_slice(&buffer.to_le_bytes());
            buffer = word.checked_shr(64 - filled).unwrap_or(0);
            filled = end - 64;
        } else {
            filled = end;
        }
    }
    let rest = buffer.to_le_bytes();
    out.extend(rest.iter().take(filled.div_ceil(8) as usize));
}

/// The inverse of [`pack`].
///
/// # Errors
/// [`DecodeError`] if `bits` is not a width, or `bytes` has the wrong length or a non-zero unused
/// bit.
pub fn unpack(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u64>, DecodeError> {
    if bits == 0 || bits > 64 {
        return Err(DecodeError::Invalid("a width outside 1 to 64"));
    }
    let expected = PackedShape { count, bits }.bytes();
    if bytes.len() < expected {
        return Err(DecodeError::Short { needed: expected - bytes.len() });
    }
    if bytes.len() > expected {
        return Err(DecodeError::Long { extra: bytes.len() - expected });
    }
    let used = count * bits as usize % 8;
    if used != 0 && bytes.last().is_some_and(|last| last >> used != 0) {
        return Err(DecodeError::Invalid("unused bits are not zero"));
    }
    let mask = mask(bits);
    let width = bits as usize;
    let mut words = Vec::with_capacity(count);
    // A word of up to 57 bits lies within the 8 bytes that begin with its first bit's byte.
    if bits <= 57 {
        let safe = bytes.len().saturating_sub(7) * 8 / width;
        words.extend((0..safe.min(count)).map(|i| {
            let chunk = bytes.get(i * width / 8..).and_then(<[u8]>::first_chunk::<8>);
            u64::from_le_bytes(*chunk.unwrap_or(&[0; 8])) >> (i * width % 8) & mask
        }));
    }
    for i in words.len()..count {
        let mut chunk = [0u8; 16];
        let rest = bytes.get(i * width / 8..).unwrap_or_default();
        chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        words.push((u128::from_le_bytes(chunk) >> (i * width % 8)) as u64 & mask);
    }
    Ok(words)
}

/// `2^bits - 1`, for `bits` up to 64.
fn mask(bits: u32) -> u64 {
    1u64.checked_shl(bits).map_or(u64::MAX, |power| power - 1)
}
