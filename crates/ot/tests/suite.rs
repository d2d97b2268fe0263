//! Every OT extension and adapter against the laws, exact bytes, known answers and bad peers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod suite {
    mod adapters;
    mod adversarial;
    mod base;
    mod conformance;
    mod neighbours;
    mod support;
    mod transcript;
}
