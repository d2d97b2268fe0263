//! The handshake: two strangers agree on a version, a model's description and a suite.
//!
//! | client | server |
//! |---|---|
//! | [`request`]: magic, versions, caps, pinned digest -> | [`greet`] |
//! | receive a [`Proposal`] | <- [`offer`] or [`refuse`]: status, version, length; description, or the digest of what is served |
//! | [`Proposal::accept`]: BLAKE3(version, description, suite) -> | [`Offered::confirm`] compares |
//!
//! The description's length is the one length that is ever received: at most 4 MiB. Nothing
//! secret moves before the confirmation.

use crate::channel::Channel;
use crate::error::{ChannelError, DecodeError};
use crate::message::{Message, Reader};

/// What a client's first message begins with.
pub const MAGIC: [u8; 8] = *b"gazelle\0";
/// The versions that this code speaks, lowest and highest.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };
/// A description's longest form.
pub const DESCRIPTION_BYTES: usize = 4 << 20;

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

/// The client's first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The versions it speaks.
    pub versions: Versions,
    /// Its limits.
    pub caps: Caps,
    /// BLAKE3 of the only description that it accepts.
    pub pinned: Option<[u8; 32]>,
}

impl Default for Hello {
    fn default() -> Self {
        Self { versions: VERSIONS, caps: Caps::default(), pinned: None }
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
}

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The link, or a malformed message.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The server has no room now.
    #[error("the server is busy")]
    Busy,
    /// The two speak no common version.
    #[error("no common protocol version (ours: {} to {})", ours.lowest, ours.highest)]
    Version {
        /// What this party speaks.
        ours: Versions,
    },
    /// The server does not serve this client.
    #[error("the server refused the session")]
    Refused,
    /// A description beyond [`DESCRIPTION_BYTES`].
    #[error("a description of {got} bytes exceeds the limit of {DESCRIPTION_BYTES}")]
    Description {
        /// Its length.
        got: usize,
    },
    /// The description is not the one that the client pinned.
    #[error(
        "the server's model is not the pinned one: its digest is {}, pinned is {}",
        blake3::Hash::from_bytes(*served),
        blake3::Hash::from_bytes(*pinned)
    )]
    Pinned {
        /// BLAKE3 of the server's description.
        served: [u8; 32],
        /// What the client asked for.
        pinned: [u8; 32],
    },
    /// The parties' descriptions or suites differ.
    #[error("the parties do not agree on the model's description or the protocol suite")]
    Confirmation,
}

/// Client: sends `hello` and waits for the description.
///
/// Cost: one round trip.
///
/// # Errors
/// The server's status, a description that is too long or not the pinned one, or the link's.
pub fn request(channel: &mut Channel, hello: &Hello) -> Result<Proposal, HandshakeError> {
    channel.send(hello, &())?;
    let answer: Answer = channel.recv(&())?;
    match answer.status {
        Status::Ok => {}
        Status::Busy => return Err(HandshakeError::Busy),
        Status::Version => return Err(HandshakeError::Version { ours: hello.versions }),
        Status::Refused => return Err(HandshakeError::Refused),
        Status::Pinned => {
            let Served(served) = channel.recv(&())?;
            // Who pinned nothing has no reason to be told so.
            let pinned = hello.pinned.ok_or(HandshakeError::Refused)?;
            return Err(HandshakeError::Pinned { served, pinned });
        }
    }
    if answer.version < hello.versions.lowest || answer.version > hello.versions.highest {
        return Err(HandshakeError::Version { ours: hello.versions });
    }
    let length = answer.length as usize;
    if length > DESCRIPTION_BYTES {
        return Err(HandshakeError::Description { got: length });
    }
    let DescriptionMessage(description) = channel.recv(&length)?;
    let offer = Proposal { version: answer.version, description };
    let served = offer.digest();
    match hello.pinned {
        Some(pinned) if pinned != served => Err(HandshakeError::Pinned { served, pinned }),
        _ => Ok(offer),
    }
}

/// The description as the client received it: to be validated, then accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Proposal {
    version: u16,
    description: Vec<u8>,
}

impl Proposal {
    /// The chosen version.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The server's bytes, not yet validated.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// BLAKE3 of the description: what clients pin.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.description).as_bytes()
    }

    /// Confirms version, description and `suite`; one-way.
    ///
    /// # Errors
    /// The link's.
    pub fn accept(self, channel: &mut Channel, suite: &[u8]) -> Result<(), HandshakeError> {
        channel.send(&confirmation(self.version, &self.description, suite), &())?;
        Ok(channel.flush()?)
    }
}

/// Server: waits for a client's hello.
///
/// # Errors
/// The link's; a stranger's bytes fail at the first frame.
pub fn greet(channel: &mut Channel) -> Result<Hello, HandshakeError> {
    Ok(channel.recv(&())?)
}

/// Server: turns the client away; one-way.
///
/// # Errors
/// The link's.
pub fn refuse(channel: &mut Channel, status: Status) -> Result<(), HandshakeError> {
    channel.send(&Answer { status, version: 0, length: 0 }, &())?;
    Ok(channel.flush()?)
}

/// Server: sends the description in the newest common version.
///
/// # Errors
/// No common version, or a description that is not the pinned one: the client has been told.
/// [`HandshakeError::Description`] if it is too long to be sent; else the link's.
pub fn offer<'a>(
    channel: &mut Channel,
    hello: &Hello,
    description: &'a [u8],
) -> Result<Offered<'a>, HandshakeError> {
    if description.len() > DESCRIPTION_BYTES {
        return Err(HandshakeError::Description { got: description.len() });
    }
    let Some(version) = VERSIONS.common(hello.versions) else {
        refuse(channel, Status::Version)?;
        return Err(HandshakeError::Version { ours: VERSIONS });
    };
    if let Some(pinned) = hello.pinned {
        let served = *blake3::hash(description).as_bytes();
        if pinned != served {
            channel.send(&Answer { status: Status::Pinned, version, length: 0 }, &())?;
            channel.send(&Served(served), &())?;
            channel.flush()?;
            return Err(HandshakeError::Pinned { served, pinned });
        }
    }
    let length = description.len();
    channel.send(&Answer { status: Status::Ok, version, length: length as u32 }, &())?;
    channel.send(&DescriptionMessage(description.to_vec()), &length)?;
    channel.flush()?;
    // The confirmation can only come once the whole description is there.
    if let Some(pace) = channel.pace() {
        pace.allow(length as u64);
    }
    Ok(Offered { version, description })
}

/// A description on offer: the client's confirmation is awaited.
#[derive(Debug)]
#[must_use]
pub struct Offered<'a> {
    version: u16,
    description: &'a [u8],
}

impl Offered<'_> {
    /// Waits for the client's confirmation and compares.
    ///
    /// # Errors
    /// [`HandshakeError::Confirmation`] if it differs, else the link's.
    pub fn confirm(self, channel: &mut Channel, suite: &[u8]) -> Result<(), HandshakeError> {
        let got: Confirmation = channel.recv(&())?;
        if got == confirmation(self.version, self.description, suite) {
            Ok(())
        } else {
            Err(HandshakeError::Confirmation)
        }
    }
}

/// BLAKE3(version u16 | length u64 | description | suite), integers little-endian.
fn confirmation(version: u16, description: &[u8], suite: &[u8]) -> Confirmation {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&(description.len() as u64).to_le_bytes());
    hasher.update(description);
    hasher.update(suite);
    Confirmation(*hasher.finalize().as_bytes())
}

impl Message for Hello {
    type Shape = ();
    const KIND: u16 = 0x0010;
    const NAME: &'static str = "hello";

    fn encoded_len((): &()) -> usize {
        8 + 2 * 2 + 3 * 8 + 1 + 32
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.extend(self.versions.lowest.to_le_bytes());
        out.extend(self.versions.highest.to_le_bytes());
        for limit in [self.caps.traffic_bytes, self.caps.memory_bytes, self.caps.features] {
            out.extend(limit.to_le_bytes());
        }
        out.push(u8::from(self.pinned.is_some()));
        out.extend(self.pinned.unwrap_or_default());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        if input.array()? != MAGIC {
            return Err(DecodeError::Invalid("not a gazelle client"));
        }
        let versions = Versions {
            lowest: u16::from_le_bytes(input.array()?),
            highest: u16::from_le_bytes(input.array()?),
        };
        let caps = Caps {
            traffic_bytes: u64::from_le_bytes(input.array()?),
            memory_bytes: u64::from_le_bytes(input.array()?),
            features: u64::from_le_bytes(input.array()?),
        };
        let pinned = match (input.array()?, input.array()?) {
            ([0], digest) if digest == [0; 32] => None,
            ([1], digest) => Some(digest),
            _ => return Err(DecodeError::Invalid("a pinned digest without its flag")),
        };
        Ok(Self { versions, caps, pinned })
    }
}

struct Answer {
    status: Status,
    version: u16,
    length: u32,
}

impl Message for Answer {
    type Shape = ();
    const KIND: u16 = 0x0011;
    const NAME: &'static str = "answer";

    fn encoded_len((): &()) -> usize {
        1 + 2 + 4
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.status {
            Status::Ok => 0,
            Status::Busy => 1,
            Status::Version => 2,
            Status::Refused => 3,
            Status::Pinned => 4,
        });
        out.extend(self.version.to_le_bytes());
        out.extend(self.length.to_le_bytes());
    }
    fn decode(input: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let status = match input.array()? {
            [0] => Status::Ok,
            [1] => Status::Busy,
            [2] => Status::Version,
            [3] => Status::Refused,
            [4] => Status::Pinned,
            _ => return Err(DecodeError::Invalid("unknown status")),
        };
        let version = u16::from_le_bytes(input.array()?);
        let length = u32::from_le_bytes(input.array()?);
        Ok(Self { status, version, length })
    }
}

struct DescriptionMessage(Vec<u8>);

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
struct Served([u8; 32]);

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

#[derive(PartialEq, Eq)]
struct Confirmation([u8; 32]);

impl Message for Confirmation {
    type Shape = ();
    const KIND: u16 = 0x0013;
    const NAME: &'static str = "confirmation";

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
