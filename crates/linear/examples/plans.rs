//! What the planner chooses, group by group, and what it puts on the wire:
//! `cargo run --release -p gazelle-linear --example plans [network] [l] [weight bits] [inferences]`.

use gazelle_linear::PublicCoin;
use gazelle_share::testing::test_rng;
use gazelle_share::{LinearProtocol, LinearWeights};

#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/suite/networks.rs"]
mod networks;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |i, default: &str| std::env::args().nth(i).unwrap_or_else(|| default.to_owned());
    let (l, fw) = (argument(2, "37").parse()?, argument(3, "12").parse()?);
    let inferences_per_setup = argument(4, "100").parse()?;
    let groups = match argument(1, "resnet50").as_str() {
        "cifar" => networks::minionn_cifar10(),
        "squeezenet" => networks::squeezenet(l, fw),
        _ => networks::resnet50(l, fw),
    };
    let mut rng = test_rng(9);
    let weights: Vec<Vec<LinearWeights>> = groups
        .iter()
        .map(|g| g.ops.iter().map(|op| networks::weights(op, fw, &mut rng)).collect())
        .collect();
    let borrowed: Vec<Vec<&LinearWeights>> = weights.iter().map(|w| w.iter().collect()).collect();
    let protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
    let start = std::time::Instant::now();
    let plan = protocol.plan(&groups, &borrowed)?;
    println!("planned in {:.1?}", start.elapsed());
    let (mut up, mut once) = (0, 0);
    for (group, planned) in groups.iter().zip(&plan.groups) {
        let alone =
            gazelle_linear::LinearPlan { groups: vec![planned.clone()], inferences_per_setup };
        let traffic = protocol.traffic(std::slice::from_ref(group), &alone);
        let request: u64 = traffic.offline.iter().map(gazelle_wire::Cost::total).sum();
        let hints = traffic.setup.server_to_client;
        (up, once) = (up + request, once + hints);
        let p = planned.parameters;
        let elements = group.input_len();
        println!(
            "{:>7} B up {:>8} hints | {:.2} bits/element | N={} k={} h={} d={} | {}",
            request,
            hints,
            8.0 * request as f64 / elements as f64,
            p.degree(),
            p.noise_bits(),
            f64::from(p.kept_quarters()) / 4.0,
            p.dropped_bits(),
            group.name,
        );
        for packing in &planned.packings {
            println!(
                "          phase {:?} tile {:?} channels {} maps {:?}",
                packing.phase, packing.tile, packing.channels, packing.maps
            );
        }
    }
    println!("per inference {up}, once {once}");
    Ok(())
}
