#![doc = include_str!("../README.md")]

pub mod error;
pub mod extension;
#[cfg(any(test, feature = "testing"))]
pub mod ideal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::OtError;
pub use extension::{OtExtension, OtTraffic, RcotReceiver, RcotSender};
#[cfg(any(test, feature = "testing"))]
pub use ideal::IdealOt;
