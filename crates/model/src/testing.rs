//! What tests of this crate and of those above it share.

pub mod fuzz;
