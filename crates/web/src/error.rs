//! What can go wrong, as the page tells it apart.

use gazelle::GazelleError;
use gazelle::wire::ChannelError;

/// An error of one prediction, by whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The file cannot be read, or does not fit the model.
    #[error(transparent)]
    Input(#[from] gazelle_input::InputError),
    /// The protocols', the server's or the link's.
    #[error(transparent)]
    Session(#[from] GazelleError),
    /// Digest that is pinned is not 64 hexadecimal digits.
    #[error("a digest of 64 hexadecimal digits was expected, not {0:?}")]
    Digest(String),
    /// The answer cannot be written as JSON: a defect.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl WebError {
    /// One word for the page, which has a sentence for each.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input(_) => "file",
            Self::Session(error) => session(error),
            Self::Digest(_) | Self::Json(_) => "defect",
        }
    }
}

fn session(error: &GazelleError) -> &'static str {
    match error {
        GazelleError::Busy => "busy",
        GazelleError::Exhausted { .. } | GazelleError::Allowance => "quota",
        GazelleError::Pinned { .. } => "changed",
        GazelleError::Refused => "refused",
        GazelleError::Channel(ChannelError::TimedOut) => "slow",
        GazelleError::Channel(ChannelError::Closed | ChannelError::Io(_) | ChannelError::Dead) => {
            "gone"
        }
        GazelleError::Limit { .. } => "limit",
        _ => "protocol",
    }
}
