#![doc = include_str!("../README.md")]

pub mod channel;
pub mod error;
pub mod memory;
pub mod message;
pub mod packed;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod traffic;

pub use channel::{Channel, RecvHalf, SendHalf};
pub use error::{ChannelError, DecodeError};
pub use message::{Message, Reader};
pub use packed::{Bytes, Packed, PackedShape};
pub use traffic::{Cost, Traffic};
