//! The online phase at the server: wave by wave, what is linear or local first, then the steps side by side.

use gazelle_share::{
    LinearProtocol, LinearServer, LinearWeights, LocalMap, NodeId, NonlinearProtocol,
    NonlinearServer, Shares, Step, StepFunction, TensorId, TensorShape, local,
};
use gazelle_wire::{Channel, Instant};
use rand_core::CryptoRng;

use super::{ServerMaterial, ServerSession, no_setup};
use crate::error::GazelleError;
use crate::plan::{Plan, Task, Tensors};
use crate::report::{self, InferenceReport, Layer, Meter, Phase};
use crate::session::message::MaskedInput;
use crate::session::server::Service;
use crate::session::step_shares::GroupShares;

impl<L: LinearProtocol, N: NonlinearProtocol> ServerSession<'_, L, N> {
    pub(super) fn online(
        &mut self,
        prepared: ServerMaterial<N>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<InferenceReport, GazelleError> {
        let ServerMaterial { stored, shares, steps, offline, groups, step_phases } = prepared;
        let protocols = if stored { &mut self.stored } else { &mut self.made };
        let (linear, nonlinear) = protocols.as_mut().ok_or_else(no_setup)?;
        let server = self.server;
        let meter = Meter::start(channel);
        let mut steps: Vec<Option<_>> = steps.into_iter().map(Some).collect();
        let material = |number: usize| {
            let prepared = steps.get_mut(number).and_then(Option::take);
            prepared.ok_or_else(|| defect(&server.plan, number))
        };
        let walk = Walk::new(server, linear, shares);
        let (walked, steps_online) = walk.run(nonlinear, material, channel, rng)?;
        let online = meter.stop(channel);
        let online_layers = (&walked.groups_online[..], &steps_online[..]);
        let layers = layers(server, (&groups, &step_phases), online_layers);
        Ok(InferenceReport { offline, online, layers, ..InferenceReport::default() })
    }
}

/// Layers of a report, from the phases of all groups and of all steps.
pub(super) fn layers<L: LinearProtocol, N: NonlinearProtocol>(
    server: &Service<L, N>,
    offline: (&[Phase], &[Phase]),
    online: (&[Phase], &[Phase]),
) -> Vec<Layer> {
    report::layers(&server.plan, server.suite.linear().name(), &server.names, offline, online)
}

/// The server's shares on their way through the network.
pub(super) struct Walk<'a, L: LinearProtocol, N: NonlinearProtocol, U> {
    server: &'a Service<L, N>,
    linear: &'a L::Server,
    /// v of all groups, each taken once.
    pub(super) shares: U,
    tensors: Tensors,
    pub(super) groups_online: Vec<Phase>,
}

impl<'a, L: LinearProtocol, N: NonlinearProtocol, U: GroupShares> Walk<'a, L, N, U> {
    pub(super) fn new(server: &'a Service<L, N>, linear: &'a L::Server, shares: U) -> Self {
        let tensors = Tensors::new(server.plan.architecture());
        let groups_online = vec![Phase::default(); server.plan.groups().len()];
        Self { server, linear, shares, tensors, groups_online }
    }

    /// The whole phase from the masked input on, with the steps' `material`; what the steps took.
    pub(super) fn run(
        mut self,
        nonlinear: &mut N::Server,
        mut material: impl FnMut(
            usize,
        )
            -> Result<<N::Server as NonlinearServer>::Prepared, GazelleError>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(Self, Vec<Phase>), GazelleError> {
        let plan = &self.server.plan;
        let mut steps_online = vec![Phase::default(); plan.steps().len()];
        let MaskedInput(input) = channel.recv(&MaskedInput::shape(plan.architecture()))?;
        self.tensors.set(TensorId::INPUT, input);
        for wave in plan.waves() {
            for id in &wave.before {
                self.compute(*id)?;
            }
            let before = channel.traffic();
            let mut inputs = Vec::with_capacity(wave.steps.len());
            for number in &wave.steps {
                let input = self.input(*number, rng)?;
                inputs.push((*number, material(*number)?, input));
            }
            let results = nonlinear
                .online_wave(inputs, channel)
                .map_err(|error| GazelleError::layer(plan.wave_name(wave))(error))?;
            let mut costs = Vec::with_capacity(results.len());
            for (number, (share, cost)) in wave.steps.iter().zip(results) {
                self.take_result(*number, share);
                costs.push(cost);
            }
            let turns = (channel.traffic() - before).turns;
            report::place(&mut steps_online, &wave.steps, &costs, turns);
        }
        channel.flush()?;
        Ok((self, steps_online))
    }

    /// Computes a linear node, or a local map.
    fn compute(&mut self, id: NodeId) -> Result<(), GazelleError> {
        let server = self.server;
        let architecture = server.plan.architecture();
        let (node, weights) = (architecture.node(id), server.network.weights(id));
        match server.plan.task(id) {
            Task::Linear { group, position } => {
                let v = self
                    .shares
                    .wait(group)?
                    .get_mut(position)
                    .map(|v| std::mem::replace(v, Shares::zero(1, 0)))
                    .ok_or_else(|| GazelleError::Defect(node.name.clone()))?;
                let start = Instant::now();
                let bits = architecture.tensor(node.output).ring_bits;
                let y = self
                    .linear
                    .online(group, position, weights, self.tensors.get(node.input())?, &v)
                    .map_err(GazelleError::layer(&node.name))?;
                self.tensors.set(node.output, y.reduce(bits));
                if let Some(slot) = self.groups_online.get_mut(group) {
                    slot.seconds += start.elapsed().as_secs_f64();
                }
            }
            Task::Local(map) => {
                let mut share = self.tensors.local(architecture, node, map)?;
                if *map == LocalMap::AddBias {
                    let shape = architecture.tensor(node.output).shape;
                    share = add_bias(shape, weights, share);
                }
                self.tensors.set(node.output, share);
            }
            Task::Step(number) => return Err(defect(&server.plan, number)),
        }
        for input in &node.inputs {
            self.tensors.release(*input);
        }
        Ok(())
    }

    /// The share that goes into a step.
    fn input(
        &mut self,
        number: usize,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Shares, GazelleError> {
        let plan = &self.server.plan;
        let share = self.tensors.take(plan.step_node(number).input())?;
        Ok(match plan.steps().get(number) {
            Some(step) if step.function == StepFunction::Round => dither(step, share, rng),
            _ => share,
        })
    }

    /// Keeps what a step gave, unless it revealed.
    fn take_result(&mut self, number: usize, share: Option<Shares>) {
        if let Some(share) = share {
            self.tensors.set(self.server.plan.step_node(number).output, share);
        }
    }
}

/// A defect: a step without its material, or in the wrong place.
fn defect(plan: &Plan, step: usize) -> GazelleError {
    GazelleError::Defect(plan.step_name(step).to_owned())
}

/// Makes the revealed rounding of a step that rounds locally one that goes up or down at random, by a
/// uniform offset of one step that only the server knows: near a rounding boundary a replayed input
/// would else measure the client's own coins (docs/threat-model.md). Exact steps have no coins.
fn dither(step: &Step, share: Shares, rng: &mut (dyn CryptoRng + Send)) -> Shares {
    if !step.rounding.is_local() || step.truncate_bits == 0 {
        return share;
    }
    let (unit, bits) = (1u64 << step.truncate_bits, share.bits());
    let mut words = share.into_words();
    for word in &mut words {
        // The step itself adds half a unit.
        *word = word.wrapping_add(rng.next_u64() & (unit - 1)).wrapping_sub(unit / 2);
    }
    Shares::new(bits, words)
}

fn add_bias(shape: TensorShape, weights: &LinearWeights, share: Shares) -> Shares {
    let bits = share.bits();
    let mut words = share.into_words();
    local::add_bias(shape, &weights.bias, &mut words, bits);
    Shares::new(bits, words)
}
