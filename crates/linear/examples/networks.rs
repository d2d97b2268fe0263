//! All linear layers of a network, both parties in memory, one cold inference and one after it:
//! `cargo run --release -p gazelle-linear --example networks [cifar|squeezenet|resnet50]`.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use gazelle_linear::PublicCoin;
use gazelle_share::testing::test_rng;
use gazelle_share::{
    LinearClient, LinearGroup, LinearProtocol, LinearServer, LinearWeights, Mask, ProtocolError,
};
use gazelle_wire::memory;

#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/suite/networks.rs"]
mod networks;

/// Processor time of all threads of this process, in milliseconds.
fn cpu() -> f64 {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    total as f64 / 1e6
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let all = [
        ("cifar", networks::minionn_cifar10(), 10),
        ("squeezenet", networks::squeezenet(24, 10), 10),
        ("resnet50", networks::resnet50(24, 10), 10),
    ];
    for (name, groups, weight_bits) in all.into_iter().filter(|(name, ..)| name.contains(&filter)) {
        let groups: Arc<[LinearGroup]> = groups.into();
        for inferences_per_setup in [1, 100] {
            println!("{name}, planned for {inferences_per_setup}");
            run(&groups, weight_bits, inferences_per_setup)?;
        }
    }
    Ok(())
}

fn run(
    groups: &Arc<[LinearGroup]>,
    weight_bits: u32,
    inferences_per_setup: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = test_rng(9);
    let weights: Vec<Vec<LinearWeights>> = groups
        .iter()
        .map(|g| g.ops.iter().map(|op| networks::weights(op, weight_bits, &mut rng)).collect())
        .collect();
    let borrowed: Vec<Vec<&LinearWeights>> = weights.iter().map(|w| w.iter().collect()).collect();
    let protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
    let start = cpu();
    let plan = Arc::new(protocol.plan(groups, &borrowed)?);
    let planned = cpu();
    let compiled = Arc::new(protocol.compile(Arc::clone(groups), Arc::clone(&plan), &borrowed)?);
    println!("  cpu ms: plan {:.0}, compile {:.0}", planned - start, cpu() - planned);
    let (mut channel, mut server_end) = memory::pair();
    let count = groups.len();
    let server = std::thread::spawn(move || -> Result<(), ProtocolError> {
        let mut rng = test_rng(2);
        let server = protocol.server(compiled, &[0; 32], &mut server_end, &mut rng)?;
        for _ in 0..2 {
            for group in 0..count {
                let received = server.receive(group, server_end.halves(), &mut rng)?;
                server.finish(group, received)?;
            }
        }
        Ok(())
    });
    let (start, begin) = (cpu(), Instant::now());
    let client =
        protocol.client(Arc::clone(groups), Arc::clone(&plan), &[0; 32], &mut channel, &mut rng)?;
    println!("  setup: cpu {:.0} ms, wall {:.1?}", cpu() - start, begin.elapsed());
    for _ in 0..2 {
        let (start, begin, before) = (cpu(), Instant::now(), channel.traffic());
        let (send, recv) = channel.halves();
        let (pass, pending) = mpsc::channel();
        std::thread::scope(|scope| {
            let requests = scope.spawn(|| -> Result<(), ProtocolError> {
                let mut rng = test_rng(7);
                for group in 0..count {
                    let (_, secret) = client.request(group, Mask::Fresh, send, &mut rng)?;
                    if pass.send(secret).is_err() {
                        break;
                    }
                }
                drop(pass);
                Ok(())
            });
            for (group, secret) in pending.into_iter().enumerate() {
                client.finish(group, client.collect(group, secret, recv)?)?;
            }
            requests.join().map_err(|_| ProtocolError::Caller("panicked".into()))?
        })?;
        let traffic = channel.traffic() - before;
        println!(
            "  offline: cpu {:.0} ms, wall {:.1?}, {:.2} MB",
            cpu() - start,
            begin.elapsed(),
            (traffic.sent + traffic.received) as f64 / 1e6
        );
    }
    server.join().map_err(|_| "the server panicked")??;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("  {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}
