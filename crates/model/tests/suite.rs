//! Integration tests of the model crate.

mod suite {
    mod float;
    mod pack;
}
