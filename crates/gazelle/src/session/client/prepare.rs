//! A client's offline phases; where it is not trusted, until the server uses one instead of opening it.

use std::sync::Arc;

use gazelle_share::{LinearClient, LinearProtocol, NonlinearClient, NonlinearProtocol, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use super::{Client, Prepared, no_setup};
use crate::description;
use crate::error::GazelleError;
use crate::plan::Plan;
use crate::report::{self, Meter, Phase};
use crate::session::at_once::Handing;
use crate::session::audit::{self, AuditRun, ClientCoins};
use crate::session::background::{Background, Workplace};
use crate::session::hint_gate::{Closing, HintGate};
use crate::session::kept::{LINEAR, LinearSetup};
use crate::session::message::ClientCommand;
use crate::session::step_shares::StepShares;
use crate::session::{Observer, linear_client};
use crate::suite::{Hints, OpeningOt};

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    pub(super) fn prepare_inner(
        &mut self,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Prepared<N>, GazelleError> {
        self.hear()?;
        self.channel.begin_phase();
        let meter = Meter::start(&self.channel);
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.channel.send(&ClientCommand::Prepare { id }, &())?;
        self.channel.flush()?;
        let prepared = self.make(id, false, rng)?;
        Ok(Prepared { offline: meter.stop(&self.channel), ..prepared })
    }

    /// The material of inference `id`; `record`: it is to be stored.
    pub(super) fn make(
        &mut self,
        id: u32,
        record: bool,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Prepared<N>, GazelleError> {
        let meter = Meter::start(&self.channel);
        let mut openings = 0;
        loop {
            if self.suite.hints() == Hints::Fresh && self.runs > 0 {
                self.set_up_again(id, openings, rng)?;
            }
            let made = match self.suite.clients().opening_ot() {
                None => Some(self.offline(record, None, rng)?),
                Some(ot) => self.audited(ot, record, rng)?,
            };
            self.runs += 1;
            if let Some(OfflineTalk { input_mask, steps, groups_offline, steps_offline }) = made {
                let offline = meter.stop(&self.channel);
                let session = self.session;
                return Ok(Prepared {
                    session,
                    id,
                    stored: false,
                    input_mask,
                    steps,
                    offline,
                    groups_offline,
                    steps_offline,
                });
            }
            self.opened += 1;
            openings += 1;
            audit::client::bear(openings)?;
        }
    }

    /// A linear setup for inference `id` alone.
    pub(super) fn set_up_again(
        &mut self,
        id: u32,
        openings: u32,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let LinearSetup { plan, context } = &self.linear_setup;
        let context = description::inference_context(context, id, openings);
        let (groups, plan) = (Arc::clone(self.plan.groups()), Arc::clone(plan));
        let linear = self.suite.linear();
        let linear = linear
            .client(groups, plan, &context, &mut self.channel, rng)
            .map_err(GazelleError::layer(LINEAR))?;
        if let Some(made) = &mut self.made {
            made.0 = linear;
        }
        Ok(())
    }

    /// An offline phase that the server may open: nothing if it did.
    fn audited(
        &mut self,
        ot: OpeningOt,
        record: bool,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<TalkedOffline<N>>, GazelleError> {
        let binding = *self.channel.binding();
        let run = AuditRun { ot, binding: &binding, number: self.runs };
        let committed = audit::client::commit(&run, &mut self.channel, rng)?;
        let made = self.offline(record, Some(&committed.coins), rng)?;
        let OfflineTalk { steps, mut steps_offline, .. } = made;
        let (_, nonlinear) = self.made.as_mut().ok_or_else(no_setup)?;
        if !audit::client::open(committed, &*nonlinear, &steps, &mut self.channel)? {
            return Ok(None);
        }
        let phase = "offline phase of the non-linear layers";
        let completed = nonlinear.complete(steps, &mut self.channel);
        let completed = completed.map_err(GazelleError::layer(phase))?;
        let (steps, costs): (Vec<_>, Vec<_>) = completed.into_iter().unzip();
        report::add_steps(&mut steps_offline, &costs);
        Ok(Some(OfflineTalk { steps, steps_offline, ..made }))
    }

    /// One offline phase.
    fn offline(
        &mut self,
        record: bool,
        coins: Option<&ClientCoins>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<TalkedOffline<N>, GazelleError> {
        let (linear, nonlinear) = self.made.as_mut().ok_or_else(no_setup)?;
        nonlinear.record(record);
        let channel = &mut self.channel;
        let talk = Talk { nonlinear, channel, coins, rng, beside: None };
        talk.run(&self.plan, &*linear, self.observer.as_deref())
    }
}

/// What an offline phase over a non-linear protocol makes.
type TalkedOffline<N> =
    OfflineTalk<<<N as NonlinearProtocol>::Client as NonlinearClient>::Prepared>;

/// The online phase beside an offline phase: what it takes, beginning with the input's mask, and the answers that wait
/// for late hints.
pub(super) struct TalkBeside<'a, 'h, P, C> {
    pub(super) handing: Handing<'h, Shares, P>,
    pub(super) gate: Option<&'a HintGate<C>>,
}

/// What the protocol thread of an offline phase uses.
pub(super) struct Talk<'a, 'h, N: NonlinearClient, C> {
    pub(super) nonlinear: &'a mut N,
    pub(super) channel: &'a mut Channel,
    /// Where its secrets follow from coins that an audit may ask for.
    pub(super) coins: Option<&'a ClientCoins>,
    pub(super) rng: &'a mut (dyn CryptoRng + Send),
    pub(super) beside: Option<TalkBeside<'a, 'h, N::Prepared, C>>,
}

/// What an offline phase makes.
pub(super) struct OfflineTalk<P> {
    pub(super) input_mask: Shares,
    /// None, if an online phase has taken them.
    pub(super) steps: Vec<P>,
    pub(super) groups_offline: Vec<Phase>,
    pub(super) steps_offline: Vec<Phase>,
}

impl<N: NonlinearClient, C: Send> Talk<'_, '_, N, C> {
    /// One offline phase.
    pub(super) fn run<L: LinearClient<Collected = C>>(
        self,
        plan: &Plan,
        linear: &L,
        observer: Option<&Observer>,
    ) -> Result<OfflineTalk<N::Prepared>, GazelleError> {
        std::thread::scope(|scope| {
            let finish = |group, collected| linear.finish(group, collected);
            let alone = self.channel.is_single_threaded();
            let place = if alone { Workplace::Here } else { Workplace::Thread(scope) };
            let background = Background::start(&place, plan, finish)?;
            self.offline(plan, linear, background, observer)
        })
    }

    /// Announces OTs and requests all groups at once; then all steps are prepared in one run, which
    /// waits for each u where it needs it.
    fn offline<L: LinearClient<Collected = C>>(
        self,
        plan: &Plan,
        linear: &L,
        mut background: Background<'_, C>,
        observer: Option<&Observer>,
    ) -> Result<OfflineTalk<N::Prepared>, GazelleError> {
        let Self { nonlinear, channel, coins, rng, beside } = self;
        let (range, phase) = (0..plan.steps().len(), "offline phase of the non-linear layers");
        let (mut handing, gate) = match beside {
            Some(TalkBeside { handing, gate }) => (Some(handing), gate),
            None => (None, None),
        };
        let _closing = Closing(gate);
        if let Some(gate) = gate {
            gate.begin(background.giver());
        }
        let meter = Meter::start(channel);
        nonlinear.announce(range.clone(), channel, rng).map_err(GazelleError::layer(phase))?;
        let announced = meter.stop(channel);
        let give = |group, answer| match gate {
            Some(gate) => gate.collected(group, answer),
            None => background.give(group, answer),
        };
        let (tensors, mut groups_offline) =
            linear_client::run(plan, linear, channel, &give, coins, rng)?;
        background.no_more();
        let mut source = StepShares::new(plan, background, tensors, observer);
        let input_mask = source.input_mask()?;
        let mut steps = Vec::new();
        let mut keep = |made| steps.push(made);
        let ready: &mut dyn FnMut(N::Prepared) = match &mut handing {
            Some(Handing { given, ready }) => {
                given(input_mask.clone());
                &mut **ready
            }
            None => &mut keep,
        };
        let meter = Meter::start(channel);
        let costs = nonlinear
            .prepare_each(range, &mut source, channel, rng, ready)
            .map_err(|error| source.cause(GazelleError::layer(phase)(error)))?;
        let steps_offline = report::steps(&costs, announced, meter.stop(channel).turns);
        for (phase, seconds) in groups_offline.iter_mut().zip(source.finish()?) {
            phase.seconds += seconds;
        }
        channel.flush()?;
        Ok(OfflineTalk { input_mask, steps, groups_offline, steps_offline })
    }
}
