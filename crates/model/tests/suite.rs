//! Integration tests of the model crate, one binary.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod suite {
    mod accuracy;
    mod bias;
    mod fixed;
    mod float;
    mod generated;
    mod graphs;
    mod models;
    mod pack;
    mod random;
}
