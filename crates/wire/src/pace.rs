//! Patience with a slow peer: waits are paid from a purse that moved bytes fill.
//!
//! A time-out on each read alone lets a peer that sends one byte just before it expires hold a
//! session for years. Here each direction of a link has a purse of time. Waiting in a read or write
//! takes out of it, `b` bytes put `b / minimum rate` in, up to what the purse held at the phase's
//! beginning; an empty purse is a time-out. So a phase that moves B bytes waits for at most
//! `patience + B / minimum rate` in each direction, whatever the peer does.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time-out that is handed to the system (zero would mean none).
const SHORTEST: Duration = Duration::from_millis(1);

/// A stream whose single reads or writes can be bounded in time.
pub trait Patient: Send {
    /// Bounds the next reads or writes.
    ///
    /// # Errors
    /// The system's.
    fn wait_at_most(&self, timeout: Duration) -> io::Result<()>;
}

/// The purses of one link, shared by both directions and by whoever announces phases.
#[derive(Debug, Clone)]
pub struct Pace(Arc<[Mutex<Purse>; 2]>);

#[derive(Debug)]
struct Purse {
    /// What it holds at most.
    full: Duration,
    left: Duration,
    per_byte: f64,
}

impl Pace {
    /// Full purses of `patience`; `minimum_rate` in bytes per second.
    pub fn new(patience: Duration, minimum_rate: u64) -> Self {
        let per_byte = 1.0 / minimum_rate.max(1) as f64;
        let purse = || Mutex::new(Purse { full: patience, left: patience, per_byte });
        Self(Arc::new([purse(), purse()]))
    }

    /// A new phase begins: both purses hold `patience`.
    pub fn begin(&self, patience: Duration) {
        for purse in self.0.iter() {
            let mut purse = lock(purse);
            (purse.full, purse.left) = (patience, patience);
        }
    }

    /// The reading direction of a link.
    pub fn reader<R>(&self, inner: R) -> Paced<R> {
        Paced { inner, pace: self.clone(), direction: 0, set: None }
    }

    /// The writing direction of a link.
    pub fn writer<W>(&self, inner: W) -> Paced<W> {
        Paced { inner, pace: self.clone(), direction: 1, set: None }
    }

    fn purse(&self, direction: usize) -> MutexGuard<'_, Purse> {
        let [reading, writing] = &*self.0;
        lock(if direction == 0 { reading } else { writing })
    }
}

fn lock(purse: &Mutex<Purse>) -> MutexGuard<'_, Purse> {
    purse.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One direction of a link, paid from its purse.
#[derive(Debug)]
pub struct Paced<T> {
    inner: T,
    pace: Pace,
    direction: usize,
    /// The time-out that the system knows of.
    set: Option<Duration>,
}

impl<T: Patient> Paced<T> {
    fn pay(&mut self, act: impl FnOnce(&mut T) -> io::Result<usize>) -> io::Result<usize> {
        let left = self.pace.purse(self.direction).left;
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Small changes are not worth a system call; an eighth more is waited at most.
        let close = |set: Duration| set >= left && set <= left + left / 8;
        if !self.set.is_some_and(close) {
            let wait = (left + left / 16).max(SHORTEST);
            self.inner.wait_at_most(wait)?;
            self.set = Some(wait);
        }
        let start = Instant::now();
        let result = act(&mut self.inner);
        let waited = start.elapsed();
        let mut purse = self.pace.purse(self.direction);
        let gained = result.as_ref().map_or(0.0, |bytes| *bytes as f64 * purse.per_byte);
        let gained = Duration::try_from_secs_f64(gained).unwrap_or(purse.full);
        purse.left = (purse.left.saturating_sub(waited)).saturating_add(gained).min(purse.full);
        result
    }
}

impl<T: Read + Patient> Read for Paced<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.pay(|inner| inner.read(bytes))
    }
}

impl<T: Write + Patient> Write for Paced<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pay(|inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
