//! Changing one frame on its way.

use std::io::{self, Write};
use std::time::Duration;

use super::{Frame, frames};
use crate::channel::Channel;
use crate::frame::Header;
use crate::memory::pipe;
use crate::traffic::HEADER_BYTES;

/// A change to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Flips a bit of the frame, header included; positions wrap around its length.
    Flip {
        /// Which bit of the frame.
        bit: usize,
    },
    /// Sends the first `keep` bytes, then closes.
    Truncate {
        /// Bytes of the frame that still go out (at most all but one).
        keep: usize,
    },
    /// Sends the frame twice.
    Replay,
    /// Leaves the frame out.
    Drop,
    /// Replaces the payload by bytes of the same length that a counter fills.
    Garbage {
        /// Varies the bytes.
        seed: u64,
    },
}

impl Mutation {
    /// One of each kind, with some positions for flips and truncation.
    pub fn all() -> Vec<Self> {
        let flips = [0, 17, 35, 64, 71, 64 + 127, 64 + 1001].map(|bit| Self::Flip { bit });
        let cuts = [0, 3, 8, 9, 40].map(|keep| Self::Truncate { keep });
        let others = [Self::Replay, Self::Drop, Self::Garbage { seed: 1 }];
        [flips.as_slice(), cuts.as_slice(), others.as_slice()].concat()
    }

    /// The bytes that go out in place of `frame`, and whether the link closes after them.
    pub(crate) fn apply(self, frame: &Frame) -> (Vec<u8>, bool) {
        let mut bytes = frame.bytes();
        match self {
            Self::Flip { bit } => {
                let bit = bit % (8 * bytes.len());
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                (bytes, false)
            }
            Self::Truncate { keep } => {
                bytes.truncate(keep.min(bytes.len() - 1));
                (bytes, true)
            }
            Self::Replay => {
                bytes.extend_from_within(..);
                (bytes, false)
            }
            Self::Drop => (Vec::new(), false),
            Self::Garbage { seed } => {
                let mut state = seed;
                for byte in bytes.iter_mut().skip(HEADER_BYTES) {
                    // Knuth's MMIX generator: noise enough for a test.
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    *byte = (state >> 56) as u8;
                }
                (bytes, false)
            }
        }
    }
}

/// All bytes of a direction with frame `index` changed.
pub fn mutated(frames: &[Frame], index: usize, mutation: Mutation) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        if i == index {
            let (changed, close) = mutation.apply(frame);
            bytes.extend(changed);
            if close {
                break;
            }
        } else {
            bytes.extend(frame.bytes());
        }
    }
    bytes
}

/// A link in memory that changes frame `index` of what its first end sends. That frame travels
/// in one piece: inside an exchange it should be no longer than 64 KiB.
pub fn tampered_pair(timeout: Duration, index: usize, mutation: Mutation) -> (Channel, Channel) {
    let (a_writer, b_reader) = pipe(timeout);
    let (b_writer, a_reader) = pipe(timeout);
    let tampering = Tampering {
        inner: Some(Box::new(a_writer)),
        waiting: Vec::new(),
        left: index,
        passing: 0,
        mutation: Some(mutation),
    };
    (
        Channel::new(Box::new(a_reader), Box::new(tampering)),
        Channel::new(Box::new(b_reader), Box::new(b_writer)),
    )
}

/// Lets `left` frames pass, changes the next, and lets the rest pass.
struct Tampering {
    inner: Option<Box<dyn Write + Send>>,
    waiting: Vec<u8>,
    left: usize,
    passing: usize,
    mutation: Option<Mutation>,
}

impl Tampering {
    fn forward(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.inner {
            Some(inner) => inner.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn forward_waiting(&mut self, count: usize) -> io::Result<()> {
        let bytes: Vec<u8> = self.waiting.drain(..count).collect();
        self.forward(&bytes)
    }

    /// One step; false once more bytes are needed.
    fn step(&mut self) -> io::Result<bool> {
        if self.passing > 0 {
            let count = self.passing.min(self.waiting.len());
            self.passing -= count;
            self.forward_waiting(count)?;
            return Ok(!self.waiting.is_empty());
        }
        let (Some(mutation), Some(header)) =
            (self.mutation, self.waiting.first_chunk::<HEADER_BYTES>())
        else {
            return Ok(false);
        };
        let length = HEADER_BYTES + Header::from_bytes(*header).length as usize;
        if self.left > 0 {
            self.left -= 1;
            self.passing = length;
            return Ok(true);
        }
        let Some(frame) = frames(&self.waiting).into_iter().next() else { return Ok(false) };
        self.mutation = None;
        let (changed, close) = mutation.apply(&frame);
        self.forward(&changed)?;
        self.waiting.drain(..length);
        if close {
            self.inner = None;
        }
        Ok(false)
    }
}

impl Write for Tampering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        while self.mutation.is_some() && self.step()? {}
        if self.mutation.is_none() && self.inner.is_some() {
            self.forward_waiting(self.waiting.len())?;
        }
        if self.inner.is_none() && self.waiting.len() > HEADER_BYTES {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}
