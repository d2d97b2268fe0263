#![doc = include_str!("../README.md")]

pub mod error;
mod geometry;
mod layout;
mod matrix;
pub mod packing;
pub mod plan;
mod products;
mod stride_one;

pub use error::LinearError;
pub use packing::Packing;
pub use plan::{GroupPlan, PackingPlan, Plan};

#[cfg(test)]
mod properties;
