//! The frame's header: kind u16, sequence u16, length u32, little-endian.
//!
//! All three are compared with what the protocol expects; the length never sizes an allocation.

use crate::error::ChannelError;
use crate::traffic::HEADER_BYTES;

/// Kind of the frame that says "I gave up"; it carries nothing else.
pub(crate) const ERROR_KIND: u16 = 0xffff;

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which message.
    pub kind: u16,
    /// Frames sent before this one in this direction, mod 2^16.
    pub sequence: u16,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// The 8 bytes on the wire.
    pub fn bytes(self) -> [u8; HEADER_BYTES] {
        let ([k0, k1], [s0, s1], [l0, l1, l2, l3]) =
            (self.kind.to_le_bytes(), self.sequence.to_le_bytes(), self.length.to_le_bytes());
        [k0, k1, s0, s1, l0, l1, l2, l3]
    }

    /// The inverse of [`bytes`](Self::bytes).
    pub fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [k0, k1, s0, s1, l0, l1, l2, l3] = bytes;
        Self {
            kind: u16::from_le_bytes([k0, k1]),
            sequence: u16::from_le_bytes([s0, s1]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }

    /// Compares what came with `self`, what the protocol expects here.
    ///
    /// # Errors
    /// [`ChannelError::PeerFailed`] for the error frame, else [`ChannelError::Frame`] with the
    /// first field that differs.
    pub(crate) fn check(self, got: Self) -> Result<(), ChannelError> {
        if got.kind == ERROR_KIND {
            return Err(ChannelError::PeerFailed);
        }
        for (field, expected, got) in [
            ("kind", u32::from(self.kind), u32::from(got.kind)),
            ("sequence", u32::from(self.sequence), u32::from(got.sequence)),
            ("length", self.length, got.length),
        ] {
            if expected != got {
                return Err(ChannelError::Frame { field, expected, got });
            }
        }
        Ok(())
    }
}
