//! Benchmarks by layer and end to end.
fn main() {}
