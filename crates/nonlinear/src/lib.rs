#![doc = include_str!("../README.md")]

mod circuits;
pub mod garbled;
mod pool;
mod program;
mod shares;
mod width;

pub use garbled::{Garbled, GarbledClient, GarbledCompiled, GarbledServer};
