//! Progress of a batch: one bar on a terminal, a line for each slow phase, and what a time-out has
//! to say.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gazelle::wire::pace::Pace;
use gazelle::{GazelleError, Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::output;
use crate::screen::{tell, visible};

/// A phase that takes longer gets a line.
const SLOW: Duration = Duration::from_secs(5);
/// On what is no terminal, so much time passes between lines about one phase.
const REMINDER: Duration = Duration::from_mins(1);

/// The progress of one session with a batch of inputs.
#[derive(Debug)]
pub(crate) struct BatchProgress {
    bar: ProgressBar,
    state: Arc<Mutex<ProgressState>>,
    /// Tells the thread of the reminders to end.
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct ProgressState {
    phase: &'static str,
    since: Instant,
    /// Bytes that had moved when the phase began.
    before: u64,
    /// Of all links there were.
    paces: Vec<Pace>,
    /// Whether lines about slow phases are printed.
    lines: bool,
    /// When the current phase was last spoken of.
    reminded: Instant,
    done: usize,
    all: usize,
    /// When the first inference began.
    begin: Option<Instant>,
}

impl ProgressState {
    fn moved(&self) -> u64 {
        let moved = self.paces.iter().map(Pace::moved);
        moved.map(|(written, read)| written + read).sum::<u64>() - self.before
    }

    /// `4.1 MB (117 kB/s)`.
    fn link(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
        let moved = self.moved();
        format!("{} ({}/s)", output::bytes(moved), output::bytes((moved as f64 / seconds) as u64))
    }

    /// `12/150 images, 3.2 a minute, 43 s left`.
    fn batch(&self) -> String {
        let (done, all) = (self.done, self.all);
        let Some(begin) = self.begin.filter(|_| done > 0) else {
            return format!("{done}/{all} inputs");
        };
        let each = begin.elapsed().as_secs_f64() / done as f64;
        let left = each * all.saturating_sub(done) as f64;
        format!("{done}/{all} inputs, {:.1} a minute, {} left", 60.0 / each, duration(left))
    }
}

/// `43 s`, `12 min`, `3.5 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn lock(state: &Mutex<ProgressState>) -> MutexGuard<'_, ProgressState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BatchProgress {
    /// For `all` inputs; silent if `quiet`.
    pub(crate) fn new(all: usize, quiet: bool) -> Self {
        let now = Instant::now();
        let state = Arc::new(Mutex::new(ProgressState {
            phase: "connecting",
            since: now,
            before: 0,
            paces: Vec::new(),
            lines: !quiet,
            reminded: now,
            done: 0,
            all,
            begin: None,
        }));
        let ended = Arc::new(AtomicBool::new(false));
        let terminal = std::io::stderr().is_terminal() && !console::is_dumb();
        let bar = if quiet || !terminal {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new(all as u64);
            if let Ok(style) = ProgressStyle::with_template("[{bar:20}] {wide_msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        };
        if !quiet {
            let (state, ended, bar) = (Arc::clone(&state), Arc::clone(&ended), bar.clone());
            // Without the thread there are no reminders, and nothing else is missing.
            let _ = std::thread::Builder::new()
                .name("progress".into())
                .spawn(move || watch(&state, &ended, &bar, terminal));
        }
        Self { bar, state, ended }
    }

    /// A phase begins; what the last one took is told if it was slow.
    pub(crate) fn begin(&self, phase: &'static str) {
        self.turn_to(phase);
    }

    /// Counts the bytes of this link too.
    pub(crate) fn follow(&self, pace: Option<Pace>) {
        lock(&self.state).paces.extend(pace);
    }

    /// What sessions report to.
    pub(crate) fn observer(&self) -> Box<Observer> {
        let (state, bar) = (Arc::clone(&self.state), self.bar.clone());
        Box::new(move |progress: &Progress<'_>| {
            if lock(&state).phase != progress.phase {
                turn(&state, &bar, progress.phase);
            }
            if !bar.is_hidden() {
                let text = message(&lock(&state));
                let (done, of) = (progress.done, progress.of);
                bar.set_message(format!("{text}: {done}/{of} {}", visible(progress.layer)));
            }
        })
    }

    /// An input is through (or has failed).
    pub(crate) fn advance(&self) {
        let mut state = lock(&self.state);
        state.done += 1;
        // Slow links are slow for every input: once is enough.
        state.lines = false;
        self.bar.set_position(state.done as u64);
    }

    /// The first inference begins.
    pub(crate) fn start(&self) {
        lock(&self.state).begin = Some(Instant::now());
        self.turn_to("offline");
    }

    /// Prints without the bar in between.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// An error with what a user can do about it, where that is known.
    pub(crate) fn explain(&self, error: GazelleError, timeout: u64) -> Failure {
        let state = lock(&self.state);
        let timed_out =
            matches!(&error, GazelleError::Channel(gazelle::wire::ChannelError::TimedOut));
        if !timed_out {
            return Failure::from(error);
        }
        Failure::Run(format!(
            "{}: {error}: {} moved in {:.0} s; on a slow link give more time with --timeout (now \
             {timeout} s), to `infer` and to `serve`",
            state.phase,
            state.link(),
            state.since.elapsed().as_secs_f64(),
        ))
    }

    fn turn_to(&self, phase: &'static str) {
        turn(&self.state, &self.bar, phase);
    }
}

impl Drop for BatchProgress {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.bar.finish_and_clear();
    }
}

/// `setup, 0/3 inputs, 4.1 MB (117 kB/s)`.
fn message(state: &ProgressState) -> String {
    format!("{}, {}, {}", state.batch(), state.phase, state.link())
}

fn turn(state: &Mutex<ProgressState>, bar: &ProgressBar, phase: &'static str) {
    let mut state = lock(state);
    let took = state.since.elapsed();
    if state.lines && took >= SLOW {
        let line = format!("{}: {:.0} s, {}", state.phase, took.as_secs_f64(), state.link());
        bar.suspend(|| tell!("{line}"));
    }
    let moved = state.moved();
    state.before += moved;
    state.phase = phase;
    (state.since, state.reminded) = (Instant::now(), Instant::now());
    if !bar.is_hidden() {
        bar.set_message(message(&state));
    }
}

/// Keeps the bar moving; where there is none, says now and then that something goes on.
fn watch(state: &Mutex<ProgressState>, ended: &AtomicBool, bar: &ProgressBar, terminal: bool) {
    while !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        let mut state = lock(state);
        if ended.load(Ordering::Relaxed) {
            return;
        }
        if terminal {
            if state.since.elapsed() > Duration::from_secs(1) {
                bar.set_message(message(&state));
            }
        } else {
            let wait = if state.lines { 2 * SLOW } else { REMINDER };
            if state.reminded.elapsed() >= wait {
                state.reminded = Instant::now();
                tell!("{}", message(&state));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_names_the_flag_and_the_speed() {
        let batch = BatchProgress::new(3, true);
        batch.begin("setup");
        let error = GazelleError::Channel(gazelle::wire::ChannelError::TimedOut);
        let text = batch.explain(error, 7).to_string();
        assert!(text.starts_with("setup: ") && text.contains("--timeout (now 7 s)"), "{text}");
        assert!(text.contains("B/s"), "{text}");
        let other = batch.explain(GazelleError::Busy, 7).to_string();
        assert!(!other.contains("--timeout"), "{other}");
    }

    #[test]
    fn known_answer_rates_and_what_is_left() {
        assert_eq!(duration(43.2), "43 s");
        assert_eq!(duration(720.0), "12 min");
        assert_eq!(duration(12_600.0), "3.5 h");
        let batch = BatchProgress::new(4, true);
        assert_eq!(lock(&batch.state).batch(), "0/4 inputs");
        batch.start();
        batch.advance();
        assert!(lock(&batch.state).batch().starts_with("1/4 inputs, "));
    }
}
