//! Typed messages, decoded against an agreed shape.

use crate::error::DecodeError;

/// A value that crosses the link. Lengths follow from the [`Shape`](Self::Shape), which both
/// parties know from the plan: nothing that the peer sends sizes an allocation.
pub trait Message: Sized {
    /// What both parties know beforehand (counts, widths).
    type Shape;
    /// The frame's kind; see docs/wire-format.md for the registry.
    const KIND: u16;
    /// The name used in errors.
    const NAME: &'static str;

    /// Payload bytes of every message of this shape.
    fn encoded_len(shape: &Self::Shape) -> usize;
    /// Appends exactly `encoded_len` bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads exactly `encoded_len` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if a value is outside its agreed range.
    fn decode(input: &mut Reader<'_>, shape: &Self::Shape) -> Result<Self, DecodeError>;

    /// What [`encode`](Self::encode) would append, if it lies ready: saves long messages a copy.
    fn encoded(&self) -> Option<&[u8]> {
        None
    }

    /// As [`decode_all`], for messages that keep the payload as it is and can save a copy.
    ///
    /// # Errors
    /// As [`decode_all`].
    fn decode_owned(payload: Vec<u8>, shape: &Self::Shape) -> Result<Self, DecodeError> {
        decode_all(&payload, shape)
    }
}

/// A cursor over a payload.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| DecodeError::Short { needed: count - self.rest.len() })?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::Short { needed: N - self.rest.len() })?;
        self.rest = tail;
        Ok(*head)
    }

    /// Fails unless all bytes were read.
    ///
    /// # Errors
    /// [`DecodeError::Long`] if some are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Long { extra: self.rest.len() })
        }
    }
}

/// Decodes a whole payload.
///
/// # Errors
/// [`DecodeError`] if the payload does not have the agreed form.
pub fn decode_all<M: Message>(payload: &[u8], shape: &M::Shape) -> Result<M, DecodeError> {
    let mut reader = Reader::new(payload);
    let message = M::decode(&mut reader, shape)?;
    reader.finish()?;
    Ok(message)
}
