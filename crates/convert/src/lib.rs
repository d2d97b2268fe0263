#![doc = include_str!("../README.md")]

mod and;
mod b2a;
mod carry;
mod clip;
mod elect;
mod extend;
mod faithful;
mod fused;
mod lift;
mod operation;
mod planes;
mod product;
mod relu;
mod reshare;
mod reveal;
mod rot;
mod select;
mod sign;
mod square;
#[cfg(test)]
mod testing;
mod truncate;
pub mod yao;

pub use and::And;
pub use clip::FaithfulClip;
pub use elect::Elect;
pub use extend::Extend;
pub use faithful::FaithfulRelu;
pub use fused::Fused;
pub use operation::{Begun, ClientShare, Correlated, Execution, Known, Operation, Rots};
pub use planes::Planes;
pub use relu::Relu;
pub use reshare::Reshare;
pub use reveal::{Reveal, Sharing};
pub use rot::RotLog;
pub use select::Keep;
pub use sign::Sign;
pub use square::Square;
pub use truncate::Truncate;
