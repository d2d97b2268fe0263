#![doc = include_str!("../README.md")]

mod bits_message;
mod chunks;
pub mod garbled;
pub mod gmw;
mod ot_session;
pub mod per_layer;
mod pool;
mod price;
mod rank;
mod shares;
mod width;

pub use garbled::{Garbled, GarbledClient, GarbledCompiled, GarbledServer};
pub use gmw::{Gmw, GmwClient, GmwCompiled, GmwServer};
pub use per_layer::{PerLayer, StepChoice};
pub use price::Price;
