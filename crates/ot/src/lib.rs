#![doc = include_str!("../README.md")]

pub mod adapt;
mod auto;
mod base;
mod consistency;
pub mod duplex;
mod either;
mod error;
mod extension;
pub mod ferret;
mod ggm;
#[cfg(any(test, feature = "testing"))]
mod ideal;
mod iknp;
mod joint;
mod per_direction;
mod rows;
mod softspoken;
mod streams;
mod surplus;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod traffic;

pub use adapt::{RotReceiver, RotSender};
pub use auto::{AutoExtension, auto};
pub use base::{
    BaseOt, BaseReceiver, BaseSender, LatticeKeysMessage, PointFunctionsMessage, PointsMessage,
};
pub use either::Either;
pub use error::OtError;
pub use extension::{Half, OtExtension, RcotReceiver, RcotSender, Speaker, lowest_bits};
pub use ferret::Ferret;
#[cfg(any(test, feature = "testing"))]
pub use ideal::IdealOt;
pub use iknp::Iknp;
pub use per_direction::PerDirection;
pub use softspoken::SoftSpoken;
pub use surplus::Surplus;
pub use traffic::OtTraffic;
