#![doc = include_str!("../README.md")]

pub mod arith;
pub mod bristol;
mod builder;
mod circuit;
mod error;
mod garbling;
mod gate;
mod half_gates;
#[cfg(any(test, feature = "testing"))]
pub mod ideal;
mod schedule;
pub mod scheme;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod three_halves;
mod tweaks;

pub use builder::{Builder, Wire};
pub use circuit::Circuit;
pub use error::GarbleError;
pub use garbling::{evaluate, evaluate_from, garble, garble_into, rows::STRIP, table_bytes};
pub use half_gates::HalfGates;
pub use scheme::{AndGate, GarblingScheme, Operand, Secrets};
pub use table::{PieceReceiver, PieceSender, TableSink, TableSource};
pub use three_halves::ThreeHalves;
pub use tweaks::{LANES_PER_KEY, Tweaks};
