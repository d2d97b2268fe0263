//! The client's online phase, wave by wave.

use gazelle_share::{LinearProtocol, NonlinearClient, NonlinearProtocol, Shares, TensorId};
use gazelle_wire::Channel;

use super::{Client, Inference, Prepared, no_setup};
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::{self, InferenceReport, Meter, Phase};
use crate::session::message::{ClientCommand, MaskedInput};
use crate::session::{Observer, Progress};

/// What an online phase uses.
pub(super) struct OnlineRun<'a, N> {
    pub(super) plan: &'a Plan,
    pub(super) session: &'a mut N,
    pub(super) channel: &'a mut Channel,
    pub(super) seen: OnlineObserver<'a>,
}

/// Who is told, and what the phase is called there.
pub(super) struct OnlineObserver<'a> {
    pub(super) observer: Option<&'a Observer>,
    pub(super) phase: &'static str,
}

/// What an online phase gave.
pub(super) struct OnlineTalk {
    values: Vec<i64>,
    /// Sending the input.
    sent: Phase,
    steps: Vec<Phase>,
}

impl<N: NonlinearClient> OnlineRun<'_, N> {
    /// Uses inference `id`, whose steps' material is the `material`, for an input: x - r.
    pub(super) fn run(
        self,
        id: u32,
        masked: Shares,
        mut material: impl FnMut(usize) -> Result<N::Prepared, GazelleError>,
    ) -> Result<OnlineTalk, GazelleError> {
        let Self { plan, session, channel, seen } = self;
        channel.send(&ClientCommand::Infer { id }, &())?;
        let before = Meter::start(channel);
        channel.send(&MaskedInput(masked), &MaskedInput::shape(plan.architecture()))?;
        channel.flush()?;
        let sent = before.stop(channel);
        let total = plan.steps().len();
        let mut steps = vec![Phase::default(); total];
        let (mut revealed, mut done) = (None, 0);
        for wave in plan.waves() {
            let before = channel.traffic();
            let mut materials = Vec::with_capacity(wave.steps.len());
            for number in &wave.steps {
                materials.push((*number, material(*number)?));
            }
            let results = session
                .online_wave(materials, channel)
                .map_err(|error| GazelleError::layer(plan.wave_name(wave))(error))?;
            let mut costs = Vec::with_capacity(results.len());
            for (number, (values, cost)) in wave.steps.iter().zip(results) {
                costs.push(cost);
                revealed = values.or(revealed);
                done += 1;
                if let Some(observer) = seen.observer {
                    let layer = plan.step_name(*number);
                    observer(&Progress { phase: seen.phase, done, of: total, layer });
                }
            }
            let turns = (channel.traffic() - before).turns;
            report::place(&mut steps, &wave.steps, &costs, turns);
        }
        channel.flush()?;
        let values = revealed.ok_or_else(|| GazelleError::Defect("the last step".into()))?;
        Ok(OnlineTalk { values, sent, steps })
    }
}

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    /// Uses material that was prepared.
    pub(super) fn infer_inner(
        &mut self,
        prepared: Prepared<N>,
        input: Shares,
    ) -> Result<Inference, GazelleError> {
        let Prepared {
            id, stored, input_mask, steps, offline, groups_offline, steps_offline, ..
        } = prepared;
        self.hear()?;
        let own = self.made.as_mut().map(|(_, nonlinear)| nonlinear);
        let session = if stored { self.stored.as_mut() } else { own };
        let session = session.ok_or_else(no_setup)?;
        self.channel.begin_phase();
        let meter = Meter::start(&self.channel);
        let mut steps: Vec<Option<_>> = steps.into_iter().map(Some).collect();
        let material = |number: usize| {
            let prepared = steps.get_mut(number).and_then(Option::take);
            prepared.ok_or_else(|| GazelleError::Defect(self.plan.step_name(number).to_owned()))
        };
        let seen = OnlineObserver { observer: self.observer.as_deref(), phase: "online" };
        let talk = OnlineRun { plan: &self.plan, session, channel: &mut self.channel, seen };
        let talked = talk.run(id, input.sub(&input_mask), material)?;
        let online = meter.stop(&self.channel);
        self.conclude(talked, (&groups_offline, &steps_offline), (offline, online))
    }

    /// What the client learns; `offline_layers`: the phases of all groups and of all steps.
    pub(super) fn conclude(
        &self,
        talk: OnlineTalk,
        offline_layers: (&[Phase], &[Phase]),
        (offline, online): (Phase, Phase),
    ) -> Result<Inference, GazelleError> {
        let OnlineTalk { values, sent, steps } = talk;
        let architecture = self.plan.architecture();
        let scale = architecture.tensor(architecture.output()).scale;
        let mut groups_online = vec![Phase::default(); self.plan.groups().len()];
        let reads_input =
            self.plan.places().iter().position(|place| place.tensor == TensorId::INPUT);
        // optional: where no group reads the input, its sending counts for the first
        if let Some(slot) = groups_online.get_mut(reads_input.unwrap_or(0)) {
            *slot = sent;
        }
        let layers = report::layers(
            &self.plan,
            self.suite.linear().name(),
            &self.names,
            offline_layers,
            (&groups_online, &steps),
        );
        let last = self.plan.steps().last();
        let classes = last.filter(|step| step.ranked().is_some()).map(|step| step.input.len());
        if let Some(classes) = classes
            && !values.iter().all(|index| (0..classes as i64).contains(index))
        {
            return Err(GazelleError::Peer(format!("an index beyond the {classes} classes")));
        }
        let ranked = classes.is_some();
        let report = InferenceReport { offline, online, layers, ..InferenceReport::default() };
        Ok(Inference { values, scale, ranked, report })
    }
}
