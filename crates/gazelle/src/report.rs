//! What happened: seconds, bytes and turns by phase and by layer.

use std::time::Instant;

use gazelle_wire::{Channel, Traffic};
use serde::Serialize;

use crate::plan::{Plan, ReportLayer};

/// One phase, as one party saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Phase {
    /// Wall-clock time.
    pub seconds: f64,
    /// Bytes that this party sent, headers included.
    pub bytes_sent: u64,
    /// Bytes that it received.
    pub bytes_received: u64,
    /// Times it started to receive after having sent.
    pub turns: u64,
}

impl Phase {
    /// Bytes in both directions.
    pub fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }
}

impl std::ops::AddAssign for Phase {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.turns += other.turns;
    }
}

/// One layer of one inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Name of the node; of all nodes for a linear group.
    pub name: String,
    /// `linear`, `nonlinear` or `output`.
    pub kind: &'static str,
    /// `public-coin`, `garbled`, `gmw`, ..
    pub protocol: String,
    /// Before the input was known. Linear groups overlap: their seconds are the work at this
    /// party, not the time that passed.
    pub offline: Phase,
    /// After. The masked input belongs to the first linear layer.
    pub online: Phase,
}

/// One inference.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InferenceReport {
    /// Before the input was known.
    pub offline: Phase,
    /// After.
    pub online: Phase,
    /// In the order of the network.
    pub layers: Vec<Layer>,
}

/// Layers in the order of the network; `group` and `step` look up by index.
pub(crate) fn layers(
    plan: &Plan,
    linear: &str,
    nonlinear: &[String],
    offline: (&[Phase], &[Phase]),
    online: (&[Phase], &[Phase]),
) -> Vec<Layer> {
    let at = |phases: &[Phase], index: usize| phases.get(index).copied().unwrap_or_default();
    let last = plan.steps().len().saturating_sub(1);
    let layer = |which: ReportLayer| match which {
        ReportLayer::Group(group) => Layer {
            name: plan.groups().get(group).map_or_else(String::new, |group| group.name.clone()),
            kind: "linear",
            protocol: linear.to_owned(),
            offline: at(offline.0, group),
            online: at(online.0, group),
        },
        ReportLayer::Step(step) => Layer {
            name: plan.step_name(step).to_owned(),
            kind: if step == last { "output" } else { "nonlinear" },
            protocol: nonlinear.get(step).cloned().unwrap_or_default(),
            offline: at(offline.1, step),
            online: at(online.1, step),
        },
    };
    plan.report_order().into_iter().map(|(_, which)| layer(which)).collect()
}

/// Measures a stretch of work on a channel.
pub(crate) struct Meter {
    start: Instant,
    before: Traffic,
}

impl Meter {
    pub(crate) fn start(channel: &Channel) -> Self {
        Self { start: Instant::now(), before: channel.traffic() }
    }

    pub(crate) fn stop(&self, channel: &Channel) -> Phase {
        let traffic = channel.traffic() - self.before;
        Phase {
            seconds: self.start.elapsed().as_secs_f64(),
            bytes_sent: traffic.sent,
            bytes_received: traffic.received,
            turns: traffic.turns,
        }
    }
}

/// Largest resident set of this process so far (`VmHWM`); 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
