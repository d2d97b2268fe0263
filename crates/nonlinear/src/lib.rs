#![doc = include_str!("../README.md")]

mod all_pairs;
mod bits_message;
mod circuits;
pub mod garbled;
pub mod gmw;
pub mod per_layer;
mod pool;
mod price;
mod program;
mod rank;
mod shares;
mod width;

pub use garbled::{Garbled, GarbledClient, GarbledCompiled, GarbledServer};
pub use gmw::{Gmw, GmwClient, GmwCompiled, GmwServer};
pub use per_layer::{Choice, PerLayer};
pub use price::Price;
