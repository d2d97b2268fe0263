#![doc = include_str!("../README.md")]

mod ctr;
pub mod error;
pub mod isa;
pub mod keystream;
pub mod prg;
pub mod sample;
pub mod seed;

pub use error::PrgError;
pub use keystream::Keystream;
pub use prg::{Prg, system_rng};
pub use seed::Seed;
