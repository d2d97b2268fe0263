//! What things cost on this machine: plain numbers, measured by a second of real sessions.

use std::sync::Arc;

use gazelle_share::{
    Architecture, Conv2d, LinearOp, LinearWeights, Network, Node, NodeKind, Pads, Step,
    StepFunction, StepOutput, Tensor, TensorShape,
};
use gazelle_wire::memory;
use serde::{Deserialize, Serialize};

use crate::backend::{AnyOt, Choice, DefaultServer, StepProtocol};
use crate::description::ModelInfo;
use crate::error::GazelleError;
use crate::report::{Layer, Phase};
use crate::session::{Limits, Offer, ServerLimits};

/// Nanoseconds of wall-clock time with both parties on this machine. The defaults were measured on
/// two cores of a Zen 4 at 3.7 GHz.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Session setup apart from hints: base OTs and what follows.
    pub setup_ns: f64,
    /// Per byte of a linear layer's hints, offline: stands for what a response costs.
    pub hint_byte_ns: f64,
    /// Per multiply-add of a linear layer, offline.
    pub offline_mac_ns: f64,
    /// Per multiply-add of a linear layer, online.
    pub online_mac_ns: f64,
    /// Per AND gate, offline: garbling, its OTs, sending tables.
    pub and_offline_ns: f64,
    /// Per AND gate, online: evaluation and labels.
    pub and_online_ns: f64,
    /// Per random OT of a GMW step, offline.
    pub rot_ns: f64,
    /// Per online byte of a GMW step.
    pub gmw_byte_ns: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            setup_ns: 12e6,
            hint_byte_ns: 8.0,
            offline_mac_ns: 0.7,
            online_mac_ns: 0.1,
            and_offline_ns: 40.0,
            and_online_ns: 12.0,
            rot_ns: 35.0,
            gmw_byte_ns: 50.0,
        }
    }
}

/// Sides of the calibration network's images, its maps, its kernel.
const SIDE: usize = 32;
const MAPS: usize = 16;
const KERNEL: usize = 3;
/// Bits of values; bits that are dropped.
const VALUE_BITS: u32 = 12;
const TRUNCATE_BITS: u32 = 10;

impl Machine {
    /// Measures this machine: two short sessions over a link in memory, one garbled, one with GMW.
    ///
    /// # Errors
    /// The sessions'.
    pub fn calibrate() -> Result<Self, GazelleError> {
        let network = network();
        let garbled = session(&network, StepProtocol::Garbled)?;
        let gmw = session(&network, StepProtocol::Gmw)?;
        let mut machine = Self::default();
        let macs = (MAPS * MAPS * KERNEL * KERNEL * SIDE * SIDE) as f64;
        let elements = (MAPS * SIDE * SIDE) as f64;
        let and_gates = elements * f64::from(2 * VALUE_BITS + RING - 3);
        let linear = |run: &Run| (run.linear.offline.seconds, run.linear.online.seconds);
        let (offline, online) = linear(&garbled);
        let fixed = machine.hint_byte_ns * garbled.hint_bytes as f64;
        machine.offline_mac_ns = ((offline * 1e9 - fixed) / macs).max(0.05);
        machine.online_mac_ns = (online.min(linear(&gmw).1) * 1e9 / macs).max(0.01);
        machine.and_offline_ns = (garbled.relu.offline.seconds * 1e9 / and_gates).max(1.0);
        machine.and_online_ns = (garbled.relu.online.seconds * 1e9 / and_gates).max(1.0);
        machine.rot_ns = (gmw.relu.offline.seconds * 1e9 / gmw.rots as f64).max(1.0);
        machine.gmw_byte_ns =
            (gmw.relu.online.seconds * 1e9 / gmw.relu.online.bytes().max(1) as f64).max(0.1);
        machine.setup_ns = (garbled.setup.seconds * 1e9).max(1e6);
        Ok(machine)
    }
}

/// What one calibration session took.
struct Run {
    setup: Phase,
    linear: Layer,
    relu: Layer,
    hint_bytes: u64,
    rots: u64,
}

/// Ring of the calibration network's layers.
const RING: u32 = VALUE_BITS + TRUNCATE_BITS;

fn session(network: &Network, protocol: StepProtocol) -> Result<Run, GazelleError> {
    let expected = 32 * (MAPS * SIDE * SIDE) as u32;
    let choice = Choice { ot: AnyOt::For(expected), ..Choice::all(protocol) };
    let server = Arc::new(DefaultServer::compile(
        choice.suite(2),
        network.clone(),
        ModelInfo::default(),
        choice.to_value(),
    )?);
    let rots: usize = choice
        .suite(2)
        .nonlinear()
        .prices(&relu(), protocol.step_choice())
        .map_or(1, |price| price.rots.0 + price.rots.1);
    let hint_bytes = server.traffic().linear.setup.server_to_client;
    let (ours, theirs) = memory::pair();
    let serving = Arc::clone(&server);
    let thread = std::thread::spawn(move || {
        serving.serve(theirs, &ServerLimits::default(), &mut gazelle_prg::system_rng()?)
    });
    let mut rng = gazelle_prg::system_rng()?;
    let mut client =
        Offer::receive(ours, Limits::default(), None)?.accept(choice.suite(2), &mut rng)?;
    // The first inference warms caches up and makes the first batch of OTs.
    let input = vec![1i64; MAPS * SIDE * SIDE];
    let mut last = None;
    for _ in 0..2 {
        let prepared = client.prepare(&mut rng)?;
        last = Some(client.infer(prepared, &input)?);
    }
    let setup = client.setup();
    client.close()?;
    let report = thread.join().map_err(|_| GazelleError::Panicked)??;
    let missing = || GazelleError::Plan("the calibration network has no layers".into());
    let inference = last.ok_or_else(missing)?;
    let mut layers = inference.report.layers.into_iter();
    let mut linear = layers.next().ok_or_else(missing)?;
    let relu = layers.next().ok_or_else(missing)?;
    let served = report.inferences.last().and_then(|inference| inference.layers.first());
    if let Some(served) = served {
        linear.online.seconds = served.online.seconds;
        linear.offline.seconds = linear.offline.seconds.max(served.offline.seconds);
    }
    Ok(Run { setup, linear, relu, hint_bytes, rots: rots as u64 })
}

fn relu() -> Step {
    Step {
        function: StepFunction::Relu,
        input: TensorShape::new(MAPS, SIDE, SIDE),
        input_bits: RING,
        truncate_bits: TRUNCATE_BITS,
        value_bits: VALUE_BITS,
        sum_pool: None,
        output: StepOutput::Masked { bits: RING },
    }
}

/// One convolution, a ReLU, and ten outputs that are revealed.
fn network() -> Network {
    let image = TensorShape::new(MAPS, SIDE, SIDE);
    let tensor = |name: &str, shape, ring_bits| Tensor {
        name: name.into(),
        shape,
        scale: 0,
        ring_bits,
        value_bits: VALUE_BITS,
    };
    let node = |name: &str, kind, input, output| Node {
        name: name.into(),
        kind,
        inputs: vec![input],
        output,
    };
    let conv = LinearOp::Conv(Conv2d {
        input: image,
        maps: MAPS,
        kernel: [KERNEL; 2],
        stride: [1; 2],
        pads: Pads::all(KERNEL / 2),
        dilation: [1; 2],
        groups: 1,
    });
    let dense = LinearOp::FullyConnected { inputs: image.len(), outputs: 10 };
    let output = TensorShape::vector(10);
    let reveal = Step {
        function: StepFunction::Round,
        input: output,
        sum_pool: None,
        output: StepOutput::Reveal,
        ..relu()
    };
    let weights = |op: &LinearOp, bias: usize| {
        let weight = |i: usize| ((i * 37) % 101) as i32 - 50;
        Some(LinearWeights {
            weights: (0..op.weight_len()).map(weight).collect(),
            bias: vec![0; bias],
        })
    };
    Network {
        weights: vec![weights(&conv, MAPS), None, weights(&dense, 10), None],
        architecture: Architecture {
            tensors: vec![
                tensor("input", image, RING),
                tensor("conv", image, RING),
                tensor("relu", image, RING),
                tensor("dense", output, RING),
                tensor("output", output, VALUE_BITS),
            ],
            nodes: vec![
                node("conv", NodeKind::Linear(conv), 0, 1),
                node("relu", NodeKind::Step(relu()), 1, 2),
                node("dense", NodeKind::Linear(dense), 2, 3),
                node("output", NodeKind::Step(reveal), 3, 4),
            ],
            output: 4,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_calibration_gives_positive_prices() {
        let machine = Machine::calibrate().unwrap();
        let prices = [
            machine.setup_ns,
            machine.offline_mac_ns,
            machine.online_mac_ns,
            machine.and_offline_ns,
            machine.and_online_ns,
            machine.rot_ns,
            machine.gmw_byte_ns,
        ];
        assert!(prices.iter().all(|price| price.is_finite() && *price > 0.0), "{prices:?}");
    }
}
