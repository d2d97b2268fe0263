//! Garbled circuits or GMW per step, and the OT extension, for a link and a machine; and what an
//! inference will then take.
//!
//! Bytes are exact. Time is the machine's prices times counts or the link's time for the busier
//! direction's bytes, whichever is more, and half a round trip per one-way message.

use gazelle_garble::HalfGates;
use gazelle_nonlinear::{PerLayer, Price, StepChoice};
use gazelle_share::{Architecture, LinearOp, Step};
use gazelle_wire::{Cost, Link};

use crate::backend::side_by_side::{Apart, SideBySide};
use crate::backend::stretch::{Stretch, in_order, step_times};
use crate::backend::{AnyOt, BaseOt, Choice, Machine, StepProtocol, protocol_of};
use crate::description::Description;
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::Phase;
use crate::traffic::PlannedTraffic;

/// Round trips of the setup: hello and description; confirmation, and hints with the base OTs' first message.
const SETUP_ROUND_TRIPS: f64 = 2.0;
/// Round trips that the second direction's OTs (GMW) add.
const SECOND_DIRECTION_ROUND_TRIPS: f64 = 1.0;
/// One-way messages behind the linear layers' talk until both parties have all corrections and tables:
/// the OTs of both directions stream while it goes on.
const OFFLINE_HALF_ROUND_TRIPS: f64 = 2.0;

/// One-way messages that an audit adds: commitment and nonce before, base OT; challenge and answer behind.
const AUDIT_HALF_ROUND_TRIPS: f64 = 4.0;

/// The fastest link that a choice reckons with: bytes are never free (material is kept in memory),
/// and on this machine's own memory both backends take about as long.
const FASTEST_BITS_PER_SECOND: u64 = 1_000_000_000;

/// Chooses for a session of `inferences` on `link`: whatever takes less time in all, on a link of
/// 1 Gbit/s at most, by the one table of prices that all plans are made with. A function of its
/// arguments: neither the machine nor what else it does enters.
///
/// # Errors
/// [`GazelleError::Plan`] if the network cannot be planned.
pub fn choose(
    architecture: &Architecture,
    link: Link,
    inferences: u32,
) -> Result<Choice, GazelleError> {
    let machine = &Machine::REFERENCE;
    let link = Link { bits_per_second: link.bits_per_second.min(FASTEST_BITS_PER_SECOND), ..link };
    let plan = Plan::new(architecture.clone())?;
    let steps = plan.steps();
    // The extension depends on how many OTs there are, their number on the choices: all steps by OT is
    // where large networks end up.
    let all_gmw = Choice::all(StepProtocol::Gmw);
    let (down, up) = rots(steps, &all_gmw.steps);
    let ot = AnyOt::For(down, up);
    let mut gained = 0.0;
    let mut choices = Vec::with_capacity(steps.len());
    for step in steps.iter() {
        let of = |protocol| {
            let price = price(step, protocol, ot)?;
            Some((seconds(&price, protocol, link, machine), protocol))
        };
        let by_time = |a: &(f64, StepProtocol), b: &(f64, StepProtocol)| a.0.total_cmp(&b.0);
        let garbled = of(StepProtocol::Garbled);
        // Two chains for the same step: few bits where the link is narrow, few trips where it is long.
        let gmw = [StepProtocol::Gmw, StepProtocol::GmwFewTrips].into_iter().filter_map(of);
        choices.push(match (garbled, gmw.min_by(by_time)) {
            (Some((slow, _)), Some((fast, protocol))) if fast < slow => {
                gained += slow - fast;
                protocol
            }
            // Whatever OTs cost to set up, there is no other way.
            (None, Some((_, protocol))) => {
                gained = f64::INFINITY;
                protocol
            }
            _ => StepProtocol::Garbled,
        });
    }
    // GMW sets up OTs in the second direction too.
    let [_, (set_up, start)] = machine.ot_setup_ns(ot);
    let second =
        (set_up + start) * 1e-9 + link.round_trip.as_secs_f64() * SECOND_DIRECTION_ROUND_TRIPS;
    // Steps are compared one by one, the second direction is paid once: it must be worth it for all of them.
    if gained * f64::from(inferences.max(1)) <= second {
        choices = vec![StepProtocol::Garbled; steps.len()];
    }
    let (down, up) = rots(steps, &choices);
    let ot = AnyOt::For(down, up);
    Ok(Choice { ot, steps: choices, ..Choice::default() }.for_inferences(inferences))
}

/// OTs of one inference from the server to the client and the other way, for choosing the extensions.
pub fn rots(steps: &[Step], choices: &[StepProtocol]) -> (u32, u32) {
    let of = |(index, step): (usize, &Step)| {
        // optional: what no backend computes is refused when it is compiled
        price(step, protocol_of(choices, index), AnyOt::Iknp).map_or((0, 0), |price| price.rots)
    };
    let (down, up) = steps.iter().enumerate().map(of).fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
    // More than 2^32 are as many as that to the choice of an extension.
    let count = |rots: usize| rots.min(u32::MAX as usize) as u32;
    (count(down), count(up))
}

/// A step's price; GMW falls back to garbling where it does not compute the step.
pub(super) fn price(step: &Step, protocol: StepProtocol, ot: AnyOt) -> Option<Price> {
    price_of(step, protocol.step_choice(), ot)
}

/// The same of a step that may be checked.
fn price_of(step: &Step, choice: StepChoice, ot: AnyOt) -> Option<Price> {
    let protocols = PerLayer::auto(ot.extension(BaseOt::default()), HalfGates::default());
    protocols.prices(step, choice).ok()
}

/// Offline and online time of one step at both ends of the link.
fn seconds(price: &Price, wanted: StepProtocol, link: Link, machine: &Machine) -> f64 {
    let (offline, online) = step_times(price, machine);
    // A fallback is no reason to set up the second direction.
    let fallback = wanted != StepProtocol::Garbled && price.and_gates > 0;
    let penalty = if fallback { 1e-9 } else { 0.0 };
    offline.on(link).0 + online.on(link).0 + penalty
}

/// What one non-linear step will take.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct StepPrediction {
    /// Seconds before the input.
    pub offline: f64,
    /// Seconds from the input on; of steps side by side a part of theirs in proportion to its bytes.
    pub online: f64,
    /// One-way messages online that the parties wait for; all of steps side by side are the first one's.
    pub trips: usize,
}

/// Predicts every non-linear step of a compiled plan on a link.
///
/// # Errors
/// [`GazelleError::Description`] if the description is not one of this program's suite.
pub fn predict_steps(
    plan: &Plan,
    description: &Description,
    link: Link,
    machine: &Machine,
) -> Result<Vec<StepPrediction>, GazelleError> {
    let prices = all_prices(plan, &Choice::parse(description)?);
    let offline = |price: &Option<Price>| match price {
        Some(price) => step_times(price, machine).0.on(link).0,
        None => 0.0,
    };
    let predict = |price| StepPrediction { offline: offline(price), ..StepPrediction::default() };
    let mut steps: Vec<StepPrediction> = prices.iter().map(predict).collect();
    for together in in_order(plan, &prices, machine) {
        let seconds = together.online.after_another(&together.price, link);
        let mut trips = together.price.trips;
        for step in &together.steps {
            if let (Some(slot), Some(Some(price))) = (steps.get_mut(*step), prices.get(*step)) {
                let bytes = together.price.online.total().max(1);
                slot.online = seconds * price.online.total() as f64 / bytes as f64;
                slot.trips = std::mem::take(&mut trips);
            }
        }
    }
    Ok(steps)
}

/// The steps' prices; nothing for what no backend computes.
fn all_prices(plan: &Plan, choice: &Choice) -> Vec<Option<Price>> {
    let of = |(index, step)| price_of(step, choice.step_choice(index), choice.ot);
    plan.steps().iter().enumerate().map(of).collect()
}

/// What the linear layers make the parties compute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinearWork {
    /// Multiply-adds of all layers.
    pub(super) macs: f64,
    /// Polynomials of hints, once per session, at N = 2048 (larger ones count in proportion).
    pub(super) hints: f64,
    /// Those of revealed layers, for every inference, and their multiply-adds.
    pub(super) fresh_hints: f64,
    pub(super) fresh_macs: f64,
    /// Requests and responses of an inference, at N = 2048.
    pub(super) polynomials: f64,
}

/// Counts what the plan in a description asks for.
///
/// # Errors
/// [`GazelleError::Description`] if there is no such plan.
pub(super) fn linear_work(
    plan: &Plan,
    description: &Description,
) -> Result<LinearWork, GazelleError> {
    let refuse = |error: &dyn std::fmt::Display| GazelleError::Description(error.to_string());
    let linear: gazelle_linear::LinearPlan =
        serde_json::from_value(description.linear_plan.clone()).map_err(|e| refuse(&e))?;
    let counts = gazelle_linear::PublicCoin::default()
        .counts(plan.groups(), &linear)
        .map_err(|e| refuse(&e))?;
    let mut work = LinearWork::default();
    for (group, counts) in plan.groups().iter().zip(counts) {
        let scale = counts.degree as f64 / 2048.0;
        let macs: u64 = group.ops.iter().map(LinearOp::macs).sum();
        work.macs += macs as f64;
        work.polynomials += scale * (counts.requests + counts.responses) as f64;
        if group.revealed {
            work.fresh_hints += scale * counts.responses as f64;
            work.fresh_macs += macs as f64;
        } else {
            work.hints += scale * counts.responses as f64;
        }
    }
    Ok(work)
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
    /// The last two side by side, as [`Client::infer_at_once`](crate::Client::infer_at_once) has them.
    pub at_once: SideBySide,
    /// With the setup's hints beside them too, as [`Client::set_up_and_infer`](crate::Client::set_up_and_infer) has them.
    pub cold: SideBySide,
}

impl Prediction {
    /// A whole cold inference: all of it.
    pub fn whole(&self) -> Phase {
        let SideBySide { setup, offline, online } = self.cold;
        let mut whole = self.setup;
        whole += self.offline;
        whole += self.online;
        whole.seconds = setup + offline + online;
        whole
    }
}

/// Predicts the first inference of a session on a link, both parties on this machine.
///
/// Offline, all steps are one run whose computing and sending overlap, and the parties compute the linear
/// layers in the background: what the run leaves idle is used for it, the rest adds up.
///
/// # Errors
/// [`GazelleError::Description`] if the description is not one of this program's suite.
pub fn predict(
    plan: &Plan,
    traffic: &PlannedTraffic,
    description: &Description,
    link: Link,
    machine: &Machine,
) -> Result<Prediction, GazelleError> {
    let choice = Choice::parse(description)?;
    let work = linear_work(plan, description)?;
    let linear: Cost = traffic.linear.offline.iter().copied().sum();
    // The requests of all linear layers travel in one direction, their answers in the other.
    let talk = Stretch { compute_ns: 0.0, cost: linear, half_round_trips: 2.0 };
    // While one party waits for the other's message the background work of the linear layers goes on.
    let (requested, idle) = talk.on(link);
    let audit_trips = if choice.audit.is_some() { AUDIT_HALF_ROUND_TRIPS } else { 0.0 };
    let half_round_trips = OFFLINE_HALF_ROUND_TRIPS + audit_trips;
    let mut run = Stretch { half_round_trips, ..Stretch::default() };
    let entry = Stretch {
        compute_ns: work.macs * machine.online_mac_ns,
        cost: input_cost(traffic),
        half_round_trips: 1.0,
    };
    // No layer's products can begin before its input is there.
    let (products, entered) =
        (entry.compute_ns * 1e-9, Stretch { compute_ns: 0.0, ..entry }.on(link).0);
    let mut online = products + entered;
    let mut online_turns = entry.half_round_trips;
    let mut second_direction = false;
    let prices = all_prices(plan, &choice);
    for price in prices.iter().flatten() {
        second_direction |= price.and_gates == 0;
        run.compute_ns += step_times(price, machine).0.compute_ns;
    }
    let in_order = in_order(plan, &prices, machine);
    for together in &in_order {
        online += together.online.after_another(&together.price, link);
        online_turns += together.online.half_round_trips;
    }
    let [down, up] = machine.ot_setup_ns(choice.ot);
    let up = if second_direction { up } else { (0.0, 0.0) };
    let (ot_setup_ns, ot_start_ns) = (down.0 + up.0, down.1 + up.1);
    run.compute_ns += ot_start_ns;
    run.cost = minus(traffic.offline, linear);
    let background = work.polynomials * machine.polynomial_ns
        + work.macs * machine.offline_mac_ns
        + work.fresh_hints * machine.hint_ns
        + work.fresh_macs * machine.hint_mac_ns;
    // Only what did not fit into the waiting takes time of its own.
    let all = |run: &Stretch, background_ns: f64| {
        let (seconds, waits) = run.on(link);
        requested + seconds + (background_ns * 1e-9 - idle - waits).max(0.0)
    };
    let offline = all(&run, background);
    let offline_turns = talk.half_round_trips + run.half_round_trips;
    let first =
        requested + ot_start_ns * 1e-9 + half_round_trips * link.round_trip.as_secs_f64() / 2.0;
    let setup_turns = 2.0 * SETUP_ROUND_TRIPS
        + if second_direction { 2.0 * SECOND_DIRECTION_ROUND_TRIPS } else { 0.0 };
    let described = description.to_bytes()?.len() as f64;
    let fixed = machine.handshake_ns
        + described * machine.description_byte_ns
        + machine.base_ot_ns
        + ot_setup_ns;
    let hints = SetupHints {
        compute_ns: work.hints * machine.hint_ns
            + (work.macs - work.fresh_macs) * machine.hint_mac_ns,
        cost: traffic.linear.setup,
    };
    let setup = |hints: &SetupHints| {
        let cost = hints.beside(minus(traffic.setup, traffic.linear.setup));
        let compute_ns = hints.compute_ns;
        fixed * 1e-9 + Stretch { compute_ns, cost, half_round_trips: setup_turns }.on(link).0
    };
    let (prices, in_order, entry) = (&prices[..], &in_order[..], entered);
    let setup_seconds = setup(&hints);
    let apart = Apart {
        setup: setup_seconds,
        requested,
        first,
        offline,
        entry,
        products,
        prices,
        in_order,
    };
    // Hints that come late travel beside the requests and are computed beside all else.
    let late = Stretch { compute_ns: hints.compute_ns, cost: hints.cost, half_round_trips: 1.0 };
    let beside = Stretch { cost: hints.beside(run.cost), ..run };
    let cold = Apart {
        setup: setup(&SetupHints::default()),
        requested: requested.max(late.on(link).0),
        offline: all(&beside, background + hints.compute_ns),
        ..apart
    };
    let phase = |cost: Cost, seconds: f64, half_round_trips: f64| Phase {
        seconds,
        bytes_sent: cost.client_to_server,
        bytes_received: cost.server_to_client,
        turns: (half_round_trips / 2.0).ceil() as u64,
    };
    Ok(Prediction {
        setup: phase(traffic.setup, setup_seconds, setup_turns),
        offline: phase(traffic.offline, offline, offline_turns),
        online: phase(traffic.online, online, online_turns),
        at_once: apart.side_by_side(link, machine),
        cold: cold.side_by_side(link, machine),
    })
}

/// What the hints of a setup take.
#[derive(Clone, Copy, Default)]
struct SetupHints {
    compute_ns: f64,
    cost: Cost,
}

impl SetupHints {
    /// What goes over the link of other things and the hints.
    fn beside(&self, other: Cost) -> Cost {
        other + self.cost
    }
}

/// What is left of a cost without a part of it.
fn minus(all: Cost, part: Cost) -> Cost {
    Cost {
        client_to_server: all.client_to_server - part.client_to_server,
        server_to_client: all.server_to_client - part.server_to_client,
    }
}

/// Returns the command and the masked input.
fn input_cost(traffic: &PlannedTraffic) -> Cost {
    minus(traffic.online, traffic.nonlinear.online.iter().copied().sum())
}

#[cfg(test)]
mod tests {
    use gazelle_share::Rounding;
    use gazelle_share::{StepFunction, StepOutput, TensorShape};

    use super::*;

    fn relu(elements: usize) -> Step {
        Step {
            function: StepFunction::Relu,
            input: TensorShape::vector(elements),
            input_bits: 22,
            truncate_bits: 10,
            rounding: Rounding::Local,
            value_bits: 12,
            sum_pool: None,
            output: StepOutput::Masked { bits: 22 },
        }
    }

    fn better(elements: usize, link: Link) -> StepProtocol {
        let (step, machine) = (relu(elements), Machine::REFERENCE);
        let of = |protocol| {
            let price = price(&step, protocol, AnyOt::For(1 << 20, 1 << 19)).unwrap();
            seconds(&price, protocol, link, &machine)
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
