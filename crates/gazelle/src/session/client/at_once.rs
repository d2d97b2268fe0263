//! An inference at once, at the client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_share::{LinearClient, LinearProtocol, NonlinearClient, NonlinearProtocol, Shares};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use super::online::{OnlineObserver, OnlineRun};
use super::prepare::{Talk, TalkBeside};
use super::{Client, Inference, no_setup};
use crate::error::GazelleError;
use crate::report::Meter;
use crate::session::Progress;
use crate::session::apart::apart;
use crate::session::at_once::{FirstError, lane_limits, late_bytes, sides, split};
use crate::session::hint_gate::{Closing, HintGate};
use crate::session::kept::{self, LINEAR, LateHints};
use crate::session::message::ClientCommand;
use crate::suite::Hints;

/// What progress of both phases is called.
const PHASE: &str = "inference";

impl<L: LinearProtocol, N: NonlinearProtocol> Client<L, N> {
    /// Makes material and uses it for `input` side by side; `session`: for the online phase. With `late` the hints of
    /// the setup come beside, and it is kept when all are here.
    pub(super) fn at_once(
        &mut self,
        input: Shares,
        mut session: N::Client,
        late: Option<LateHints<'_>>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        self.hear()?;
        self.channel.begin_phase();
        let meter = Meter::start(&self.channel);
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.channel.send(&ClientCommand::AtOnce { id }, &())?;
        self.channel.flush()?;
        let start = self.offline_start();
        if self.suite.hints() == Hints::Fresh && self.runs > 0 {
            apart(self.offline_start(), || self.set_up_again(id, 0, rng))?;
        }
        let offline_seconds = AtomicU64::new(0);
        let made = || offline_seconds.store(meter.seconds().to_bits(), Ordering::Relaxed);
        let first = FirstError::default();
        let (beside, online) = sides(&first, lane_limits(&self.traffic, late.is_some()), &made);
        let Self { plan, made: protocols, channel, observer, bound, .. } = self;
        let (linear, nonlinear) = protocols.as_mut().ok_or_else(no_setup)?;
        nonlinear.record(false);
        let (plan, linear, observer) = (&*plan, &*linear, observer.as_deref());
        if let Some(observer) = observer {
            observer(&Progress { phase: PHASE, done: 0, of: plan.steps().len(), layer: "" });
        }
        let (gate, bound) = (late.map(|late| (HintGate::new(), late)), &*bound);
        let gate = gate.as_ref();
        let both = std::thread::scope(|scope| {
            let session = &mut session;
            let hear = |channel: &mut Channel| {
                let Some((gate, LateHints { id, shelf })) = gate else { return Ok(()) };
                let mut fails = Closing(Some(gate));
                let heard = linear.hear_hints(channel.recv_half()?, &mut |group| gate.heard(group));
                heard.map_err(GazelleError::layer(LINEAR))?;
                fails.0 = None;
                if id.is_some() && shelf.is_some() {
                    // A shelf takes as long as its disk: nothing waits for it before the end, and nothing ends with it.
                    let keep = move || kept::keep(linear, *id, (*shelf, bound));
                    let keep = move || {
                        if catch_unwind(AssertUnwindSafe(keep)).is_err() {
                            tracing::warn!("the setup is not kept: its shelf panicked");
                        }
                    };
                    if let Err(error) = named("shelf").spawn_scoped(scope, keep) {
                        tracing::warn!(%error, "the setup is not kept");
                    }
                }
                Ok(())
            };
            let infer = move || {
                online.run(hear, |channel, input_mask, materials| {
                    let seen = OnlineObserver { observer, phase: PHASE };
                    let talk = OnlineRun { plan, session, channel, seen };
                    talk.run(id, input.sub(&input_mask), |step| materials.take(step))
                })
            };
            let online = named("online").spawn_scoped(scope, infer);
            let online = online.map_err(|_| GazelleError::Panicked)?;
            let offline = apart(start, || {
                beside.run(channel, |channel, handing| {
                    let gate = gate.map(|(gate, _)| gate);
                    let beside = Some(TalkBeside { handing, gate });
                    Talk { nonlinear, channel, coins: None, rng, beside }.run(plan, linear, None)
                })
            });
            let online = online.join().map_err(|_| first.panicked())?;
            Ok((offline?, online?, meter.stop(channel)))
        });
        let (offline, (talked, phases), whole) = both.map_err(|error| first.or(error))?;
        self.runs += 1;
        let offline_seconds = f64::from_bits(offline_seconds.load(Ordering::Relaxed));
        let [_, hinted] = phases;
        let phases = split(whole, offline_seconds, phases);
        self.setup += late_bytes(hinted);
        let layers = (&offline.groups_offline[..], &offline.steps_offline[..]);
        let mut inference = self.conclude(talked, layers, phases)?;
        (inference.report.at_once, inference.report.late_hints) = (true, late.is_some());
        Ok(inference)
    }
}

fn named(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.into())
}
