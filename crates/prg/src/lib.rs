#![doc = include_str!("../README.md")]

pub mod bitslice;
mod ctr;
mod error;
pub mod isa;
mod keystream;
mod prg;
pub mod sample;
mod seed;
pub mod simd;

pub use error::PrgError;
pub use keystream::Keystream;
pub use prg::{Prg, refreshed, system_rng};
pub use seed::Seed;
