//! What plans cost on the wire.

use gazelle_share::LinearGroup;

use crate::networks::{cold_and_warm, minionn_cifar10, planned, resnet50, squeezenet};

/// Megabytes of a cold inference under a plan for one, and of one after setup under a plan for
/// a hundred.
fn megabytes(groups: &[LinearGroup], weight_bits: u32) -> (f64, f64) {
    let (cold, _) = cold_and_warm(&planned(groups, weight_bits, 1).1);
    let (_, warm) = cold_and_warm(&planned(groups, weight_bits, 100).1);
    println!("cold {cold} bytes, warm {warm} bytes");
    (cold as f64 / 1e6, warm as f64 / 1e6)
}

#[test]
fn minionn_cifar10_costs_under_3_5_megabytes_cold_and_0_6_after_setup() {
    let groups = minionn_cifar10();
    let (cold, _) = cold_and_warm(&planned(&groups, 10, 1).1);
    let (_, warm) = cold_and_warm(&planned(&groups, 10, 100).1);
    assert_eq!((cold, warm), (1_781_687, 231_318));
    assert!(cold <= 3_500_000 && warm <= 600_000);
}

#[test]
fn squeezenet_costs_what_the_model_of_the_traffic_says() {
    let (cold, warm) = megabytes(&squeezenet(37, 12), 12);
    assert!(cold <= 23.2 && warm <= 1.24, "l = 37: cold {cold} MB, warm {warm} MB");
    let (cold, warm) = megabytes(&squeezenet(24, 10), 10);
    assert!(cold <= 15.9 && warm <= 1.04, "default widths: cold {cold} MB, warm {warm} MB");
}

#[test]
fn resnet50_costs_what_the_model_of_the_traffic_says() {
    let (cold, warm) = megabytes(&resnet50(37, 12), 12);
    assert!(cold <= 139.0 && warm <= 7.3, "l = 37: cold {cold} MB, warm {warm} MB");
    let (cold, warm) = megabytes(&resnet50(24, 10), 10);
    assert!(cold <= 95.2 && warm <= 6.2, "default widths: cold {cold} MB, warm {warm} MB");
}

#[test]
fn operators_that_read_one_tensor_share_their_request() {
    // A fire module's two expansions against each of them alone.
    let groups = squeezenet(24, 10);
    let fire = groups.iter().find(|group| group.ops.len() == 2).unwrap();
    let alone: Vec<LinearGroup> = fire
        .ops
        .iter()
        .map(|op| LinearGroup { ops: vec![op.clone()], truncate_bits: vec![10], ..fire.clone() })
        .collect();
    let up = |groups: &[LinearGroup]| -> u64 {
        planned(groups, 10, 100).1.offline.iter().map(|cost| cost.client_to_server).sum()
    };
    assert!(up(std::slice::from_ref(fire)) * 3 < up(&alone) * 2);
}

#[test]
fn depthwise_layers_cost_what_their_pixels_ask_for() {
    // MobileNet v1's depthwise layers at the default widths.
    let depthwise = |channels, size, stride| match crate::networks::conv(
        channels, size, channels, 3, stride, 1,
    ) {
        gazelle_share::LinearOp::Conv(conv) => {
            gazelle_share::LinearOp::Conv(gazelle_share::Conv2d { groups: channels, ..conv })
        }
        other @ gazelle_share::LinearOp::FullyConnected { .. } => other,
    };
    let mut total = 0.0;
    for (channels, size, stride) in
        [(32, 112, 1), (64, 112, 2), (128, 56, 1), (256, 28, 1), (512, 14, 1), (1024, 7, 1)]
    {
        let group = crate::networks::group(24, 10, vec![depthwise(channels, size, stride)]);
        let (cold, warm) = megabytes(&[group], 10);
        println!("{channels} x {size}: cold {cold} warm {warm}");
        total += cold;
    }
    assert!(total < 12.0, "{total} MB");
}
