//! Benchmarks of `gazelle-linear`: single layers, both parties in this process over memory.
//!
//! Items are plaintext multiply-adds; the limit is one 64-bit multiply-add each, on one core. Per
//! layer: setup (hints), offline (request, evaluation, shares), online (`W (x - r)`).

use std::sync::Arc;
use std::time::Instant;

use gazelle_linear::{PublicCoin, plain_kernels};
use gazelle_prg::{Prg, Seed};
use gazelle_share::{
    Conv2d, Guard, LinearClient, LinearGroup, LinearOp, LinearProtocol, LinearServer,
    LinearWeights, Mask, MaskKind, Pads, ProtocolError, Shares, TensorShape,
};
use gazelle_wire::{Traffic, memory};
use rand_core::Rng;

use crate::Outcome;
use crate::limits::Limit;
use crate::measure::{Bench, Measurement, repeat};

/// Inferences of one session; the offline figure is their mean.
const INFERENCES: usize = 5;

/// Runs the suite.
pub(crate) fn run(bench: &mut Bench) -> Outcome {
    let layers = [
        ("conv/56x56x64-64-3x3", conv(64, 56, 64, 3, 1)),
        ("conv/14x14x256-256-3x3", conv(256, 14, 256, 3, 1)),
        ("conv/7x7x512-2048-1x1", conv(512, 7, 2048, 1, 1)),
        ("conv/224x224x3-64-7x7s2", conv(3, 224, 64, 7, 2)),
        ("conv/32x32x64-64-3x3", conv(64, 32, 64, 3, 1)),
        ("fully-connected/2048-1001", LinearOp::FullyConnected { inputs: 2048, outputs: 1001 }),
    ];
    for (name, op) in layers {
        for (ring_bits, truncate_bits) in [(37, 12), (24, 10)] {
            for inferences_per_setup in [1, 100] {
                let id = format!(
                    "linear/{name}/l={ring_bits},t={truncate_bits},plan={inferences_per_setup}"
                );
                if bench.wants(&id) {
                    let layer = Layer::new(&op, ring_bits, truncate_bits);
                    measure(bench, &id, &layer, inferences_per_setup)?;
                }
            }
        }
    }
    Ok(())
}

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

/// A layer with random weights of a trained layer's size.
struct Layer {
    groups: Arc<[LinearGroup]>,
    op: LinearOp,
    weights: LinearWeights,
    ring_bits: u32,
}

impl Layer {
    fn new(op: &LinearOp, ring_bits: u32, truncate_bits: u32) -> Self {
        let mut rng = Prg::new(&Seed::from_bytes([1; 16]), 0);
        let fan_in = op.weight_len() / op.output_shape().channels;
        let limit = (6.0 / fan_in as f64).sqrt() * f64::from(truncate_bits).exp2();
        let weights = (0..op.weight_len())
            .map(|_| (f64::from(rng.next_u32() as i32) / 2f64.powi(31) * limit) as i32)
            .collect();
        let group = LinearGroup {
            name: "layer".into(),
            ring_bits,
            ops: vec![op.clone()],
            truncate_bits: vec![truncate_bits],
            mask: MaskKind::Fresh,
            revealed: false,
            guard: Guard::NONE,
        };
        Self {
            groups: vec![group].into(),
            op: op.clone(),
            weights: LinearWeights { weights, bias: Vec::new() },
            ring_bits,
        }
    }
}

/// One phase: seconds of each repetition, and the client's traffic in one.
struct Phase {
    seconds: Vec<f64>,
    traffic: Traffic,
}

fn measure(bench: &mut Bench, id: &str, layer: &Layer, inferences_per_setup: u32) -> Outcome {
    let protocol = PublicCoin { inferences_per_setup, ..PublicCoin::default() };
    let (setup, offline) = session(layer, protocol)?;
    let input = Shares::zero(layer.ring_bits, layer.op.input_len());
    let online = repeat(bench.seconds(), || {
        plain_kernels::apply(&layer.op, &layer.weights, input.words(), layer.ring_bits)
    });
    let limit_ns = bench.limit_ns(Limit::MultiplyAdds)?;
    let mut record = |phase, seconds: &[f64], traffic: Traffic| {
        let figure =
            Measurement::new(format!("{id}/public-coin/{phase}"), layer.op.macs(), seconds)
                .against(Limit::MultiplyAdds, 1.0, limit_ns);
        bench.record(&Measurement {
            phase,
            bytes: traffic.sent + traffic.received,
            turns: traffic.turns,
            ..figure
        })
    };
    record("setup", &setup.seconds, setup.traffic)?;
    record("offline", &offline.seconds, offline.traffic)?;
    record("online", &online, Traffic::default())
}

/// Setup once, then the offline phase of some inferences.
fn session(
    layer: &Layer,
    protocol: PublicCoin,
) -> Result<(Phase, Phase), Box<dyn std::error::Error>> {
    let weights = vec![vec![&layer.weights]];
    let plan = Arc::new(protocol.plan(&layer.groups, &weights)?);
    let groups = Arc::clone(&layer.groups);
    let compiled = Arc::new(protocol.compile(groups, Arc::clone(&plan), &weights)?);
    let (mut channel, mut server_end) = memory::pair();
    let server = std::thread::spawn(move || -> Result<(), ProtocolError> {
        let mut rng = Prg::new(&Seed::from_bytes([2; 16]), 0);
        let server = protocol.server(compiled, &[0; 32], &mut server_end, &mut rng)?;
        for _ in 0..INFERENCES {
            let received = server.receive(0, server_end.halves(), &mut rng)?;
            server.finish(0, received)?;
        }
        Ok(())
    });
    let mut rng = Prg::new(&Seed::from_bytes([3; 16]), 0);
    let start = Instant::now();
    let groups = Arc::clone(&layer.groups);
    let client = protocol.client(groups, plan, &[0; 32], &mut channel, &mut rng)?;
    let setup = Phase { seconds: vec![start.elapsed().as_secs_f64()], traffic: channel.traffic() };
    let mut traffic = Traffic::default();
    let start = Instant::now();
    for _ in 0..INFERENCES {
        let before = channel.traffic();
        let (send, recv) = channel.halves();
        let (_, pending) = client.request(0, Mask::Fresh, send, &mut rng)?;
        client.finish(0, client.collect(0, pending, recv)?)?;
        traffic = channel.traffic() - before;
    }
    server.join().map_err(|_| "the server panicked")??;
    // The client's next request overlaps with the server's products, as in a session.
    let seconds = vec![start.elapsed().as_secs_f64() / INFERENCES as f64];
    Ok((setup, Phase { seconds, traffic }))
}
