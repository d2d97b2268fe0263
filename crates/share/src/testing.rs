//! Ideal implementations and conformance suites.
