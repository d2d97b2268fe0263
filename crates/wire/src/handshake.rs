//! The handshake: two strangers agree on a version, a model's description and a suite.
//!
//! | client | server |
//! |---|---|
//! | [`request`]: magic, versions, caps, model, pinned digest, `H(n_C)` -> | [`greet`] |
//! | is told its place in line, as often as the server likes | <- [`hold`] |
//! | receive a [`Proposal`] | <- [`offer`] or [`refuse`]: status, version, length, allowance, `n_S`; description, or the digest of what is served |
//! | [`Proposal::accept`]: `n_C`, BLAKE3(version, coin, description, suite) -> | [`Offered::confirm`] compares |
//!
//! Both end with a joint coin (`coins`) that what runs behind is bound to.
//!
//! Who wants to know what models there are asks by [`request_catalogue`], and the server answers by
//! [`offer_catalogue`]; that is all then.
//!
//! The description's length is the one length that is ever received: at most 4 MiB. Nothing
//! secret moves before the confirmation.

mod coins;
mod messages;

use crate::channel::Channel;
use crate::error::ChannelError;
use messages::{Answer, Confirmation, DescriptionMessage, Served};
pub use messages::{Caps, Hello, MAGIC, ModelName, Status, VERSIONS, Versions};

/// A description's longest form.
pub const DESCRIPTION_BYTES: usize = 4 << 20;

/// Is told a client's place in line, 1 for the next, and says whether to go on waiting.
pub type Line<'a> = dyn FnMut(u32) -> bool + 'a;

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
    #[error("the other party speaks {}, this program {ours}", other(*theirs))]
    Version {
        /// What this party speaks.
        ours: Versions,
        /// What the other one speaks, if it said so.
        theirs: Option<Versions>,
    },
    /// The server does not serve this client.
    #[error("the server refused the session")]
    Refused,
    /// The client may make no more inferences for now.
    #[error("the client's allowance is used up")]
    Exhausted {
        /// Seconds until there is more; none if there will not be.
        seconds: Option<u32>,
    },
    /// The server has no model of that name, or several and none was named.
    #[error("the server has no model of that name, or several: ask for its list")]
    Model,
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
    /// The client's nonce is not the one that it committed to.
    #[error("the client opened another nonce than the one that it had committed to")]
    Commitment,
    /// The parties' descriptions or suites differ.
    #[error("the parties do not agree on the model's description or the protocol suite")]
    Confirmation,
}

/// What another party speaks, in words.
fn other(theirs: Option<Versions>) -> String {
    theirs.map_or_else(
        || "an older version of the protocol".into(),
        |theirs| format!("version {theirs} of the protocol"),
    )
}

/// Client: sends `hello` and waits for the description, in line if the server is full and `line` says
/// so. `nonce`: fresh and uniform, the client's part of the joint coin.
///
/// Cost: one round trip.
///
/// # Errors
/// The server's status, a description that is too long or not the pinned one, or the link's;
/// [`HandshakeError::Busy`] if `line` does not want to wait.
pub fn request(
    channel: &mut Channel,
    hello: &Hello,
    nonce: &[u8; 32],
    line: &mut Line<'_>,
) -> Result<Proposal, HandshakeError> {
    let hello = &Hello { commitment: coins::commitment(nonce), ..*hello };
    let (answer, description) = answered(channel, hello, line)?;
    let Answer { version, allowance, nonce: server, .. } = answer;
    let proposal = Proposal { version, allowance, nonces: [*nonce, server], description };
    let served = proposal.digest();
    match hello.pinned {
        Some(pinned) if pinned != served => Err(HandshakeError::Pinned { served, pinned }),
        _ => Ok(proposal),
    }
}

/// Client: asks what models there are; the server's bytes, at most [`DESCRIPTION_BYTES`].
///
/// Cost: one round trip.
///
/// # Errors
/// As [`request`].
pub fn request_catalogue(channel: &mut Channel) -> Result<Vec<u8>, HandshakeError> {
    let hello = Hello { catalogue: true, ..Hello::default() };
    answered(channel, &hello, &mut |_| false).map(|(_, bytes)| bytes)
}

/// The server's answer and what follows it.
fn answered(
    channel: &mut Channel,
    hello: &Hello,
    line: &mut Line<'_>,
) -> Result<(Answer, Vec<u8>), HandshakeError> {
    channel.send(hello, &())?;
    let answer = loop {
        let answer: Answer = channel.recv(&())?;
        if answer.status != Status::Waiting {
            break answer;
        }
        if !line(answer.length) {
            return Err(HandshakeError::Busy);
        }
        // Its place comes again, or its turn.
        channel.begin_phase();
    };
    match answer.status {
        Status::Ok => {}
        Status::Busy | Status::Waiting => return Err(HandshakeError::Busy),
        Status::Version => {
            let theirs = answer.versions();
            return Err(HandshakeError::Version { ours: hello.versions, theirs });
        }
        Status::Refused => return Err(HandshakeError::Refused),
        Status::Model => return Err(HandshakeError::Model),
        Status::Exhausted => {
            let seconds = (answer.length > 0).then_some(answer.length);
            return Err(HandshakeError::Exhausted { seconds });
        }
        Status::Pinned => {
            let Served(served) = channel.recv(&())?;
            // Who pinned nothing has no reason to be told so.
            let pinned = hello.pinned.ok_or(HandshakeError::Refused)?;
            return Err(HandshakeError::Pinned { served, pinned });
        }
    }
    if answer.version < hello.versions.lowest || answer.version > hello.versions.highest {
        let theirs = Versions { lowest: answer.version, highest: answer.version };
        return Err(HandshakeError::Version { ours: hello.versions, theirs: Some(theirs) });
    }
    let length = answer.length as usize;
    if length > DESCRIPTION_BYTES {
        return Err(HandshakeError::Description { got: length });
    }
    let DescriptionMessage(description) = channel.recv(&length)?;
    Ok((answer, description))
}

/// The description as the client received it: to be validated, then accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Proposal {
    version: u16,
    allowance: u64,
    /// The client's and the server's.
    nonces: [[u8; 32]; 2],
    description: Vec<u8>,
}

impl Proposal {
    /// The chosen version.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// How many inferences the client may make now; `u64::MAX` if nothing limits them.
    pub fn allowance(&self) -> u64 {
        self.allowance
    }

    /// The server's bytes, not yet validated.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// BLAKE3 of the description: what clients pin.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.description).as_bytes()
    }

    /// Confirms version, description and `suite`, one-way; the joint coin.
    ///
    /// # Errors
    /// The link's.
    pub fn accept(self, channel: &mut Channel, suite: &[u8]) -> Result<[u8; 32], HandshakeError> {
        let [nonce, server] = self.nonces;
        let coin = coins::joint(&nonce, &server);
        let digest = confirmation(self.version, &coin, &self.description, suite);
        channel.send(&Confirmation { nonce, digest }, &())?;
        channel.flush()?;
        Ok(coin)
    }
}

/// Server: waits for a client's hello.
///
/// # Errors
/// [`HandshakeError::Version`] if there is no common one: the client has been told. Else the link's; a
/// stranger's bytes fail at the first frame.
pub fn greet(channel: &mut Channel) -> Result<Hello, HandshakeError> {
    let hello: Hello = channel.recv(&())?;
    common(channel, &hello)?;
    Ok(hello)
}

/// The newest common version; a client without one is told.
fn common(channel: &mut Channel, hello: &Hello) -> Result<u16, HandshakeError> {
    if let Some(version) = VERSIONS.common(hello.versions) {
        return Ok(version);
    }
    channel.send(&Answer::other_version(), &())?;
    channel.flush()?;
    Err(HandshakeError::Version { ours: VERSIONS, theirs: Some(hello.versions) })
}

/// Server: turns the client away; one-way.
///
/// # Errors
/// The link's.
pub fn refuse(channel: &mut Channel, status: Status) -> Result<(), HandshakeError> {
    channel.send(&Answer::refusal(status, 0), &())?;
    Ok(channel.flush()?)
}

/// Server: tells a client its place in line, 1 for the next; one-way, as often as it changes.
///
/// # Errors
/// The link's: the client has left the line.
pub fn hold(channel: &mut Channel, place: u32) -> Result<(), HandshakeError> {
    channel.send(&Answer::refusal(Status::Waiting, place), &())?;
    Ok(channel.flush()?)
}

/// Server: tells a client that its allowance is used up, for `seconds` or for ever; one-way.
///
/// # Errors
/// The link's.
pub fn refuse_exhausted(channel: &mut Channel, seconds: Option<u32>) -> Result<(), HandshakeError> {
    let seconds = seconds.map_or(0, |seconds| seconds.max(1));
    channel.send(&Answer::refusal(Status::Exhausted, seconds), &())?;
    Ok(channel.flush()?)
}

/// Server: answers a client that asks what models there are; one-way.
///
/// # Errors
/// [`HandshakeError::Description`] if it is too long to be sent; else the link's.
pub fn offer_catalogue(channel: &mut Channel, catalogue: &[u8]) -> Result<(), HandshakeError> {
    let length = catalogue.len();
    if length > DESCRIPTION_BYTES {
        return Err(HandshakeError::Description { got: length });
    }
    let answer = Answer {
        status: Status::Ok,
        version: VERSIONS.highest,
        length: length as u32,
        allowance: 0,
        nonce: [0; 32],
    };
    channel.send(&answer, &())?;
    channel.send(&DescriptionMessage(catalogue.to_vec()), &length)?;
    Ok(channel.flush()?)
}

/// Server: sends the description in the newest common version, and how many inferences the client may
/// make now (`u64::MAX`: as many as it likes). `nonce`: fresh and uniform, the server's part of the joint
/// coin.
///
/// # Errors
/// No common version, or a description that is not the pinned one: the client has been told.
/// [`HandshakeError::Description`] if it is too long to be sent; else the link's.
pub fn offer<'a>(
    channel: &mut Channel,
    hello: &Hello,
    allowance: u64,
    nonce: [u8; 32],
    description: &'a [u8],
) -> Result<Offered<'a>, HandshakeError> {
    if description.len() > DESCRIPTION_BYTES {
        return Err(HandshakeError::Description { got: description.len() });
    }
    let version = common(channel, hello)?;
    if let Some(pinned) = hello.pinned {
        let served = *blake3::hash(description).as_bytes();
        if pinned != served {
            channel.send(&Answer::refusal(Status::Pinned, 0), &())?;
            channel.send(&Served(served), &())?;
            channel.flush()?;
            return Err(HandshakeError::Pinned { served, pinned });
        }
    }
    let length = description.len();
    let answer = Answer { status: Status::Ok, version, length: length as u32, allowance, nonce };
    channel.send(&answer, &())?;
    channel.send(&DescriptionMessage(description.to_vec()), &length)?;
    channel.flush()?;
    // The confirmation can only come once the whole description is there.
    if let Some(pace) = channel.pace() {
        pace.allow(length as u64);
    }
    Ok(Offered { version, commitment: hello.commitment, nonce, description })
}

/// A description on offer: the client's confirmation is awaited.
#[derive(Debug)]
#[must_use]
pub struct Offered<'a> {
    version: u16,
    commitment: [u8; 32],
    nonce: [u8; 32],
    description: &'a [u8],
}

impl Offered<'_> {
    /// The chosen version.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Waits for the client's confirmation and compares; the joint coin.
    ///
    /// # Errors
    /// [`HandshakeError::Commitment`] if the client's nonce is another than it had committed to,
    /// [`HandshakeError::Confirmation`] if the digest differs, else the link's.
    pub fn confirm(self, channel: &mut Channel, suite: &[u8]) -> Result<[u8; 32], HandshakeError> {
        let got: Confirmation = channel.recv(&())?;
        if coins::commitment(&got.nonce) != self.commitment {
            return Err(HandshakeError::Commitment);
        }
        let coin = coins::joint(&got.nonce, &self.nonce);
        if got.digest == confirmation(self.version, &coin, self.description, suite) {
            Ok(coin)
        } else {
            Err(HandshakeError::Confirmation)
        }
    }
}

/// BLAKE3(version u16 | coin | length u64 | description | suite), integers little-endian.
fn confirmation(version: u16, coin: &[u8; 32], description: &[u8], suite: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(coin);
    hasher.update(&(description.len() as u64).to_le_bytes());
    hasher.update(description);
    hasher.update(suite);
    *hasher.finalize().as_bytes()
}
