//! The sending half: small messages gather in a buffer of 64 KiB, long ones pass through it.

use std::borrow::Cow;
use std::io::Write;

use crate::error::ChannelError;
use crate::frame::{ERROR_KIND, Header};
use crate::message::Message;
use crate::traffic::{FRAME_BYTES, HEADER_BYTES, framed_len};

/// Bytes that either side may have in flight in an exchange, and that wait for a flush at most.
pub(crate) const EXCHANGE_BYTES: usize = 64 << 10;

/// The sending half; see [`Channel::halves`](super::Channel::halves).
pub struct SendHalf {
    writer: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    sequence: u16,
    sent: u64,
    dead: bool,
    /// What marks the frames of a lane.
    lane: u16,
}

/// A message on its way out.
pub(super) struct Outgoing<'a> {
    kind: u16,
    payload: Cow<'a, [u8]>,
    position: usize,
    left_in_frame: usize,
    started: bool,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new<M: Message>(message: &'a M, shape: &M::Shape) -> Result<Self, ChannelError> {
        let expected = M::encoded_len(shape);
        let payload = message.encoded().map_or_else(
            || {
                let mut payload = Vec::with_capacity(expected);
                message.encode(&mut payload);
                Cow::Owned(payload)
            },
            Cow::Borrowed,
        );
        if payload.len() != expected {
            return Err(ChannelError::Shape { expected, got: payload.len() });
        }
        Ok(Self { kind: M::KIND, payload, position: 0, left_in_frame: 0, started: false })
    }

    fn is_done(&self) -> bool {
        self.started && self.position == self.payload.len()
    }
}

impl SendHalf {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { writer, buffer: Vec::new(), sequence: 0, sent: 0, dead: false, lane: 0 }
    }

    /// That of a lane, whose mark its frames carry.
    pub(super) fn of_lane(writer: Box<dyn Write + Send>, lane: u16) -> Self {
        Self { lane, ..Self::new(writer) }
    }

    /// Takes the link away, until [`give_link`](Self::give_link).
    pub(super) fn take_link(&mut self) -> Box<dyn Write + Send> {
        self.dead = true;
        std::mem::replace(&mut self.writer, Box::new(std::io::sink()))
    }

    /// Gives the link back.
    pub(super) fn give_link(&mut self, writer: Box<dyn Write + Send>) {
        (self.writer, self.dead) = (writer, false);
    }

    /// Counts what a lane has sent.
    pub(super) fn count(&mut self, lane: &Self) {
        self.sent += lane.sent;
        self.dead |= lane.dead;
    }

    /// See [`Channel::send`](super::Channel::send).
    ///
    /// # Errors
    /// As [`Channel::send`](super::Channel::send).
    pub fn send<M: Message>(&mut self, message: &M, shape: &M::Shape) -> Result<(), ChannelError> {
        let expected = M::encoded_len(shape);
        let framed = framed_len(expected);
        if framed > EXCHANGE_BYTES as u64 {
            let mut outgoing = Outgoing::new(message, shape)?;
            while self.advance(&mut outgoing, EXCHANGE_BYTES)? {}
            return Ok(());
        }
        if self.buffer.len() as u64 + framed > EXCHANGE_BYTES as u64 {
            self.flush()?;
        }
        // Built in place.
        let start = self.buffer.len();
        let sequence = self.sequence;
        self.buffer.extend_from_slice(
            &Header { kind: M::KIND | self.lane, sequence, length: expected as u32 }.bytes(),
        );
        message.encode(&mut self.buffer);
        let got = self.buffer.len() - start - HEADER_BYTES;
        if got != expected {
            self.buffer.truncate(start);
            return Err(ChannelError::Shape { expected, got });
        }
        self.sequence = sequence.wrapping_add(1);
        self.sent += framed;
        Ok(())
    }

    /// Sends everything that is queued.
    ///
    /// # Errors
    /// The link's.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        if self.dead {
            return Err(ChannelError::Dead);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.writer.write_all(&self.buffer).and_then(|()| self.writer.flush());
        self.buffer.clear();
        self.dead = result.is_err();
        result.map_err(ChannelError::from_io)
    }

    /// Bytes sent so far, queued ones included.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends up to `budget` bytes of frames; false once all are sent.
    ///
    /// The receiver of an exchange counts its budget in the same way
    /// ([`Incoming::read`](super::recv::Incoming::read)), so that both ends cut at the same places.
    pub(super) fn advance(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        budget: usize,
    ) -> Result<bool, ChannelError> {
        if outgoing.is_done() {
            return Ok(false);
        }
        let mut budget = budget;
        while budget > 0 && !outgoing.is_done() {
            let left = outgoing.payload.len() - outgoing.position;
            if outgoing.left_in_frame == 0 {
                let header = Header {
                    kind: outgoing.kind | self.lane,
                    sequence: self.sequence,
                    length: left.min(FRAME_BYTES) as u32,
                };
                self.buffer.extend_from_slice(&header.bytes());
                self.sequence = self.sequence.wrapping_add(1);
                self.sent += HEADER_BYTES as u64;
                outgoing.left_in_frame = left.min(FRAME_BYTES);
                outgoing.started = true;
                budget = budget.saturating_sub(HEADER_BYTES);
            }
            let count = outgoing.left_in_frame.min(budget);
            let end = outgoing.position + count;
            let piece = outgoing.payload.get(outgoing.position..end).unwrap_or_default();
            self.buffer.extend_from_slice(piece);
            self.sent += count as u64;
            outgoing.position = end;
            outgoing.left_in_frame -= count;
            budget -= count;
        }
        self.flush()?;
        Ok(!outgoing.is_done())
    }

    /// See [`Channel::send_error`](super::Channel::send_error).
    pub fn send_error(&mut self) {
        if !self.dead {
            let header = Header { kind: ERROR_KIND, sequence: self.sequence, length: 0 };
            self.buffer.extend_from_slice(&header.bytes());
            // The link may be gone already: then the peer sees that instead.
            let _ = self.flush();
            self.dead = true;
        }
    }
}
