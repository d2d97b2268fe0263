//! Benchmarks of `gazelle-linear`.

use crate::Outcome;
use crate::measure::Bench;

/// Runs the suite.
pub(crate) fn run(_bench: &mut Bench) -> Outcome {
    Ok(())
}
