//! The three messages, with exact lengths.

use gazelle_wire::{DecodeError, Message, Reader};

use crate::public_coin::parameters::Parameters;

/// Shape of a [`RequestMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestShape {
    /// The group's parameters.
    pub parameters: Parameters,
    /// Request polynomials.
    pub requests: usize,
    /// Pinned coefficients, all polynomials together.
    pub pinned: usize,
}

/// One group's request: the public seed of beta, `pb`, h bits per coefficient, beta where pinned.
///
/// Payload: `16 + (l+k) N / 8 + requests * h N / 8 + ceil(l * pinned / 8)` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestMessage {
    pub(crate) payload: Vec<u8>,
}

impl RequestMessage {
    /// Of the bytes; what `c0'` is bound to.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.payload).as_bytes()
    }
}

impl Message for RequestMessage {
    type Shape = RequestShape;
    const KIND: u16 = 0x0202;
    const NAME: &'static str = "encrypted mask";

    fn encoded_len(shape: &RequestShape) -> usize {
        let n = shape.parameters.degree();
        let bytes = |bits: u32| n * bits as usize / 8;
        16 + bytes(shape.parameters.modulus_bits())
            + shape.requests * kept_bytes(&shape.parameters)
            + (shape.pinned * shape.parameters.ring_bits() as usize).div_ceil(8)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload);
    }
    fn decode(input: &mut Reader<'_>, shape: &RequestShape) -> Result<Self, DecodeError> {
        Ok(Self { payload: input.take(Self::encoded_len(shape))?.to_vec() })
    }
}

/// Bytes of one polynomial's levels: `h N / 8`.
pub(crate) fn kept_bytes(parameters: &Parameters) -> usize {
    parameters.degree() * parameters.kept_quarters() as usize / 32
}

/// Shape of a [`HintMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintShape {
    /// The group's parameters.
    pub parameters: Parameters,
    /// Response polynomials in this message (all of a group's, or a run of rows).
    pub responses: usize,
}

/// The hints `c1_m` of consecutive rows, rounded to l+k-d bits; kept packed.
///
/// Payload: `responses * (l + k - d) N / 8` bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HintMessage {
    pub(crate) payload: Vec<u8>,
}

impl HintMessage {
    /// No hints, with room for those of `shape`.
    pub fn with_room(shape: &HintShape) -> Self {
        Self { payload: Vec::with_capacity(Self::encoded_len(shape)) }
    }

    /// The same hints in messages of `each`, the last one of what is left.
    pub fn cut(&self, each: HintShape) -> impl Iterator<Item = Self> {
        let parts = self.payload.chunks(Self::encoded_len(&each).max(1));
        parts.map(|part| Self { payload: part.to_vec() })
    }

    /// Appends the hints of the rows that follow (for groups sent in several messages).
    pub fn append(&mut self, mut next: Self) {
        // Exactly: hints are most of what a client holds.
        self.payload.reserve_exact(next.payload.len());
        self.payload.append(&mut next.payload);
    }

    /// The packed bytes, as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.payload
    }

    /// Hints that were kept.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] if they are not as many bytes as `shape` takes.
    pub fn kept(payload: Vec<u8>, shape: &HintShape) -> Result<Self, DecodeError> {
        if payload.len() != Self::encoded_len(shape) {
            return Err(DecodeError::Invalid("kept hints of another length"));
        }
        Ok(Self { payload })
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

impl Message for HintMessage {
    type Shape = HintShape;
    const KIND: u16 = 0x0203;
    const NAME: &'static str = "hints";

    fn encoded_len(shape: &HintShape) -> usize {
        shape.responses * shape.parameters.degree() * shape.parameters.hint_bits() as usize / 8
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload);
    }
    fn decode(input: &mut Reader<'_>, shape: &HintShape) -> Result<Self, DecodeError> {
        Ok(Self { payload: input.take(Self::encoded_len(shape))?.to_vec() })
    }
}

/// The server's nonce for `c0'`, drawn after the request came in. 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReshareMessage {
    /// Fresh, the server's.
    pub nonce: [u8; 32],
}

impl Message for ReshareMessage {
    type Shape = ();
    const KIND: u16 = 0x0204;
    const NAME: &'static str = "re-sharing nonce";

    fn encoded_len((): &()) -> usize {
        32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nonce);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self { nonce: input.array()? })
    }
}
