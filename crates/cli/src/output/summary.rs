//! What a session took in all: setup once, then the median input.

use std::fmt;

use gazelle::{InferenceReport, Phase};

use crate::output::{bytes, seconds};

/// Figures of a session.
#[derive(Debug)]
pub(crate) struct Summary {
    setup: Phase,
    /// Nothing of the setup comes with the first inference.
    set_up: bool,
    /// Whether it was told with an answer.
    told: bool,
    offline: Each,
    online: Each,
    /// Whether both phases of the inputs ran side by side.
    at_once: bool,
}

#[derive(Debug, Default)]
struct Each {
    seconds: Vec<f64>,
    bytes: u64,
}

impl Each {
    fn add(&mut self, phase: &Phase) {
        self.seconds.push(phase.seconds);
        self.bytes += phase.bytes();
    }

    fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    fn mean_bytes(&self) -> u64 {
        self.bytes / (self.seconds.len() as u64).max(1)
    }
}

impl Summary {
    /// Of a session whose setup took this so far; all of it, if it is `set_up`.
    pub(crate) fn new(setup: Phase, set_up: bool) -> Self {
        let (offline, online) = (Each::default(), Each::default());
        Self { setup, set_up, told: false, offline, online, at_once: false }
    }

    /// What to tell of the setup with an answer whose session's took this so far: nothing after the first.
    pub(crate) fn tell_setup(&mut self, setup: Phase) -> Option<Phase> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        if !self.set_up {
            self.setup = setup;
        }
        Some(self.setup)
    }

    /// Counts an inference.
    pub(crate) fn add(&mut self, report: &InferenceReport) {
        self.offline.add(&report.offline);
        self.online.add(&report.online);
        self.at_once |= report.at_once;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.online.seconds.len();
        let each = if count == 1 { String::new() } else { format!(", each of {count}") };
        let mut row = |name: &str, time: f64, size: u64, often: &str| {
            writeln!(f, "  {name:<8} {:>9} {:>9}{often}", seconds(time), bytes(size))
        };
        row("setup", self.setup.seconds, self.setup.bytes(), ", once per session")?;
        if count > 0 {
            row("offline", self.offline.median(), self.offline.mean_bytes(), &each)?;
            // What of it did not go on beside the offline phase.
            let beside = if self.at_once { ", beyond offline" } else { "" };
            let often = format!("{beside}{each}");
            row("online", self.online.median(), self.online.mean_bytes(), &often)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_the_median_input_is_shown() {
        let phase = |seconds, bytes_sent| Phase { seconds, bytes_sent, ..Phase::default() };
        let mut summary = Summary::new(phase(2.0, 5_000_000), true);
        assert_eq!(summary.tell_setup(phase(9.0, 9)), Some(phase(2.0, 5_000_000)));
        assert_eq!(summary.tell_setup(phase(9.0, 9)), None);
        assert_eq!(
            Summary::new(phase(1.0, 1), false).tell_setup(phase(2.0, 3)),
            Some(phase(2.0, 3))
        );
        for online in [0.03, 9.0, 0.01] {
            summary.add(&InferenceReport {
                offline: phase(1.5, 1000),
                online: phase(online, 10),
                ..InferenceReport::default()
            });
        }
        let text = summary.to_string();
        assert!(text.contains("online     30.0 ms      10 B, each of 3"), "{text}");
        let report = InferenceReport { at_once: true, ..InferenceReport::default() };
        summary.add(&report);
        let text = summary.to_string();
        assert!(text.contains(", beyond offline, each of 4"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80));
    }
}
