#![doc = include_str!("../README.md")]

pub mod error;
pub mod polys;
pub mod weights;

pub use error::RingError;
pub use polys::Polys;
pub use weights::WeightMatrix;
