//! A link within the process: two bounded pipes of 256 KiB.

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::channel::Channel;

/// Bytes that a pipe holds before its writer waits.
pub(crate) const PIPE_BYTES: usize = 256 << 10;

/// The two ends of a link in memory, with a time-out of 60 s on reads and writes.
pub fn pair() -> (Channel, Channel) {
    pair_with_timeout(Duration::from_mins(1))
}

/// As [`pair`], with another time-out.
pub fn pair_with_timeout(timeout: Duration) -> (Channel, Channel) {
    let (a_writer, b_reader) = pipe(timeout);
    let (b_writer, a_reader) = pipe(timeout);
    (
        Channel::new(Box::new(a_reader), Box::new(a_writer)),
        Channel::new(Box::new(b_reader), Box::new(b_writer)),
    )
}

/// A one-way pipe without a bound.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn endless() -> (EndlessWriter, EndlessReader) {
    let (sender, receiver) = std::sync::mpsc::channel();
    (EndlessWriter(sender), EndlessReader { receiver, rest: io::Cursor::new(Vec::new()) })
}

/// The writing end of an [`endless`] pipe.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct EndlessWriter(std::sync::mpsc::Sender<Vec<u8>>);

/// The reading end of an [`endless`] pipe.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct EndlessReader {
    receiver: std::sync::mpsc::Receiver<Vec<u8>>,
    rest: io::Cursor<Vec<u8>>,
}

#[cfg(any(test, feature = "testing"))]
impl Write for EndlessWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(test, feature = "testing"))]
impl Read for EndlessReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.rest.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            match self.receiver.recv() {
                Ok(more) => self.rest = io::Cursor::new(more),
                Err(_) => return Ok(0),
            }
        }
    }
}

/// A one-way bounded pipe.
pub(crate) fn pipe(timeout: Duration) -> (PipeWriter, PipeReader) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            ring: vec![0; PIPE_BYTES].into_boxed_slice(),
            start: 0,
            filled: 0,
            closed: false,
        }),
        changed: Condvar::new(),
        timeout,
    });
    (PipeWriter(Arc::clone(&shared)), PipeReader(shared))
}

struct State {
    ring: Box<[u8]>,
    start: usize,
    filled: usize,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    timeout: Duration,
}

/// The writing end of a [`pipe`].
pub(crate) struct PipeWriter(Arc<Shared>);
/// The reading end of a [`pipe`].
pub(crate) struct PipeReader(Arc<Shared>);

impl Shared {
    /// Waits until `ready`, then runs `act` on the state.
    fn when(
        &self,
        ready: impl Fn(&State) -> bool,
        act: impl FnOnce(&mut State) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, timeout) = self
            .changed
            .wait_timeout_while(state, self.timeout, |state| !ready(state))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let result = act(&mut state);
        self.changed.notify_all();
        result
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.0.when(
            |state| state.closed || state.filled < PIPE_BYTES,
            |state| {
                if state.closed {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                let end = (state.start + state.filled) % PIPE_BYTES;
                let space = (PIPE_BYTES - state.filled).min(PIPE_BYTES - end);
                let count = bytes.len().min(space);
                if let (Some(to), Some(from)) =
                    (state.ring.get_mut(end..end + count), bytes.get(..count))
                {
                    to.copy_from_slice(from);
                }
                state.filled += count;
                Ok(count)
            },
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PipeReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.0.when(
            |state| state.closed || state.filled > 0,
            |state| {
                let count = bytes.len().min(state.filled).min(PIPE_BYTES - state.start);
                if let (Some(to), Some(from)) =
                    (bytes.get_mut(..count), state.ring.get(state.start..state.start + count))
                {
                    to.copy_from_slice(from);
                }
                state.start = (state.start + count) % PIPE_BYTES;
                state.filled -= count;
                Ok(count)
            },
        )
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.close();
    }
}
