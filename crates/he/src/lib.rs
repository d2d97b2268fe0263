#![doc = include_str!("../README.md")]

mod error;
#[cfg(any(test, feature = "testing"))]
pub mod fuzz;
pub mod public_coin;

pub use error::HeError;
