//! An in-process link with a bandwidth and a latency, and the description of one.
//!
//! Each direction sends its bytes one after the other at the link's rate; they arrive half a
//! round trip later. The sender may run ahead of the receiver by twice the bandwidth-delay
//! product plus 256 KiB, as with TCP's windows.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::memory::{self, PIPE_BYTES};
use crate::traffic::Traffic;

/// A link's two figures; both directions have the bandwidth at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Bits per second, each way; `u64::MAX` if unlimited.
    pub bits_per_second: u64,
    /// There and back.
    pub round_trip: Duration,
}

/// A link's description that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected memory, lan, wan or <bandwidth>,<round trip> such as 400mbit,40ms; got {0:?}")]
pub struct LinkParseError(String);

impl Link {
    /// Both parties in one process: no limit.
    pub const MEMORY: Self = Self { bits_per_second: u64::MAX, round_trip: Duration::ZERO };
    /// 3 Gbit/s, 0.3 ms.
    pub const LAN: Self =
        Self { bits_per_second: 3_000_000_000, round_trip: Duration::from_micros(300) };
    /// 400 Mbit/s, 40 ms.
    pub const WAN: Self =
        Self { bits_per_second: 400_000_000, round_trip: Duration::from_millis(40) };

    /// The two ends of such a link; `timeout` bounds the wait for progress.
    pub fn pair(&self, timeout: Duration) -> (Channel, Channel) {
        if *self == Self::MEMORY {
            return memory::pair_with_timeout(timeout);
        }
        let (a_writer, b_reader) = self.pipe(timeout);
        let (b_writer, a_reader) = self.pipe(timeout);
        (
            Channel::new(Box::new(a_reader), Box::new(a_writer)),
            Channel::new(Box::new(b_reader), Box::new(b_writer)),
        )
    }

    /// One direction of such a link.
    pub(crate) fn pipe(&self, timeout: Duration) -> (ShapedWriter, ShapedReader) {
        let delay = 2 * self.transferred_in(self.round_trip);
        let shared = Arc::new(DelayedPipe {
            link: *self,
            window: usize::try_from(delay).unwrap_or(usize::MAX).saturating_add(PIPE_BYTES),
            timeout,
            state: Mutex::new(PipeState {
                segments: VecDeque::new(),
                in_flight: 0,
                free_at: Instant::now(),
                closed: false,
            }),
            changed: Condvar::new(),
        });
        (ShapedWriter(Arc::clone(&shared)), ShapedReader(shared))
    }

    /// Time to put `bytes` on the link, latency apart.
    pub fn transfer_time(&self, bytes: u64) -> Duration {
        if self.bits_per_second == u64::MAX {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second.max(1) as f64)
    }

    /// What the link adds to a computation with this traffic, as seen by one party: the busier
    /// direction's bytes, and half a round trip out and half back per turn.
    pub fn time(&self, traffic: Traffic) -> Duration {
        let turns = u32::try_from(traffic.turns).unwrap_or(u32::MAX);
        self.transfer_time(traffic.sent.max(traffic.received)) + self.round_trip * turns
    }

    fn transferred_in(&self, time: Duration) -> u64 {
        (self.bits_per_second as f64 / 8.0 * time.as_secs_f64()) as u64
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MEMORY => f.write_str("memory"),
            Self::LAN => f.write_str("lan"),
            Self::WAN => f.write_str("wan"),
            _ => write!(
                f,
                "{}mbit,{}ms",
                self.bits_per_second as f64 / 1e6,
                self.round_trip.as_secs_f64() * 1e3
            ),
        }
    }
}

impl FromStr for Link {
    type Err = LinkParseError;

    /// `memory`, `lan`, `wan`, or `<bandwidth>,<round trip>` with units `kbit|mbit|gbit` and
    /// `us|ms|s`.
    fn from_str(text: &str) -> Result<Self, LinkParseError> {
        match text {
            "memory" => return Ok(Self::MEMORY),
            "lan" => return Ok(Self::LAN),
            "wan" => return Ok(Self::WAN),
            _ => {}
        }
        let parse = || {
            let (bandwidth, round_trip) = text.split_once(',')?;
            let bits = quantity(bandwidth, &[("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)])?;
            let seconds = quantity(round_trip, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)])?;
            ((1.0..1e15).contains(&bits) && (0.0..3600.0).contains(&seconds)).then(|| Self {
                bits_per_second: bits.round() as u64,
                round_trip: Duration::from_secs_f64(seconds),
            })
        };
        parse().ok_or_else(|| LinkParseError(text.to_owned()))
    }
}

fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.trim().strip_suffix(unit)?, factor)))?;
    Some(number.trim().parse::<f64>().ok()? * factor)
}

/// Bytes that travel and arrive together.
const SEGMENT_BYTES: usize = 16 << 10;
/// The scheduler wakes late by about this much: the last stretch is waited out actively.
const WAKE_LATE: Duration = Duration::from_micros(80);

struct Segment {
    arrives: Instant,
    bytes: Vec<u8>,
    read: usize,
}

struct PipeState {
    segments: VecDeque<Segment>,
    in_flight: usize,
    free_at: Instant,
    closed: bool,
}

struct DelayedPipe {
    link: Link,
    window: usize,
    timeout: Duration,
    state: Mutex<PipeState>,
    changed: Condvar,
}

impl DelayedPipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, PipeState>,
        until: impl Fn(&PipeState) -> bool,
    ) -> io::Result<MutexGuard<'a, PipeState>> {
        let (state, late) = self
            .changed
            .wait_timeout_while(state, self.timeout, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(state) }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// The sending end of a [`Link::pipe`].
pub(crate) struct ShapedWriter(Arc<DelayedPipe>);
/// The receiving end of a [`Link::pipe`].
pub(crate) struct ShapedReader(Arc<DelayedPipe>);

impl Write for ShapedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shared = &self.0;
        let mut state =
            shared.wait(shared.lock(), |state| state.closed || state.in_flight < shared.window)?;
        if state.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(SEGMENT_BYTES).min(shared.window - state.in_flight);
        let (piece, _) = bytes.split_at(count);
        state.free_at = state.free_at.max(Instant::now()) + shared.link.transfer_time(count as u64);
        let arrives = state.free_at + shared.link.round_trip / 2;
        state.segments.push_back(Segment { arrives, bytes: piece.to_vec(), read: 0 });
        state.in_flight += count;
        shared.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for ShapedReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let shared = &self.0;
        let state =
            shared.wait(shared.lock(), |state| state.closed || !state.segments.is_empty())?;
        let Some(arrives) = state.segments.front().map(|segment| segment.arrives) else {
            return Ok(0);
        };
        drop(state);
        // This is the only reader: the front stays until it is taken here.
        sleep_until(arrives);
        let mut state = shared.lock();
        let Some(segment) = state.segments.front_mut() else { return Ok(0) };
        let rest = segment.bytes.get(segment.read..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        segment.read += count;
        if segment.read == segment.bytes.len() {
            state.segments.pop_front();
        }
        state.in_flight -= count;
        shared.changed.notify_all();
        Ok(count)
    }
}

fn sleep_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    std::thread::sleep(left.saturating_sub(WAKE_LATE));
    while Instant::now() < moment {
        std::thread::yield_now();
    }
}

impl Drop for ShapedWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for ShapedReader {
    fn drop(&mut self) {
        self.0.close();
    }
}
