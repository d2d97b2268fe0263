//! One binary for all integration tests of the crate.

mod suite {
    mod adversarial;
    mod common;
    mod few_trips;
    mod garbled;
    mod gmw;
    mod pieces;
    mod rank;
    mod waves;
}
