//! Where the time goes: a figure per layer and phase, and the sums over linear and non-linear
//! layers.

use gazelle::{Layer, Phase};

use super::session::Session;
use crate::Outcome;
use crate::measure::{Bench, Measurement};

/// Records both parties' layers, `<id>/layer/<name>/<phase>`, and their sums, `<id>/linear/<phase>`
/// and `<id>/nonlinear/<phase>`. Layers of their own only on request: there may be hundreds.
pub(super) fn record(bench: &mut Bench, id: &str, sessions: &[Session]) -> Outcome {
    let client: Vec<&[Layer]> = sessions.iter().map(|s| s.client_layers.as_slice()).collect();
    let server: Vec<&[Layer]> = sessions.iter().map(|s| s.server_layers.as_slice()).collect();
    for (party, runs) in [("client", client), ("server", server)] {
        for phase in ["offline", "online"] {
            for linear in [true, false] {
                let kind = if linear { "linear" } else { "nonlinear" };
                let sum = |layers: &&[Layer]| {
                    let mut sum = Phase::default();
                    let of_kind = layers.iter().filter(|layer| (layer.kind == "linear") == linear);
                    of_kind.for_each(|layer| sum += of(layer, phase));
                    sum
                };
                let phases: Vec<Phase> = runs.iter().map(sum).collect();
                put(bench, &format!("{id}/{kind}/{phase}"), party, phase, &phases)?;
            }
            if !bench.wants_layers() {
                continue;
            }
            for (index, layer) in runs.first().copied().unwrap_or_default().iter().enumerate() {
                let at = |layers: &&[Layer]| {
                    layers.get(index).map_or_else(Phase::default, |layer| of(layer, phase))
                };
                let phases: Vec<Phase> = runs.iter().map(at).collect();
                let id = format!("{id}/layer/{}/{phase}", layer.name);
                put(bench, &id, party, phase, &phases)?;
            }
        }
    }
    Ok(())
}

fn of(layer: &Layer, phase: &str) -> Phase {
    if phase == "offline" { layer.offline } else { layer.online }
}

fn put(
    bench: &mut Bench,
    id: &str,
    party: &'static str,
    phase: &'static str,
    phases: &[Phase],
) -> Outcome {
    if !bench.wants(id) {
        return Ok(());
    }
    let seconds: Vec<f64> = phases.iter().map(|phase| phase.seconds).collect();
    let last = phases.last().copied().unwrap_or_default();
    let mut figure = Measurement::new(id, 1, &seconds);
    figure.party = party;
    figure.phase = phase;
    figure.bytes = last.bytes();
    figure.turns = last.turns;
    bench.record(&figure)
}
