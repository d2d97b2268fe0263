#![doc = include_str!("../README.md")]

pub mod aes;
mod bits;
mod block;
mod error;
pub mod gf128;
pub mod hash;
pub mod transpose;
pub mod tweak;

pub use bits::BitVec;
pub use block::{Block, Blocks, Delta};
pub use error::BlockError;
pub use tweak::TweakCounter;
