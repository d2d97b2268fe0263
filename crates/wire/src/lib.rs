#![doc = include_str!("../README.md")]

mod channel;
mod error;
pub mod frame;
pub mod handshake;
mod lanes;
pub mod memory;
pub mod message;
pub mod pace;
pub mod packed;
pub mod recording;
mod shaped;
#[cfg(not(target_family = "wasm"))]
pub mod tcp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod traffic;

pub use channel::{Channel, recv::RecvHalf, send::SendHalf};
pub use error::{ChannelError, DecodeError};
pub use handshake::HandshakeError;
pub use lanes::{LaneLimits, LanesHandle, TwoLanes};
pub use message::{Message, Reader};
pub use packed::{Bytes, Packed, PackedShape};
pub use shaped::Link;
pub use traffic::{Cost, Traffic};
/// The clock that sessions measure with: the system's, in WebAssembly the browser's.
pub use web_time::Instant;
