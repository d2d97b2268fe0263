//! Bodies of the fuzz targets: any bytes end in a value or an error.

use crate::description::{Interface, Pixels};
use crate::graph::{Graph, Op};
use crate::{ImportOptions, ImportedModel, InputRange, Options, passes, quantise, samples};
use gazelle_share::TensorShape;

/// Multiply-adds up to which an imported network is also run.
const MAX_MACS: u64 = 1 << 20;
/// Elements of the input up to which an imported network is also run.
const MAX_INPUT: usize = 1 << 14;

/// An ONNX file: imported, lowered, and run in f32 and quantised if it is small.
///
/// # Panics
/// Only on a defect.
pub fn onnx(data: &[u8]) {
    let Ok(model) = ImportedModel::read(data, &ImportOptions::default()) else { return };
    let Ok(graph) = passes::lower(&model.graph) else { return };
    let input = graph.input_shape().len();
    if graph.macs() <= MAX_MACS && input <= MAX_INPUT {
        let _ = crate::float::run(&graph, &vec![0.5; input]);
        // Weights of any size: whether a difference is rounding cannot be told here.
        let _ = model.verify(&InputRange::uniform(0.0, 1.0), &[]);
        if graph.tensors.iter().all(|tensor| tensor.shape.len() <= MAX_INPUT) {
            let calibration = vec![vec![0.5; input]];
            let options = Options { calibration, effort: MAX_MACS, ..Options::default() };
            // Refusing is as good as working.
            let _ = quantise(&graph, &options);
        }
    }
}

/// A `model.toml` for a small colour and a small grey image; then an image for it.
///
/// # Panics
/// Only on a defect.
pub fn description(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for channels in [1, 3] {
        let shape = TensorShape::new(channels, 8, 6);
        let mut graph = Graph::new("input", shape, vec![1, channels, 8, 6]);
        graph.push("flat", Op::Relu, vec![graph.output], shape);
        // A file of labels is not looked for: there is no such folder.
        let folder = std::path::Path::new("/nowhere");
        let Ok(description) = Interface::parse(&text, &graph, Some(folder)) else { continue };
        if let Some(input) = &description.input {
            let bytes: Vec<u8> = (0..9 * 7 * channels).map(|i| i as u8).collect();
            let image = Pixels { height: 9, width: 7, channels, bytes: &bytes };
            let _ = input.tensor(&image);
            let _ = input.range();
        }
    }
}

/// An NPY file.
///
/// # Panics
/// If its shape does not say how many values come out: that would be a defect.
pub fn npy(data: &[u8]) {
    if let Ok(tensor) = samples::npy(data) {
        assert_eq!(tensor.values.len() as u64, tensor.shape.iter().product::<u64>());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// `ModelProto` with opset 17 and a graph that holds `inner`.
    fn wrapped(inner: &[u8]) -> Vec<u8> {
        let mut file = vec![0x42, 2, 0x10, 17, 0x3a];
        let mut length = inner.len();
        while length > 127 {
            file.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        file.push(length as u8);
        file.extend_from_slice(inner);
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn adversarial_any_onnx_file_is_survived(
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            super::onnx(&data);
            super::onnx(&wrapped(&data));
            super::npy(&data);
        }

        #[test]
        fn adversarial_any_description_is_survived(
            text in "(\\[input\\]\n)?(resize|scale|crop|mean|std|layout) = [-\\[\\]\"a-z0-9.e, ]{0,30}\n?",
        ) {
            super::description(text.as_bytes());
        }
    }
}
