//! Recording, replaying and tampering: links for transcript and adversarial tests.
//!
//! - [`pair`] records every byte of a run; [`frames`] cuts a direction into frames.
//! - [`replay`] is a peer that says what was recorded, changed or not, and hears nothing.
//! - [`tampered_pair`] changes one frame of a live run.

mod tampering;

pub use tampering::{Mutation, mutated, tampered_pair};

use std::io::{self, Cursor, Read, Sink, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::channel::Channel;
use crate::frame::Header;
#[cfg(any(test, feature = "testing"))]
use crate::memory;
use crate::memory::pipe;
use crate::traffic::HEADER_BYTES;

/// What went over one end of a link, both ways.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    sent: Arc<Mutex<Vec<u8>>>,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Recording {
    /// Wraps any streams.
    pub(crate) fn wrap(
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
    ) -> (Channel, Self) {
        let recording = Self::default();
        let reader = RecordingReader { inner: reader, log: Arc::clone(&recording.received) };
        let writer = RecordingWriter { inner: writer, log: Arc::clone(&recording.sent) };
        (Channel::new(Box::new(reader), Box::new(writer)), recording)
    }

    /// Every byte that the recorded end sent.
    pub fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every byte that the recorded end received.
    pub fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A link in memory whose first end is recorded.
pub fn pair(timeout: Duration) -> (Channel, Channel, Recording) {
    let (a_writer, b_reader) = pipe(timeout);
    let (b_writer, a_reader) = pipe(timeout);
    let (a, recording) = Recording::wrap(Box::new(a_reader), Box::new(a_writer));
    (a, Channel::new(Box::new(b_reader), Box::new(b_writer)), recording)
}

/// A link in memory that takes whatever is sent, whose first end is recorded and
/// [single-threaded](Channel::single_threaded).
#[cfg(any(test, feature = "testing"))]
pub fn pair_for_one_thread() -> (Channel, Channel, Recording) {
    let ((a_writer, b_reader), (b_writer, a_reader)) = (memory::endless(), memory::endless());
    let (a, recording) = Recording::wrap(Box::new(a_reader), Box::new(a_writer));
    (a.single_threaded(), Channel::new(Box::new(b_reader), Box::new(b_writer)), recording)
}

/// One frame of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Header and payload.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.bytes().to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Cuts one direction of a recording into frames; what follows the last whole frame is dropped.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some((header, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::from_bytes(*header);
        let Some((payload, tail)) = tail.split_at_checked(header.length as usize) else { break };
        frames.push(Frame { header, payload: payload.to_vec() });
        rest = tail;
    }
    frames
}

/// A channel whose peer says `bytes`, then closes; what is sent to it is dropped.
pub fn replay(bytes: Vec<u8>) -> Channel {
    let writer: Sink = io::sink();
    Channel::new(Box::new(Cursor::new(bytes)), Box::new(writer))
}

struct RecordingReader {
    inner: Box<dyn Read + Send>,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Read for RecordingReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

struct RecordingWriter {
    inner: Box<dyn Write + Send>,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Write for RecordingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
