#![doc = include_str!("../README.md")]

pub mod aes;
pub mod bits;
pub mod block;
pub mod error;
pub mod gf128;
pub mod hash;
pub mod transpose;
pub mod tweak;

pub use bits::BitVec;
pub use block::{Block, Blocks, Delta};
pub use error::BlockError;
pub use tweak::TweakCounter;
