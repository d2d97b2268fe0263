#![doc = include_str!("../README.md")]

pub mod error;
pub mod public_coin;

pub use error::HeError;
