//! How many polynomials a plan makes the parties compute with: for predictions of time.

use gazelle_share::LinearGroup;

use crate::error::LinearError;
use crate::plan::LinearPlan;
use crate::public_coin::PublicCoin;

/// Polynomials of one group in one inference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// N.
    pub degree: usize,
    /// Polynomials that the client sends.
    pub requests: usize,
    /// Polynomials of the result, at both parties; as many hints.
    pub responses: usize,
}

impl PublicCoin {
    /// The counts of every group.
    ///
    /// # Errors
    /// [`LinearError::Plan`] if the plan does not fit the groups.
    pub fn counts(
        &self,
        groups: &[LinearGroup],
        plan: &LinearPlan,
    ) -> Result<Vec<Counts>, LinearError> {
        let layouts = plan.check(self.scheme, groups)?;
        let counts = layouts.iter().map(|layout| Counts {
            degree: layout.degree,
            requests: layout.requests,
            responses: layout.responses,
        });
        Ok(counts.collect())
    }
}
