//! The blocking two-party channel.
//!
//! Frame: kind u16, sequence u16, length u32 (little-endian), then the payload. All three are
//! compared with what the protocol expects; the length never sizes an allocation.

use std::io::{Read, Write};

use crate::error::ChannelError;
use crate::message::{Message, decode_all};
use crate::traffic::{FRAME_BYTES, HEADER_BYTES, Traffic};

/// Kind of the frame that says "I gave up"; it carries nothing else.
pub const ERROR_KIND: u16 = 0xffff;
/// Bytes that either side may have in flight in an exchange.
pub const EXCHANGE_BYTES: usize = 64 << 10;

/// One end of a two-party link.
///
/// Deadlock rule: a protocol step is one-way, an [`exchange`](Self::exchange), or runs on
/// [`halves`](Self::halves) with one thread each; never two plain sends of more than 64 KiB
/// facing each other.
pub struct Channel {
    send: SendHalf,
    recv: RecvHalf,
    turns: u64,
    sent_since_received: bool,
}

/// The sending half; see [`Channel::halves`].
pub struct SendHalf {
    writer: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    sequence: u16,
    sent: u64,
}

/// The receiving half; see [`Channel::halves`].
pub struct RecvHalf {
    reader: Box<dyn Read + Send>,
    sequence: u16,
    received: u64,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("traffic", &self.traffic()).finish_non_exhaustive()
    }
}

impl Channel {
    /// A channel over any byte streams; time-outs are theirs (an `io::Error` of kind `TimedOut`
    /// or `WouldBlock` becomes [`ChannelError::TimedOut`]).
    pub fn new(reader: Box<dyn Read + Send>, writer: Box<dyn Write + Send>) -> Self {
        Self {
            send: SendHalf { writer, buffer: Vec::new(), sequence: 0, sent: 0 },
            recv: RecvHalf { reader, sequence: 0, received: 0 },
            turns: 0,
            sent_since_received: false,
        }
    }

    /// Queues a message; it leaves at the next flush, receive, or when 64 KiB are waiting.
    ///
    /// # Errors
    /// [`ChannelError::Shape`] if `message` does not encode to the agreed length, else the link's.
    pub fn send<M: Message>(&mut self, message: &M, shape: &M::Shape) -> Result<(), ChannelError> {
        self.sent_since_received = true;
        self.send.send(message, shape)
    }

    /// Flushes, then waits for a message of the agreed shape.
    ///
    /// # Errors
    /// [`ChannelError`] if the link fails or the frame is not the expected one.
    pub fn recv<M: Message>(&mut self, shape: &M::Shape) -> Result<M, ChannelError> {
        self.send.flush()?;
        self.begin_receive();
        self.recv.recv(shape)
    }

    /// Both parties send at once, in turns of 64 KiB, so that neither blocks the other.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`recv`](Self::recv).
    pub fn exchange<A: Message, B: Message>(
        &mut self,
        out: &A,
        out_shape: &A::Shape,
        in_shape: &B::Shape,
    ) -> Result<B, ChannelError> {
        self.send.flush()?;
        self.sent_since_received = true;
        self.begin_receive();
        let frames = self.send.frames(out, out_shape)?;
        let mut outgoing = frames.chunks(EXCHANGE_BYTES);
        let mut incoming = Incoming::new::<B>(in_shape);
        loop {
            let chunk = outgoing.next();
            if let Some(chunk) = chunk {
                self.send.write_now(chunk)?;
            }
            let more = incoming.read(&mut self.recv, EXCHANGE_BYTES)?;
            if !more && outgoing.len() == 0 {
                break;
            }
        }
        decode_all(&incoming.payload, in_shape)
            .map_err(|source| ChannelError::Decode { what: B::NAME, source })
    }

    /// Sends everything that is queued.
    ///
    /// # Errors
    /// The link's.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        self.send.flush()
    }

    /// Both halves, for sections in which one thread sends while another receives. The sending
    /// half must be flushed by its user. A section counts as one turn.
    pub fn halves(&mut self) -> (&mut SendHalf, &mut RecvHalf) {
        self.turns += 1;
        self.sent_since_received = false;
        (&mut self.send, &mut self.recv)
    }

    /// Tells the peer that this party gave up; best effort, nothing is said about why.
    pub fn send_error(&mut self) {
        let sequence = self.send.sequence;
        self.send.buffer.extend_from_slice(&header(ERROR_KIND, sequence, 0));
        // The link may be gone already: then the peer sees that instead.
        let _ = self.send.flush();
    }

    /// What went over the link so far; queued bytes count as sent.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.send.sent, received: self.recv.received, turns: self.turns }
    }

    fn begin_receive(&mut self) {
        if self.sent_since_received {
            self.turns += 1;
            self.sent_since_received = false;
        }
    }
}

impl SendHalf {
    /// See [`Channel::send`].
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send<M: Message>(&mut self, message: &M, shape: &M::Shape) -> Result<(), ChannelError> {
        let frames = self.frames(message, shape)?;
        if self.buffer.len() + frames.len() < EXCHANGE_BYTES {
            self.buffer.extend_from_slice(&frames);
            return Ok(());
        }
        self.flush()?;
        self.write_now(&frames)
    }

    /// Sends everything that is queued.
    ///
    /// # Errors
    /// The link's.
    pub fn flush(&mut self) -> Result<(), ChannelError> {
        if !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            self.write_now(&buffer)?;
        }
        Ok(())
    }

    /// Bytes sent so far, queued ones included.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn frames<M: Message>(&mut self, message: &M, shape: &M::Shape) -> Result<Vec<u8>, ChannelError> {
        let expected = M::encoded_len(shape);
        let mut payload = Vec::with_capacity(expected + HEADER_BYTES);
        if expected <= FRAME_BYTES {
            // The usual case is built in place.
            payload.extend_from_slice(&header(M::KIND, self.sequence, expected as u32));
            message.encode(&mut payload);
            let got = payload.len() - HEADER_BYTES;
            if got != expected {
                return Err(ChannelError::Shape { expected, got });
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.sent += payload.len() as u64;
            return Ok(payload);
        }
        message.encode(&mut payload);
        if payload.len() != expected {
            return Err(ChannelError::Shape { expected, got: payload.len() });
        }
        let mut frames =
            Vec::with_capacity(expected + HEADER_BYTES * expected.div_ceil(FRAME_BYTES));
        for chunk in payload.chunks(FRAME_BYTES) {
            frames.extend_from_slice(&header(M::KIND, self.sequence, chunk.len() as u32));
            frames.extend_from_slice(chunk);
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.sent += frames.len() as u64;
        Ok(frames)
    }

    fn write_now(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        self.writer.write_all(bytes).map_err(ChannelError::from_io)?;
        self.writer.flush().map_err(ChannelError::from_io)
    }
}

impl RecvHalf {
    /// See [`Channel::recv`]; flushes nothing.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub fn recv<M: Message>(&mut self, shape: &M::Shape) -> Result<M, ChannelError> {
        let mut incoming = Incoming::new::<M>(shape);
        while incoming.read(self, usize::MAX)? {}
        decode_all(&incoming.payload, shape)
            .map_err(|source| ChannelError::Decode { what: M::NAME, source })
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ChannelError> {
        self.reader.read_exact(bytes).map_err(ChannelError::from_io)?;
        self.received += bytes.len() as u64;
        Ok(())
    }
}

/// A message on its way in: reads frames piece by piece.
struct Incoming {
    kind: u16,
    payload: Vec<u8>,
    expected: usize,
    left_in_frame: usize,
    started: bool,
}

impl Incoming {
    fn new<M: Message>(shape: &M::Shape) -> Self {
        let expected = M::encoded_len(shape);
        Self { kind: M::KIND, payload: Vec::new(), expected, left_in_frame: 0, started: false }
    }

    /// Reads up to `limit` bytes of frames; false once the message is complete. Memory grows with
    /// what has really come in, a frame at a time.
    fn read(&mut self, recv: &mut RecvHalf, limit: usize) -> Result<bool, ChannelError> {
        let mut budget = limit;
        while budget > 0 {
            if self.left_in_frame == 0 {
                if self.started && self.payload.len() == self.expected {
                    return Ok(false);
                }
                self.left_in_frame = self.read_header(recv)?;
                self.started = true;
                budget = budget.saturating_sub(HEADER_BYTES);
            }
            let count = self.left_in_frame.min(budget);
            let start = self.payload.len();
            self.payload.resize(start + count, 0);
            if let Some(space) = self.payload.get_mut(start..) {
                recv.read_exact(space)?;
            }
            self.left_in_frame -= count;
            budget -= count;
            if self.left_in_frame == 0 && self.payload.len() == self.expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_header(&mut self, recv: &mut RecvHalf) -> Result<usize, ChannelError> {
        let mut bytes = [0u8; HEADER_BYTES];
        recv.read_exact(&mut bytes)?;
        let [k0, k1, s0, s1, l0, l1, l2, l3] = bytes;
        let kind = u16::from_le_bytes([k0, k1]);
        let sequence = u16::from_le_bytes([s0, s1]);
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if kind == ERROR_KIND {
            return Err(ChannelError::PeerFailed);
        }
        let expected = (self.expected - self.payload.len()).min(FRAME_BYTES);
        check("kind", u32::from(self.kind), u32::from(kind))?;
        check("sequence", u32::from(recv.sequence), u32::from(sequence))?;
        check("length", expected as u32, length)?;
        recv.sequence = recv.sequence.wrapping_add(1);
        Ok(expected)
    }
}

fn check(field: &'static str, expected: u32, got: u32) -> Result<(), ChannelError> {
    if expected == got { Ok(()) } else { Err(ChannelError::Frame { field, expected, got }) }
}

fn header(kind: u16, sequence: u16, length: u32) -> [u8; HEADER_BYTES] {
    let ([k0, k1], [s0, s1], [l0, l1, l2, l3]) =
        (kind.to_le_bytes(), sequence.to_le_bytes(), length.to_le_bytes());
    [k0, k1, s0, s1, l0, l1, l2, l3]
}
