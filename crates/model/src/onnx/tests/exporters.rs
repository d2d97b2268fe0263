//! What exporters of well-known networks write, in small: the whole way to fixed point.

use crate::fixed::{self, Rounding};
use crate::graph::{Graph, Op};
use crate::onnx::import;
use crate::onnx::write::{Attribute, Writer};
use crate::{Options, float, passes, quantise};

/// A network under construction, and a source of weights.
struct ExportedNet {
    w: Writer,
    seed: u32,
}

impl ExportedNet {
    fn new(opset: i64, input: &[i64]) -> Self {
        Self { w: Writer::new(opset, input), seed: 1 }
    }

    fn floats(&mut self, name: &str, dims: &[i64], mean: f32, spread: f32) {
        let len: i64 = dims.iter().product();
        let mut next = || {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            mean + spread * ((self.seed >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        let values: Vec<f32> = (0..len).map(|_| next()).collect();
        self.w.floats(name, dims, &values);
    }

    /// A convolution without bias, padded to keep the size at stride 1.
    fn conv(
        &mut self,
        x: &str,
        y: &str,
        [maps, channels, kernel]: [i64; 3],
        stride: i64,
        group: i64,
    ) {
        let weights = format!("{y}_w");
        let spread = (6.0 / (channels / group * kernel * kernel) as f32).sqrt();
        self.floats(&weights, &[maps, channels / group, kernel, kernel], 0.0, spread);
        let attributes = [
            ("dilations", ints(&[1, 1])),
            ("group", Attribute::Int(group)),
            ("kernel_shape", ints(&[kernel, kernel])),
            ("pads", ints(&[kernel / 2; 4])),
            ("strides", ints(&[stride, stride])),
        ];
        self.w.node("Conv", &[x, &weights], &[y], &attributes);
    }

    /// Batch normalisation; some factors are negative where `signs` says so.
    fn norm(&mut self, x: &str, y: &str, channels: i64, signs: bool) {
        let names: Vec<String> = ["g", "b", "m", "v"].iter().map(|s| format!("{y}_{s}")).collect();
        self.floats(&names[0], &[channels], if signs { 0.2 } else { 1.0 }, 0.6);
        self.floats(&names[1], &[channels], 0.0, 0.3);
        self.floats(&names[2], &[channels], 0.0, 0.3);
        self.floats(&names[3], &[channels], 1.0, 0.4);
        let inputs = [x, &names[0], &names[1], &names[2], &names[3]];
        self.w.node("BatchNormalization", &inputs, &[y], &[("epsilon", Attribute::Float(1e-5))]);
    }

    fn unary(&mut self, op: &str, x: &str, y: &str) {
        self.w.node(op, &[x], &[y], &[]);
    }

    fn pool(
        &mut self,
        op: &str,
        x: &str,
        y: &str,
        [kernel, stride, pad]: [i64; 3],
        more: &[(&str, i64)],
    ) {
        let mut attributes = vec![
            ("kernel_shape", ints(&[kernel, kernel])),
            ("strides", ints(&[stride, stride])),
            ("pads", ints(&[pad; 4])),
        ];
        attributes.extend(more.iter().map(|(name, value)| (*name, Attribute::Int(*value))));
        self.w.node(op, &[x], &[y], &attributes);
    }

    fn gemm(&mut self, x: &str, y: &str, inputs: i64, outputs: i64) {
        self.floats("fc_w", &[outputs, inputs], 0.0, 1.5 / (inputs as f32).sqrt());
        self.floats("fc_b", &[outputs], 0.0, 0.5);
        let attributes = [
            ("alpha", Attribute::Float(1.0)),
            ("beta", Attribute::Float(1.0)),
            ("transB", Attribute::Int(1)),
        ];
        self.w.node("Gemm", &[x, "fc_w", "fc_b"], &[y], &attributes);
    }
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

/// Imports, lowers without changing the function, quantises, and runs in fixed point; gives the
/// lowered graph.
fn whole_way(net: ExportedNet, output: &str) -> Graph {
    let graph = import(&net.w.finish(output)).unwrap();
    let lowered = passes::lower(&graph).unwrap();
    let image = |k: usize| -> Vec<f32> {
        (0..graph.input_shape().len()).map(|i| ((i * (2 * k + 3)) as f32 * 0.37).sin()).collect()
    };
    let calibration: Vec<Vec<f32>> = (0..8).map(image).collect();
    let options = Options {
        calibration: calibration.clone(),
        input_range: crate::InputRange::uniform(-1.0, 1.0),
        ..Options::default()
    };
    let quantised = quantise(&graph, &options).unwrap();
    let (network, architecture) = (&quantised.network, quantised.network.architecture());
    for input in &calibration {
        let expected = float::run(&graph, input).unwrap();
        let scale = expected.iter().fold(1f32, |m, x| m.max(x.abs()));
        for (a, b) in expected.iter().zip(&float::run(&lowered, input).unwrap()) {
            assert!((a - b).abs() <= 1e-4 * scale, "{a} {b}");
        }
        let encoded = fixed::encode(architecture, input).unwrap();
        let trace = fixed::trace(network, &encoded, Rounding::Random(7)).unwrap();
        assert_eq!(trace.overflows, 0);
        let logits = fixed::decode(architecture, &trace.tensors[architecture.output()]);
        for (got, expected) in logits.iter().zip(&expected) {
            let limit = f64::from(0.02 * scale) + 1.0 / 32.0;
            assert!((got - f64::from(*expected)).abs() <= limit, "{got} {expected}");
        }
    }
    lowered
}

fn linear(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| matches!(node.op, Op::Linear { .. })).count()
}

#[test]
fn known_answer_a_residual_network_with_batch_normalisation() {
    // Strided shortcut, sum, global average, flatten, Gemm: as torchvision's exporter writes it.
    let mut n = ExportedNet::new(13, &[1, 3, 16, 16]);
    n.conv("x", "c1", [8, 3, 7], 2, 1);
    n.norm("c1", "n1", 8, false);
    n.unary("Relu", "n1", "r1");
    n.pool("MaxPool", "r1", "p1", [3, 2, 1], &[("ceil_mode", 0)]);
    n.conv("p1", "c2", [8, 8, 3], 2, 1);
    n.norm("c2", "n2", 8, true);
    n.unary("Relu", "n2", "r2");
    n.conv("r2", "c3", [16, 8, 1], 1, 1);
    n.norm("c3", "n3", 16, true);
    n.conv("p1", "c4", [16, 8, 1], 2, 1);
    n.norm("c4", "n4", 16, false);
    n.w.node("Add", &["n3", "n4"], &["sum"], &[]);
    n.unary("Relu", "sum", "r3");
    n.unary("GlobalAveragePool", "r3", "mean");
    n.w.node("Flatten", &["mean"], &["flat"], &[("axis", Attribute::Int(1))]);
    n.gemm("flat", "y", 16, 10);
    let lowered = whole_way(n, "y");
    assert_eq!(linear(&lowered), 5, "normalisation is in the weights");
}

#[test]
fn known_answer_a_mobile_network_with_clipping_by_constants() {
    // Depthwise and pointwise convolutions, ReLU6 with its ends as constant inputs (opset 11 on)
    // or attributes (before), the head flattened through computed shapes.
    for opset in [10, 13] {
        let mut n = ExportedNet::new(opset, &[1, 3, 12, 12]);
        n.w.floats("low", &[], &[0.0]);
        n.w.floats("high", &[], &[6.0]);
        let clip = |n: &mut ExportedNet, x: &str, y: &str| {
            let ends = [("min", Attribute::Float(0.0)), ("max", Attribute::Float(6.0))];
            if opset < 11 {
                n.w.node("Clip", &[x], &[y], &ends);
            } else {
                n.w.node("Clip", &[x, "low", "high"], &[y], &[]);
            }
        };
        n.conv("x", "c1", [8, 3, 3], 2, 1);
        n.norm("c1", "n1", 8, false);
        clip(&mut n, "n1", "r1");
        n.conv("r1", "c2", [8, 8, 3], 1, 8);
        n.norm("c2", "n2", 8, true);
        clip(&mut n, "n2", "r2");
        n.conv("r2", "c3", [12, 8, 1], 1, 1);
        n.norm("c3", "n3", 12, false);
        clip(&mut n, "n3", "r3");
        n.unary("GlobalAveragePool", "r3", "mean");
        n.unary("Shape", "mean", "shape");
        n.w.ints("first", &[0]);
        n.w.node("Gather", &["shape", "first"], &["batch"], &[("axis", Attribute::Int(0))]);
        n.w.ints("rest", &[-1]);
        n.w.node("Concat", &["batch", "rest"], &["target"], &[("axis", Attribute::Int(0))]);
        n.w.node("Reshape", &["mean", "target"], &["flat"], &[]);
        n.gemm("flat", "y", 12, 7);
        assert_eq!(linear(&whole_way(n, "y")), 4);
    }
}

#[test]
fn known_answer_a_dense_network_with_normalisation_before_activation() {
    // Concatenation of all before, batch normalisation and ReLU in front of convolutions, 2x2
    // average pools between blocks.
    let mut n = ExportedNet::new(12, &[1, 3, 12, 12]);
    n.conv("x", "c0", [6, 3, 3], 1, 1);
    n.norm("c0", "n0", 6, false);
    n.unary("Relu", "n0", "r0");
    n.norm("r0", "n1", 6, false);
    n.unary("Relu", "n1", "r1");
    n.conv("r1", "c1", [4, 6, 3], 1, 1);
    n.w.node("Concat", &["r0", "c1"], &["j1"], &[("axis", Attribute::Int(1))]);
    n.norm("j1", "n2", 10, false);
    n.unary("Relu", "n2", "r2");
    n.conv("r2", "c2", [5, 10, 1], 1, 1);
    n.pool("AveragePool", "c2", "p1", [2, 2, 0], &[("count_include_pad", 1)]);
    n.norm("p1", "n3", 5, true);
    n.unary("Relu", "n3", "r3");
    n.pool("AveragePool", "r3", "p2", [3, 3, 0], &[("ceil_mode", 0)]);
    n.w.node("Flatten", &["p2"], &["flat"], &[]);
    n.gemm("flat", "y", 20, 5);
    whole_way(n, "y");
}

#[test]
fn known_answer_an_inception_block_with_parallel_branches() {
    // Four branches of one tensor, one with a padded pool, joined, ReLU, max-pool over the join.
    let mut n = ExportedNet::new(9, &[1, 4, 10, 10]);
    n.conv("x", "a", [3, 4, 1], 1, 1);
    n.conv("x", "b0", [2, 4, 1], 1, 1);
    n.unary("Relu", "b0", "b1");
    n.conv("b1", "b", [4, 2, 3], 1, 1);
    n.pool("MaxPool", "x", "d0", [3, 1, 1], &[]);
    n.conv("d0", "d", [2, 4, 1], 1, 1);
    n.pool("AveragePool", "x", "e0", [3, 1, 1], &[("count_include_pad", 1)]);
    n.conv("e0", "e", [2, 4, 1], 1, 1);
    n.w.node("Concat", &["a", "b", "d", "e"], &["j"], &[("axis", Attribute::Int(1))]);
    n.unary("Relu", "j", "r");
    n.pool("MaxPool", "r", "p", [3, 2, 0], &[]);
    n.unary("Dropout", "p", "drop");
    n.w.node("Flatten", &["drop"], &["flat"], &[]);
    n.gemm("flat", "y", 176, 6);
    let lowered = whole_way(n, "y");
    // Every branch is pooled before it is rectified, and with it.
    let pools = lowered.nodes.iter().filter(|n| matches!(n.op, Op::MaxPool { relu: true, .. }));
    assert_eq!(pools.count(), 4);
}

#[test]
fn known_answer_a_network_exported_with_channels_last() {
    // The input in NHWC, transposed; asymmetric SAME padding; MatMul and Add instead of Gemm; a
    // softmax at the end.
    let mut n = ExportedNet::new(15, &[1, 9, 9, 2]);
    n.w.node("Transpose", &["x"], &["t"], &[("perm", ints(&[0, 3, 1, 2]))]);
    n.floats("w", &[4, 2, 4, 4], 0.0, 0.4);
    let same = [("auto_pad", Attribute::String("SAME_UPPER")), ("strides", ints(&[2, 2]))];
    n.w.node("Conv", &["t", "w"], &["c"], &same);
    n.floats("bias", &[1, 4, 1, 1], 0.0, 0.3);
    n.w.node("Add", &["c", "bias"], &["biased"], &[]);
    n.unary("Relu", "biased", "r");
    n.w.node("Transpose", &["r"], &["back"], &[("perm", ints(&[0, 2, 3, 1]))]);
    n.w.ints("target", &[-1, 100]);
    n.w.node("Reshape", &["back", "target"], &["flat"], &[]);
    n.floats("m", &[100, 5], 0.0, 0.3);
    n.w.node("MatMul", &["flat", "m"], &["product"], &[]);
    n.floats("last", &[5], 0.0, 0.5);
    n.w.node("Add", &["last", "product"], &["logits"], &[]);
    n.w.node("Softmax", &["logits"], &["p"], &[("axis", Attribute::Int(-1))]);
    let lowered = whole_way(n, "p");
    assert_eq!(linear(&lowered), 2);
}

#[test]
fn known_answer_grouped_and_dilated_convolutions() {
    let mut n = ExportedNet::new(17, &[1, 4, 9, 9]);
    n.conv("x", "c1", [8, 4, 3], 1, 2);
    n.unary("Relu", "c1", "r1");
    n.floats("dilated", &[6, 4, 3, 3], 0.0, 0.4);
    let attributes =
        [("dilations", ints(&[2, 2])), ("group", Attribute::Int(2)), ("pads", ints(&[2, 2, 2, 2]))];
    n.w.node("Conv", &["r1", "dilated"], &["c2"], &attributes);
    n.unary("Relu", "c2", "r2");
    n.w.node(
        "ReduceMean",
        &["r2"],
        &["y"],
        &[("axes", ints(&[2, 3])), ("keepdims", Attribute::Int(0))],
    );
    assert_eq!(linear(&whole_way(n, "y")), 2);
}

#[test]
fn known_answer_means_over_one_axis_and_over_channels_last() {
    // Means that are no pool of the step before: the sums' ring is what their reader needs.
    for (axes, outputs) in [(vec![2], 45), (vec![3, 2], 5), (vec![1], 81)] {
        let mut n = ExportedNet::new(17, &[1, 3, 9, 9]);
        n.conv("x", "c1", [5, 3, 3], 1, 1);
        n.unary("Relu", "c1", "r1");
        let attributes = [("axes", Attribute::Ints(axes)), ("keepdims", Attribute::Int(0))];
        n.w.node("ReduceMean", &["r1"], &["mean"], &attributes);
        n.w.ints("target", &[1, -1]);
        n.w.node("Reshape", &["mean", "target"], &["y"], &[]);
        let lowered = whole_way(n, "y");
        assert_eq!(lowered.shape(lowered.output).len(), outputs);
    }
}
