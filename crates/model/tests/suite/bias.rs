//! Batch normalisation before a ReLU: factors go behind it, summands stay with the server.

use gazelle_model::fixed::{self, Rounding};
use gazelle_model::{Graph, Op, Options, float, generate, import, passes, quantise};
use gazelle_share::{Conv2d, LinearOp, LocalMap, NodeKind, Pads, TensorShape};

/// Square, scale and shift, ReLU, a 3x3 convolution.
fn graph(scale: &[f32], shift: &[f32]) -> Graph {
    let shape = TensorShape::new(2, 4, 4);
    let mut graph = Graph::new("x", shape, vec![1, 2, 4, 4]);
    let squared = graph.push("square", Op::Square, vec![0], shape);
    let affine = Op::Affine { scale: scale.to_vec(), shift: shift.to_vec() };
    let scaled = graph.push("bn", affine, vec![squared], shape);
    let relu = graph.push("relu", Op::Relu, vec![scaled], shape);
    let conv = Conv2d {
        input: shape,
        maps: 3,
        kernel: [3, 3],
        stride: [1, 1],
        pads: Pads::all(1),
        dilation: [1, 1],
        groups: 1,
    };
    let weights = (0..54).map(|i| (i as f32 * 0.7).sin()).collect();
    let op = Op::Linear { op: LinearOp::Conv(conv), weights, bias: vec![0.5, -0.5, 0.0] };
    graph.output = graph.push("conv", op, vec![relu], TensorShape::new(3, 4, 4));
    graph
}

fn input() -> Vec<f32> {
    (0..32).map(|i| (i as f32 * 1.3).sin()).collect()
}

/// Convolutions of each channel alone, and bare summands.
fn left(graph: &Graph) -> (usize, usize) {
    let depthwise =
        |op: &Op| matches!(op, Op::Linear { op: LinearOp::Conv(conv), .. } if conv.groups > 1);
    let bare = |op: &Op| matches!(op, Op::Affine { scale, .. } if scale.iter().all(|scale| (scale - 1.0).abs() < 1e-9));
    let count = |what: &dyn Fn(&Op) -> bool| graph.nodes.iter().filter(|n| what(&n.op)).count();
    (count(&depthwise), count(&bare))
}

#[test]
fn known_answer_positive_factors_leave_a_summand() {
    let graph = graph(&[2.0, 0.25], &[-0.5, -0.125]);
    let lowered = passes::lower(&graph).unwrap();
    assert_eq!(left(&lowered), (0, 1));
    let expected = float::run(&graph, &input()).unwrap();
    for (a, b) in float::run(&lowered, &input()).unwrap().iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    // In fixed point: on the shares of a masked tensor.
    let options = Options {
        calibration: vec![input()],
        value_bits: Some(16),
        weight_bits: 12,
        effort: 1,
        ..Options::default()
    };
    let network = quantise(&graph, &options).unwrap().network;
    let maps = network.architecture().nodes().iter();
    assert_eq!(maps.filter(|n| n.kind == NodeKind::Local(LocalMap::AddBias)).count(), 1);
    let encoded = fixed::encode(network.architecture(), &input()).unwrap();
    let values = fixed::run(&network, &encoded, Rounding::Random(3)).unwrap();
    for (a, b) in fixed::decode(network.architecture(), &values).iter().zip(&expected) {
        assert!((a - f64::from(*b)).abs() < 0.05, "{a} {b}");
    }
}

#[test]
fn known_answer_factors_that_are_negative_vanishing_or_read_elsewhere_stay_linear_layers() {
    let behind = |graph: &Graph| left(&passes::lower(graph).unwrap());
    assert_eq!(behind(&graph(&[2.0, -0.25], &[1.0, 1.0])), (1, 0));
    assert_eq!(behind(&graph(&[2.0, 0.0], &[1.0, 1.0])), (1, 0));
    assert_eq!(behind(&graph(&[2.0, 1e-5], &[1.0, 1.0])), (1, 0));
    let mut revealed = graph(&[2.0, 0.25], &[1.0, 1.0]);
    revealed.nodes.pop();
    revealed.output = 3;
    assert_eq!(behind(&revealed), (1, 0));
}

#[test]
fn known_answer_densenet_121_has_no_convolution_of_single_channels() {
    let graph = import(&generate::densenet121(2, 32, 10)).unwrap();
    let lowered = passes::lower(&graph).unwrap();
    // Before each of 58 dense layers, three transitions and the end.
    assert_eq!(left(&lowered), (0, 62));
}
