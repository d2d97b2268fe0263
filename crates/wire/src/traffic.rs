//! Counting bytes and turns, and predicting them.

use std::ops::{Add, AddAssign, Sub};

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 8;
/// Payload bytes of one frame at most; longer messages take several frames.
pub const FRAME_BYTES: usize = 1 << 20;

/// What one party has sent and received so far, headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Times this party started to receive after having sent.
    pub turns: u64,
}

impl Sub for Traffic {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            turns: self.turns - earlier.turns,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.turns += other.turns;
    }
}

/// Bytes that a step puts on the wire, headers included: predicted by plans, asserted by tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes from the client to the server.
    pub client_to_server: u64,
    /// Bytes from the server to the client.
    pub server_to_client: u64,
}

impl Cost {
    /// Both directions together.
    pub fn total(&self) -> u64 {
        self.client_to_server + self.server_to_client
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.client_to_server += other.client_to_server;
        self.server_to_client += other.server_to_client;
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// Bytes on the wire for a message of `payload` bytes: the payload and a header per MiB begun.
/// An empty message still takes one header.
pub fn framed_len(payload: usize) -> u64 {
    let frames = payload.div_ceil(FRAME_BYTES).max(1);
    (payload + frames * HEADER_BYTES) as u64
}
