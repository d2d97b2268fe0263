//! Operators one by one, and files that are broken.

mod cases;
mod exporters;
mod geometries;
mod structure;

use proptest::prelude::*;

use super::write::{Attribute, Writer};
use super::{ImportOptions, ImportedModel, import};
use crate::error::ModelError;
use crate::fixed::{self, Rounding};
use crate::float;
use crate::graph::{Activation, Graph, Op};
use crate::{InputRange, Options, passes, quantise};

fn run(writer: Writer, output: &str, input: &[f32]) -> Vec<f32> {
    let imported = ImportedModel::read(&writer.finish(output), &ImportOptions::default()).unwrap();
    // The graph computes what the file says, node by node.
    imported.verify(&InputRange::uniform(-1.0, 1.0), &[input.to_vec()]).unwrap();
    let graph = imported.graph;
    let expected = float::run(&graph, input).unwrap();
    // The passes must not change the function.
    if let Ok(lowered) = passes::lower(&graph) {
        let again = float::run(&lowered, input).unwrap();
        for (a, b) in expected.iter().zip(&again) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{expected:?} {again:?}");
        }
    }
    expected
}

fn why(writer: Writer, output: &str) -> String {
    match import(&writer.finish(output)) {
        Err(error) => error.to_string(),
        Ok(_) => "accepted".into(),
    }
}

/// 0, 1, 2, ...
fn count(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32).collect()
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

#[test]
fn known_answer_auto_pad_same_upper_and_lower() {
    // 0 1 2 3 and one zero behind, or in front.
    for (mode, expected) in [("SAME_UPPER", [3.0, 5.0]), ("SAME_LOWER", [1.0, 6.0])] {
        let mut w = Writer::new(11, &[1, 1, 1, 4]);
        w.floats("w", &[1, 1, 1, 3], &[1.0; 3]);
        let attributes = [("strides", ints(&[1, 2])), ("auto_pad", Attribute::String(mode))];
        w.node("Conv", &["x", "w"], &["y"], &attributes);
        assert_eq!(run(w, "y", &count(4)), expected);
    }
}

#[test]
fn known_answer_ceil_mode_adds_a_window_that_begins_inside() {
    let mut w = Writer::new(13, &[1, 1, 1, 6]);
    let attributes = [
        ("kernel_shape", ints(&[1, 3])),
        ("strides", ints(&[1, 2])),
        ("ceil_mode", Attribute::Int(1)),
    ];
    w.node("MaxPool", &["x"], &["y"], &attributes);
    assert_eq!(run(w.clone(), "y", &count(6)), [2.0, 4.0, 5.0]);
    let mut w = Writer::new(13, &[1, 1, 1, 6]);
    w.node("AveragePool", &["x"], &["y"], &attributes);
    assert_eq!(run(w, "y", &count(6)), [1.0, 3.0, 4.5]);
}

#[test]
fn known_answer_average_pool_leaves_padding_out_of_the_count() {
    for (include, expected) in [(0, [0.5, 1.0, 2.0, 2.5]), (1, [1.0 / 3.0, 1.0, 2.0, 5.0 / 3.0])] {
        let mut w = Writer::new(13, &[1, 1, 1, 4]);
        let attributes = [
            ("kernel_shape", ints(&[1, 3])),
            ("pads", ints(&[0, 1, 0, 1])),
            ("count_include_pad", Attribute::Int(include)),
        ];
        w.node("AveragePool", &["x"], &["y"], &attributes);
        let y = run(w, "y", &count(4));
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{y:?}");
    }
}

#[test]
fn known_answer_batch_norm_and_constants_fold_into_convolutions() {
    let mut w = Writer::new(9, &[1, 2, 3, 3]);
    w.floats("mean", &[2, 1, 1], &[1.0, -2.0]);
    w.floats("std", &[1, 2, 1, 1], &[2.0, 4.0]);
    w.node("Sub", &["x", "mean"], &["a"], &[]);
    w.node("Div", &["a", "std"], &["b"], &[]);
    w.floats("w", &[2, 2, 3, 3], &count(36));
    w.node("Conv", &["b", "w"], &["c"], &[("pads", ints(&[1, 1, 1, 1]))]);
    for (name, values) in
        [("g", [1.5, 0.5]), ("beta", [0.1, 0.2]), ("m", [3.0, 4.0]), ("v", [4.0, 9.0])]
    {
        w.floats(name, &[2], &values);
    }
    w.node("BatchNormalization", &["c", "g", "beta", "m", "v"], &["y"], &[]);
    let graph = import(&w.clone().finish("y")).unwrap();
    let lowered = passes::lower(&graph).unwrap();
    assert_eq!(lowered.nodes.len(), 1, "one convolution is left");
    run(w, "y", &count(18));
}

/// Convolution, activation, max-pool, convolution, activation, fully connected.
fn activated(add: impl Fn(&mut Writer, &str, &str)) -> Writer {
    let mut w = Writer::new(13, &[1, 1, 6, 6]);
    let wave = |len: usize| -> Vec<f32> { (0..len).map(|i| (i as f32 * 1.7).sin()).collect() };
    w.floats("w1", &[4, 1, 3, 3], &wave(36));
    w.node("Conv", &["x", "w1"], &["c1"], &[("pads", ints(&[1, 1, 1, 1]))]);
    add(&mut w, "c1", "a1");
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    w.node("MaxPool", &["a1"], &["m"], &pool);
    w.floats("w2", &[4, 4, 3, 3], &wave(144));
    w.node("Conv", &["m", "w2"], &["c2"], &[("pads", ints(&[1, 1, 1, 1]))]);
    add(&mut w, "c2", "a2");
    w.node("Flatten", &["a2"], &["f"], &[]);
    w.floats("fc", &[36, 3], &wave(108));
    w.node("MatMul", &["f", "fc"], &["y"], &[]);
    w
}

fn agrees_in_fixed_point(writer: Writer) {
    let input: Vec<f32> = (0..36).map(|i| (i as f32 * 0.7).sin()).collect();
    run(writer.clone(), "y", &input);
    let graph = import(&writer.finish("y")).unwrap();
    let options = Options { calibration: vec![input.clone()], ..Options::default() };
    let network = quantise(&graph, &options).unwrap().network;
    let expected = float::run(&graph, &input).unwrap();
    let scale = expected.iter().fold(1f32, |m, x| m.max(x.abs()));
    let encoded = fixed::encode(network.architecture(), &input).unwrap();
    let trace = fixed::trace(&network, &encoded, Rounding::Random(5)).unwrap();
    assert_eq!(trace.overflows, 0);
    let values = &trace.tensors[network.architecture().output()];
    for (got, expected) in fixed::decode(network.architecture(), values).iter().zip(&expected) {
        let limit = f64::from(0.02 * scale) + 1.0 / 32.0;
        assert!((got - f64::from(*expected)).abs() < limit, "{got} {expected}");
    }
}

#[test]
fn properties_leaky_relu_and_prelu_become_relu() {
    agrees_in_fixed_point(activated(|w, x, y| {
        w.node("LeakyRelu", &[x], &[y], &[("alpha", Attribute::Float(0.2))]);
    }));
    agrees_in_fixed_point(activated(|w, x, y| {
        let slopes = format!("{y}_slopes");
        w.floats(&slopes, &[4, 1, 1], &[0.1, 0.3, -0.2, 1.5]);
        w.node("PRelu", &[x, &slopes], &[y], &[]);
    }));
    agrees_in_fixed_point(activated(|w, x, y| {
        let leaked = format!("{y}_leaked");
        w.node("LeakyRelu", &[x], &[&leaked], &[]);
        w.node("Add", &[&leaked, x], &[y], &[]);
    }));
}

#[test]
fn properties_clipping_works_from_any_end() {
    for (low, high) in [(0.0, 0.8), (-0.5, 0.5), (0.25, 100.0)] {
        agrees_in_fixed_point(activated(move |w, x, y| {
            let (a, b) = (format!("{y}_low"), format!("{y}_high"));
            w.floats(&a, &[], &[low]);
            w.floats(&b, &[], &[high]);
            w.node("Clip", &[x, &a, &b], &[y], &[]);
        }));
    }
}

#[test]
fn known_answer_movement_of_elements() {
    let mut w = Writer::new(13, &[1, 2, 2, 3]);
    w.node("Transpose", &["x"], &["t"], &[("perm", ints(&[0, 2, 3, 1]))]);
    assert_eq!(run(w.clone(), "t", &count(12)), [0., 6., 1., 7., 2., 8., 3., 9., 4., 10., 5., 11.]);
    w.ints("s", &[1]);
    w.ints("e", &[i64::MAX]);
    w.ints("axis", &[-1]);
    w.ints("step", &[2]);
    w.node("Slice", &["x", "s", "e", "axis", "step"], &["sliced"], &[]);
    assert_eq!(run(w.clone(), "sliced", &count(12)), [1.0, 4.0, 7.0, 10.0]);
    w.ints("sizes", &[1, 2]);
    w.node("Split", &["x", "sizes"], &["p", "q"], &[("axis", Attribute::Int(3))]);
    w.node("Concat", &["q", "p"], &["swapped"], &[("axis", Attribute::Int(3))]);
    let swapped = [1., 2., 0., 4., 5., 3., 7., 8., 6., 10., 11., 9.];
    assert_eq!(run(w.clone(), "swapped", &count(12)), swapped);
    w.node("Squeeze", &["p", "axis"], &["squeezed"], &[]);
    w.node("Unsqueeze", &["squeezed", "axis"], &["again"], &[]);
    assert_eq!(run(w.clone(), "again", &count(12)), [0.0, 3.0, 6.0, 9.0]);
    w.ints("pads", &[0, 0, 1, 0, 0, 0, 0, 1]);
    w.node("Pad", &["again", "pads"], &["padded"], &[]);
    assert_eq!(run(w, "padded", &count(12)), [0., 0., 0., 0., 3., 0., 0., 0., 6., 0., 9., 0.]);
}

#[test]
fn known_answer_reduce_mean_over_rows_and_columns_in_either_layout() {
    let mut w = Writer::new(13, &[1, 2, 2, 2]);
    let keep = |keep| ("keepdims", Attribute::Int(keep));
    w.node("ReduceMean", &["x"], &["y"], &[("axes", ints(&[2, 3])), keep(0)]);
    assert_eq!(run(w.clone(), "y", &count(8)), [1.5, 5.5]);
    w.node("ReduceMean", &["x"], &["z"], &[("axes", ints(&[1, 2])), keep(1)]);
    assert_eq!(run(w, "z", &count(8)), [3.0, 4.0]);
}

#[test]
fn known_answer_shape_arithmetic_is_folded() {
    let mut w = Writer::new(13, &[1, 2, 2, 2]);
    w.node("Shape", &["x"], &["shape"], &[]);
    w.ints("zero", &[0]);
    w.node("Gather", &["shape", "zero"], &["batch"], &[("axis", Attribute::Int(0))]);
    w.ints("rest", &[-1]);
    w.node("Concat", &["batch", "rest"], &["target"], &[("axis", Attribute::Int(0))]);
    w.node("Reshape", &["x", "target"], &["flat"], &[]);
    w.floats("w", &[8, 1], &[1.0; 8]);
    w.node("MatMul", &["flat", "w"], &["y"], &[]);
    assert_eq!(run(w, "y", &count(8)), [28.0]);
}

#[test]
fn known_answer_final_softmax_is_left_to_the_client() {
    let mut w = Writer::new(13, &[1, 3]);
    w.node("Relu", &["x"], &["y"], &[]);
    w.node("Softmax", &["y"], &["p"], &[]);
    w.node("Identity", &["p"], &["out"], &[]);
    let graph = import(&w.clone().finish("out")).unwrap();
    assert_eq!(graph.activation, Some(Activation::Softmax));
    w.node("Relu", &["out"], &["more"], &[]);
    let why = why(w, "more");
    assert!(why.contains("\"p\" (Softmax): Softmax inside the network"), "{why}");
}

#[test]
fn properties_every_unsupported_node_is_named_once() {
    let mut w = Writer::new(13, &[1, 3]);
    w.node("Elu", &["x"], &["first"], &[]);
    w.node("Relu", &["first"], &["second"], &[]);
    w.node("Hardmax", &["x"], &["third"], &[]);
    w.node("Add", &["second", "third"], &["sum"], &[]);
    let Err(ModelError::Unsupported(list)) = import(&w.finish("sum")) else { panic!("accepted") };
    let names: Vec<(&str, &str)> =
        list.iter().map(|entry| (entry.node.as_str(), entry.op.as_str())).collect();
    assert_eq!(names, [("first", "Elu"), ("third", "Hardmax")]);
}

#[test]
fn adversarial_models_that_make_no_sense_are_refused() {
    let bare = || Writer::new(13, &[1, 1, 4, 4]);
    assert!(why(Writer::new(0, &[1, 3]), "x").contains("opset 0"));
    assert!(why(Writer::new(99, &[1, 3]), "x").contains("opset 99"));
    assert!(why(Writer::new(13, &[1, -3]), "x").contains("--input-shape x=1,?"));
    assert!(why(Writer::new(13, &[1, 1 << 40, 1 << 40]), "x").contains("large"));
    assert!(why(bare(), "nothing").contains("no node writes"));
    let mut w = bare();
    w.node("Relu", &["missing"], &["y"], &[]);
    assert!(why(w, "y").contains("which no node writes"));
    let mut w = bare();
    w.floats("w", &[1, 1, 3, 3], &[f32::NAN; 9]);
    w.node("Conv", &["x", "w"], &["y"], &[]);
    assert!(why(w, "y").contains("must be finite"));
    let mut w = bare();
    w.floats("w", &[1, 1, 3, 3], &[0.0; 9]);
    w.node("Conv", &["x", "w"], &["y"], &[("strides", ints(&[0, 1]))]);
    assert!(why(w, "y").contains("out of range"));
    let mut w = bare();
    w.floats("w", &[1, 1, 9, 9], &[0.0; 81]);
    w.node("Conv", &["x", "w"], &["y"], &[]);
    assert!(why(w, "y").contains("do not fit"));
    let mut w = bare();
    w.floats("w", &[1, 1, 3, 3], &[0.0; 8]);
    assert!(why(w, "x").contains("8 elements"));
    let mut w = bare();
    w.ints("shape", &[1 << 20, 1 << 20, 1 << 20]);
    w.node("ConstantOfShape", &["shape"], &["huge"], &[]);
    w.node("Add", &["x", "huge"], &["y"], &[]);
    assert!(why(w, "y").contains("too large"));
    let mut w = bare();
    w.ints("target", &[-1, 5]);
    w.node("Reshape", &["x", "target"], &["y"], &[]);
    assert!(why(w, "y").contains("reshape"));
}

#[test]
fn adversarial_truncated_files_are_refused() {
    let bytes = sample();
    import(&bytes).unwrap();
    for len in 0..bytes.len() {
        assert!(import(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

/// A small network with many kinds of nodes.
fn sample() -> Vec<u8> {
    let mut w = Writer::new(13, &[1, 1, 6, 6]);
    w.floats("w", &[2, 1, 3, 3], &count(18));
    w.node("Conv", &["x", "w"], &["c"], &[("pads", ints(&[1, 1, 1, 1]))]);
    w.node("Relu", &["c"], &["r"], &[]);
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))];
    w.node("MaxPool", &["r"], &["m"], &pool);
    w.node("Add", &["m", "m"], &["a"], &[]);
    w.node("Transpose", &["a"], &["t"], &[("perm", ints(&[0, 2, 3, 1]))]);
    w.ints("shape", &[1, -1]);
    w.node("Reshape", &["t", "shape"], &["f"], &[]);
    w.floats("fc", &[18, 3], &count(54));
    w.node("MatMul", &["f", "fc"], &["y"], &[]);
    w.finish("y")
}

#[test]
fn properties_a_network_of_many_nodes_agrees_in_fixed_point() {
    let graph: Graph = import(&sample()).unwrap();
    let input: Vec<f32> = (0..36).map(|i| (i as f32 * 0.7).sin().abs()).collect();
    let options = Options { calibration: vec![input.clone()], ..Options::default() };
    let network = quantise(&graph, &options).unwrap().network;
    let encoded = fixed::encode(network.architecture(), &input).unwrap();
    let values = fixed::run(&network, &encoded, Rounding::Random(5)).unwrap();
    let expected = float::run(&graph, &input).unwrap();
    let scale = expected.iter().fold(1f32, |m, x| m.max(x.abs()));
    for (got, expected) in fixed::decode(network.architecture(), &values).iter().zip(&expected) {
        assert!((got - f64::from(*expected)).abs() < f64::from(0.02 * scale) + 0.04);
    }
    assert!(graph.nodes.iter().any(|node| matches!(node.op, Op::MaxPool { .. })));
}

proptest! {
    #[test]
    fn adversarial_changed_bytes_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sample();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        crate::testing::fuzz::onnx(&bytes);
    }

    #[test]
    fn adversarial_random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        crate::testing::fuzz::onnx(&bytes);
    }
}
