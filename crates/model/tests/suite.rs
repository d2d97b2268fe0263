//! Integration tests of the model crate.

mod suite {
    mod fixed;
    mod float;
    mod pack;
}
