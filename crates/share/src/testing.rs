//! Ideal implementations and conformance suites. Insecure: for tests alone.
//!
//! [`IdealLinear`] and [`IdealNonlinear`] send one party's secrets to the other in the clear and
//! compute exactly what the traits define, in the same turns as real protocols.

mod conformance_linear;
mod conformance_nonlinear;
mod ideal_linear;
mod ideal_nonlinear;

pub use conformance_linear::{conformance_linear, conformance_linear_exact};
pub use conformance_nonlinear::{
    Turns, check_result, conformance_nonlinear, conformance_nonlinear_exact, conformance_steps,
    exact_steps,
};
pub use ideal_linear::{IdealLinear, IdealLinearClient, IdealLinearServer};
pub use ideal_nonlinear::{IdealNonlinear, IdealNonlinearClient, IdealNonlinearServer};

/// A reproducible generator for tests.
pub fn test_rng(seed: u64) -> gazelle_prg::Prg {
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(byte, from)| *byte = from);
    gazelle_prg::Prg::new(&gazelle_prg::Seed::from_bytes(bytes), 0x7e)
}
