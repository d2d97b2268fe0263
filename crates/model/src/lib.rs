#![doc = include_str!("../README.md")]

pub mod error;
pub mod float;
pub mod graph;
mod onnx;

pub use error::{ModelError, Unsupported};
pub use graph::{Activation, Graph, GraphNode, GraphTensor, Op};
pub use onnx::import;
