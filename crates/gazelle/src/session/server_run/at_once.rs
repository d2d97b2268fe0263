//! An inference at once, at the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gazelle_share::{LinearProtocol, LinearServer, NonlinearProtocol, NonlinearServer};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use super::online::{Walk, layers};
use super::prepare::{PHASE, RequestedGroups, add_seconds, request};
use super::{ServerSession, no_setup};
use crate::error::GazelleError;
use crate::report::{self, InferenceReport, Meter};
use crate::session::apart::apart;
use crate::session::at_once::{FirstError, Handing, lane_limits, late_bytes, sides, split};
use crate::session::background::{Background, Workplace};
use crate::session::coins;
use crate::session::guest::{Activity, SessionStage};
use crate::session::kept::LINEAR;
use crate::session::message::ClientCommand;
use crate::session::watcher::SessionWatcher;
use crate::suite::Hints;

impl<L: LinearProtocol, N: NonlinearProtocol> ServerSession<'_, L, N> {
    /// Makes the material of inference `id` and uses it, side by side.
    pub(super) fn at_once(
        &mut self,
        id: u32,
        channel: &mut Channel,
        (stage, watcher): (&SessionStage, &dyn SessionWatcher),
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<InferenceReport, GazelleError> {
        let server = self.server;
        let meter = Meter::start(channel);
        let (mut rng, mut online_rng) = (coins::fresh(rng)?, coins::fresh(rng)?);
        let late_hints = std::mem::take(&mut self.late);
        if let Some(count) = self.count.as_mut().filter(|_| !late_hints) {
            count.one()?;
        }
        if self.runs > 0 && server.suite.hints() == Hints::Fresh {
            let again = || self.set_up_again(id, 0, channel, &mut rng);
            apart(watcher.offline_start(), again)?;
        }
        let mut session = server
            .suite
            .nonlinear()
            .server_of_stored(Arc::clone(&server.nonlinear))
            .map_err(GazelleError::layer("non-linear layers"))?;
        let offline_seconds = AtomicU64::new(0);
        let made = || {
            offline_seconds.store(meter.seconds().to_bits(), Ordering::Relaxed);
            stage.set(Activity::Online);
            watcher.offline_ends();
        };
        let (first, plan) = (FirstError::default(), &server.plan);
        let limits = lane_limits(&server.traffic, false);
        let Self { made: protocols, count, .. } = self;
        let (linear, nonlinear) = protocols.as_mut().ok_or_else(no_setup)?;
        let linear = &*linear;
        nonlinear.record(false);
        let both = std::thread::scope(|scope| {
            let (beside, online) = sides(&first, limits, &made);
            let session = &mut session;
            let online_rng = &mut online_rng;
            let hints = move |channel: &mut Channel| {
                if !late_hints {
                    return Ok(());
                }
                let meter = Meter::start(channel);
                let (send, _) = channel.halves();
                let say = || linear.say_hints(send).map_err(GazelleError::layer(LINEAR));
                apart(watcher.offline_start(), say)?;
                watcher.late_hints(&late_bytes(meter.stop(channel)));
                // Nobody goes on with a setup before it is kept: this inference is counted now.
                *count = count.take().filter(|count| count.put_on_shelf(linear));
                match count {
                    Some(count) => count.one(),
                    None => Ok(()),
                }
            };
            let infer = move || {
                online.run(hints, |channel, background: Background<'_, _>, materials| {
                    hear_infer(id, channel)?;
                    if !watcher.serves() {
                        return Err(GazelleError::Allowance);
                    }
                    let walk = Walk::new(server, linear, background);
                    let material = |step| materials.take(step);
                    let (walked, steps) = walk.run(session, material, channel, online_rng)?;
                    let (_, seconds) = walked.shares.all()?;
                    Ok((walked.groups_online, steps, seconds))
                })
            };
            let online = std::thread::Builder::new().name("online".into());
            let online = online.spawn_scoped(scope, infer).map_err(|_| GazelleError::Panicked)?;
            let offline = apart(watcher.offline_start(), || {
                beside.run(channel, |channel, Handing { given, ready }| {
                    let place = Workplace::Thread(scope);
                    let both = (linear, false, &mut *nonlinear);
                    let requested = request(plan, both, &place, channel, &mut rng)?;
                    let RequestedGroups { background, groups, announced, .. } = requested;
                    given(background);
                    let (meter, steps) = (Meter::start(channel), 0..plan.steps().len());
                    let costs = nonlinear.prepare_each(steps, channel, &mut rng, ready);
                    let costs = costs.map_err(GazelleError::layer(PHASE))?;
                    let turns = meter.stop(channel).turns;
                    Ok((groups, report::steps(&costs, announced, turns)))
                })
            });
            let online = online.join().map_err(|_| first.panicked())?;
            Ok((offline?, online?))
        });
        let ((mut groups, steps), (walked, phases)) = both.map_err(|error| first.or(error))?;
        self.runs += 1;
        let (groups_online, steps_online, seconds) = walked;
        add_seconds(&mut groups, seconds);
        let offline_seconds = f64::from_bits(offline_seconds.load(Ordering::Relaxed));
        let (offline, online) = split(meter.stop(channel), offline_seconds, phases);
        let layers = layers(server, (&groups, &steps), (&groups_online, &steps_online));
        Ok(InferenceReport { at_once: true, late_hints, offline, online, layers })
    }
}

/// The command that begins an online phase: for this inference.
fn hear_infer(id: u32, channel: &mut Channel) -> Result<(), GazelleError> {
    match channel.recv(&())? {
        ClientCommand::Infer { id: said } if said == id => Ok(()),
        _ => Err(GazelleError::Peer(format!("another command than to use inference {id}"))),
    }
}
