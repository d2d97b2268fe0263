//! The networks.

use super::{Conv, Net, same};
use crate::onnx::write::Attribute;

/// ResNet-50 (He et al. 2015): 25.6 million parameters, 4.1 G multiply-adds at 224 x 224. The last
/// convolution of each of the 16 blocks has a quarter of He's deviation, so that the sum with the
/// shortcut keeps its size (a factor `1 / sqrt(depth)`, as initialisation without normalisation
/// needs it; else activations grow 256-fold).
pub fn resnet50(seed: u64, side: usize, classes: usize) -> Vec<u8> {
    let mut net = Net::new(seed, 3, side);
    let stem = Conv { stride: 2, pad: 3, ..same(3, 64, 7) };
    let x = net.conv("x", stem);
    let x = net.relu(&x);
    let mut x = net.pool("MaxPool", &x, 3, 2, 1, false);
    let mut input = 64;
    for (stage, (blocks, width)) in [(3, 64), (4, 128), (6, 256), (3, 512)].into_iter().enumerate()
    {
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let a = net.conv(&x, same(input, width, 1));
            let a = net.relu(&a);
            let b = net.conv(&a, Conv { stride, ..same(width, width, 3) });
            let b = net.relu(&b);
            let c = net.scaled_conv(&b, same(width, 4 * width, 1), 0.25);
            let shortcut = if block == 0 {
                net.conv(&x, Conv { stride, ..same(input, 4 * width, 1) })
            } else {
                x
            };
            let sum = net.binary("Add", &c, &shortcut);
            x = net.relu(&sum);
            input = 4 * width;
        }
    }
    net.classifier(&x, input, classes)
}

/// `SqueezeNet` 1.1 (Iandola et al. 2016): 1.24 million parameters, 0.35 G multiply-adds.
pub fn squeezenet1_1(seed: u64, side: usize, classes: usize) -> Vec<u8> {
    let mut net = Net::new(seed, 3, side);
    let x = net.conv("x", Conv { stride: 2, pad: 0, ..same(3, 64, 3) });
    let x = net.relu(&x);
    let mut x = net.pool("MaxPool", &x, 3, 2, 0, true);
    let mut input = 64;
    for (i, (squeeze, expand)) in
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
            .into_iter()
            .enumerate()
    {
        let s = net.conv(&x, same(input, squeeze, 1));
        let s = net.relu(&s);
        let a = net.conv(&s, same(squeeze, expand, 1));
        let a = net.relu(&a);
        let b = net.conv(&s, same(squeeze, expand, 3));
        let b = net.relu(&b);
        x = net.binary("Concat", &a, &b);
        if matches!(i, 1 | 3) {
            x = net.pool("MaxPool", &x, 3, 2, 0, true);
        }
        input = 2 * expand;
    }
    let x = net.unary("Dropout", &x, &[]);
    let x = net.conv(&x, same(input, classes, 1));
    let x = net.relu(&x);
    let x = net.unary("GlobalAveragePool", &x, &[]);
    let x = net.unary("Flatten", &x, &[("axis", Attribute::Int(1))]);
    net.writer.finish(&x)
}

/// `DenseNet`-121 (Huang et al. 2016), batch normalisation left to fold: 8 million parameters, 2.9 G
/// multiply-adds.
pub fn densenet121(seed: u64, side: usize, classes: usize) -> Vec<u8> {
    let growth = 32;
    let mut net = Net::new(seed, 3, side);
    let x = net.conv("x", Conv { stride: 2, pad: 3, ..same(3, 64, 7) });
    let x = net.batch_norm(&x, 64);
    let x = net.relu(&x);
    let mut x = net.pool("MaxPool", &x, 3, 2, 1, false);
    let mut input = 64;
    for (i, layers) in [6, 12, 24, 16].into_iter().enumerate() {
        for _ in 0..layers {
            let y = net.batch_norm(&x, input);
            let y = net.relu(&y);
            let y = net.conv(&y, same(input, 4 * growth, 1));
            let y = net.batch_norm(&y, 4 * growth);
            let y = net.relu(&y);
            let y = net.conv(&y, same(4 * growth, growth, 3));
            x = net.binary("Concat", &x, &y);
            input += growth;
        }
        if i < 3 {
            let y = net.batch_norm(&x, input);
            let y = net.relu(&y);
            let y = net.conv(&y, same(input, input / 2, 1));
            x = net.pool("AveragePool", &y, 2, 2, 0, false);
            input /= 2;
        }
    }
    let x = net.batch_norm(&x, input);
    let x = net.relu(&x);
    net.classifier(&x, input, classes)
}

/// `MobileNet` v1 (Howard et al. 2017), with batch normalisation and ReLU, or `ReLU6` if `clipped`:
/// 4.2 million parameters, 0.57 G multiply-adds.
pub fn mobilenet_v1(seed: u64, side: usize, classes: usize, clipped: bool) -> Vec<u8> {
    let mut net = Net::new(seed, 3, side);
    if clipped {
        net.writer.floats("low", &[], &[0.0]);
        net.writer.floats("high", &[], &[6.0]);
    }
    let activate = |net: &mut Net, x: &str, channels: usize| {
        let x = net.batch_norm(x, channels);
        if !clipped {
            return net.relu(&x);
        }
        let name = net.name("clip");
        net.writer.node("Clip", &[&x, "low", "high"], &[&name], &[]);
        name
    };
    let x = net.conv("x", Conv { stride: 2, ..same(3, 32, 3) });
    let mut x = activate(&mut net, &x, 32);
    let mut input = 32;
    let blocks = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    ];
    for (maps, stride) in blocks {
        let depthwise = Conv { stride, groups: input, ..same(input, input, 3) };
        let y = net.conv(&x, depthwise);
        let y = activate(&mut net, &y, input);
        let y = net.conv(&y, same(input, maps, 1));
        x = activate(&mut net, &y, maps);
        input = maps;
    }
    net.classifier(&x, input, classes)
}
