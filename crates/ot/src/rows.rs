//! Rows of bit matrices in pieces of 128 bits: a party's own, and those that cross the link.

use gazelle_wire::{DecodeError, Message, Reader};
use zeroize::Zeroize;

/// Bits of a piece: rows are whole pieces, so chunks of OTs are multiples of this.
pub(crate) const ROW_UNIT: usize = 128;

/// OTs per chunk: the matrix of 128 rows stays in L2.
pub(crate) const CHUNK: usize = 8192;

/// Pieces of 16 bytes, row after row. Wiped on drop.
#[derive(Default)]
pub(crate) struct Rows(pub(crate) Vec<[u8; 16]>);

impl Rows {
    /// Makes room for `pieces`, whose contents are anything.
    pub(crate) fn resize(&mut self, pieces: usize) {
        if self.0.capacity() < pieces {
            // A new buffer: one that grows would leave its rows behind unwiped.
            self.0.zeroize();
            self.0 = Vec::with_capacity(pieces.max(128 * (CHUNK / ROW_UNIT + 1)));
        }
        self.0.resize(pieces, [0; 16]);
    }
}

/// What the extensions' receivers send: rows that hide the choices. Nothing secret once it is out.
#[derive(Default)]
pub(crate) struct Corrections(pub(crate) Vec<[u8; 16]>);

impl Message for Corrections {
    /// The number of pieces.
    type Shape = usize;
    const KIND: u16 = 0x0301;
    const NAME: &'static str = "OT extension corrections";

    fn encoded_len(shape: &usize) -> usize {
        16 * shape
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_flattened());
    }
    fn decode(input: &mut Reader<'_>, shape: &usize) -> Result<Self, DecodeError> {
        let (pieces, _) = input.take(16 * shape)?.as_chunks::<16>();
        Ok(Self(pieces.to_vec()))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
