//! One tweak counter per Delta.

use std::ops::Range;

use crate::error::BlockError;

/// What a range of tweaks is for: the top byte of every tweak.
pub mod purpose {
    /// Hashing correlated OTs into random ones.
    pub const RANDOM_OT: u8 = 0x01;
    /// Gates of garbled circuits.
    pub const GARBLING: u8 = 0x02;
    /// Silent OT extension's own seeds.
    pub const EXTENSION: u8 = 0x04;
}

/// Hands out ranges of 64-bit tweaks that never repeat under one Delta.
///
/// The top byte of a tweak is its purpose, the other 56 bits count over all purposes together.
/// Both parties keep one and reserve in the same order. Not `Clone`.
#[derive(Debug, Default)]
pub struct TweakCounter {
    next: u64,
}

/// Tweaks without the purpose byte.
const LIMIT: u64 = 1 << 56;

impl TweakCounter {
    /// A counter for a fresh Delta.
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// A counter for a stored Delta of which `used` tweaks are spent.
    pub const fn starting_at(used: u64) -> Self {
        Self { next: used }
    }

    /// How many tweaks are spent.
    pub const fn used(&self) -> u64 {
        self.next
    }

    /// The next `count` tweaks: `purpose * 2^56 + i`.
    ///
    /// # Errors
    /// [`BlockError::TweaksExhausted`] once 2^56 are used.
    pub fn reserve(&mut self, purpose: u8, count: u64) -> Result<Range<u64>, BlockError> {
        let start = self.next;
        let end = start
            .checked_add(count)
            .filter(|end| *end <= LIMIT)
            .ok_or(BlockError::TweaksExhausted)?;
        self.next = end;
        let top = u64::from(purpose) << 56;
        // A full range under purpose 255 would wrap: one tweak is given up for that.
        Ok(top + start..(top + start).saturating_add(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_ranges_follow_each_other_under_their_purposes() {
        let mut counter = TweakCounter::new();
        assert_eq!(counter.reserve(1, 10).unwrap(), (1 << 56)..(1 << 56) + 10);
        assert_eq!(counter.reserve(2, 5).unwrap(), (2 << 56) + 10..(2 << 56) + 15);
        assert_eq!(counter.reserve(1, 0).unwrap(), (1 << 56) + 15..(1 << 56) + 15);
        assert_eq!(counter.used(), 15);
        assert_eq!(TweakCounter::starting_at(15).reserve(1, 1).unwrap().start, (1 << 56) + 15);
    }

    #[test]
    fn properties_an_exhausted_counter_refuses_and_stays_where_it_is() {
        let mut counter = TweakCounter::starting_at(LIMIT - 3);
        assert_eq!(counter.reserve(1, 4), Err(BlockError::TweaksExhausted));
        assert_eq!(counter.reserve(1, u64::MAX), Err(BlockError::TweaksExhausted));
        assert!(counter.reserve(1, 3).is_ok());
        assert_eq!(counter.reserve(1, 1), Err(BlockError::TweaksExhausted));
    }
}
