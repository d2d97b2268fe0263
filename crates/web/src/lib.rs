#![doc = include_str!("../README.md")]

mod answer;
#[cfg(target_family = "wasm")]
pub mod engine;
mod error;
mod predict;

pub use answer::WebAnswer;
pub use error::WebError;
pub use predict::{PredictionWatcher, WantedPrediction, WebEvent, predict};
