//! Messages of the garbled backend, kinds 0x0601 and 0x0603 to 0x0605.

use gazelle_block::{BitVec, Blocks};
use gazelle_wire::message::decode_all;
use gazelle_wire::{DecodeError, Message, Reader};

use crate::bits_message::bits_message;

/// A chunk's garbled tables.
pub(crate) struct Tables(pub(crate) Vec<u8>);

impl Message for Tables {
    type Shape = usize;
    const KIND: u16 = 0x0601;
    const NAME: &'static str = "garbled tables";

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

/// Active labels of the server's share, `[wire][lane]`.
pub(crate) struct Labels(pub(crate) Blocks);

impl Message for Labels {
    type Shape = usize;
    const KIND: u16 = 0x0603;
    const NAME: &'static str = "labels";

    fn encoded_len(shape: &usize) -> usize {
        Blocks::encoded_len(shape)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        Ok(Self(Blocks::decode(input, shape)?))
    }
}

bits_message!(
    /// The client's choice corrections d.
    Choices,
    0x0604,
    "choice corrections"
);
bits_message!(
    /// Colours of outputs, or their permute bits.
    Colours,
    0x0605,
    "output colours"
);
