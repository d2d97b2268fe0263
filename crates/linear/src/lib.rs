#![doc = include_str!("../README.md")]

mod accept;
mod counts;
pub(crate) mod error;
mod layout;
mod matrix;
mod operator;
pub mod packing;
pub mod plain_kernels;
pub(crate) mod plan;
pub(crate) mod planner;
pub(crate) mod public_coin;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traffic;

pub use counts::Counts;
pub use error::LinearError;
pub use packing::{Packing, PackingScheme, tiled::scheme::Tiles};
pub use plan::{GroupPlan, LinearPlan, PackingPlan};
pub use planner::prices::Prices;
pub use public_coin::PublicCoin;
