//! What stretches of work take on a link: steps alone, and side by side.

use gazelle_nonlinear::Price;
use gazelle_wire::{Cost, Link};

use crate::backend::Machine;
use crate::plan::Plan;

/// What a stretch of work takes: computing and sending overlap, waiting does not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stretch {
    pub(super) compute_ns: f64,
    pub(super) cost: Cost,
    pub(super) half_round_trips: f64,
}

impl Stretch {
    /// Returns the seconds on a link, and how many of them a party does not compute in.
    pub(super) fn on(&self, link: Link) -> (f64, f64) {
        let busier = self.cost.client_to_server.max(self.cost.server_to_client);
        let transfer = link.transfer_time(busier).as_secs_f64();
        let compute = self.compute_ns * 1e-9;
        let waits = self.half_round_trips * link.round_trip.as_secs_f64() / 2.0;
        (compute.max(transfer) + waits, (transfer - compute).max(0.0) + waits)
    }

    /// The seconds of a step online, which begins when the one before has ended.
    pub(super) fn after_another(&self, price: &Price, link: Link) -> f64 {
        // Labels are evaluated as they come; messages of OTs alternate.
        if price.and_gates > 0 { self.on(link).0 } else { self.in_pieces(price.pieces, link) }
    }

    /// The seconds where messages alternate, each cut into so many pieces that go through the trips one by one.
    ///
    /// The first piece waits for everything. The others follow it by what one round of all of them takes of what is
    /// scarcest, be it either direction or computing, and a round more for each in which the first one is back
    /// before the last one has left.
    fn in_pieces(&self, pieces: usize, link: Link) -> f64 {
        let time = |bytes| link.transfer_time(bytes).as_secs_f64();
        let (up, down) = (time(self.cost.client_to_server), time(self.cost.server_to_client));
        let (compute, round_trip) = (self.compute_ns * 1e-9, link.round_trip.as_secs_f64());
        let rounds = (self.half_round_trips / 2.0).max(1.0);
        let first = (compute + up + down) / pieces.max(1) as f64;
        let others = 1.0 - 1.0 / pieces.max(1) as f64;
        let scarcest = compute.max(up).max(down);
        let behind = others * scarcest / rounds;
        let late = (behind - round_trip - first / rounds).max(0.0);
        let waits = self.half_round_trips * round_trip / 2.0;
        (first + behind + (rounds - 1.0) * late + waits).max(scarcest)
    }
}

/// A step offline and online. Offline nothing waits for a step; online the last message of a step and the
/// first of the next travel one after the other.
pub(super) fn step_times(price: &Price, machine: &Machine) -> (Stretch, Stretch) {
    let trips = price.trips as f64;
    let stretch =
        |compute_ns, cost, half_round_trips| Stretch { compute_ns, cost, half_round_trips };
    if price.and_gates > 0 {
        let gates = price.and_gates as f64;
        let step = machine.garbled_step_ns;
        return (
            stretch(step + gates * machine.and_offline_ns, price.offline, 0.0),
            stretch(step + gates * machine.and_online_ns, price.online, trips),
        );
    }
    let (down, up) = price.rots;
    let offline_ns = machine.gmw_step_ns + (down + up) as f64 * machine.rot_ns;
    let online_ns = machine.gmw_online_ns(trips, price.online.total() as f64);
    (stretch(offline_ns, price.offline, 0.0), stretch(online_ns, price.online, trips))
}

/// Steps that share their trips online, or one alone.
pub(super) struct Together {
    pub(super) steps: Vec<usize>,
    /// Of all of them.
    pub(super) price: Price,
    pub(super) online: Stretch,
}

/// Lists what runs online, in its order: of each wave the garbled steps one after the other, then those by OT side by
/// side, as [`gazelle_nonlinear::PerLayer`] has them.
pub(super) fn in_order(plan: &Plan, prices: &[Option<Price>], machine: &Machine) -> Vec<Together> {
    let priced = |step: &usize| prices.get(*step).copied().flatten().map(|price| (*step, price));
    let mut all = Vec::new();
    // The client has said its masked input.
    let mut client_spoke = true;
    for wave in plan.waves() {
        let steps = || wave.steps.iter().filter_map(priced);
        let (garbled, by_ot): (Vec<_>, Vec<_>) =
            steps().partition(|(_, price)| price.and_gates > 0);
        let alone = garbled.into_iter().map(|step| vec![step]);
        for steps in alone.chain([by_ot]).filter(|steps| !steps.is_empty()) {
            let (steps, apart): (Vec<usize>, Vec<Price>) = steps.into_iter().unzip();
            let price = Price::together(&apart);
            let mut online = step_times(&price, machine).1;
            online.compute_ns =
                apart.iter().map(|step| step_times(step, machine).1.compute_ns).sum();
            if price.trips > 0 {
                // What goes on in the same direction waits for nothing.
                let goes_on = price.client_first == client_spoke;
                online.half_round_trips -= if goes_on { 1.0 } else { 0.0 };
                client_spoke = price.client_first == (price.trips % 2 == 1);
            }
            all.push(Together { steps, price, online });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_pieces_overlap_and_one_piece_waits_for_everything() {
        let (bytes, trips) = (3_000_000, 6.0);
        let cost = Cost { client_to_server: bytes, server_to_client: bytes };
        let step = Stretch { compute_ns: 40e6, cost, half_round_trips: trips };
        let (wire, waits) = (Link::WAN.transfer_time(bytes).as_secs_f64(), 0.12);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(step.in_pieces(1, Link::WAN), waits + 0.04 + 2.0 * wire));
        // A round of all pieces takes less than a round trip: one piece's share, and one round.
        let many = step.in_pieces(1000, Link::WAN);
        assert!((many - waits - wire / 3.0).abs() < 1e-3, "{many}");
        // What fills the link takes its time there.
        let large = Cost { client_to_server: 20 * bytes, server_to_client: bytes };
        let full = Stretch { cost: large, ..step }.in_pieces(1000, Link::WAN);
        assert!(full > 20.0 * wire && full < 20.0 * wire + waits, "{full}");
        assert!(near(step.in_pieces(8, Link::MEMORY), 0.04));
    }
}
