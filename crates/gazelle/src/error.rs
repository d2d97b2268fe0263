//! What can go wrong in a session, sorted by whose fault it is.

use gazelle_model::ModelError;
use gazelle_prg::PrgError;
use gazelle_share::ProtocolError;
use gazelle_wire::ChannelError;

/// The error of plans and sessions; after one, the session is dead. The peer is told only that
/// there was one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GazelleError {
    /// A layer protocol failed.
    #[error("{layer}: {source}")]
    Layer {
        /// Name of the layer, or of the phase.
        layer: String,
        /// Why.
        source: ProtocolError,
    },
    /// The link failed, or the peer sent a frame that does not fit.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The server has no room for another session.
    #[error("the server is busy; try again later")]
    Busy,
    /// The server allows this client no more inferences for now.
    #[error("the server allows this client no more inferences{}", until(*seconds))]
    Exhausted {
        /// Seconds until there are more; none if there will not be.
        seconds: Option<u32>,
    },
    /// The client has made all the inferences that the server allowed it in this session.
    #[error("all inferences that the server allows this client now are made")]
    Allowance,
    /// The server has no such model, or several and none was named.
    #[error("the server has no model of that name, or several: `gazelle models` lists them")]
    NoModel,
    /// The parties have no protocol version in common; what each speaks.
    #[error("{0}; both parties need programs of one version")]
    Version(String),
    /// The server does not serve this client.
    #[error("the server refused this client")]
    Refused,
    /// The server's model is not the one that was pinned.
    #[error(
        "the server's model is not the pinned one: its digest is {}, pinned is {}",
        blake3::Hash::from_bytes(*served),
        blake3::Hash::from_bytes(*pinned)
    )]
    Pinned {
        /// BLAKE3 of the served description.
        served: [u8; 32],
        /// The digest that was asked for.
        pinned: [u8; 32],
    },
    /// The peer does not follow the protocol.
    #[error("the peer does not follow the protocol: {0}")]
    Peer(String),
    /// The peer fails a check that no honest party fails, whatever the link does to honest bytes; which one.
    #[error("the peer fails {0}")]
    Cheating(&'static str),
    /// The server's description is not acceptable.
    #[error("the server's description is not acceptable: {0}")]
    Description(String),
    /// A file that is no compiled model.
    #[error("not a compiled model: {0}")]
    CompiledModel(String),
    /// A network that cannot be planned.
    #[error("the network cannot be planned: {0}")]
    Plan(String),
    /// The description asks for more than this client allows.
    #[error("{what} would take {needed}, more than the limit of {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the plan needs.
        needed: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The caller's input has another length than the model's.
    #[error("the model takes {expected} input values, not {got}")]
    InputLength {
        /// What the model takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The caller's input tensor does not fit the model, or leaves its declared range.
    #[error(transparent)]
    Input(ModelError),
    /// A value of the caller's input is too large for the model. It is not told: errors are logged.
    #[error("input value {element} is outside the model's range of {bits} bits")]
    InputRange {
        /// Which.
        element: usize,
        /// Bits of the model's input, sign included.
        bits: u32,
    },
    /// The caller's material was made in another session.
    #[error("the material belongs to another session")]
    Material,
    /// What was kept for this session cannot be used.
    #[error("kept material: {0}")]
    Kept(String),
    /// The session ended with an error before.
    #[error("the session ended with an error")]
    Dead,
    /// The system gives no random bytes.
    #[error(transparent)]
    Entropy(#[from] PrgError),
    /// What this party planned does not fit together: a defect of this program.
    #[error("a defect of this program at {0}")]
    Defect(String),
    /// A thread of this party panicked.
    #[error("a thread of this session panicked")]
    Panicked,
}

/// When an allowance is renewed, in the largest fitting unit.
fn until(seconds: Option<u32>) -> String {
    match seconds {
        None => String::new(),
        Some(seconds) if seconds > 7200 => format!(" for {} hours", seconds.div_ceil(3600)),
        Some(seconds) if seconds > 120 => format!(" for {} minutes", seconds.div_ceil(60)),
        Some(seconds) => format!(" for {seconds} seconds"),
    }
}

impl GazelleError {
    /// Names the layer in which a protocol failed; link errors stay what they are.
    pub(crate) fn layer(layer: impl Into<String>) -> impl FnOnce(ProtocolError) -> Self {
        move |source| match source {
            ProtocolError::Channel(error) => Self::Channel(error),
            ProtocolError::Panicked => Self::Panicked,
            ProtocolError::Cheating(check) => Self::Cheating(check),
            source => Self::Layer { layer: layer.into(), source },
        }
    }
}
