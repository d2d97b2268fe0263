#![doc = include_str!("../README.md")]

pub mod adapt;
pub mod base;
pub mod error;
pub mod extension;
#[cfg(any(test, feature = "testing"))]
pub mod ideal;
pub mod iknp;
mod rows;
mod surplus;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use adapt::{RotReceiver, RotSender};
pub use error::OtError;
pub use extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender};
#[cfg(any(test, feature = "testing"))]
pub use ideal::IdealOt;
pub use iknp::Iknp;
