//! What things cost on a machine: plain numbers, committed for each instruction set ([`prices`]), or
//! measured by about a second of real sessions.
//!
//! Plans are made with a table of their own ([`reference`]), the same on every machine, and never with what
//! is measured: what else a machine does must not change what it sends (docs/decisions/0008-one-table.md).
//! Predictions take the table of the instruction set, or what was measured.
//!
//! Assumed: both parties run on this machine and share its cores, as in `gazelle demo` and the
//! benchmarks. Where the server or the client has a machine of its own, compute takes less time than
//! predicted here, down to half where both keep busy; the link's part stays.

mod prices;
mod probe;
mod reference;

use gazelle_ot::ferret::Parameters;
use gazelle_ot::{AutoExtension, Either, PerDirection};
use gazelle_prg::isa::{Isa, level};
use serde::{Deserialize, Serialize};

use crate::backend::{AnyOt, BaseOt, StepProtocol};
use crate::error::GazelleError;

/// Nanoseconds of wall-clock time with both parties on one machine of two cores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Handshake and the linear protocol's coins, apart from hints.
    pub handshake_ns: f64,
    /// Per byte of the description: parsing and validating it.
    pub description_byte_ns: f64,
    /// Base OTs, once per session.
    pub base_ot_ns: f64,
    /// OT setup in one direction beyond them: SoftSpokenOT's and Ferret's.
    pub ot_setup_ns: [f64; 2],
    /// What Ferret makes in front of a session's first OTs in one direction, by its sets in the order of
    /// their sizes.
    pub ot_start_ns: [f64; 4],
    /// Per polynomial of hints, at N = 2048.
    pub hint_ns: f64,
    /// Per multiply-add of a linear layer, for its hints.
    pub hint_mac_ns: f64,
    /// Per polynomial of requests and responses, offline, at N = 2048.
    pub polynomial_ns: f64,
    /// Per multiply-add of a linear layer, offline.
    pub offline_mac_ns: f64,
    /// Per multiply-add of a linear layer, online.
    pub online_mac_ns: f64,
    /// Per garbled step, offline and online.
    pub garbled_step_ns: f64,
    /// Per AND gate, offline: garbling, its OTs, sending tables.
    pub and_offline_ns: f64,
    /// Per AND gate, online: evaluation and labels.
    pub and_online_ns: f64,
    /// Per GMW step, offline.
    pub gmw_step_ns: f64,
    /// Per random OT of a GMW step, offline: the OT and what becomes of it.
    pub rot_ns: f64,
    /// Per one-way message of a GMW step, online.
    pub trip_ns: f64,
    /// Per online byte of a GMW step, up to [`Machine::BULK_BYTES`]: too little to keep all cores busy.
    pub gmw_byte_ns: f64,
    /// Per online byte of a GMW step beyond those.
    pub gmw_bulk_byte_ns: f64,
}

impl Machine {
    /// Online bytes of a GMW step that cost [`Machine::gmw_byte_ns`] each; a few chunks of work, one after the
    /// other at either party. What is more is cut into pieces, and both parties compute at once.
    pub const BULK_BYTES: f64 = 262_144.0;

    /// What every plan is made with, whatever the machine: a server does not know its clients' machines,
    /// and the servers of one pool are to offer one plan.
    pub(super) const REFERENCE: Self = reference::REFERENCE;

    /// The committed prices of an instruction set.
    pub fn of(isa: Isa) -> Self {
        match isa {
            Isa::Portable => prices::PORTABLE,
            Isa::Avx2 => prices::AVX2,
            // Sets to come are priced as the best of today until they have a table.
            _ => prices::AVX512,
        }
    }

    /// The committed prices of the instruction set that this process uses (`GAZELLE_ISA` caps it).
    pub fn here() -> Self {
        Self::of(level())
    }

    /// Measures this machine by short sessions over a link in memory: tiny and larger steps of both
    /// backends, two convolutions, and each OT extension's setup. Best of two or three, so that what
    /// else runs on the machine disturbs less.
    ///
    /// # Errors
    /// The sessions'.
    pub fn calibrate() -> Result<Self, GazelleError> {
        let (base_ot_ns, ot_setup_ns, ot_start_ns) = probe::ot_setups()?;
        let mut machine = Self { base_ot_ns, ot_setup_ns, ot_start_ns, ..Self::here() };
        machine.linear()?;
        machine.steps(StepProtocol::Garbled)?;
        machine.steps(StepProtocol::Gmw)?;
        Ok(machine)
    }

    /// What both parties compute online in a GMW step of so many messages and bytes.
    pub(crate) fn gmw_online_ns(&self, trips: f64, bytes: f64) -> f64 {
        let first = bytes.min(Self::BULK_BYTES);
        trips * self.trip_ns + first * self.gmw_byte_ns + (bytes - first) * self.gmw_bulk_byte_ns
    }

    /// By direction, S to C and C to S: OT setup beyond the base OTs, for the session's extension; and
    /// what the session begins with when OTs are wanted.
    pub(crate) fn ot_setup_ns(&self, ot: AnyOt) -> [(f64, f64); 2] {
        let [soft_spoken, ferret_setup] = self.ot_setup_ns;
        let [first, small, medium, large] = self.ot_start_ns;
        let one = |extension: AutoExtension| match extension {
            Either::First(_) => (soft_spoken, 0.0),
            Either::Second(ferret) => match ferret.parameters() {
                Parameters::FIRST => (ferret_setup, first),
                Parameters::SMALL => (ferret_setup, small),
                Parameters::MEDIUM => (ferret_setup, medium),
                _ => (ferret_setup, large),
            },
        };
        match ot.extension(BaseOt::default()) {
            Either::First(_) => [(soft_spoken, 0.0); 2],
            Either::Second(PerDirection { first, second }) => [one(first), one(second)],
        }
    }

    /// Two convolutions with as many polynomials, one with nine times the products, against a
    /// session with next to nothing in it.
    fn linear(&mut self) -> Result<(), GazelleError> {
        let empty = probe::run(&probe::relus(1, 1)?, StepProtocol::Garbled)?;
        let narrow = probe::run(&probe::convolution(1)?, StepProtocol::Garbled)?;
        let wide = probe::run(&probe::convolution(3)?, StepProtocol::Garbled)?;
        let solve = |narrow_ns: f64, wide_ns: f64, polynomials: f64| {
            let per_mac = (wide_ns - narrow_ns) / (wide.macs - narrow.macs);
            let per_mac = per_mac.max(0.005);
            let rest = (narrow_ns - per_mac * narrow.macs).max(0.1 * narrow_ns);
            (per_mac, rest / polynomials.max(1.0))
        };
        let more = |ns: f64, empty_ns: f64| (ns - empty_ns).max(0.1 * ns);
        (self.hint_mac_ns, self.hint_ns) = solve(
            more(narrow.setup_ns, empty.setup_ns),
            more(wide.setup_ns, empty.setup_ns),
            narrow.hints - empty.hints,
        );
        (self.offline_mac_ns, self.polynomial_ns) = solve(
            more(narrow.offline_ns, empty.offline_ns),
            more(wide.offline_ns, empty.offline_ns),
            narrow.polynomials - empty.polynomials,
        );
        // A session's OTs are set up while both parties do something else too: alone they took longer.
        let ots = self.base_ot_ns + self.ot_setup_ns(AnyOt::default())[0].0;
        let beside = (0.9 * empty.setup_ns / ots).min(1.0);
        self.base_ot_ns *= beside;
        self.ot_setup_ns = self.ot_setup_ns.map(|alone| alone * beside);
        self.handshake_ns = empty.setup_ns - beside * ots;
        self.online_mac_ns = (wide.linear_online_ns / wide.macs).max(0.005);
        Ok(())
    }

    /// Many tiny steps, and one large one; by OT, one between them too.
    fn steps(&mut self, protocol: StepProtocol) -> Result<(), GazelleError> {
        let large = match protocol {
            StepProtocol::Garbled => probe::relus(1, 32)?,
            StepProtocol::Gmw | StepProtocol::GmwFewTrips => probe::relus(1, 96)?,
        };
        let tiny = probe::run(&probe::relus(8, 4)?, protocol)?;
        let large = probe::run(&large, protocol)?;
        let linear = |run: &probe::Measured| {
            run.polynomials * self.polynomial_ns + run.macs * self.offline_mac_ns
        };
        let offline =
            |run: &probe::Measured| (run.offline_ns - linear(run)).max(0.2 * run.offline_ns);
        let online = |run: &probe::Measured| run.online_ns - run.linear_online_ns;
        // t = steps * fixed + work * each.
        let solve = |tiny_ns: f64, large_ns: f64, fixed: (f64, f64), work: (f64, f64)| {
            let each =
                (large_ns - tiny_ns * fixed.1 / fixed.0) / (work.1 - work.0 * fixed.1 / fixed.0);
            let each = each.max(0.2 * large_ns / work.1);
            let fixed_ns = (tiny_ns - each * work.0).max(0.1 * tiny_ns) / fixed.0;
            (fixed_ns, each)
        };
        let count = (tiny.steps, large.steps);
        match protocol {
            StepProtocol::Garbled => {
                let gates = (tiny.and_gates, large.and_gates);
                (self.garbled_step_ns, self.and_offline_ns) =
                    solve(offline(&tiny), offline(&large), count, gates);
                let (online_step, each) = solve(online(&tiny), online(&large), count, gates);
                self.garbled_step_ns = f64::midpoint(self.garbled_step_ns, online_step);
                self.and_online_ns = each;
            }
            StepProtocol::Gmw | StepProtocol::GmwFewTrips => {
                (self.gmw_step_ns, self.rot_ns) =
                    solve(offline(&tiny), offline(&large), count, (tiny.rots, large.rots));
                let middle = probe::run(&probe::relus(1, 32)?, protocol)?;
                let (trips, bytes) =
                    ((tiny.trips, middle.trips), (tiny.online_bytes, middle.online_bytes));
                (self.trip_ns, self.gmw_byte_ns) =
                    solve(online(&tiny), online(&middle), trips, bytes);
                let first = large.trips * self.trip_ns + Self::BULK_BYTES * self.gmw_byte_ns;
                let bulk = (online(&large) - first) / (large.online_bytes - Self::BULK_BYTES);
                self.gmw_bulk_byte_ns = bulk.clamp(0.1 * self.gmw_byte_ns, self.gmw_byte_ns);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_calibration_gives_positive_prices() {
        let machine = Machine::calibrate().unwrap();
        let value = serde_json::to_value(machine).unwrap();
        let prices = value.as_object().unwrap().values().flat_map(|price| match price.as_array() {
            Some(prices) => prices.clone(),
            None => vec![price.clone()],
        });
        for price in prices {
            let price = price.as_f64().unwrap();
            assert!(price.is_finite() && price > 0.0, "{machine:?}");
        }
    }
}
