#![doc = include_str!("../README.md")]

mod bits_message;
mod chunks;
pub(crate) mod garbled;
pub(crate) mod gmw;
mod offline;
mod ot_session;
mod per_layer;
mod pool;
mod price;
mod rank;
mod session;
mod shares;
mod stored;
mod tasks;
mod width;

pub use garbled::Garbled;
pub use gmw::Gmw;
pub use offline::material::PerLayerClientPrepared;
pub use per_layer::{PerLayer, StepChoice};
pub use price::Price;
