//! What plans cost on the wire, as literals.

use crate::networks::{cold_and_warm, minionn_cifar10, planned, resnet50, squeezenet};
use gazelle_linear::Prices;

fn show(name: &str, groups: &[gazelle_share::LinearGroup], weight_bits: u32) {
    for inferences in [1, 100] {
    for price in [0.0, 0.01, 0.1] {
    let start = std::time::Instant::now();
    let (plan, traffic) = planned(groups, weight_bits, inferences, Prices { bits_per_ns: price, ..Prices::default() });
    if name == "none" {
    for ((g, p), t) in groups.iter().zip(&plan.groups).zip(&traffic.offline).take(10) {
        println!("{:?} k{} h{} d{} {:?} {:?}", g.ops, p.parameters.noise_bits(), p.parameters.kept_bits(), p.parameters.dropped_bits(), p.packings, t);
    }
    }
    let (cold, warm) = cold_and_warm(&traffic);
    println!("{name} for {inferences} at {price}: cold {:.2} MB warm {:.3} MB, {:?}", cold as f64/1e6, warm as f64/1e6, start.elapsed());
    }
    }
}

#[test]
fn show_all() {
    show("cifar", &minionn_cifar10(), 10);
    show("squeeze", &squeezenet(37, 12), 12);
    show("squeeze24", &squeezenet(24, 10), 10);
    show("resnet", &resnet50(37, 12), 12);
    show("resnet24", &resnet50(24, 10), 10);
}
