//! The handshake's messages: fixed lengths, but for the description.

use crate::error::DecodeError;
use crate::message::{Message, Reader};

/// What a client's first message begins with.
pub const MAGIC: [u8; 8] = *b"gazelle\0";
/// The versions that this code speaks, lowest and highest.
pub const VERSIONS: Versions = Versions { lowest: 6, highest: 6 };

/// A range of protocol versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub lowest: u16,
    /// The newest.
    pub highest: u16,
}

impl Versions {
    /// The newest version that both know.
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

impl std::fmt::Display for Versions {
    /// `4`, or `4 to 5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lowest.fmt(f)?;
        if self.highest != self.lowest {
            write!(f, " to {}", self.highest)?;
        }
        Ok(())
    }
}

/// What the client is willing to spend on one inference and its setup; 0 = no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Bytes both ways.
    pub traffic_bytes: u64,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Bit set of optional features; none is defined in version 1.
    pub features: u64,
}

/// The client's first message. In all versions it has this length and begins with magic and versions, and the
/// answer has its length and begins with status and version: so parties without a common one can say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Versions,
    /// Its limits.
    pub caps: Caps,
    /// It wants to know what models there are, and no session.
    pub catalogue: bool,
    /// The model that it wants; the empty name leaves it to the server.
    pub model: ModelName,
    /// BLAKE3 of the only description that it accepts.
    pub pinned: Option<[u8; 32]>,
    /// To the client's nonce; [`request`](super::request) sets it.
    pub commitment: [u8; 32],
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            versions: VERSIONS,
            caps: Caps::default(),
            catalogue: false,
            model: ModelName::default(),
            pinned: None,
            commitment: [0; 32],
        }
    }
}

/// The server's answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The description follows.
    Ok,
    /// All sessions are taken; try later.
    Busy,
    /// No common version.
    Version,
    /// Not this client.
    Refused,
    /// Not the pinned model; the digest of the one that is served follows.
    Pinned,
    /// All sessions are taken; wait. The length is the client's place in line, 1 for the next.
    Waiting,
    /// The client's allowance is used up. The length is the seconds until there is more, 0 for never.
    Exhausted,
    /// No such model, or several and none was named.
    Model,
}

/// A model's name in a hello: UTF-8, padded with zero bytes; empty for whichever the server likes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ModelName([u8; Self::BYTES]);

impl ModelName {
    /// Bytes of a name at most.
    pub const BYTES: usize = 64;

    /// `None` if it is longer than [`BYTES`](Self::BYTES), or has a zero byte.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.contains('\0')).then_some(Self(bytes))
    }

    /// The name; foreign text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::BYTES);
        self.0.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn decoded(bytes: [u8; Self::BYTES]) -> Result<Self, DecodeError> {
        let name = Self(bytes);
        match Self::new(name.as_str()) {
            Some(read) if read == name => Ok(name),
            _ => Err(DecodeError::Invalid("a model's name that is no padded text")),
        }
    }
}

impl Default for ModelName {
    /// The empty name.
    fn default() -> Self {
        Self([0; Self::BYTES])
    }
}

impl std::fmt::Debug for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Message for Hello {
    type Shape = ();
    const KIND: u16 = 0x0010;
    const NAME: &'static str = "hello";

    fn encoded_len((): &()) -> usize {
        8 + 2 * 2 + 3 * 8 + 1 + ModelName::BYTES + 1 + 32 + 32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.extend(self.versions.lowest.to_le_bytes());
        out.extend(self.versions.highest.to_le_bytes());
        for limit in [self.caps.traffic_bytes, self.caps.memory_bytes, self.caps.features] {
            out.extend(limit.to_le_bytes());
        }
        out.push(u8::from(self.catalogue));
        out.extend(self.model.0);
        out.push(u8::from(self.pinned.is_some()));
        out.extend(self.pinned.unwrap_or_default());
        out.extend(self.commitment);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        if input.array()? != MAGIC {
            return Err(DecodeError::Invalid("not a gazelle client"));
        }
        let versions = Versions {
            lowest: u16::from_le_bytes(input.array()?),
            highest: u16::from_le_bytes(input.array()?),
        };
        if VERSIONS.common(versions).is_none() {
            // What follows may mean anything.
            input.take(Self::encoded_len(&()) - 12)?;
            return Ok(Self { versions, ..Self::default() });
        }
        let caps = Caps {
            traffic_bytes: u64::from_le_bytes(input.array()?),
            memory_bytes: u64::from_le_bytes(input.array()?),
            features: u64::from_le_bytes(input.array()?),
        };
        let catalogue = match input.array()? {
            [0] => false,
            [1] => true,
            _ => return Err(DecodeError::Invalid("neither a session nor the catalogue")),
        };
        let model = ModelName::decoded(input.array()?)?;
        let pinned = match (input.array()?, input.array()?) {
            ([0], digest) if digest == [0; 32] => None,
            ([1], digest) => Some(digest),
            _ => return Err(DecodeError::Invalid("a pinned digest without its flag")),
        };
        let commitment = input.array()?;
        Ok(Self { versions, caps, catalogue, model, pinned, commitment })
    }
}

pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) version: u16,
    pub(super) length: u32,
    pub(super) allowance: u64,
    /// The server's part of the joint coin; zero if no session follows.
    pub(super) nonce: [u8; 32],
}

impl Answer {
    /// One that no description follows.
    pub(super) fn refusal(status: Status, length: u32) -> Self {
        Self { status, version: 0, length, allowance: 0, nonce: [0; 32] }
    }

    /// That there is no common version: the highest that this party speaks, with the lowest for a length.
    pub(super) fn other_version() -> Self {
        let Versions { lowest, highest } = VERSIONS;
        Self { version: highest, ..Self::refusal(Status::Version, u32::from(lowest)) }
    }

    /// What the sender of [`Status::Version`] speaks; builds of before version 3 do not say it.
    pub(super) fn versions(&self) -> Option<Versions> {
        let lowest = u16::try_from(self.length).ok()?;
        (self.version > 0).then_some(Versions { lowest, highest: self.version })
    }
}

impl Message for Answer {
    type Shape = ();
    const KIND: u16 = 0x0011;
    const NAME: &'static str = "answer";

    fn encoded_len((): &()) -> usize {
        1 + 2 + 4 + 8 + 32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.status {
            Status::Ok => 0,
            Status::Busy => 1,
            Status::Version => 2,
            Status::Refused => 3,
            Status::Pinned => 4,
            Status::Waiting => 5,
            Status::Exhausted => 6,
            Status::Model => 7,
        });
        out.extend(self.version.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out.extend(self.allowance.to_le_bytes());
        out.extend(self.nonce);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let status = match input.array()? {
            [0] => Status::Ok,
            [1] => Status::Busy,
            [2] => Status::Version,
            [3] => Status::Refused,
            [4] => Status::Pinned,
            [5] => Status::Waiting,
            [6] => Status::Exhausted,
            [7] => Status::Model,
            _ => return Err(DecodeError::Invalid("unknown status")),
        };
        let version = u16::from_le_bytes(input.array()?);
        let length = u32::from_le_bytes(input.array()?);
        let allowance = u64::from_le_bytes(input.array()?);
        let nonce = input.array()?;
        Ok(Self { status, version, length, allowance, nonce })
    }
}

pub(super) struct DescriptionMessage(pub(super) Vec<u8>);

impl Message for DescriptionMessage {
    type Shape = usize;
    const KIND: u16 = 0x0012;
    const NAME: &'static str = "description";

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

/// BLAKE3 of the served description, told to a client that pinned another.
pub(super) struct Served(pub(super) [u8; 32]);

impl Message for Served {
    type Shape = ();
    const KIND: u16 = 0x0014;
    const NAME: &'static str = "served digest";

    fn encoded_len((): &()) -> usize {
        32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(input.array()?))
    }
}

pub(super) struct Confirmation {
    /// The client's part of the joint coin.
    pub(super) nonce: [u8; 32],
    pub(super) digest: [u8; 32],
}

impl Message for Confirmation {
    type Shape = ();
    const KIND: u16 = 0x0013;
    const NAME: &'static str = "confirmation";

    fn encoded_len((): &()) -> usize {
        64
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.nonce);
        out.extend(self.digest);
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self { nonce: input.array()?, digest: input.array()? })
    }
}
