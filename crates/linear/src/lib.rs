#![doc = include_str!("../README.md")]

mod accept;
mod counts;
pub mod error;
mod layout;
mod matrix;
mod operator;
pub mod packing;
pub mod plain_kernels;
pub mod plan;
pub mod planner;
pub mod public_coin;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traffic;

pub use counts::Counts;
pub use error::LinearError;
pub use packing::{Packing, PackingScheme, Tiles};
pub use plan::{GroupPlan, PackingPlan, Plan};
pub use planner::Prices;
pub use public_coin::PublicCoin;

#[cfg(test)]
mod properties;
