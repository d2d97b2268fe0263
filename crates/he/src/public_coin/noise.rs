//! The error model of docs/protocol.md, section 3.6.

use gazelle_ring::weights::fft_deviation;
use serde::{Deserialize, Serialize};

use crate::public_coin::parameters::{MIN_NOISE_AND_TRUNCATED_BITS, Parameters, SIGMAS_EXACT};

/// Deviation of request errors (e, `e_pk`).
pub(crate) const SIGMA_ERROR: f64 = 3.2;
/// Deviation of hint secrets and hint errors (t, e'') under F ([`Parameters::is_flooded`]).
pub const SIGMA_HINT: f64 = 6.4;
/// Their deviation where guard bits keep the error from the client (docs/protocol.md, 3.8).
pub(crate) const SIGMA_HINT_EXACT: f64 = 3.2;
/// log2 of the deviation of the server's fresh noise F.
pub const LOG2_SIGMA_FRESH: u32 = 20;

/// Inferences over which the misses of [`Parameters::holds_exactly`] add up to less than 2^-46.
const INFERENCES_EXACT: u64 = 1 << 20;

/// What the error model needs to know about a group's weights; public, part of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeightNorm {
    /// Largest `sum_i ||w_{m,i}||_2^2` over the responses m, over **all** coefficients of the weight
    /// polynomials (the noise polynomials are full).
    pub squared: f64,
    /// Whether some products are FFT products, which round.
    pub fft: bool,
}

impl WeightNorm {
    /// Direct (exact) products of weights.
    pub fn direct(squared: f64) -> Self {
        Self { squared, fft: false }
    }

    /// FFT products of weights.
    pub fn fft(squared: f64) -> Self {
        Self { squared, fft: true }
    }
}

impl From<f64> for WeightNorm {
    /// A squared norm with unknown products: FFT products are assumed, the larger error.
    fn from(squared: f64) -> Self {
        Self::fft(squared)
    }
}

/// Standard deviation of the noise in one output coefficient of `c0 + c1 s`, in units of 1, the
/// message being at `2^k`:
///
/// ```text
/// sigma^2 = ||w||^2 (3.2^2 + [h<k] (2^k / Q)^2/12) + N (6.4^2 3.2^2 + 6.4^2 2/3) + 2^40
///         + (2^{2d}/12) (2N/3) + sigma_fft^2 (1 + 2N/3) + sigma_own^2
/// ```
///
/// with `Q = floor(2^h)` levels kept; with guard bits 3.2 for 6.4 and nothing for F's 2^40.
/// `sigma_fft` counts once for `w b` and once, multiplied by s, for `w a` in the hint; `sigma_own` is that
/// of the client's product of a hint with s, an FFT product in any plan.
pub fn deviation(parameters: &Parameters, weights: impl Into<WeightNorm>) -> f64 {
    let weights = weights.into();
    let n = parameters.degree() as f64;
    // ||s||^2 of a ternary secret.
    let secret = 2.0 * n / 3.0;
    let four_to = |bits: u32| f64::from(2 * bits).exp2();
    let whole = parameters.kept_quarters() == 4 * parameters.noise_bits();
    let level = f64::from(parameters.noise_bits()).exp2() / parameters.levels() as f64;
    let rounding = if whole { 0.0 } else { level.powi(2) / 12.0 };
    let request = weights.squared * (SIGMA_ERROR.powi(2) + rounding);
    let (sigma_hint, fresh) = if parameters.is_flooded() {
        (SIGMA_HINT, four_to(LOG2_SIGMA_FRESH))
    } else {
        (SIGMA_HINT_EXACT, 0.0)
    };
    let keys = n * sigma_hint.powi(2) * (SIGMA_ERROR.powi(2) + 2.0 / 3.0);
    let dropped = parameters.dropped_bits();
    let hint = if dropped > 0 { four_to(dropped) / 12.0 * secret } else { 0.0 };
    let fft = if weights.fft {
        fft_deviation(parameters.modulus_bits(), weights.squared).powi(2) * (1.0 + secret)
    } else {
        0.0
    };
    let own = fft_deviation(parameters.modulus_bits(), secret).powi(2);
    (request + keys + fresh + hint + fft + own).sqrt()
}

impl Parameters {
    /// Whether `6 sigma_out <= 2^{k+t-2}`, `k + t >= 25`.
    pub fn holds(&self, truncate_bits: u32, weights: impl Into<WeightNorm>) -> bool {
        let bits = self.noise_bits() + truncate_bits;
        bits >= MIN_NOISE_AND_TRUNCATED_BITS
            && 6.0 * deviation(self, weights) <= (f64::from(bits) - 2.0).exp2()
    }

    /// Whether the error of a share with guard bits stays within `limit`:
    /// `13 sigma_out <= limit 2^{k-g}`, so that `|E| <= limit` (docs/protocol.md, 3.8). At 13
    /// deviations 10^7 outputs of each of 2^20 inferences miss it with a probability below 2^-46,
    /// all together. Never without guard bits.
    pub fn holds_exactly(&self, limit: u64, weights: impl Into<WeightNorm>) -> bool {
        let room = f64::from(self.share_shift()).exp2();
        !self.is_flooded() && SIGMAS_EXACT * deviation(self, weights) <= limit as f64 * room
    }
}

/// Inferences that one setup's hints may serve (docs/protocol.md, 3.9): the largest power of two J
/// with `2^20 >= 6.4 sqrt(1.1 J N 10.9)`, 2^20 at N = 2048, 2^19 at 4096; with guard bits those that
/// the bound of [`Parameters::holds_exactly`] is made for, 2^20.
pub fn inferences_per_setup(parameters: &Parameters) -> u64 {
    if !parameters.is_flooded() {
        return INFERENCES_EXACT;
    }
    let per_inference = SIGMA_HINT.powi(2) * 1.1 * parameters.degree() as f64 * 10.9;
    let most = f64::from(2 * LOG2_SIGMA_FRESH).exp2() / per_inference;
    1 << most.log2().floor() as u32
}

/// Bound on `|u + v - 2^g W r|` in `Z_{2^{l+g}}` at `sigmas` deviations:
/// `ceil(sigmas * sigma / 2^{k-g})`. (With floor shifts the error is `ceil((noise - low) / 2^{k-g})`
/// for some low in `[0, 2^{k-g})`.)
pub fn error_bound(parameters: &Parameters, weights: impl Into<WeightNorm>, sigmas: f64) -> f64 {
    let scale = f64::from(parameters.share_shift()).exp2();
    (sigmas * deviation(parameters, weights) / scale).ceil()
}

/// Variance of `u + v - 2^g W r`, in units of 1 of `Z_{2^{l+g}}`: the noise's, plus the rounding's,
/// `E[f (1 - f)]` for the fraction f of the noise, at most 1/4 (only visible where few bits are
/// truncated).
pub fn error_variance(parameters: &Parameters, weights: impl Into<WeightNorm>) -> f64 {
    let scale = f64::from(parameters.share_shift()).exp2();
    (deviation(parameters, weights) / scale).powi(2) + 0.25
}
