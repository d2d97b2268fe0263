//! All linear layers of a network, both parties in memory, phase by phase: processor time, also as a
//! multiple of the plain multiply-adds, traffic, memory.
//! `cargo bench -p gazelle-linear --bench networks [cifar|squeezenet|resnet50]`.

use std::sync::Arc;
use std::time::Instant;

use gazelle_linear::{PublicCoin, plain_kernels};
use gazelle_share::testing::test_rng;
use gazelle_share::{
    LinearClient, LinearGroup, LinearOp, LinearProtocol, LinearServer, LinearWeights, Mask,
    ProtocolError,
};
use gazelle_wire::{Channel, memory};

#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/suite/networks.rs"]
mod networks;

/// Processor time of this process so far, in milliseconds; ticks of 10.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    10.0 * ticks as f64
}

/// Runs `step`; prints its processor time, also as a ratio to `limit_ms`.
fn timed<T>(what: &str, limit_ms: f64, step: impl FnOnce() -> T) -> T {
    let (start, begin) = (cpu(), Instant::now());
    let result = step();
    let used = cpu() - start;
    println!("  {what}: cpu {used:.0} ms, {:.1} x, wall {:.1?}", used / limit_ms, begin.elapsed());
    result
}

/// Nanoseconds of one 64-bit multiply-add of the register-blocked kernel on one core.
fn multiply_add_ns() -> f64 {
    use gazelle_ring::kernel::gemm::{ROWS, STRIP, block};
    let (weights, words) = ([[3i64; ROWS]; 128], [[5u64; STRIP]; 128]);
    let mut sums = [[0u64; STRIP]; ROWS];
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..200 {
            block(&weights, std::hint::black_box(&words), &mut sums);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / (200 * 128 * ROWS * STRIP) as f64);
    }
    std::hint::black_box(&sums);
    best
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter =
        std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
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
    let macs: f64 = groups.iter().flat_map(|g| &g.ops).map(LinearOp::macs).sum::<u64>() as f64;
    let limit = macs * multiply_add_ns() / 1e6;
    println!("  {:.2} G multiply-adds; at the kernel's rate {limit:.0} ms", macs / 1e9);
    let plan = Arc::new(timed("plan", limit, || protocol.plan(groups, &borrowed))?);
    let compiled = timed("compile", limit, || {
        protocol.compile(Arc::clone(groups), Arc::clone(&plan), &borrowed)
    })?;
    println!("  compiled: {} MB", compiled.memory_bytes() >> 20);
    let compiled = Arc::new(compiled);
    let (mut channel, mut server_end) = memory::pair();
    let count = groups.len();
    let (server, client) = timed("setup, both parties", limit, || {
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut rng = test_rng(2);
                protocol.server(Arc::clone(&compiled), &[0; 32], &mut server_end, &mut rng)
            });
            let mut rng = test_rng(3);
            let (groups, plan) = (Arc::clone(groups), Arc::clone(&plan));
            let client = protocol.client(groups, plan, &[0; 32], &mut channel, &mut rng);
            (server.join(), client)
        })
    });
    let server = server.map_err(|_| "the server panicked")??;
    let client = client?;
    println!("  {:.2} MB, hints {} MB", megabytes(&channel), client.hint_bytes() >> 20);
    for _ in 0..2 {
        let before = megabytes(&channel);
        let (send, recv) = channel.halves();
        let (pending, received) = timed("requests and answers", limit, || {
            std::thread::scope(|scope| {
                let receive = scope.spawn(|| -> Result<Vec<_>, ProtocolError> {
                    let mut rng = test_rng(2);
                    (0..count).map(|g| server.receive(g, server_end.halves(), &mut rng)).collect()
                });
                let collect = scope.spawn(|| -> Result<Vec<_>, ProtocolError> {
                    let mut rng = test_rng(7);
                    (0..count).map(|g| client.request(g, Mask::Fresh, send, &mut rng)).collect()
                });
                (collect.join(), receive.join())
            })
        });
        let pending = pending.map_err(|_| "the client panicked")??;
        let received = received.map_err(|_| "the server panicked")??;
        let mut masks = Vec::new();
        let collected = pending
            .into_iter()
            .enumerate()
            .map(|(group, (mask, pending))| {
                masks.push(mask);
                client.collect(group, pending, recv)
            })
            .collect::<Result<Vec<_>, _>>()?;
        println!("  {:.2} MB", megabytes(&channel) - before);
        timed("server's products", limit, || -> Result<(), ProtocolError> {
            for (group, received) in received.into_iter().enumerate() {
                server.finish(group, received)?;
            }
            Ok(())
        })?;
        timed("client's shares", limit, || -> Result<(), ProtocolError> {
            for (group, collected) in collected.into_iter().enumerate() {
                client.finish(group, collected)?;
            }
            Ok(())
        })?;
        timed("online products", limit, || {
            for ((group, weights), mask) in groups.iter().zip(&weights).zip(&masks) {
                for (op, weights) in group.ops.iter().zip(weights) {
                    let y = plain_kernels::apply(op, weights, mask.words(), group.ring_bits);
                    std::hint::black_box(y);
                }
            }
        });
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("  {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}

/// Megabytes over a link so far, both ways.
fn megabytes(channel: &Channel) -> f64 {
    (channel.traffic().sent + channel.traffic().received) as f64 / 1e6
}
