//! Every OT extension against the laws, exact bytes, known answers and bad peers.
mod suite {
    mod conformance;
}
