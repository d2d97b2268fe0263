//! Coins that do not repeat where a process was cloned, or restored from a snapshot.

use gazelle_prg::Prg;
use rand_core::CryptoRng;

use crate::error::GazelleError;

/// The caller's generator with entropy of the operating system mixed in, for one setup or inference.
///
/// # Errors
/// [`GazelleError::Entropy`] if the system gives none.
pub(crate) fn fresh(rng: &mut (dyn CryptoRng + Send)) -> Result<Prg, GazelleError> {
    #[cfg(any(test, feature = "testing"))]
    if repeating::is_on() {
        return Ok(Prg::new(&gazelle_prg::Seed::random(rng), 0));
    }
    Ok(gazelle_prg::refreshed(rng)?)
}

/// For the bodies of fuzz targets, which replay what was recorded: what it was an answer to comes again.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod repeating {
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn is_on() -> bool {
        ON.get()
    }

    /// Runs `body` as if the operating system's entropy were always the same, on this thread.
    pub(crate) fn run<T>(body: impl FnOnce() -> T) -> T {
        /// Ends it with a panic as well.
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ON.set(false);
            }
        }
        ON.set(true);
        let _off = Off;
        body()
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    fn draw() -> u64 {
        fresh(&mut gazelle_share::testing::test_rng(1)).unwrap().next_u64()
    }

    #[test]
    fn properties_one_state_gives_other_coins_each_time_but_for_replays() {
        assert_ne!(draw(), draw());
        assert_eq!(repeating::run(draw), repeating::run(draw));
        assert_ne!(draw(), draw());
    }
}
