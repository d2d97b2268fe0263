//! The tweaks of one garbling, used once.

use gazelle_block::TweakCounter;
use gazelle_block::hash::POINTS_LOG2;
use gazelle_block::tweak::purpose;

use crate::circuit::Circuit;
use crate::error::GarbleError;

/// Lanes that share one hash key per AND gate. With at most 4 points and 6 hashes per lane and
/// gate, a key serves at most 2^12 of them.
pub const LANES_PER_KEY: usize = 512;

/// Hash batches reserved for garbling one circuit over some lanes: one batch of 2^12 points per
/// AND gate and block of [`LANES_PER_KEY`] lanes.
///
/// Garbling consumes it: not `Clone`, and two reservations of one counter never overlap, so no
/// tweak repeats under a Delta. Evaluation only borrows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Tweaks {
    first_batch: u64,
    batches: u64,
}

impl Tweaks {
    /// Reserves what garbling `circuit` over `lanes` needs; both parties do so in the same order.
    ///
    /// # Errors
    /// [`GarbleError::Block`] once the counter is exhausted.
    pub fn reserve(
        counter: &mut TweakCounter,
        circuit: &Circuit,
        lanes: usize,
    ) -> Result<Self, GarbleError> {
        let batches = Self::needed(circuit, lanes);
        // Batches start at multiples of 2^12 points: what is left of the last one is skipped.
        let skipped = counter.used().wrapping_neg() & ((1 << POINTS_LOG2) - 1);
        let points = batches.saturating_mul(1 << POINTS_LOG2).saturating_add(skipped);
        let range = counter.reserve(purpose::GARBLING, points)?;
        Ok(Self { first_batch: (range.start + skipped) >> POINTS_LOG2, batches })
    }

    /// The tweaks of stored material, for evaluating it: [`first_batch`](Self::first_batch) as it
    /// was, and the circuit and lanes of then. Never for garbling anew.
    pub fn restore(first_batch: u64, circuit: &Circuit, lanes: usize) -> Self {
        Self { first_batch, batches: Self::needed(circuit, lanes) }
    }

    /// The first batch: a range is stored as this number.
    pub fn first_batch(&self) -> u64 {
        self.first_batch
    }

    /// Fails unless the range was made for this circuit and these lanes.
    pub(crate) fn check(&self, circuit: &Circuit, lanes: usize) -> Result<(), GarbleError> {
        GarbleError::check(
            "hash batches reserved",
            Self::needed(circuit, lanes) as usize,
            self.batches as usize,
        )
    }

    fn needed(circuit: &Circuit, lanes: usize) -> u64 {
        circuit.and_count() as u64 * lanes.div_ceil(LANES_PER_KEY) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;
    use std::collections::HashSet;

    fn two_ands() -> Circuit {
        let mut b = Builder::new();
        let x = b.inputs(3);
        let first = b.and(x[0], x[1]);
        let second = b.and(first, x[2]);
        b.finish(&[second])
    }

    #[test]
    fn properties_no_batch_is_handed_out_twice_whatever_comes_between() {
        let circuit = two_ands();
        let mut counter = TweakCounter::new();
        let mut seen = HashSet::new();
        for (lanes, ots) in [(1, 0), (512, 1), (513, 4095), (5000, 4096), (1, 77), (0, 3)] {
            let tweaks = Tweaks::reserve(&mut counter, &circuit, lanes).unwrap();
            assert_eq!(tweaks.batches, 2 * lanes.div_ceil(512) as u64);
            for batch in tweaks.first_batch()..tweaks.first_batch() + tweaks.batches {
                assert_eq!(batch >> 44, u64::from(purpose::GARBLING));
                assert!(seen.insert(batch));
            }
            let hashed = counter.reserve(purpose::RANDOM_OT, ots).unwrap();
            let low = |tweak: u64| tweak & ((1 << 56) - 1);
            for batch in &seen {
                let points = low(batch << 12)..low(batch << 12) + 4096;
                assert!(points.end <= low(hashed.start) || ots == 0);
            }
        }
    }

    #[test]
    fn adversarial_an_exhausted_counter_is_an_error() {
        let mut counter = TweakCounter::starting_at((1 << 56) - 4096);
        assert!(Tweaks::reserve(&mut counter, &two_ands(), 1).is_err());
    }
}
