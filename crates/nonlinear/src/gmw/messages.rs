//! Messages of the GMW backend, kinds 0x0610 and 0x0611: bit strings whose length the plan knows.

use gazelle_block::BitVec;
use gazelle_wire::{DecodeError, Message, Reader};

use crate::bits_message::bits_message;

bits_message!(
    /// Halves of openings, chunk by chunk, opening by opening, plane by plane.
    Halves,
    0x0610,
    "halves of openings"
);
bits_message!(
    /// Offline corrections of a batch, chunk by chunk, operation by operation.
    Corrections,
    0x0611,
    "corrections"
);

/// Joins bit strings.
pub(crate) fn join(parts: impl IntoIterator<Item = BitVec>) -> BitVec {
    let mut all = BitVec::new();
    parts.into_iter().for_each(|part| all.extend(&part));
    all
}
