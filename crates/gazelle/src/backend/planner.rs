//! Garbled circuits or GMW per step, and the OT extension, for a link and a machine; and what an
//! inference will then take.
//!
//! Bytes are exact. Time is the machine's prices times counts, plus the link's time for the busier
//! direction's bytes and half a round trip per one-way message.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, Price};
use gazelle_share::{Architecture, NodeKind, Step, StepOutput};
use gazelle_wire::{Cost, Link};

use crate::backend::{AnyOt, Choice, Machine, StepProtocol};
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::Phase;
use crate::traffic::PlannedTraffic;

/// Round trips of the setup: handshake, coins and hints, base OTs in one direction.
const SETUP_ROUND_TRIPS: u64 = 4;
/// Round trips that the base OTs of the second direction (GMW) add.
const SECOND_DIRECTION_ROUND_TRIPS: u64 = 1;
/// A setup's share of the second direction.
const SECOND_DIRECTION: f64 = 0.6;

/// Chooses for one cold inference on `link`: whatever takes less time in all.
///
/// # Errors
/// [`GazelleError::Plan`] if the network cannot be planned.
pub fn choose(
    architecture: &Architecture,
    link: Link,
    machine: &Machine,
) -> Result<Choice, GazelleError> {
    let plan = Plan::new(architecture.clone())?;
    let steps = plan.steps();
    let all_gmw = Choice::all(StepProtocol::Gmw);
    let ot = AnyOt::For(rots(steps, &all_gmw.steps));
    let mut gained = 0.0;
    let mut choices = Vec::with_capacity(steps.len());
    for step in steps.iter() {
        let garbled = price(step, StepProtocol::Garbled, ot)
            .map(|price| seconds(&price, step, StepProtocol::Garbled, link, machine));
        let gmw = price(step, StepProtocol::Gmw, ot)
            .map(|price| seconds(&price, step, StepProtocol::Gmw, link, machine));
        choices.push(match (garbled, gmw) {
            (Some(garbled), Some(gmw)) if gmw < garbled => {
                gained += garbled - gmw;
                StepProtocol::Gmw
            }
            _ => StepProtocol::Garbled,
        });
    }
    // GMW sets up OTs in the second direction too.
    let second = machine.setup_ns * 1e-9 * SECOND_DIRECTION
        + link.round_trip.as_secs_f64() * SECOND_DIRECTION_ROUND_TRIPS as f64;
    if gained <= second {
        choices = vec![StepProtocol::Garbled; steps.len()];
    }
    let ot = AnyOt::For(rots(steps, &choices));
    Ok(Choice { inferences_per_setup: 1, ot, steps: choices })
}

/// OTs of one inference in the busier direction, for choosing the extension.
pub fn rots(steps: &[Step], choices: &[StepProtocol]) -> u32 {
    let last = choices.last().copied().unwrap_or(StepProtocol::Garbled);
    let of = |(index, step): (usize, &Step)| {
        let protocol = choices.get(index).copied().unwrap_or(last);
        price(step, protocol, AnyOt::Iknp).map_or((0, 0), |price| price.rots)
    };
    let (down, up) = steps.iter().enumerate().map(of).fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
    u32::try_from(down.max(up)).unwrap_or(u32::MAX)
}

/// A step's price; GMW falls back to garbling where it does not compute the step.
fn price(step: &Step, protocol: StepProtocol, ot: AnyOt) -> Option<Price> {
    let protocols = PerLayer::auto(ot, HalfGates::default());
    protocols.prices(step, protocol.step_choice()).ok()
}

/// Offline and online time of one step at both ends of the link.
fn seconds(price: &Price, step: &Step, wanted: StepProtocol, link: Link, machine: &Machine) -> f64 {
    let (offline_ns, online_ns) = compute_ns(price, machine);
    let (offline_turns, online_turns) = turns(price, step);
    // A fallback is no reason to set up the second direction.
    let penalty = if wanted == StepProtocol::Gmw && price.and_gates > 0 { 1e-9 } else { 0.0 };
    (offline_ns + online_ns) * 1e-9
        + link_seconds(price.offline, offline_turns, link)
        + link_seconds(price.online, online_turns, link)
        + penalty
}

fn compute_ns(price: &Price, machine: &Machine) -> (f64, f64) {
    if price.and_gates > 0 {
        let gates = price.and_gates as f64;
        (gates * machine.and_offline_ns, gates * machine.and_online_ns)
    } else {
        let rots = (price.rots.0 + price.rots.1) as f64;
        (rots * machine.rot_ns, price.online.total() as f64 * machine.gmw_byte_ns)
    }
}

/// Half round trips that a step waits for, offline and online. Within a network the last message
/// of a step and the first of the next travel one after the other.
fn turns(price: &Price, step: &Step) -> (f64, f64) {
    let trips = price.trips as f64;
    let offline = match step.output {
        StepOutput::Reveal => 1.0,
        StepOutput::Masked { .. } => 2.0,
    };
    (offline, trips)
}

fn link_seconds(cost: Cost, half_round_trips: f64, link: Link) -> f64 {
    let busier = cost.client_to_server.max(cost.server_to_client);
    link.transfer_time(busier).as_secs_f64()
        + half_round_trips * link.round_trip.as_secs_f64() / 2.0
}

/// What one cold inference will take, phase by phase, as the client sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// Handshake, hints, base OTs.
    pub setup: Phase,
    /// Before the input.
    pub offline: Phase,
    /// From the input on.
    pub online: Phase,
}

/// Predicts a compiled plan on a link.
pub fn predict(
    plan: &Plan,
    traffic: &PlannedTraffic,
    choice: &Choice,
    link: Link,
    machine: &Machine,
) -> Prediction {
    let macs: u64 = plan
        .architecture()
        .nodes
        .iter()
        .map(|node| match &node.kind {
            NodeKind::Linear(op) => op.macs(),
            _ => 0,
        })
        .sum();
    let hints = traffic.linear.setup.server_to_client as f64;
    let mut offline_ns = macs as f64 * machine.offline_mac_ns + hints * machine.hint_byte_ns;
    let mut online_ns = macs as f64 * machine.online_mac_ns;
    // The requests of all linear layers travel in one direction.
    let (mut offline_turns, mut online_turns) = (1.0, 1.0);
    let mut second_direction = false;
    let last = choice.steps.last().copied().unwrap_or(StepProtocol::Garbled);
    for (index, step) in plan.steps().iter().enumerate() {
        let protocol = choice.steps.get(index).copied().unwrap_or(last);
        let Some(price) = price(step, protocol, choice.ot) else { continue };
        second_direction |= price.and_gates == 0;
        let (offline, online) = compute_ns(&price, machine);
        let (before, after) = turns(&price, step);
        offline_ns += offline;
        online_ns += online;
        offline_turns += before;
        online_turns += after;
    }
    let second = if second_direction { 1.0 + SECOND_DIRECTION } else { 1.0 };
    let setup_turns =
        SETUP_ROUND_TRIPS + if second_direction { SECOND_DIRECTION_ROUND_TRIPS } else { 0 };
    let phase = |cost: Cost, ns: f64, half_round_trips: f64| Phase {
        seconds: ns * 1e-9 + link_seconds(cost, half_round_trips, link),
        bytes_sent: cost.client_to_server,
        bytes_received: cost.server_to_client,
        turns: (half_round_trips / 2.0).ceil() as u64,
    };
    Prediction {
        setup: phase(
            traffic.setup,
            machine.setup_ns * second + hints * machine.hint_byte_ns,
            2.0 * setup_turns as f64,
        ),
        offline: phase(traffic.offline, offline_ns, offline_turns),
        online: phase(traffic.online, online_ns, online_turns),
    }
}

#[cfg(test)]
mod tests {
    use gazelle_share::{StepFunction, TensorShape};

    use super::*;

    fn relu(elements: usize) -> Step {
        Step {
            function: StepFunction::Relu,
            input: TensorShape::vector(elements),
            input_bits: 22,
            truncate_bits: 10,
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 22 },
        }
    }

    fn better(elements: usize, link: Link) -> StepProtocol {
        let (step, machine) = (relu(elements), Machine::default());
        let of = |protocol| {
            let price = price(&step, protocol, AnyOt::For(1 << 20)).unwrap();
            seconds(&price, &step, protocol, link, &machine)
        };
        if of(StepProtocol::Gmw) < of(StepProtocol::Garbled) {
            StepProtocol::Gmw
        } else {
            StepProtocol::Garbled
        }
    }

    #[test]
    fn known_answer_small_layers_on_slow_links_are_garbled_and_large_ones_are_not() {
        assert_eq!(better(100, Link::WAN), StepProtocol::Garbled);
        assert_eq!(better(100_000, Link::WAN), StepProtocol::Gmw);
        assert_eq!(better(100_000, Link::LAN), StepProtocol::Gmw);
    }
}
