#![doc = include_str!("../README.md")]

pub mod and;
pub mod elect;
pub mod extend;
pub mod fused;
pub mod planes;
pub mod product;
pub mod rot;
pub mod select;
pub mod sign;
pub mod truncate;
pub mod yao;

pub use planes::Planes;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
