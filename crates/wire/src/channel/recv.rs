//! The receiving half: compares each header with what is due, reads exactly what was agreed.

use std::io::Read;

use crate::error::ChannelError;
use crate::frame::Header;
use crate::message::Message;
use crate::traffic::{FRAME_BYTES, HEADER_BYTES};

/// The receiving half; see [`Channel::halves`](super::Channel::halves).
pub struct RecvHalf {
    reader: Box<dyn Read + Send>,
    sequence: u16,
    received: u64,
    dead: bool,
    /// What marks the frames of a lane.
    lane: u16,
    /// See [`Self::assume_headers`].
    #[cfg(any(test, feature = "testing"))]
    headers_assumed: bool,
}

impl RecvHalf {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader,
            sequence: 0,
            received: 0,
            dead: false,
            lane: 0,
            #[cfg(any(test, feature = "testing"))]
            headers_assumed: false,
        }
    }

    /// That of a lane, whose mark its frames carry.
    pub(super) fn of_lane(reader: Box<dyn Read + Send>, lane: u16) -> Self {
        Self { lane, ..Self::new(reader) }
    }

    /// Takes the link away, until [`give_link`](Self::give_link).
    pub(super) fn take_link(&mut self) -> Box<dyn Read + Send> {
        self.dead = true;
        std::mem::replace(&mut self.reader, Box::new(std::io::empty()))
    }

    /// Gives the link back.
    pub(super) fn give_link(&mut self, reader: Box<dyn Read + Send>) {
        (self.reader, self.dead) = (reader, false);
    }

    /// Counts what a lane has received.
    pub(super) fn count(&mut self, lane: &Self) {
        self.received += lane.received;
        self.dead |= lane.dead;
    }

    /// The stream has payloads alone, and every header is taken to be right.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn assume_headers(&mut self) {
        self.headers_assumed = true;
    }

    /// See [`Channel::recv`](super::Channel::recv); flushes nothing.
    ///
    /// # Errors
    /// As [`Channel::recv`](super::Channel::recv).
    pub fn recv<M: Message>(&mut self, shape: &M::Shape) -> Result<M, ChannelError> {
        let mut incoming = Incoming::new::<M>(shape);
        while incoming.read(self, usize::MAX)? {}
        self.decode(incoming, shape)
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn decode<M: Message>(
        &mut self,
        incoming: Incoming,
        shape: &M::Shape,
    ) -> Result<M, ChannelError> {
        let message = M::decode_owned(incoming.payload, shape)
            .map_err(|source| ChannelError::Decode { what: M::NAME, source });
        self.dead |= message.is_err();
        message
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ChannelError> {
        let result = self.reader.read_exact(bytes);
        self.dead |= result.is_err();
        self.received += bytes.len() as u64;
        result.map_err(ChannelError::from_io)
    }

    fn read_header(&mut self, kind: u16, length: usize) -> Result<(), ChannelError> {
        #[cfg(any(test, feature = "testing"))]
        if self.headers_assumed {
            self.sequence = self.sequence.wrapping_add(1);
            return Ok(());
        }
        let mut bytes = [0u8; HEADER_BYTES];
        self.read_exact(&mut bytes)?;
        let kind = kind | self.lane;
        let expected = Header { kind, sequence: self.sequence, length: length as u32 };
        let result = expected.check(Header::from_bytes(bytes));
        self.dead |= result.is_err();
        self.sequence = self.sequence.wrapping_add(1);
        result
    }
}

/// A message on its way in: reads frames piece by piece.
pub(super) struct Incoming {
    kind: u16,
    payload: Vec<u8>,
    expected: usize,
    left_in_frame: usize,
    started: bool,
}

impl Incoming {
    pub(super) fn new<M: Message>(shape: &M::Shape) -> Self {
        let expected = M::encoded_len(shape);
        Self { kind: M::KIND, payload: Vec::new(), expected, left_in_frame: 0, started: false }
    }

    fn is_done(&self) -> bool {
        self.started && self.payload.len() == self.expected
    }

    /// Reads up to `budget` bytes of frames; false once the message is complete.
    ///
    /// Memory follows what has really come in, a frame ahead at most, and never exceeds the
    /// agreed length.
    pub(super) fn read(
        &mut self,
        recv: &mut RecvHalf,
        budget: usize,
    ) -> Result<bool, ChannelError> {
        if recv.dead {
            return Err(ChannelError::Dead);
        }
        let mut budget = budget;
        while budget > 0 && !self.is_done() {
            if self.left_in_frame == 0 {
                let length = (self.expected - self.payload.len()).min(FRAME_BYTES);
                recv.read_header(self.kind, length)?;
                self.left_in_frame = length;
                self.started = true;
                budget = budget.saturating_sub(HEADER_BYTES);
            }
            let count = self.left_in_frame.min(budget);
            recv.read_exact(self.grow(count))?;
            self.left_in_frame -= count;
            budget -= count;
        }
        Ok(!self.is_done())
    }

    /// `count` more bytes at the payload's end, zeroed.
    fn grow(&mut self, count: usize) -> &mut [u8] {
        let start = self.payload.len();
        let end = start + count;
        if end > self.payload.capacity() {
            let capacity = (2 * self.payload.capacity()).min(self.expected).max(end);
            self.payload.reserve_exact(capacity - start);
        }
        self.payload.resize(end, 0);
        self.payload.get_mut(start..).unwrap_or_default()
    }
}
