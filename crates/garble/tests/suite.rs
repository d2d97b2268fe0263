//! Tests of whole circuits under every scheme.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

#[path = "suite/known_answer.rs"]
mod known_answer;
#[path = "suite/properties.rs"]
mod properties;
