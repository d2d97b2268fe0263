//! One binary for all integration tests of the crate.

mod suite {
    mod garbled;
    mod gmw;
}
