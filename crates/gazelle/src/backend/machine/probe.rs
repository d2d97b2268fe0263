//! Short sessions whose times a [`Machine`](super::Machine) is made from.

use std::sync::Arc;

use gazelle_block::{BitVec, Block, Delta};
use gazelle_ot::ferret::Parameters;
use gazelle_ot::{BaseOt, Ferret, OtExtension, RcotReceiver, RcotSender, SoftSpoken};
use gazelle_share::{
    Conv2d, LinearOp, LinearWeights, LocalMap, Network, NetworkBuilder, Pads, StepFunction,
    TensorId, TensorShape,
};
use gazelle_wire::{Channel, Instant, memory};

use crate::backend::{AnyOt, Choice, DefaultService, StepProtocol, planner};
use crate::description::{Description, ModelInfo};
use crate::error::GazelleError;
use crate::session::{Limits, Offer, ServerLimits};

/// Bits of values; bits that are dropped; the ring of all layers.
const VALUE_BITS: u32 = 12;
const TRUNCATE_BITS: u32 = 10;
const RING: u32 = VALUE_BITS + TRUNCATE_BITS;
/// Maps of the hidden layers.
const MAPS: usize = 16;
/// Channels, maps and side of the convolutions whose products are measured.
const WIDE: usize = 64;
const SIDE: usize = 32;

/// What a session took, and what was in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    pub(super) setup_ns: f64,
    pub(super) offline_ns: f64,
    pub(super) online_ns: f64,
    /// The server's plain products.
    pub(super) linear_online_ns: f64,
    pub(super) macs: f64,
    /// Polynomials sent ahead; requests and responses of an inference; at N = 2048.
    pub(super) hints: f64,
    pub(super) polynomials: f64,
    pub(super) steps: f64,
    pub(super) and_gates: f64,
    pub(super) rots: f64,
    pub(super) trips: f64,
    pub(super) online_bytes: f64,
}

/// Sessions per network; the best of each phase counts.
const SESSIONS: usize = 3;

/// Sessions of one inference each: what is predicted is the first inference of a session, in which
/// nothing is warm.
pub(super) fn run(network: &Network, protocol: StepProtocol) -> Result<Measured, GazelleError> {
    let choice = Choice::uniform(network.architecture(), protocol)?;
    // Setup is compared with the simplest extension's where only linear layers are of interest.
    let ot = if protocol == StepProtocol::Garbled { AnyOt::default() } else { choice.ot };
    let choice = Choice { ot, ..choice };
    let steps = network.architecture().nodes().len();
    let server = Arc::new(DefaultService::compile(
        choice.suite(steps),
        network.clone(),
        ModelInfo::default(),
        choice.to_value(),
    )?);
    let worst = f64::INFINITY;
    let mut best = Measured {
        setup_ns: worst,
        offline_ns: worst,
        online_ns: worst,
        linear_online_ns: worst,
        ..counts(&server, &choice)?
    };
    for _ in 0..SESSIONS {
        let [setup, offline, online, linear_online] = session(&server, &choice, network)?;
        best.setup_ns = best.setup_ns.min(setup);
        best.offline_ns = best.offline_ns.min(offline);
        best.online_ns = best.online_ns.min(online);
        best.linear_online_ns = best.linear_online_ns.min(linear_online);
    }
    Ok(best)
}

/// Setup, offline and online at the client, and the server's plain products; in nanoseconds.
fn session(
    server: &Arc<DefaultService>,
    choice: &Choice,
    network: &Network,
) -> Result<[f64; 4], GazelleError> {
    let (ours, theirs) = memory::pair();
    let serving = Arc::clone(server);
    let thread = std::thread::spawn(move || {
        serving.serve(theirs, &ServerLimits::default(), &mut gazelle_prg::system_rng()?)
    });
    let mut rng = gazelle_prg::system_rng()?;
    let suite = choice.suite(network.architecture().nodes().len());
    let mut client =
        Offer::receive(ours, Limits::default(), None, &mut rng)?.accept(suite, &mut rng)?;
    let input = vec![1i64; network.architecture().input().shape.len()];
    let setup = client.setup().seconds;
    let prepared = client.prepare(&mut rng)?;
    let report = client.infer(prepared, &input)?.report;
    client.close()?;
    let served = thread.join().map_err(|_| GazelleError::Panicked)??;
    let layers = served.inferences.iter().flat_map(|inference| &inference.layers);
    let linear = layers.filter(|layer| layer.kind == "linear");
    let linear: f64 = linear.map(|layer| layer.online.seconds).sum();
    Ok([setup, report.offline.seconds, report.online.seconds, linear].map(|s| s * 1e9))
}

fn counts(server: &DefaultService, choice: &Choice) -> Result<Measured, GazelleError> {
    let plan = server.plan();
    let description = Description::parse(server.description())?;
    let work = planner::linear_work(plan, &description)?;
    let mut run = Measured {
        macs: work.macs,
        hints: work.hints,
        polynomials: work.polynomials,
        ..Measured::default()
    };
    let wanted = choice.step(choice.steps.len());
    // The last step reveals on any backend by garbling: it is part of every session's fixed cost.
    for step in plan.steps().iter().rev().skip(1) {
        let Some(price) = planner::price(step, wanted, choice.ot) else { continue };
        run.steps += 1.0;
        run.and_gates += price.and_gates as f64;
        run.rots += (price.rots.0 + price.rots.1) as f64;
        run.trips += price.trips as f64;
        run.online_bytes += price.online.total() as f64;
    }
    Ok(run)
}

/// The base OTs; OT setup in one direction beyond them, of SoftSpokenOT and Ferret; and what comes in
/// front of the first OTs, by Ferret's set. Best of three.
pub(super) fn ot_setups() -> Result<(f64, [f64; 2], [f64; 4]), GazelleError> {
    // The same session on base OTs that take a fraction of the time.
    let classic = ot_setup(&SoftSpoken::K8.with_base(BaseOt::Classic), 0)?;
    let base = (ot_setup(&SoftSpoken::K8, 0)? - classic).max(0.1 * classic);
    let of = |set, count| ot_setup(&Ferret::new(set).with_base(BaseOt::Classic), count);
    let silent = of(Parameters::FIRST, 0)?;
    let sets = [Parameters::FIRST, Parameters::SMALL, Parameters::MEDIUM, Parameters::LARGE];
    // One beyond those that the setup leaves.
    let first = SoftSpoken::K8.base_count() + 1;
    let start = |set| Ok::<_, GazelleError>((of(set, first)? - silent).max(0.1 * silent));
    let [first, small, medium, large] = sets.map(start);
    Ok((base, [classic, silent], [first?, small?, medium?, large?]))
}

/// Setup, and `count` OTs.
fn ot_setup<O: OtExtension>(ot: &O, count: usize) -> Result<f64, GazelleError> {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let (mut ours, mut theirs) = memory::pair();
        let failed = |_| GazelleError::Panicked;
        let start = Instant::now();
        let receive = |channel: &mut Channel| -> Result<(), GazelleError> {
            let mut rng = gazelle_prg::system_rng()?;
            let mut session = ot.receiver(channel, &mut rng).map_err(failed)?;
            let mut out = vec![Block::ZERO; count];
            session.extend(&mut BitVec::new(), &mut out, channel, &mut rng).map_err(failed)?;
            Ok(channel.flush()?)
        };
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&mut theirs));
            let mut rng = gazelle_prg::system_rng()?;
            let delta = Delta::random(&mut rng);
            let sent = ot.sender(delta, &mut ours, &mut rng).and_then(|mut session| {
                session.extend(&mut vec![Block::ZERO; count], &mut ours, &mut rng)
            });
            let sent = sent.map_err(failed);
            let flushed = ours.flush();
            receiver.join().map_err(|_| GazelleError::Panicked)??;
            sent?;
            flushed.map_err(GazelleError::from)
        })?;
        best = best.min(start.elapsed().as_secs_f64() * 1e9);
    }
    Ok(best)
}

fn builder(image: TensorShape) -> NetworkBuilder {
    NetworkBuilder::new(image, RING, TRUNCATE_BITS, VALUE_BITS)
}

fn linear(network: &mut NetworkBuilder, op: LinearOp, input: TensorId) -> TensorId {
    let weight = |i: usize| ((i * 37) % 101) as i32 - 50;
    let weights = (0..op.weight_len()).map(weight).collect();
    let bias = vec![0; op.output_shape().channels];
    network.linear("linear", op, input, LinearWeights { weights, bias })
}

/// One pixel of each channel.
fn corner(network: &mut NetworkBuilder, input: TensorId) -> TensorId {
    let shape = network.shape(input);
    let map = LocalMap::Slice { start: [0; 3], step: [1, shape.height, shape.width] };
    network.local("corner", map, &[input], TensorShape::new(shape.channels, 1, 1))
}

/// Ten outputs that are revealed.
fn end(mut network: NetworkBuilder, input: TensorId) -> Result<Network, GazelleError> {
    let op = network.fully_connected(input, 10);
    let logits = linear(&mut network, op, input);
    network.build(logits).map_err(GazelleError::layer("a network to measure"))
}

/// `layers` steps of `16 side^2` elements, with next to no linear work between them.
pub(super) fn relus(layers: usize, side: usize) -> Result<Network, GazelleError> {
    let image = TensorShape::new(MAPS, side, side);
    let mut network = builder(image);
    let mut at = TensorId::INPUT;
    for _ in 0..layers {
        let scaling = Conv2d {
            input: image,
            maps: MAPS,
            kernel: [1; 2],
            stride: [1; 2],
            pads: Pads::default(),
            dilation: [1; 2],
            groups: MAPS,
        };
        at = linear(&mut network, LinearOp::Conv(scaling), at);
        at = network.step("relu", StepFunction::Relu, at, None);
    }
    at = corner(&mut network, at);
    end(network, at)
}

/// One convolution of 64 maps of 32 x 32 pixels, almost all of which are dropped.
pub(super) fn convolution(kernel: usize) -> Result<Network, GazelleError> {
    let mut network = builder(TensorShape::new(WIDE, SIDE, SIDE));
    let op = network.conv(TensorId::INPUT, WIDE, kernel, 1, Pads::all(kernel / 2));
    let mut at = linear(&mut network, op, TensorId::INPUT);
    at = corner(&mut network, at);
    at = network.step("relu", StepFunction::Relu, at, None);
    end(network, at)
}
