//! What an inference at once takes: the online phase beside the offline phase that makes its material.

use gazelle_nonlinear::Price;
use gazelle_wire::Link;

use crate::backend::Machine;
use crate::backend::stretch::{Together, step_times};

/// The two phases of an inference at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct SideBySide {
    /// Seconds of the setup before it.
    pub setup: f64,
    /// Seconds until the material is made.
    pub offline: f64,
    /// Seconds from then to the result.
    pub online: f64,
}

/// The two phases one after the other.
#[derive(Clone, Copy)]
pub(super) struct Apart<'a> {
    pub(super) setup: f64,
    /// Seconds of the offline phase: until the requests are through (and hints that come late), until the first
    /// material can be there, and all.
    pub(super) requested: f64,
    pub(super) first: f64,
    pub(super) offline: f64,
    /// Seconds until the input is at the server.
    pub(super) entry: f64,
    /// Seconds of computing of the linear layers online.
    pub(super) products: f64,
    pub(super) prices: &'a [Option<Price>],
    /// What runs online.
    pub(super) in_order: &'a [Together],
}

impl Apart<'_> {
    /// Goes through the network: what is next begins when the one before it has ended and its material is there, and
    /// while material is made, whatever is computed for it comes later by what is computed online meanwhile.
    pub(super) fn side_by_side(&self, link: Link, machine: &Machine) -> SideBySide {
        let time = |price: &Option<Price>| match price {
            Some(price) => step_times(price, machine).0.on(link).0,
            None => 0.0,
        };
        let mut made = 0.0;
        let after = |price| {
            made += time(price);
            made
        };
        let ends: Vec<f64> = self.prices.iter().map(after).collect();
        let rate = (self.offline - self.first).max(0.0) / made.max(f64::MIN_POSITIVE);
        let products = self.products / self.in_order.len().max(1) as f64;
        let (mut clock, mut late) = (self.requested + self.entry, 0.0);
        for together in self.in_order {
            let last = together.steps.iter().filter_map(|step| ends.get(*step)).copied();
            let ready = self.first + rate * last.fold(0.0, f64::max) + late;
            let begin = f64::max(clock, ready);
            let computes = together.online.compute_ns * 1e-9 + products;
            if begin < self.offline + late {
                late += computes;
            }
            clock = begin + products + together.online.after_another(&together.price, link);
        }
        let offline = self.offline + late;
        SideBySide { setup: self.setup, offline, online: (clock - offline).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gazelle_wire::Cost;

    use super::*;
    use crate::backend::stretch::Stretch;

    /// Ten steps of a second offline and 40 ms of two trips online, of which 10 ms are computing.
    fn network(link: Link) -> SideBySide {
        let machine = Machine { rot_ns: 1000.0, gmw_step_ns: 0.0, ..Machine::REFERENCE };
        let price = Price { rots: (1_000_000, 0), trips: 2, pieces: 1, ..Price::default() };
        let online = |step| Together {
            steps: vec![step],
            price,
            online: Stretch { compute_ns: 10e6, cost: Cost::default(), half_round_trips: 2.0 },
        };
        let (prices, in_order) = (vec![Some(price); 10], (0..10).map(online).collect::<Vec<_>>());
        let (setup, requested, first, offline) = (0.0, 0.0, 0.0, 10.0);
        let (entry, products) = (0.0, 0.0);
        let (prices, in_order) = (&prices[..], &in_order[..]);
        Apart { setup, requested, first, offline, entry, products, prices, in_order }
            .side_by_side(link, &machine)
    }

    #[test]
    fn known_answer_what_waits_is_hidden_and_what_computes_is_not() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let memory = network(Link::MEMORY);
        // All but the last step compute while material is made, which comes later by that.
        assert!(near(memory.offline, 10.09) && near(memory.online, 0.01), "{memory:?}");
        let short = Link { round_trip: Duration::from_millis(500), ..Link::MEMORY };
        let short = network(short);
        assert!(near(short.offline, 10.09) && near(short.online, 0.51), "{short:?}");
        // Longer trips than a step's material takes: the first one's material, then trips.
        let long = Link { round_trip: Duration::from_secs(2), ..Link::MEMORY };
        let long = network(long);
        assert!(near(long.offline + long.online, 1.0 + 10.0 * 2.01), "{long:?}");
    }
}
