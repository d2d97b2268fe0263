//! The two plain messages: bytes, and words packed at a given width.

use crate::error::DecodeError;
use crate::message::{Message, Reader};

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
    let mask = u64::MAX >> (64 - bits);
    let mut buffer = 0u128;
    let mut filled = 0u32;
    out.reserve(PackedShape { count: words.len(), bits }.bytes());
    for word in words {
        buffer |= u128::from(word & mask) << filled;
        filled += bits;
        if filled >= 64 {
            out.extend_from_slice(&(buffer as u64).to_le_bytes());
            buffer >>= 64;
            filled -= 64;
        }
    }
    let rest = (buffer as u64).to_le_bytes();
    out.extend(rest.iter().take(filled.div_ceil(8) as usize));
}

/// The inverse of [`pack`].
///
/// # Errors
/// [`DecodeError`] if `bytes` has the wrong length or a non-zero unused bit.
pub fn unpack(bytes: &[u8], bits: u32, count: usize) -> Result<Vec<u64>, DecodeError> {
    let expected = PackedShape { count, bits }.bytes();
    if bytes.len() < expected {
        return Err(DecodeError::Short { needed: expected - bytes.len() });
    }
    if bytes.len() > expected {
        return Err(DecodeError::Long { extra: bytes.len() - expected });
    }
    let mask = u64::MAX >> (64 - bits);
    let mut words = Vec::with_capacity(count);
    let mut chunks = bytes.chunks(8);
    let mut buffer = 0u128;
    let mut filled = 0u32;
    for _ in 0..count {
        if filled < bits {
            let chunk = chunks.next().unwrap_or_default();
            let mut word = [0u8; 8];
            word.iter_mut().zip(chunk).for_each(|(w, c)| *w = *c);
            buffer |= u128::from(u64::from_le_bytes(word)) << filled;
            filled += 64;
        }
        words.push(buffer as u64 & mask);
        buffer >>= bits;
        filled -= bits;
    }
    if buffer != 0 {
        return Err(DecodeError::Invalid("unused bits are not zero"));
    }
    Ok(words)
}
