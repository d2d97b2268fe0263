//! The linear layers of known networks, with weights of a trained network's size.

use gazelle_linear::{LinearPlan, PublicCoin};
use gazelle_prg::Prg;
use gazelle_share::testing::test_rng;
use gazelle_share::{
    Conv2d, Guard, LinearGroup, LinearOp, LinearProtocol, LinearTraffic, LinearWeights, MaskKind,
    Pads, TensorShape,
};
use rand_core::Rng;

/// A square convolution.
pub(crate) fn conv(
    channels: usize,
    size: usize,
    maps: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> LinearOp {
    LinearOp::Conv(Conv2d {
        input: TensorShape::new(channels, size, size),
        maps,
        kernel: [kernel, kernel],
        stride: [stride, stride],
        pads: Pads::all(pad),
        dilation: [1, 1],
        groups: 1,
    })
}

/// A group of `ops` that read one fresh mask.
pub(crate) fn group(ring_bits: u32, truncate_bits: u32, ops: Vec<LinearOp>) -> LinearGroup {
    LinearGroup {
        name: format!("{:?}", ops.first().map(LinearOp::output_shape)),
        ring_bits,
        truncate_bits: vec![truncate_bits; ops.len()],
        ops,
        mask: MaskKind::Fresh,
        revealed: false,
        guard: Guard::NONE,
    }
}

/// He-initialised weights at scale `2^weight_bits`: uniform of variance 2 / fan-in.
pub(crate) fn weights(op: &LinearOp, weight_bits: u32, rng: &mut Prg) -> LinearWeights {
    let maps = op.output_shape().channels;
    let fan_in = op.weight_len() / maps;
    let limit = (6.0 / fan_in as f64).sqrt() * f64::from(weight_bits).exp2();
    let weights = (0..op.weight_len())
        .map(|_| (f64::from(rng.next_u32() as i32) / 2f64.powi(31) * limit).round() as i32)
        .collect();
    LinearWeights { weights, bias: vec![0; maps] }
}

/// Plan and traffic of a network.
pub(crate) fn planned(
    groups: &[LinearGroup],
    weight_bits: u32,
    inferences_per_setup: u32,
) -> (LinearPlan, LinearTraffic) {
    let mut rng = test_rng(9);
    let weights: Vec<Vec<LinearWeights>> = groups
        .iter()
        .map(|group| group.ops.iter().map(|op| weights(op, weight_bits, &mut rng)).collect())
        .collect();
    let borrowed: Vec<Vec<&LinearWeights>> = weights.iter().map(|w| w.iter().collect()).collect();
    let protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
    let plan = protocol.plan(groups, &borrowed).unwrap();
    protocol.validate(groups, &plan).unwrap();
    let traffic = protocol.traffic(groups, &plan);
    (plan, traffic)
}

/// Setup and one inference, in bytes both ways; and the inference alone.
pub(crate) fn cold_and_warm(traffic: &LinearTraffic) -> (u64, u64) {
    let offline: u64 = traffic.offline.iter().map(gazelle_wire::Cost::total).sum();
    (traffic.setup.total() + offline, offline)
}

/// The CIFAR-10 network of MiniONN (USENIX CCS 2017), figure 13, at the default widths.
pub(crate) fn minionn_cifar10() -> Vec<LinearGroup> {
    let mut last = group(29, 10, vec![LinearOp::FullyConnected { inputs: 1024, outputs: 10 }]);
    last.revealed = true;
    vec![
        group(24, 12, vec![conv(3, 32, 64, 3, 1, 1)]),
        group(23, 10, vec![conv(64, 32, 64, 3, 1, 1)]),
        group(24, 10, vec![conv(64, 16, 64, 3, 1, 1)]),
        group(23, 10, vec![conv(64, 16, 64, 3, 1, 1)]),
        group(24, 10, vec![conv(64, 8, 64, 3, 1, 1)]),
        group(24, 10, vec![conv(64, 8, 64, 1, 1, 0)]),
        group(24, 10, vec![conv(64, 8, 16, 1, 1, 0)]),
        last,
    ]
}

/// ResNet-50: the first convolution, four stages of bottlenecks, the classifier.
pub(crate) fn resnet50(ring_bits: u32, truncate_bits: u32) -> Vec<LinearGroup> {
    let group = |ops| group(ring_bits, truncate_bits, ops);
    let mut groups = vec![group(vec![conv(3, 224, 64, 7, 2, 3)])];
    let stages = [(3, 64, 56, 1), (4, 128, 56, 2), (6, 256, 28, 2), (3, 512, 14, 2)];
    let mut channels = 64;
    for (blocks, width, size, first_stride) in stages {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let input = if block == 0 { size } else { size / first_stride };
            let mut readers = vec![conv(channels, input, width, 1, 1, 0)];
            if block == 0 {
                readers.push(conv(channels, input, 4 * width, 1, stride, 0));
            }
            groups.push(group(readers));
            groups.push(group(vec![conv(width, input, width, 3, stride, 1)]));
            groups.push(group(vec![conv(width, input / stride, 4 * width, 1, 1, 0)]));
            channels = 4 * width;
        }
    }
    let mut last = group(vec![LinearOp::FullyConnected { inputs: 2048, outputs: 1000 }]);
    last.revealed = true;
    groups.push(last);
    groups
}

/// SqueezeNet 1.1.
pub(crate) fn squeezenet(ring_bits: u32, truncate_bits: u32) -> Vec<LinearGroup> {
    let group = |ops| group(ring_bits, truncate_bits, ops);
    let mut groups = vec![group(vec![conv(3, 224, 64, 3, 2, 0)])];
    let fires = [
        (64, 55, 16, 64),
        (128, 55, 16, 64),
        (128, 27, 32, 128),
        (256, 27, 32, 128),
        (256, 13, 48, 192),
        (384, 13, 48, 192),
        (384, 13, 64, 256),
        (512, 13, 64, 256),
    ];
    for (channels, size, squeeze, expand) in fires {
        groups.push(group(vec![conv(channels, size, squeeze, 1, 1, 0)]));
        groups.push(group(vec![
            conv(squeeze, size, expand, 1, 1, 0),
            conv(squeeze, size, expand, 3, 1, 1),
        ]));
    }
    groups.push(group(vec![conv(512, 13, 1000, 1, 1, 0)]));
    groups
}
