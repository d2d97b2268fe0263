//! Rounding that a file prescribes between its layers (`QuantizeLinear`) and that the private network
//! leaves out, its own being finer.

use crate::error::ModelError;

/// How far it moves the logits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LeftOut {
    /// Of a logit at most.
    pub(super) distance: f64,
    /// Relative to an input's largest logit.
    pub(super) relative: f64,
}

/// What the file's rounding and the private network's may be off together, relative to the logits.
pub(super) const TOGETHER: f64 = 0.019;
/// What is kept of it for the private network.
const LEAST_OWN: f64 = 0.004;

impl LeftOut {
    /// - `written`: logits of the file as it stands, by input;
    /// - `unrounded`: the same without rounding;
    /// - `scale`: what errors of small logits are measured by.
    ///
    /// # Errors
    /// [`ModelError::Quantise`] if the file rounds so coarsely that its answers would differ.
    pub(super) fn measure(
        written: &[Vec<f32>],
        unrounded: &[Vec<f32>],
        scale: f64,
    ) -> Result<Self, ModelError> {
        let mut measured = Self::default();
        for (written, unrounded) in written.iter().zip(unrounded) {
            let apart = written.iter().zip(unrounded).map(|(a, b)| f64::from((a - b).abs()));
            let apart = apart.fold(0.0, f64::max);
            let largest = written.iter().fold(scale, |m, x| m.max(f64::from(x.abs())));
            measured.distance = measured.distance.max(apart);
            measured.relative = measured.relative.max(apart / largest);
        }
        if measured.relative > TOGETHER - LEAST_OWN {
            return Err(ModelError::Quantise(format!(
                "the file's QuantizeLinear nodes round so coarsely that its output moves by {:.1} %, \
                 and the private network does not round there: export the network before its \
                 quantisation, or quantise it with finer scales",
                measured.relative * 100.0
            )));
        }
        Ok(measured)
    }

    /// What the private network may be off, of so much.
    pub(super) fn rest(self, allowed: f64) -> f64 {
        allowed.min(TOGETHER - self.relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_coarse_rounding_is_refused_and_fine_rounding_takes_its_share() {
        let unrounded = [vec![1.0, -2.0], vec![0.25, 4.0]];
        let written = [vec![1.0, -2.02], vec![0.25, 4.0]];
        let fine = LeftOut::measure(&written, &unrounded, 1.0).unwrap();
        assert!((fine.distance - 0.02).abs() < 1e-6 && (fine.relative - 0.02 / 2.02).abs() < 1e-6);
        assert!(fine.rest(0.012) < 0.0092 && LeftOut::default().rest(0.012) >= 0.012);
        let coarse = [vec![1.0, -2.1], vec![0.25, 4.0]];
        let error = LeftOut::measure(&coarse, &unrounded, 1.0).unwrap_err().to_string();
        assert!(error.contains("4.8 %") && error.contains("QuantizeLinear"), "{error}");
    }
}
