//! The server's offline phases; of a client that is not trusted, until one is used instead of being opened.

use gazelle_share::{
    LinearProtocol, LinearServer, NonlinearProtocol, NonlinearServer, RequestTrace,
};
use gazelle_wire::Channel;
use rand_core::CryptoRng;
use std::sync::Arc;

use super::{ServerMaterial, ServerSession, no_setup};
use crate::description;
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::{self, Meter, Phase};
use crate::session::audit::AuditRun;
use crate::session::audit::server::{CheatingEvidence, Examined, begin, decide};
use crate::session::background::{Background, Workplace};
use crate::session::coins;
use crate::session::kept::{LINEAR, ServerShelf};
use crate::session::stored::WantedEntry;
use crate::suite::{AuditRate, Clients, Hints, OpeningOt};

impl<L: LinearProtocol, N: NonlinearProtocol> ServerSession<'_, L, N> {
    /// The material of inference `id`, and if it is `wanted` in the store, whether it is there.
    pub(super) fn make(
        &mut self,
        id: u32,
        wanted: Option<&WantedEntry>,
        shelf: Option<&dyn ServerShelf>,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(ServerMaterial<N>, Option<bool>), GazelleError> {
        let mut rng = coins::fresh(rng)?;
        let prepared = self.prepare(id, wanted.is_some(), channel, &mut rng)?;
        let kept = wanted.map(|wanted| self.keep(shelf, wanted, &prepared));
        Ok((prepared, kept))
    }

    /// The material of inference `id`; `record`: it is to be stored.
    fn prepare(
        &mut self,
        id: u32,
        record: bool,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<ServerMaterial<N>, GazelleError> {
        let mut opened = 0;
        loop {
            if let Some(count) = &mut self.count {
                count.one()?;
            }
            if self.runs > 0 && self.server.suite.hints() == Hints::Fresh {
                self.set_up_again(id, opened, channel, rng)?;
            }
            let made = match self.server.suite.clients().audits() {
                None => Some(self.offline(record, channel, rng)?.0),
                Some(audits) => self.audited(audits, record, channel, rng)?,
            };
            self.runs += 1;
            if let Some(material) = made {
                return Ok(material);
            }
            opened += 1;
        }
    }

    /// An offline phase that is opened by chance: nothing if it was. Until the client has said all that an audit
    /// needs, the server does the same either way.
    fn audited(
        &mut self,
        (ot, rate): (OpeningOt, AuditRate),
        record: bool,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<ServerMaterial<N>>, GazelleError> {
        let meter = Meter::start(channel);
        let binding = *channel.binding();
        let run = AuditRun { ot, binding: &binding, number: self.runs };
        let begun = begin(&run, rate, channel, rng)?;
        let (material, traces) = self.offline(record, channel, rng)?;
        let (linear, nonlinear) = self.made.as_mut().ok_or_else(no_setup)?;
        let (plan, steps) = (&self.server.plan, &material.steps);
        let examined = Examined { plan, linear, nonlinear: &*nonlinear, traces: &traces, steps };
        if !decide(&run, begun, &examined, &mut self.evidence, channel)? {
            return Ok(None);
        }
        let ServerMaterial { steps, mut step_phases, .. } = material;
        let completed = nonlinear.complete(steps, channel).map_err(GazelleError::layer(PHASE))?;
        let (steps, costs): (Vec<_>, Vec<_>) = completed.into_iter().unzip();
        report::add_steps(&mut step_phases, &costs);
        let offline = meter.stop(channel);
        Ok(Some(ServerMaterial { steps, offline, step_phases, ..material }))
    }

    /// What the client has said that fails `check`.
    pub(super) fn evidence(&mut self, check: &'static str) -> CheatingEvidence {
        match self.evidence.take() {
            Some(evidence) => CheatingEvidence { check, ..evidence },
            // In an extension or online: of the session alone.
            None => CheatingEvidence { check, transcript: self.context, opened: None },
        }
    }

    /// A linear setup for inference `id` alone.
    pub(super) fn set_up_again(
        &mut self,
        id: u32,
        opened: u32,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let context = description::inference_context(&self.context, id, opened);
        let linear = self.server.suite.linear();
        let linear = linear
            .server(Arc::clone(&self.server.linear), &context, channel, rng)
            .map_err(GazelleError::layer(LINEAR))?;
        if let Some(made) = &mut self.made {
            made.0 = linear;
        }
        channel.flush()?;
        Ok(())
    }

    /// An offline phase, and what an audit needs of its requests. `record`: the material is to be stored.
    fn offline(
        &mut self,
        record: bool,
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(ServerMaterial<N>, Vec<RequestTrace>), GazelleError> {
        let plan = &self.server.plan;
        let traced = self.server.suite.clients() != Clients::Trusted;
        let (linear, nonlinear) = self.made.as_mut().ok_or_else(no_setup)?;
        let linear = &*linear;
        nonlinear.record(record);
        let meter = Meter::start(channel);
        std::thread::scope(|scope| {
            let place = Workplace::Thread(scope);
            let both = (linear, traced, &mut *nonlinear);
            let requested = request(plan, both, &place, channel, rng)?;
            let RequestedGroups { background, mut groups, traces, announced } = requested;
            let run = Meter::start(channel);
            let (mut steps, range) = (Vec::new(), 0..plan.steps().len());
            let costs = nonlinear.prepare_each(range, channel, rng, &mut |made| steps.push(made));
            let costs = costs.map_err(GazelleError::layer(PHASE))?;
            let turns = run.stop(channel).turns;
            let step_phases = report::steps(&costs, announced, turns);
            channel.flush()?;
            let (shares, seconds) = background.all()?;
            add_seconds(&mut groups, seconds);
            let offline = meter.stop(channel);
            let material =
                ServerMaterial { stored: false, shares, steps, offline, groups, step_phases };
            Ok((material, traces))
        })
    }
}

/// What goes wrong in an offline phase behind the requests is this one's.
pub(super) const PHASE: &str = "offline phase of the non-linear layers";

/// What announcements and requests give.
pub(super) struct RequestedGroups<'w, R> {
    /// Computes v.
    pub(super) background: Background<'w, R>,
    pub(super) groups: Vec<Phase>,
    /// What audits need.
    pub(super) traces: Vec<RequestTrace>,
    pub(super) announced: Phase,
}

/// Hears announcements and all requests at once; v is computed while the steps' correlations are made.
pub(super) fn request<'w, 'env: 'w, S: LinearServer, N: NonlinearServer>(
    plan: &Plan,
    (linear, traced, nonlinear): (&'w S, bool, &mut N),
    place: &Workplace<'w, 'env>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<RequestedGroups<'w, S::Received>, GazelleError> {
    let meter = Meter::start(channel);
    let announced = nonlinear.announce(0..plan.steps().len(), channel, rng);
    announced.map_err(GazelleError::layer(PHASE))?;
    let announced = meter.stop(channel);
    let finish = |group, received| linear.finish(group, received);
    let mut background = Background::start(place, plan, finish)?;
    let (groups, traces) = receive_all(plan, (linear, traced), &background, channel, rng)?;
    background.no_more();
    Ok(RequestedGroups { background, groups, traces, announced })
}

/// Adds the seconds of v.
pub(super) fn add_seconds(groups: &mut [Phase], seconds: Vec<f64>) {
    for (phase, seconds) in groups.iter_mut().zip(seconds) {
        phase.seconds += seconds;
    }
}

/// Reads and answers the requests of all groups; times and bytes of each, and what audits need of them.
fn receive_all<S: LinearServer>(
    plan: &Plan,
    (linear, traced): (&S, bool),
    background: &Background<'_, S::Received>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(Vec<Phase>, Vec<RequestTrace>), GazelleError> {
    let (send, recv) = channel.halves();
    let mut phases = Vec::with_capacity(plan.groups().len());
    let mut traces = Vec::with_capacity(plan.groups().len());
    for (index, group) in plan.groups().iter().enumerate() {
        let (sent, received) = (send.sent(), recv.received());
        let request = linear
            .receive(index, (&mut *send, &mut *recv), rng)
            .map_err(GazelleError::layer(&group.name))?;
        if traced {
            traces.extend(linear.trace(&request));
        }
        background.give(index, request);
        phases.push(Phase {
            seconds: 0.0,
            bytes_sent: send.sent() - sent,
            bytes_received: recv.received() - received,
            turns: u64::from(index == 0),
        });
    }
    send.flush()?;
    Ok((phases, traces))
}
