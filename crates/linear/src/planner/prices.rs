//! What polynomials, products and bits cost.

use serde::{Deserialize, Serialize};

/// What things cost; plain numbers, for one core, at N = 2048 where they are per polynomial. The
/// defaults were measured on a Zen 4 core at 3.7 GHz (`benches/layers.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Bits that are worth one nanosecond of one core.
    pub bits_per_ns: f64,
    /// A 64-bit multiply-add.
    pub multiply_add_ns: f64,
    /// A Fourier-domain product of polynomials, accumulated.
    pub fourier_product_ns: f64,
    /// A Fourier transform with its conversion.
    pub fourier_transform_ns: f64,
    /// Everything else about a request, both parties.
    pub request_ns: f64,
    /// Everything else about a response, both parties.
    pub response_ns: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            bits_per_ns: 0.01,
            multiply_add_ns: 0.03,
            fourier_product_ns: 130.0,
            fourier_transform_ns: 1200.0,
            request_ns: 30_000.0,
            response_ns: 15_000.0,
        }
    }
}
