//! The sessions' own messages.

use gazelle_share::{Architecture, Shares};
use gazelle_wire::packed::{pack, unpack};
use gazelle_wire::{DecodeError, Message, PackedShape, Reader};

/// What the client wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCommand {
    /// Make the material of one inference, known as `id` from then on.
    Prepare { id: u32 },
    /// Use it.
    Infer { id: u32 },
    /// The session is over.
    Close,
}

impl Message for ClientCommand {
    type Shape = ();
    const KIND: u16 = 0x0701;
    const NAME: &'static str = "command";

    fn encoded_len((): &()) -> usize {
        5
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, id) = match self {
            Self::Prepare { id } => (1, *id),
            Self::Infer { id } => (2, *id),
            Self::Close => (3, 0),
        };
        out.push(tag);
        out.extend_from_slice(&id.to_le_bytes());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let [tag] = input.array()?;
        let id = u32::from_le_bytes(input.array()?);
        match (tag, id) {
            (1, id) => Ok(Self::Prepare { id }),
            (2, id) => Ok(Self::Infer { id }),
            (3, 0) => Ok(Self::Close),
            _ => Err(DecodeError::Invalid("unknown command")),
        }
    }
}

/// The client's input under its mask: x - r modulo the input's ring.
pub(crate) struct MaskedInput(pub(crate) Shares);

impl MaskedInput {
    /// Of a network's input.
    pub(crate) fn shape(architecture: &Architecture) -> PackedShape {
        let input = architecture.input();
        PackedShape { count: input.shape.len(), bits: input.ring_bits }
    }
}

impl Message for MaskedInput {
    type Shape = PackedShape;
    const KIND: u16 = 0x0702;
    const NAME: &'static str = "masked input";

    fn encoded_len(shape: &PackedShape) -> usize {
        shape.bytes()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        pack(self.0.words(), self.0.bits(), out);
    }
    fn decode(input: &mut Reader<'_>, shape: &PackedShape) -> Result<Self, DecodeError> {
        let words = unpack(input.take(shape.bytes())?, shape.bits, shape.count)?;
        Ok(Self(Shares::new(shape.bits, words)))
    }
}
