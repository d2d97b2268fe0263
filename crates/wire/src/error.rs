//! What can go wrong on a link, sorted by whose fault it is.

use std::io;

/// A payload that does not have the agreed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the agreed shape needs.
    #[error("payload ends early: {needed} more bytes were expected")]
    Short {
        /// Missing bytes.
        needed: usize,
    },
    /// More bytes than the agreed shape needs.
    #[error("payload has {extra} bytes too many")]
    Long {
        /// Bytes left over.
        extra: usize,
    },
    /// A value outside its agreed range.
    #[error("invalid value: {0}")]
    Invalid(&'static str),
}

/// An error of a [`Channel`](crate::Channel); after one, the channel is dead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The link failed.
    #[error("the link failed: {0}")]
    Io(#[from] io::Error),
    /// The peer closed the link in the middle of the protocol.
    #[error("the peer closed the connection")]
    Closed,
    /// Nothing moved within the time-out.
    #[error("the peer did not answer within the time-out")]
    TimedOut,
    /// The peer gave up and said so.
    #[error("the peer reported an error and gave up")]
    PeerFailed,
    /// A frame that is not the one the protocol expects here.
    #[error("unexpected frame: expected {field} {expected}, got {got}")]
    Frame {
        /// `kind`, `sequence` or `length`.
        field: &'static str,
        /// What the plan says.
        expected: u32,
        /// What came.
        got: u32,
    },
    /// A payload that does not decode.
    #[error("malformed {what}: {source}")]
    Decode {
        /// The message's kind.
        what: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// The peer sent more on one of two lanes than it may before it is answered, or than was due.
    #[error("the peer sent more than was due")]
    Overrun,
    /// An earlier error ended this channel.
    #[error("the channel is dead after an earlier error")]
    Dead,
    /// The caller's message does not have the shape that the caller gave.
    #[error("a message of {got} bytes does not have the agreed {expected}")]
    Shape {
        /// Length of the agreed shape.
        expected: usize,
        /// Length encoded.
        got: usize,
    },
}

/// As [`ChannelError::Overrun`], on its way through a reader.
#[derive(Debug, thiserror::Error)]
#[error("more than was due")]
pub(crate) struct Overrun;

impl ChannelError {
    /// Maps the kinds of `io::Error` that have a meaning of their own.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::WriteZero => Self::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::Other => match error.downcast::<Overrun>() {
                Ok(Overrun) => Self::Overrun,
                Err(error) => Self::Io(error),
            },
            _ => Self::Io(error),
        }
    }
}
