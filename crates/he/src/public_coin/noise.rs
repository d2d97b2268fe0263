//! The error model of docs/protocol.md, section 3.6.

use crate::public_coin::parameters::Parameters;

/// Deviation of request errors (e, `e_pk`).
pub const SIGMA_ERROR: f64 = 3.2;
/// Deviation of hint secrets and hint errors (t, e'').
pub const SIGMA_HINT: f64 = 6.4;
/// log2 of the deviation of the server's fresh noise F.
pub const LOG2_SIGMA_FRESH: u32 = 20;

/// Standard deviation of the noise in one output coefficient of `c0 + c1 s`, in units of 1, the
/// message being at `2^k`:
/// `sigma^2 = ||w||^2 (3.2^2 + [h<k] 2^{2(k-h)}/12) + N (6.4^2 3.2^2 + 6.4^2 2/3) + 2^40
///  + (2^{2d}/12) (2N/3) + sigma_fft^2`.
///
/// - `weight_norm_squared`: `sum_i ||w_{m,i}||_2^2` over **all** coefficients of the weight
///   polynomials summed into response m; the maximum over m bounds the layer.
pub fn deviation(parameters: &Parameters, weight_norm_squared: f64) -> f64 {
    let n = parameters.degree() as f64;
    let two = |bits: u32| f64::from(2 * bits).exp2();
    let missing = parameters.noise_bits() - parameters.kept_bits();
    let rounding = if missing > 0 { two(missing) / 12.0 } else { 0.0 };
    let request = weight_norm_squared * (SIGMA_ERROR.powi(2) + rounding);
    let keys = n * SIGMA_HINT.powi(2) * (SIGMA_ERROR.powi(2) + 2.0 / 3.0);
    let dropped = parameters.dropped_bits();
    let hint = if dropped > 0 { two(dropped) / 12.0 * (2.0 * n / 3.0) } else { 0.0 };
    let fft = gazelle_ring::weights::fft_deviation(parameters.modulus_bits(), weight_norm_squared);
    (request + keys + two(LOG2_SIGMA_FRESH) + hint + fft.powi(2)).sqrt()
}

/// Bound on `|u + v - W r|` in `Z_{2^l}` at `sigmas` deviations: `ceil(sigmas * sigma / 2^k)`.
/// (With floor shifts `eps = ceil((noise - g) / 2^k)` for some `g` in `[0, 2^k)`.)
pub fn error_bound(parameters: &Parameters, weight_norm_squared: f64, sigmas: f64) -> f64 {
    let scale = f64::from(parameters.noise_bits()).exp2();
    (sigmas * deviation(parameters, weight_norm_squared) / scale).ceil()
}

/// Variance of `u + v - W r`, in units of 1 of `Z_{2^l}`: the noise's, plus the rounding's (at
/// most 1/4, which is only visible where few bits are truncated).
pub fn error_variance(parameters: &Parameters, weight_norm_squared: f64) -> f64 {
    let scale = f64::from(parameters.noise_bits()).exp2();
    (deviation(parameters, weight_norm_squared) / scale).powi(2) + 0.25
}
