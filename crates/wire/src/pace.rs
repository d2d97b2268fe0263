//! Patience with a slow peer: waits are paid from a purse that moved bytes fill.
//!
//! A time-out on each read alone lets a peer that sends one byte just before it expires hold a
//! session for years. Here each direction of a link has a purse of time. Waiting in a read or write
//! takes out of it, `b` bytes put `b / minimum rate` in, up to what the purse held at the phase's
//! beginning; an empty purse is a time-out. So a phase that moves B bytes waits for at most
//! `patience + B / minimum rate` in each direction, whatever the peer does. While this party's own bytes move, a read
//! pays nothing: what the peer answers may lie behind them. So a read may take as long as the bytes that go the other
//! way, which pay for themselves, and the rest of its purse.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use web_time::Instant;

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

/// Who shares a processor with others: is told when a link waits for the peer, and may make it wait for a turn
/// before it goes on. Time spent in a turn is nobody's silence.
pub trait Turn: std::fmt::Debug + Send + Sync {
    /// The link is about to wait for the peer.
    fn rests(&self);

    /// The link has moved bytes, and there is work to do; may block for a while.
    fn works(&self);
}

/// The purses of one link, shared by both directions, by whoever announces phases, and by whoever
/// watches the link from another thread.
#[derive(Debug, Clone)]
pub struct Pace(Arc<SharedPace>);

#[derive(Debug)]
struct SharedPace {
    directions: [Direction; 2],
    turn: OnceLock<Box<dyn Turn>>,
}

#[derive(Debug)]
struct Direction {
    purse: Mutex<Purse>,
    /// Bytes that went this way.
    moved: AtomicU64,
}

#[derive(Debug)]
struct Purse {
    /// What it holds at most.
    full: Duration,
    left: Duration,
    per_byte: f64,
    /// When the read or write began that is going on.
    since: Option<Instant>,
    /// When bytes last moved.
    last: Option<Instant>,
}

impl Pace {
    /// Full purses of `patience`; `minimum_rate` in bytes per second.
    pub fn new(patience: Duration, minimum_rate: u64) -> Self {
        let per_byte = 1.0 / minimum_rate.max(1) as f64;
        let direction = || Direction {
            purse: Mutex::new(Purse {
                full: patience,
                left: patience,
                per_byte,
                since: None,
                last: None,
            }),
            moved: AtomicU64::new(0),
        };
        let directions = [direction(), direction()];
        Self(Arc::new(SharedPace { directions, turn: OnceLock::new() }))
    }

    /// From now on the link takes turns with others; the first one that is given counts.
    pub fn take_turns(&self, turn: Box<dyn Turn>) {
        // A second one would not know of the first's.
        let _ = self.0.turn.set(turn);
    }

    /// A new phase begins: both purses hold `patience`.
    pub fn begin(&self, patience: Duration) {
        for direction in &self.0.directions {
            let mut purse = lock(&direction.purse);
            (purse.full, purse.left) = (patience, patience);
        }
    }

    /// Allows the peer as much more time as `bytes` take at the minimum rate: for an answer that
    /// it can give only once it has received them.
    pub fn allow(&self, bytes: u64) {
        let mut purse = self.purse(READING);
        let more = Duration::try_from_secs_f64(bytes as f64 * purse.per_byte);
        let more = more.unwrap_or(purse.full);
        purse.full = purse.full.saturating_add(more);
        purse.left = purse.left.saturating_add(more);
    }

    /// For how long a read or write has been waiting for the peer while nothing moved in either
    /// direction; `None` while this party does not wait.
    pub fn silent(&self) -> Option<Duration> {
        let times = self.0.directions.iter().map(|direction| {
            let purse = lock(&direction.purse);
            (purse.since, purse.last)
        });
        let (mut waiting, mut moved) = (None::<Instant>, None::<Instant>);
        for (since, last) in times {
            waiting = match (waiting, since) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            moved = moved.max(last);
        }
        waiting.map(|since| moved.map_or(since, |moved| moved.max(since)).elapsed())
    }

    /// Bytes written to the link and read from it so far.
    pub fn moved(&self) -> (u64, u64) {
        let [reading, writing] = &self.0.directions;
        (writing.moved.load(Ordering::Relaxed), reading.moved.load(Ordering::Relaxed))
    }

    /// The reading direction of a link.
    pub fn reader<R>(&self, inner: R) -> Paced<R> {
        Paced { inner, pace: self.clone(), direction: READING, set: None }
    }

    /// The writing direction of a link.
    pub fn writer<W>(&self, inner: W) -> Paced<W> {
        Paced { inner, pace: self.clone(), direction: WRITING, set: None }
    }

    fn direction(&self, direction: usize) -> &Direction {
        let [reading, writing] = &self.0.directions;
        if direction == READING { reading } else { writing }
    }

    fn purse(&self, direction: usize) -> MutexGuard<'_, Purse> {
        lock(&self.direction(direction).purse)
    }
}

const READING: usize = 0;
const WRITING: usize = 1;

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
    fn pay(&mut self, mut act: impl FnMut(&mut T) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let (result, left) = self.pay_once(&mut act)?;
            let timed_out = result.as_ref().is_err_and(|error| {
                matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
            });
            // The system did not know that own bytes moved meanwhile.
            if !timed_out || left.is_zero() {
                return result;
            }
        }
    }

    /// One read or write, and what its purse holds then.
    fn pay_once(
        &mut self,
        act: &mut impl FnMut(&mut T) -> io::Result<usize>,
    ) -> io::Result<(io::Result<usize>, Duration)> {
        let start = Instant::now();
        let left = {
            let mut purse = self.pace.purse(self.direction);
            purse.since = Some(start);
            purse.left
        };
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
        let turn = self.pace.0.turn.get();
        if let Some(turn) = turn {
            turn.rests();
        }
        let result = act(&mut self.inner);
        let waited = start.elapsed();
        let paid = self.paid(waited);
        let bytes = result.as_ref().map_or(0, |bytes| *bytes);
        self.pace.direction(self.direction).moved.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut purse = self.pace.purse(self.direction);
        purse.since = None;
        if bytes > 0 {
            purse.last = Some(start + waited);
        }
        let gained = bytes as f64 * purse.per_byte;
        let gained = Duration::try_from_secs_f64(gained).unwrap_or(purse.full);
        purse.left = (purse.left.saturating_sub(paid)).saturating_add(gained).min(purse.full);
        let left = purse.left;
        drop(purse);
        if let Some(turn) = turn {
            turn.works();
        }
        Ok((result, left))
    }

    /// What a wait costs: of a read's, what came after this party's own bytes moved last.
    fn paid(&self, waited: Duration) -> Duration {
        if self.direction == WRITING {
            return waited;
        }
        let wrote = self.pace.purse(WRITING).last;
        wrote.map_or(waited, |wrote| waited.min(wrote.elapsed()))
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
