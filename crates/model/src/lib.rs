#![doc = include_str!("../README.md")]

mod description;
mod domain;
mod error;
pub mod fixed;
pub mod float;
pub mod generate;
mod graph;
mod likeness;
mod onnx;
pub mod passes;
mod quantise;
pub(crate) mod range;
pub mod reveal;
pub mod samples;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod watcher;

pub use description::{
    Channels, Fit, InputDescription, Interface, Layout, OutputDescription, Pixels, Reveal,
};
pub use domain::hold_input;
pub use error::{ModelError, Unsupported};
pub use graph::{Activation, Graph, GraphNode, GraphTensor, InputGrid, Op};
pub use likeness::Likeness;
pub use onnx::{ImportOptions, ImportedModel, Reference, import, load};
pub use quantise::{
    CalibrationSource, MAX_RESOLUTION, Options, Quantised, Report, RoundingMode, quantise,
};
pub use range::{InputRange, OutOfRange, RangeSource};
pub use watcher::Watcher;
