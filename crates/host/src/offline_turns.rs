//! Offline phases one after another where they would only disturb each other.
//!
//! Either party reads a table of some megabytes at random in an offline phase. Two phases at a time keep theirs in the
//! cache; eight on two cores take it from each other at every switch of threads, and a phase then takes not four
//! times as long but eight times. So only as many as there are cores go on at a time while the machine is busy, in the
//! order in which they came, and material that is made is used before the next is begun. Where links are what phases
//! wait for, cores are idle, and any number goes on.

use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gazelle::wire::pace::Pace;

/// How often whoever is next looks whether the machine has become idle.
const LOOK: Duration = Duration::from_millis(2);
/// Looks in a row that have to find it idle.
const IDLE_LOOKS: u32 = 2;
/// A phase that has waited so long for its client takes nobody's turn.
const SILENT: Duration = Duration::from_secs(1);
/// The same once the material is made, which the client may use at once or later.
const UNUSED: Duration = Duration::from_millis(50);
/// Whoever waits, waits for so many phases like its own at most, so that a small model need not wait for large ones.
const PHASES: u32 = 8;
/// The bounds of that: before the first one of a model is known, and for the largest.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// All sessions of a house.
#[derive(Debug)]
pub(crate) struct OfflineTurns {
    cores: usize,
    /// Whether more threads want to run than there are cores.
    busy: fn(usize) -> bool,
    state: Mutex<OfflineLine>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OfflineLine {
    next: u64,
    working: Vec<TakenTurn>,
    /// Those that wait, the first to come first.
    line: VecDeque<u64>,
}

/// A phase that goes on, or the online one behind it.
#[derive(Debug)]
struct TakenTurn {
    number: u64,
    /// Of the link: what it waits for.
    pace: Option<Pace>,
    /// How long it may wait for the client.
    silence: Duration,
}

impl TakenTurn {
    /// Whether it keeps cores busy.
    fn is_active(&self) -> bool {
        let silent = self.pace.as_ref().and_then(Pace::silent);
        silent.is_none_or(|silent| silent <= self.silence)
    }
}

/// How long a model's offline phases take, in microseconds: a mean in which the latest count most; 0 before there was
/// one.
#[derive(Debug, Default)]
pub(crate) struct OfflineTime(AtomicU64);

impl OfflineTime {
    pub(crate) fn add(&self, taken: Duration) {
        let taken = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let mean = |old: u64| match old {
            0 => taken,
            old => old - old / 4 + taken / 4,
        };
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, mean);
    }

    /// Whether a phase was seen.
    pub(crate) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// For how long one more waits at most.
    fn patience(&self) -> Duration {
        let (least, most) = PATIENCE;
        let phases = Duration::from_micros(self.0.load(Ordering::Relaxed)).saturating_mul(PHASES);
        phases.clamp(least, most)
    }
}

impl OfflineTurns {
    /// For `cores` cores of this machine.
    pub(crate) fn of_machine(cores: usize) -> Arc<Self> {
        Self::new(cores, is_busy)
    }

    fn new(cores: usize, busy: fn(usize) -> bool) -> Arc<Self> {
        Arc::new(Self { cores, busy, state: Mutex::default(), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, OfflineLine> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns that are taken.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state().working.len()
    }

    /// Waits for a turn, as long as the model's phases make it worthwhile. `pace`: of the session's link.
    pub(crate) fn begin(self: &Arc<Self>, pace: Option<Pace>, time: &OfflineTime) -> OfflinePlace {
        let until = Instant::now() + time.patience();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.line.push_back(number);
        let mut idle = 0;
        loop {
            let first = state.line.front() == Some(&number);
            let active = state.working.iter().filter(|working| working.is_active()).count();
            let room = first && (active < self.cores || idle == IDLE_LOOKS);
            let left = until.saturating_duration_since(Instant::now());
            if room || left.is_zero() {
                break;
            }
            // The others are woken by whoever leaves the line before them.
            let look = if first { left.min(LOOK) } else { left };
            let waited = self.changed.wait_timeout(state, look);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if first && timeout.timed_out() {
                idle = if (self.busy)(self.cores) { 0 } else { idle + 1 };
            }
        }
        state.line.retain(|other| *other != number);
        state.working.push(TakenTurn { number, pace, silence: SILENT });
        drop(state);
        // The next in line may have room as well.
        self.changed.notify_all();
        OfflinePlace { turns: Arc::clone(self), number, begun: Instant::now() }
    }
}

/// A session's turn, until this is dropped.
#[derive(Debug)]
pub(crate) struct OfflinePlace {
    turns: Arc<OfflineTurns>,
    number: u64,
    begun: Instant,
}

impl OfflinePlace {
    /// The material is made, after so long a time; who uses it at once goes before those who make some.
    pub(crate) fn made(&mut self) -> Duration {
        let mut state = self.turns.state();
        let own = state.working.iter_mut().filter(|working| working.number == self.number);
        own.for_each(|working| working.silence = UNUSED);
        self.begun.elapsed()
    }
}

impl Drop for OfflinePlace {
    fn drop(&mut self) {
        self.turns.state().working.retain(|working| working.number != self.number);
        self.turns.changed.notify_all();
    }
}

/// Whether more threads of this machine want to run than it has cores, this one not counted; no where the system does
/// not say.
fn is_busy(cores: usize) -> bool {
    runnable().is_some_and(|count| count > cores + 1)
}

/// Threads of this machine that run or want to, on Linux.
fn runnable() -> Option<usize> {
    // "0.20 0.18 0.12 3/80 11206": three of 80.
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    load.split(' ').nth(3)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;

    use gazelle::wire::Bytes;
    use gazelle::wire::tcp::{self, Timeouts};

    use super::*;

    /// Of a model whose phases are long enough to wait ten seconds.
    fn large() -> OfflineTime {
        OfflineTime(AtomicU64::new(60_000_000))
    }

    #[test]
    fn on_a_busy_machine_as_many_go_on_as_there_are_cores_in_the_order_in_which_they_came() {
        let turns = OfflineTurns::new(2, |_| true);
        let time = large();
        let mut first = turns.begin(None, &time);
        let _second = turns.begin(None, &time);
        let (told, heard) = channel();
        std::thread::scope(|scope| {
            for index in 0..3 {
                let (turns, time, told) = (&turns, &time, told.clone());
                scope.spawn(move || {
                    let place = turns.begin(None, time);
                    told.send(index).unwrap();
                    drop(place);
                });
                while turns.state().line.len() <= index {
                    std::thread::yield_now();
                }
            }
            assert!(heard.recv_timeout(20 * LOOK).is_err());
            // Its material is made, and used before others make some.
            first.made();
            assert!(heard.recv_timeout(20 * LOOK).is_err());
            drop(first);
            assert_eq!([(); 3].map(|()| heard.recv().unwrap()), [0, 1, 2]);
        });
        assert_eq!(turns.count(), 1);
        assert!(turns.state().line.is_empty());
    }

    #[test]
    fn on_an_idle_machine_nobody_waits() {
        let turns = OfflineTurns::new(1, |_| false);
        let time = large();
        let places = [(); 4].map(|()| turns.begin(None, &time));
        assert_eq!(turns.count(), 4);
        assert!(places.iter().all(|place| place.begun.elapsed() < PATIENCE.1));
    }

    #[test]
    fn a_small_model_waits_for_no_more_than_some_of_its_own_phases() {
        let turns = OfflineTurns::new(1, |_| true);
        let (long, short) = (large(), OfflineTime::default());
        let _place = turns.begin(None, &long);
        let begin = Instant::now();
        drop(turns.begin(None, &short));
        assert!(begin.elapsed() >= PATIENCE.0);
        assert_eq!(short.patience(), PATIENCE.0);
        short.add(Duration::from_mins(1));
        // What was aborted at once makes it not so short again.
        short.add(Duration::ZERO);
        assert!(short.patience() > PATIENCE.0);
        assert_eq!(long.patience(), PATIENCE.1);
    }

    #[test]
    fn adversarial_a_client_that_stalls_takes_nobodys_turn() {
        let turns = OfflineTurns::new(1, |_| true);
        let time = large();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        let mut link = tcp::channel(stream, &Timeouts::default()).unwrap();
        let mut stalled = turns.begin(link.pace(), &time);
        let waits = std::thread::spawn(move || {
            link.recv_half().and_then(|half| half.recv::<Bytes>(&1)).is_err()
        });
        let begin = Instant::now();
        let place = turns.begin(None, &time);
        let waited = begin.elapsed();
        assert!(waited >= SILENT / 2 && waited < PATIENCE.1, "{waited:?}");
        drop(place);
        // It might use its material at once, and does not.
        stalled.made();
        assert!(!turns.state().working.iter().any(TakenTurn::is_active));
        drop(peer);
        assert!(waits.join().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_how_many_threads_want_to_run() {
        // This one does.
        assert!(runnable().unwrap() >= 1);
        assert!(!is_busy(usize::MAX - 1));
    }
}
