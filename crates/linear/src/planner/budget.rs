//! k, h and d of a group: the fewest bits within the error bound.
//!
//! `sigma^2 = A(k, h) ||w||^2 + B + C 4^d`: for every k and h the largest d follows directly
//! (docs/protocol.md, 3.6, as [`gazelle_he::public_coin::noise`] computes it).

use gazelle_he::public_coin::Parameters;
use gazelle_he::public_coin::noise::{self, WeightNorm};
use gazelle_he::public_coin::parameters::{
    MIN_NOISE_AND_TRUNCATED_BITS, MIN_NOISE_BITS, SIGMAS_EXACT, max_modulus_bits,
};
use gazelle_share::LinearGroup;

/// Noise space and truncated bits together beyond which F's 2^20 is invisible beside the budget
/// `2^{k+t-2} / 6`: a larger k would only make `pb` longer.
const ENOUGH_NOISE_AND_TRUNCATED_BITS: u32 = 30;

/// With guard bits and no F: so many bits above the least k the keys' noise is invisible, and that of the
/// requests, `3.2 ||w||`, beside the budget for norms up to 2^18.
const ENOUGH_ABOVE_LEAST: u32 = 12;

/// The k that are worth trying for a degree, ring and truncation, ascending; none if there is none.
pub(super) fn noise_bits(
    degree: usize,
    group: &LinearGroup,
    truncate_bits: u32,
) -> std::ops::RangeInclusive<u32> {
    #[expect(clippy::reversed_empty_ranges, reason = "the empty range")]
    let none = 1..=0;
    let ring_bits = group.ring_bits;
    let Some(most) = max_modulus_bits(degree).and_then(|most| most.checked_sub(ring_bits)) else {
        return none;
    };
    if group.guard.bits > 0 {
        // The smallest k at which the keys' noise alone leaves room.
        let limit = group.guard.error_limit();
        let fits = |k: &u32| {
            parameters(degree, ring_bits, *k, 4 * k, 0)
                .and_then(|p| p.with_guard_bits(group.guard.bits).ok())
                .is_some_and(|p| p.holds_exactly(limit, WeightNorm::direct(0.0)))
        };
        let Some(least) = (MIN_NOISE_BITS..=most).find(fits) else { return none };
        return least..=(least + ENOUGH_ABOVE_LEAST).min(most);
    }
    // At N = 2048 the last two bits under the cap are for rings that need them.
    let usual = if degree == 2048 { most.saturating_sub(2) } else { most };
    let least = MIN_NOISE_BITS.max(MIN_NOISE_AND_TRUNCATED_BITS.saturating_sub(truncate_bits));
    if least > most {
        return none;
    }
    let enough = least.max(ENOUGH_NOISE_AND_TRUNCATED_BITS.saturating_sub(truncate_bits));
    let tight = usual + truncate_bits < MIN_NOISE_AND_TRUNCATED_BITS + 2;
    let largest = enough.min(if tight { most } else { usual.max(least) });
    least..=largest
}

/// What a choice of h and d costs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighing {
    /// Request polynomials.
    pub(super) requests: f64,
    /// Response polynomials over inferences per setup.
    pub(super) responses: f64,
}

/// The constants of the error bound at one degree and k.
pub(super) struct Budget {
    degree: usize,
    ring_bits: u32,
    noise_bits: u32,
    revealed: bool,
    guard_bits: u32,
    /// By operator, the largest variance: `(2^{k+t-2} / 6)^2`, or `(limit 2^{k-g} / 13)^2` for exact
    /// shares.
    rooms: Vec<f64>,
    /// By 4h - 4: deviation squared at d = 0 is `slope ||w||^2 + base`; nothing where there is no
    /// such h.
    slopes: Vec<Option<f64>>,
    base: f64,
    /// Deviation squared of the hints' rounding over `4^d`.
    hint: f64,
}

impl Budget {
    pub(super) fn new(
        degree: usize,
        noise_bits: u32,
        group: &LinearGroup,
        fourier: bool,
    ) -> Option<Self> {
        let variance = |quarters, dropped, squared| {
            let p = parameters(degree, group.ring_bits, noise_bits, quarters, dropped)?;
            let p = p.with_guard_bits(group.guard.bits).ok()?;
            Some(noise::deviation(&p, WeightNorm { squared, fft: fourier }).powi(2))
        };
        let whole = 4 * noise_bits;
        let base = variance(whole, 0, 0.0)?;
        // Large next to the rest, so that nothing is lost in the difference.
        let unit = 40f64.exp2();
        let slope = |quarters| Some((variance(quarters, 0, unit)? - base) / unit);
        let slopes = (4..=whole).map(slope).collect();
        let dropped = noise_bits + group.ring_bits - 1;
        let hint = (variance(whole, dropped, 0.0)? - base) / f64::from(2 * dropped).exp2();
        let guard_bits = group.guard.bits;
        let room = |&t: &u32| {
            let deviation = if guard_bits > 0 {
                let limit = group.guard.error_limit() as f64;
                limit * f64::from(noise_bits - guard_bits).exp2() / SIGMAS_EXACT
            } else {
                (f64::from(noise_bits + t) - 2.0).exp2() / 6.0
            };
            deviation.powi(2)
        };
        let rooms = group.truncate_bits.iter().map(room).collect();
        let (ring_bits, revealed) = (group.ring_bits, group.revealed);
        Some(Self {
            degree,
            ring_bits,
            noise_bits,
            revealed,
            guard_bits,
            rooms,
            slopes,
            base,
            hint,
        })
    }

    /// 4h where the search begins.
    fn first(&self) -> u32 {
        if self.revealed { 4 * self.noise_bits } else { 4 }
    }

    /// Bits per coefficient, weighed, that no choice goes below.
    pub(super) fn least(&self, weighing: Weighing) -> f64 {
        weighing.requests * f64::from(self.first()) / 4.0 + weighing.responses
    }

    /// The cheapest h and d for squared norms by operator: `(bits, 4h, d)`, bits per coefficient,
    /// weighed. Nothing if the bound cannot be met, or where it is clear at once that there will be
    /// `too_many`.
    pub(super) fn choose(
        &self,
        norms: &(impl Iterator<Item = (usize, f64)> + Clone),
        weighing: Weighing,
        too_many: impl Fn(f64) -> bool,
    ) -> Option<(f64, u32, u32)> {
        let modulus_bits = self.ring_bits + self.noise_bits;
        let whole = 4 * self.noise_bits;
        let bits = |quarters: u32, dropped: u32| {
            weighing.requests * f64::from(quarters) / 4.0
                + weighing.responses * f64::from(modulus_bits - dropped)
        };
        // A hair less than fits, so that the check in full agrees.
        let dropped = |left: f64| {
            let dropped = (0.5 * (left / self.hint).log2() - 1e-9).floor();
            dropped.clamp(0.0, f64::from(modulus_bits - 1)) as u32
        };
        let room = self.rooms.iter().copied().fold(0.0, f64::max);
        let most_dropped = dropped((room - self.base).max(0.0));
        let mut best: Option<(f64, u32, u32)> = None;
        let mut tried = 0;
        for quarters in self.first()..=whole {
            let Some(Some(slope)) = self.slopes.get(quarters as usize - 4) else { continue };
            let mut left = f64::INFINITY;
            for (op, norm) in norms.clone() {
                left = left.min(self.rooms.get(op)? - self.base - slope * norm);
            }
            if left < 0.0 {
                continue;
            }
            // Nothing that comes keeps less or drops more.
            if tried == 0 && too_many(bits(quarters, most_dropped)) {
                return None;
            }
            let dropped = dropped(left);
            let bits_now = bits(quarters, dropped);
            if best.is_none_or(|(cheapest, ..)| bits_now < cheapest) {
                best = Some((bits_now, quarters, dropped));
            }
            // Nothing that comes drops more.
            if best.is_some_and(|(cheapest, ..)| bits(quarters + 1, most_dropped) >= cheapest) {
                break;
            }
            // More kept bits only leave the hints the last of the room: one bit, rarely two.
            tried += 1;
            if tried == 12 {
                break;
            }
        }
        best
    }

    /// The parameters of a choice, checked in full.
    pub(super) fn parameters(
        &self,
        quarters: u32,
        dropped: u32,
        holds: impl Fn(&Parameters) -> bool,
    ) -> Option<Parameters> {
        // The closed form may be off by rounding in its last place; the full check decides.
        (0..=dropped).rev().find_map(|dropped| {
            parameters(self.degree, self.ring_bits, self.noise_bits, quarters, dropped)?
                .with_guard_bits(self.guard_bits)
                .ok()
                .filter(&holds)
        })
    }
}

fn parameters(degree: usize, l: u32, k: u32, quarters: u32, d: u32) -> Option<Parameters> {
    Parameters::new(degree, l, k, k, d).ok()?.with_kept_quarters(quarters).ok()
}

#[cfg(test)]
mod tests {
    use gazelle_share::{Guard, LinearOp, MaskKind};

    use super::*;

    fn group(ring_bits: u32, truncate_bits: u32, guard: Guard) -> LinearGroup {
        LinearGroup {
            name: String::new(),
            ring_bits,
            ops: vec![LinearOp::FullyConnected { inputs: 1, outputs: 1 }],
            truncate_bits: vec![truncate_bits],
            mask: MaskKind::Fresh,
            revealed: false,
            guard,
        }
    }

    #[test]
    fn exact_shares_start_where_the_keys_noise_fits() {
        let range = |n, l, bits, addends| {
            let guarded = noise_bits(n, &group(l, 10, Guard { bits, addends }), 10);
            (guarded.clone().next(), guarded.last())
        };
        assert_eq!(range(2048, 20, 2, 1), (Some(15), Some(27)));
        assert_eq!(range(2048, 33, 2, 1), (Some(15), Some(17)));
        assert_eq!(range(2048, 35, 2, 1), (Some(15), Some(15)));
        assert_eq!(range(2048, 36, 2, 1), (None, None));
        assert_eq!(range(2048, 20, 3, 2), (Some(16), Some(28)));
        assert_eq!(range(4096, 30, 3, 2), (Some(17), Some(29)));
        // No room for any error: one guard bit, or two for a sum of two outputs.
        assert_eq!(range(4096, 20, 1, 1), (None, None));
        assert_eq!(range(4096, 20, 2, 2), (None, None));
    }

    #[test]
    fn the_noise_space_respects_the_security_caps() {
        let noise_bits = |n, l, t| noise_bits(n, &group(l, t, Guard::NONE), t);
        let largest = |n, l, t| noise_bits(n, l, t).last();
        assert_eq!(largest(2048, 24, 10), Some(20));
        assert_eq!(largest(2048, 34, 14), Some(14));
        assert_eq!(largest(2048, 37, 13), Some(13));
        assert_eq!(largest(2048, 37, 12), Some(13));
        assert_eq!(largest(2048, 37, 11), None);
        assert_eq!(largest(4096, 37, 12), Some(18));
        assert_eq!(largest(4096, 48, 12), Some(14));
        assert_eq!(noise_bits(4096, 37, 12), 13..=18);
        assert_eq!(noise_bits(2048, 24, 10), 15..=20);
    }

    /// Against a search through all h and d.
    #[test]
    fn the_choice_is_the_cheapest_that_holds() {
        for (degree, l, k, t) in [(2048, 37, 13, 12), (4096, 37, 18, 12), (2048, 24, 20, 10)] {
            for (norm, requests, responses) in
                [(25.3, 100.0, 2.0), (24.9, 3.0, 3.0), (21.0, 10.0, 400.0), (30.0, 1.0, 1.0)]
            {
                let squared = f64::exp2(norm);
                let group = group(l, t, Guard::NONE);
                let budget = Budget::new(degree, k, &group, true).unwrap();
                let weighing = Weighing { requests, responses };
                let chosen = budget.choose(&[(0, squared)].into_iter(), weighing, |_| false);
                let all = (4..=4 * k).flat_map(|h| (0..l + k).map(move |d| (h, d)));
                let fits = |&(h, d): &(u32, u32)| {
                    parameters(degree, l, k, h, d)
                        .is_some_and(|p| p.holds(t, WeightNorm::fft(squared)))
                };
                let cost = |(h, d): (u32, u32)| {
                    requests * f64::from(h) / 4.0 + responses * f64::from(l + k - d)
                };
                let cheapest = all.filter(fits).map(cost).fold(f64::INFINITY, f64::min);
                let (bits, h, d) = chosen.unwrap();
                assert!(fits(&(h, d)));
                assert_eq!((bits, cost((h, d))), (cheapest, cheapest));
            }
        }
    }
}
