//! Inner loops, each with a portable definition and versions chosen at run time.

pub(crate) mod fourier;
pub mod gemm;
pub mod mul_add;
