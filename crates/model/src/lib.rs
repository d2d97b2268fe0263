#![doc = include_str!("../README.md")]

pub mod description;
pub mod error;
pub mod fixed;
pub mod float;
#[cfg(any(test, feature = "testing"))]
pub mod fuzz;
pub mod generate;
pub mod graph;
mod onnx;
pub mod passes;
pub mod quantise;
pub mod samples;

pub use description::{
    Channels, Description, InputDescription, Layout, OutputDescription, Pixels, Reveal,
};
pub use error::{ModelError, Unsupported};
pub use graph::{Activation, Graph, GraphNode, GraphTensor, Op};
pub use onnx::import;
pub use quantise::{CalibrationSource, Options, Quantised, Report, quantise};

/// The body of the fuzz target: imports any bytes and, if that works, quantises what is small.
/// Never panics.
pub fn fuzz_import(bytes: &[u8]) {
    let Ok(graph) = import(bytes) else { return };
    let small = graph.macs() < 1 << 20 && graph.tensors.len() < 64;
    if small && graph.tensors.iter().all(|tensor| tensor.shape.len() < 1 << 14) {
        let options = Options {
            calibration: vec![vec![0.5; graph.input_shape().len()]],
            effort: 1 << 20,
            ..Options::default()
        };
        // Refusing is as good as working.
        let _ = quantise(&graph, &options);
    }
}
