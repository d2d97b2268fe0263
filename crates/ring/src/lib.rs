#![doc = include_str!("../README.md")]

pub mod buffer;
pub mod error;
pub mod exact;
pub mod fft;
pub mod kernel;
pub mod polys;
pub mod schoolbook;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod transform;
pub mod weights;

pub use buffer::Buffer;
pub use error::RingError;
pub use fft::{Fft, FftScratch, Fourier};
pub use polys::Polys;
pub use schoolbook::Schoolbook;
pub use transform::{ExactOperand, Transform};
pub use weights::{DenseWeights, ShiftedWeights, SparseWeights, WeightMatrix};
