//! Times single layers, both parties in memory: `cargo bench -p gazelle-linear --bench
//! layers [filter]`.

use std::sync::Arc;
use std::time::Instant;

use gazelle_linear::{PublicCoin, plain_kernels};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{
    Conv2d, Guard, LinearClient, LinearGroup, LinearOp, LinearProtocol, LinearServer,
    LinearWeights, Mask, MaskKind, Pads, TensorShape,
};
use gazelle_wire::memory;
use rand_core::Rng;

fn conv(channels: usize, size: usize, maps: usize, kernel: usize, stride: usize) -> LinearOp {
    LinearOp::Conv(Conv2d {
        input: TensorShape::new(channels, size, size),
        maps,
        kernel: [kernel, kernel],
        stride: [stride, stride],
        pads: Pads::all(kernel / 2),
        dilation: [1, 1],
        groups: 1,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter =
        std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let layers = [
        ("conv 56x56x64->64 3x3", conv(64, 56, 64, 3, 1)),
        ("conv 14x14x256->256 3x3", conv(256, 14, 256, 3, 1)),
        ("conv 7x7x512->2048 1x1", conv(512, 7, 2048, 1, 1)),
        ("conv 224x224x3->64 7x7s2", conv(3, 224, 64, 7, 2)),
        ("fc 2048->1001", LinearOp::FullyConnected { inputs: 2048, outputs: 1001 }),
        ("conv 32x32x64->64 3x3", conv(64, 32, 64, 3, 1)),
        ("conv 56x56x256->64 1x1", conv(256, 56, 64, 1, 1)),
    ];
    for (name, op) in layers.into_iter().filter(|(name, _)| name.contains(&filter)) {
        for (ring_bits, truncate_bits) in [(37, 12), (24, 10)] {
            for inferences_per_setup in [1, 100] {
                run(name, &op, ring_bits, truncate_bits, inferences_per_setup)?;
            }
        }
    }
    Ok(())
}

/// Processor time of all threads of this process, in milliseconds: wall clocks mean little on a shared machine.
fn cpu() -> f64 {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    total as f64 / 1e6
}

fn run(
    name: &str,
    op: &LinearOp,
    ring_bits: u32,
    truncate_bits: u32,
    inferences_per_setup: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = Prg::new(&Seed::from_bytes([1; 16]), 0);
    let fan_in = op.weight_len() / op.output_shape().channels;
    let limit = (6.0 / fan_in as f64).sqrt() * f64::from(truncate_bits).exp2();
    let weights = LinearWeights {
        weights: (0..op.weight_len())
            .map(|_| (f64::from(rng.next_u32() as i32) / 2f64.powi(31) * limit) as i32)
            .collect(),
        bias: vec![],
    };
    let groups: Arc<[LinearGroup]> = vec![LinearGroup {
        name: name.into(),
        ring_bits,
        ops: vec![op.clone()],
        truncate_bits: vec![truncate_bits],
        mask: MaskKind::Fresh,
        revealed: false,
        guard: Guard::NONE,
    }]
    .into();
    let mut protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<f64>().ok());
    if let Some(bytes) = number("TRANSFORM_BYTES") {
        protocol.transform_bytes = bytes as usize;
    }
    let borrowed = vec![vec![&weights]];
    let start = Instant::now();
    let plan = Arc::new(protocol.plan(&groups, &borrowed)?);
    let planned = start.elapsed();
    let traffic = protocol.traffic(&groups, &plan);
    let start = Instant::now();
    protocol.compile(Arc::clone(&groups), Arc::clone(&plan), &borrowed)?;
    let compile = start.elapsed();
    let mut engines = protocol;
    if let Some(ns) = number("MULTIPLY_ADD_NS") {
        engines.prices.multiply_add_ns = ns;
    }
    let compiled = Arc::new(engines.compile(Arc::clone(&groups), Arc::clone(&plan), &borrowed)?);
    let up: u64 = traffic.offline.iter().map(|cost| cost.client_to_server).sum();
    println!(
        "{name} l={ring_bits} for {inferences_per_setup}: {:?} up {:.3} MB hints {:.3} MB, plan {planned:.1?} compile {compile:.1?}",
        plan.groups,
        up as f64 / 1e6,
        traffic.setup.server_to_client as f64 / 1e6,
    );
    let (mut client_end, mut server_end) = memory::pair();
    let start = cpu();
    let server = std::thread::spawn(move || -> Result<_, gazelle_share::ProtocolError> {
        let mut rng = Prg::new(&Seed::from_bytes([2; 16]), 0);
        let server = PublicCoin::default().server(compiled, &[0; 32], &mut server_end, &mut rng)?;
        Ok((server, server_end, rng))
    });
    let client = protocol.client(
        Arc::clone(&groups),
        Arc::clone(&plan),
        &[0; 32],
        &mut client_end,
        &mut rng,
    )?;
    let (server, mut server_end, mut server_rng) =
        server.join().map_err(|_| "the server panicked")??;
    let setup = cpu() - start;
    let mut last = None;
    for _ in 0..3 {
        // One after the other, so that processor time can be told apart; the pipe is drained.
        let start = cpu();
        let ((send, recv), begin) = (client_end.halves(), Instant::now());
        let (served, requested, r, pending) = std::thread::scope(|scope| {
            let serve = scope.spawn(|| {
                let received = server.receive(0, server_end.halves(), &mut server_rng);
                let result = received.and_then(|received| server.finish(0, received));
                (result, cpu())
            });
            let (r, pending) = client.request(0, Mask::Fresh, send, &mut rng)?;
            let requested = cpu() - start;
            let (result, done) =
                serve.join().map_err(|_| gazelle_share::ProtocolError::Panicked)?;
            result?;
            Ok::<_, gazelle_share::ProtocolError>((done - start - requested, requested, r, pending))
        })?;
        let start = cpu();
        client.finish(0, client.collect(0, pending, recv)?)?;
        println!(
            "   cpu ms: request {requested:.1} server {served:.1} finish {:.1}; wall {:.1?}",
            cpu() - start,
            begin.elapsed()
        );
        last = Some(r);
    }
    let start = cpu();
    let r = last.ok_or("no inference")?;
    std::hint::black_box(plain_kernels::apply(op, &weights, r.words(), ring_bits));
    println!("   cpu ms: setup {setup:.1}; online {:.1}", cpu() - start);
    Ok(())
}
