#![doc = include_str!("../README.md")]

mod counts;
pub mod error;
mod geometry;
mod layout;
mod matrix;
pub mod packing;
pub mod plain_kernels;
pub mod plan;
pub mod planner;
pub mod public_coin;
mod stride_one;

pub use counts::Counts;
pub use error::LinearError;
pub use packing::Packing;
pub use plan::{GroupPlan, PackingPlan, Plan};
pub use planner::Prices;
pub use public_coin::PublicCoin;

#[cfg(test)]
mod properties;
