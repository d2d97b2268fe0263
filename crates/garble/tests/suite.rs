//! Tests of whole circuits under every scheme.

#[path = "suite/known_answer.rs"]
mod known_answer;
#[path = "suite/properties.rs"]
mod properties;
