//! The sessions' own messages.

use gazelle_share::{Architecture, Shares};
use gazelle_wire::packed::{pack, unpack};
use gazelle_wire::{DecodeError, Message, PackedShape, Reader};

use crate::error::GazelleError;

/// Setups that a client may name at once: a service of several servers has as many.
pub(crate) const NAMES: usize = 4;

/// Entries that are compared at once.
pub(crate) const ENTRIES: usize = 4096;

/// Ids of entries, as many as the shape says.
pub(crate) struct EntryIds(pub(crate) Vec<[u8; 32]>);

impl Message for EntryIds {
    type Shape = usize;
    const KIND: u16 = 0x0706;
    const NAME: &'static str = "ids of entries";

    fn encoded_len(count: &usize) -> usize {
        32 * count
    }
    fn encode(&self, out: &mut Vec<u8>) {
        for id in &self.0 {
            out.extend_from_slice(id);
        }
    }
    fn decode(input: &mut Reader<'_>, count: &usize) -> Result<Self, DecodeError> {
        (0..*count).map(|_| input.array()).collect::<Result<_, _>>().map(Self)
    }
}

/// Whether the server has room for, has stored or still has each of so many entries; and which of several
/// servers it is.
pub(crate) struct EntriesThere {
    pub(crate) there: Vec<bool>,
    pub(crate) replica: [u8; 32],
}

impl Message for EntriesThere {
    type Shape = usize;
    const KIND: u16 = 0x0707;
    const NAME: &'static str = "entries that are there";

    fn encoded_len(count: &usize) -> usize {
        *count + 32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.there.iter().map(|there| u8::from(*there)));
        out.extend_from_slice(&self.replica);
    }
    fn decode(input: &mut Reader<'_>, count: &usize) -> Result<Self, DecodeError> {
        let there = |byte: &u8| match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("an entry that is neither there nor not")),
        };
        let there = input.take(*count)?.iter().map(there).collect::<Result<_, _>>()?;
        Ok(Self { there, replica: input.array()? })
    }
}

/// What the server says of an entry that it was asked to take off its store: the tag of its half (zero if it
/// has none), and which of several servers it is.
pub(crate) struct EntryTaken {
    pub(crate) pair: Option<[u8; 32]>,
    pub(crate) replica: [u8; 32],
}

impl Message for EntryTaken {
    type Shape = ();
    const KIND: u16 = 0x0708;
    const NAME: &'static str = "an entry that was taken";

    fn encoded_len((): &()) -> usize {
        65
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.pair.is_some()));
        // optional: zero stands for none
        out.extend_from_slice(&self.pair.unwrap_or_default());
        out.extend_from_slice(&self.replica);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let ([taken], pair, replica) = (input.array()?, input.array()?, input.array()?);
        match (taken, pair == [0; 32]) {
            (0, true) => Ok(Self { pair: None, replica }),
            (1, _) => Ok(Self { pair: Some(pair), replica }),
            _ => Err(DecodeError::Invalid("an entry that is neither taken nor not")),
        }
    }
}

/// Whether the server could read the entry that it took, to its end.
pub(crate) struct EntryRead(pub(crate) bool);

impl Message for EntryRead {
    type Shape = ();
    const KIND: u16 = 0x0709;
    const NAME: &'static str = "an entry that was read";

    fn encoded_len((): &()) -> usize {
        1
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.0));
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        verdict(input).map(Self)
    }
}

/// A byte that says yes or no.
fn verdict(input: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match input.array()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(DecodeError::Invalid("neither yes nor no")),
    }
}

/// What a setup is known by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetupName {
    /// Drawn by the client. Without certificates, who knows it may go on with the setup.
    pub id: [u8; 32],
    /// Of what both parties hold.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for SetupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetupName").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// What the client wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientCommand {
    /// Make the material of one inference, known as `id` from then on.
    Prepare { id: u32 },
    /// Use it.
    Infer { id: u32 },
    /// As `Prepare`, and `Infer` follows on a lane of its own.
    AtOnce { id: u32 },
    /// The session is over.
    Close,
    /// Set up both protocols; comes first. A wish with so many names of kept setups follows. With `late` a new
    /// setup's hints come with the first inference, which is at once and comes next.
    SetUp { names: u32, late: bool },
    /// As `Prepare`; both store their halves under the entry's id, which follows with the holder's.
    Keep { id: u32 },
    /// Take the entry whose id follows off the stores; known as `id` from then on.
    Use { id: u32 },
    /// The holder's id and its entries follow, so many: drop all others of this holder.
    Compare { entries: u32 },
}

impl ClientCommand {
    /// Whether it may come next where a setup's hints are late.
    ///
    /// # Errors
    /// [`GazelleError::Peer`] if not.
    pub(crate) fn behind_late_setup(self) -> Result<(), GazelleError> {
        match self {
            Self::AtOnce { .. } | Self::Close => Ok(()),
            _ => Err(GazelleError::Peer(format!("{self:?} before the setup's late hints"))),
        }
    }
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
            Self::SetUp { names, late: false } => (4, *names),
            Self::SetUp { names, late: true } => (9, *names),
            Self::Keep { id } => (5, *id),
            Self::Use { id } => (6, *id),
            Self::Compare { entries } => (7, *entries),
            Self::AtOnce { id } => (8, *id),
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
            (5, id) => Ok(Self::Keep { id }),
            (6, id) => Ok(Self::Use { id }),
            (7, entries) if entries as usize <= ENTRIES => Ok(Self::Compare { entries }),
            (8, id) => Ok(Self::AtOnce { id }),
            (4 | 9, names) if names as usize <= NAMES => Ok(Self::SetUp { names, late: tag == 9 }),
            _ => Err(DecodeError::Invalid("unknown command")),
        }
    }
}

/// An id for a new setup (zero: it is not to be kept), and the setups that the client would go on with.
pub(crate) struct SetupWish {
    pub(crate) id: [u8; 32],
    pub(crate) names: Vec<SetupName>,
}

impl Message for SetupWish {
    type Shape = usize;
    const KIND: u16 = 0x0703;
    const NAME: &'static str = "wish for a setup";

    fn encoded_len(names: &usize) -> usize {
        32 + 64 * names
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id);
        for name in &self.names {
            out.extend_from_slice(&name.id);
            out.extend_from_slice(&name.digest);
        }
    }
    fn decode(input: &mut Reader<'_>, names: &usize) -> Result<Self, DecodeError> {
        let id = input.array()?;
        let mut name = || Ok(SetupName { id: input.array()?, digest: input.array()? });
        let names = (0..*names).map(|_| name()).collect::<Result<_, DecodeError>>()?;
        Ok(Self { id, names })
    }
}

/// Which of the client's setups the server knows, and how many inferences it has served. The shape is how many
/// there were to choose from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SetupAnswer {
    pub(crate) chosen: Option<usize>,
    pub(crate) used: u64,
}

impl Message for SetupAnswer {
    type Shape = usize;
    const KIND: u16 = 0x0704;
    const NAME: &'static str = "answer about a setup";

    fn encoded_len(_: &usize) -> usize {
        9
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.chosen {
            Some(chosen) => chosen as u8 + 1,
            None => 0,
        });
        out.extend_from_slice(&self.used.to_le_bytes());
    }
    fn decode(input: &mut Reader<'_>, names: &usize) -> Result<Self, DecodeError> {
        let [chosen] = input.array()?;
        let used = u64::from_le_bytes(input.array()?);
        match (usize::from(chosen), used) {
            (0, 0) => Ok(Self { chosen: None, used: 0 }),
            (chosen, used) if (1..=*names).contains(&chosen) => {
                Ok(Self { chosen: Some(chosen - 1), used })
            }
            _ => Err(DecodeError::Invalid("a setup that was not named")),
        }
    }
}

/// Whether the client could read the setup that both know.
pub(crate) struct SetupVerdict(pub(crate) bool);

impl Message for SetupVerdict {
    type Shape = ();
    const KIND: u16 = 0x0705;
    const NAME: &'static str = "verdict on a setup";

    fn encoded_len((): &()) -> usize {
        1
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.0));
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        verdict(input).map(Self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversarial_behind_a_setup_with_late_hints_comes_an_inference_at_once_or_the_end() {
        let all = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(|tag| {
            let bytes = [tag, 0, 0, 0, 0];
            gazelle_wire::message::decode_all::<ClientCommand>(&bytes, &()).unwrap()
        });
        let may = all.map(|command| command.behind_late_setup().is_ok());
        assert_eq!(may, [false, false, true, false, false, false, false, true, false]);
    }
}
