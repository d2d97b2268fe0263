//! What tests of this crate and the fuzz target share.

pub mod fuzz;
