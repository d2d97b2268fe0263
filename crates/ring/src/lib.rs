#![doc = include_str!("../README.md")]

mod buffer;
mod error;
pub mod exact;
mod fft;
pub mod kernel;
mod polys;
mod schoolbook;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transform;
pub mod weights;

pub use buffer::Buffer;
pub use error::RingError;
pub use fft::{Fft, FftScratch, Fourier};
pub use polys::Polys;
pub use schoolbook::{Schoolbook, negacyclic_mul_add};
pub use transform::{ExactOperand, Transform};
pub use weights::{DenseWeights, ShiftedWeights, SparseWeights, WeightMatrix};
