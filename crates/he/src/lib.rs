#![doc = include_str!("../README.md")]

mod error;
pub mod public_coin;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::HeError;
