//! What a party says of a unit besides its OTs; shapes are the plan's.

use gazelle_block::BitVec;
use gazelle_prg::Seed;
use gazelle_wire::{ChannelError, RecvHalf, SendHalf};

use crate::garbled::messages::{Choices, Tables};
use crate::gmw::messages::Corrections;
use crate::ot_session::HashSeedMessage;

/// A message.
pub(crate) enum Parcel {
    /// Corrections of operations, chunk by chunk.
    Corrections(BitVec),
    /// Choices of labels, chunk by chunk.
    Choices(BitVec),
    /// The hash seed of a garbled step.
    Seed(Seed),
    /// A chunk's garbled tables.
    Tables(Vec<u8>),
}

/// Its kind and length: bits, or bytes of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParcelShape {
    Corrections(usize),
    Choices(usize),
    Seed,
    Tables(usize),
}

impl ParcelShape {
    /// Receives it.
    pub(crate) fn receive(self, half: &mut RecvHalf) -> Result<Parcel, ChannelError> {
        Ok(match self {
            Self::Corrections(bits) => Parcel::Corrections(half.recv::<Corrections>(&bits)?.0),
            Self::Choices(bits) => Parcel::Choices(half.recv::<Choices>(&bits)?.0),
            Self::Seed => Parcel::Seed(half.recv::<HashSeedMessage>(&())?.0),
            Self::Tables(bytes) => Parcel::Tables(half.recv::<Tables>(&bytes)?.0),
        })
    }
}

impl Parcel {
    /// Sends it.
    pub(crate) fn send(self, half: &mut SendHalf) -> Result<(), ChannelError> {
        match self {
            Self::Corrections(bits) => {
                let count = bits.len();
                half.send(&Corrections(bits), &count)
            }
            Self::Choices(bits) => {
                let count = bits.len();
                half.send(&Choices(bits), &count)
            }
            Self::Seed(seed) => half.send(&HashSeedMessage(seed), &()),
            Self::Tables(tables) => {
                let count = tables.len();
                half.send(&Tables(tables), &count)
            }
        }
    }
}
