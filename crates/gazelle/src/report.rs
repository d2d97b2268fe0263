//! What happened: seconds, bytes and turns by phase and by layer.

use gazelle_share::StepCost;
use gazelle_wire::{Channel, Instant, Traffic};
use serde::Serialize;

use crate::plan::Plan;

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
    /// Returns the bytes in both directions.
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
    /// After. The masked input belongs to the first linear layer. Steps side by side have their own bytes, a part of
    /// the time that they shared in proportion to these, and the first of them all their turns.
    pub online: Phase,
}

/// One inference.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InferenceReport {
    /// Both phases ran side by side: then `offline` lasts until the material was made, and `online` from then on,
    /// while a layer's own times hold what it waited for.
    pub at_once: bool,
    /// The setup's hints came beside both phases: its bytes are the setup's, its time is not.
    pub late_hints: bool,
    /// Before the input was known.
    pub offline: Phase,
    /// After.
    pub online: Phase,
    /// In the order of the network.
    pub layers: Vec<Layer>,
}

/// Layers in the order of the network, from the phases of all groups and of all steps.
pub(crate) fn layers(
    plan: &Plan,
    linear: &str,
    nonlinear: &[String],
    offline: (&[Phase], &[Phase]),
    online: (&[Phase], &[Phase]),
) -> Vec<Layer> {
    let phases = offline.0.iter().zip(online.0);
    let groups = plan.groups().iter().zip(plan.places()).zip(phases).map(|(group, phases)| {
        let ((group, place), (offline, online)) = (group, phases);
        let layer = Layer {
            name: group.name.clone(),
            kind: "linear",
            protocol: linear.to_owned(),
            offline: *offline,
            online: *online,
        };
        (place.first(), layer)
    });
    let phases = offline.1.iter().zip(online.1);
    let steps = plan.step_nodes().iter().zip(nonlinear).zip(phases).map(|(step, phases)| {
        let ((id, protocol), (offline, online)) = (step, phases);
        let node = plan.architecture().node(*id);
        let reveals = node.output == plan.architecture().output();
        let layer = Layer {
            name: node.name.clone(),
            kind: if reveals { "output" } else { "nonlinear" },
            protocol: protocol.clone(),
            offline: *offline,
            online: *online,
        };
        (*id, layer)
    });
    let mut layers: Vec<_> = groups.chain(steps).collect();
    layers.sort_by_key(|(node, _)| *node);
    layers.into_iter().map(|(_, layer)| layer).collect()
}

/// Phases of steps that ran together: what was announced before, and the run's turns, belong to the first step.
pub(crate) fn steps(costs: &[StepCost], announced: Phase, turns: u64) -> Vec<Phase> {
    let phase = |cost: &StepCost| Phase {
        seconds: cost.seconds,
        bytes_sent: cost.sent,
        bytes_received: cost.received,
        turns: 0,
    };
    let mut phases: Vec<Phase> = costs.iter().map(phase).collect();
    if let Some(first) = phases.first_mut() {
        *first += announced;
        first.turns += turns;
    }
    phases
}

/// Puts what the steps of a wave took online into their places among all steps': its turns belong to the first.
pub(crate) fn place(phases: &mut [Phase], wave: &[usize], costs: &[StepCost], turns: u64) {
    for (step, phase) in wave.iter().zip(steps(costs, Phase::default(), turns)) {
        if let Some(slot) = phases.get_mut(*step) {
            *slot = phase;
        }
    }
}

/// Adds what steps took after the run.
pub(crate) fn add_steps(phases: &mut [Phase], costs: &[StepCost]) {
    for (phase, more) in phases.iter_mut().zip(steps(costs, Phase::default(), 0)) {
        *phase += more;
    }
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

    /// Seconds so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub(crate) fn stop(&self, channel: &Channel) -> Phase {
        let traffic = channel.traffic() - self.before;
        Phase {
            seconds: self.seconds(),
            bytes_sent: traffic.sent,
            bytes_received: traffic.received,
            turns: traffic.turns,
        }
    }
}

/// Returns largest resident set of this process so far (`VmHWM`); 0 where the system does not say.
pub fn peak_rss_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    match kib {
        Some(kib) => kib * 1024,
        None => 0,
    }
}
