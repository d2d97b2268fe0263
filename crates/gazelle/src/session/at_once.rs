//! An inference for which nothing was prepared: its online phase runs beside its offline phase.
//!
//! | | client | server |
//! |---|---|---|
//! | command `at once`: from here on the link has two [lanes](gazelle_wire::TwoLanes) | sends | hears |
//! | first lane: the offline phase as without lanes: announcements and requests, then all steps | streams | streams |
//! | second lane: the hints of a setup that has none yet | stores them | makes them |
//! | then the online phase, as without lanes, each wave when its material is there | `infer`, x - r; its halves | its halves |
//! | both lanes are through: the link is whole again | | |
//!
//! Every message is that of setup and phases one after the other, byte by byte in its lane. A wave is there when the
//! steps' material has been made up to its last step, and at the server v of the groups before it: long networks
//! wait for round trips while the material of later layers is made. Why nothing is lost by it: docs/protocol.md, 2.
//!
//! Offline phases have the session's thread, or one of [their own](super::apart), online phases the other.

use std::sync::mpsc::{Receiver, Sender, channel as queue};
use std::sync::{Mutex, PoisonError};

use gazelle_wire::{Channel, ChannelError, LaneLimits, LanesHandle};

use crate::error::GazelleError;
use crate::report::{Meter, Phase};
use crate::traffic::PlannedTraffic;

/// Beside planned messages: those of an error.
const SMALL: usize = 1 << 10;

/// What an online phase begins with.
struct OnlineStart<G, P> {
    /// The second lane.
    channel: Channel,
    /// What the requests give: the client's mask of the input, the server's v.
    given: Receiver<G>,
    materials: Materials<P>,
    lanes: LanesHandle,
}

/// What an offline phase hands to the online phase beside it.
pub(crate) struct Handing<'a, G, P> {
    /// What the requests give.
    pub(crate) given: &'a mut dyn FnMut(G),
    /// Each step's material.
    pub(crate) ready: &'a mut dyn FnMut(P),
}

/// The steps' material, as it is made.
pub(crate) struct Materials<P> {
    coming: Receiver<P>,
    come: Vec<Option<P>>,
}

impl<P> Materials<P> {
    /// Waits for a step's material, once.
    pub(crate) fn take(&mut self, step: usize) -> Result<P, GazelleError> {
        while self.come.len() <= step {
            // None comes any more only after an error of the offline phase, which counts.
            self.come.push(Some(self.coming.recv().map_err(|_| GazelleError::Panicked)?));
        }
        let material = self.come.get_mut(step).and_then(Option::take);
        material.ok_or_else(|| GazelleError::Defect(format!("material of step {step}")))
    }
}

/// What failed, in either phase: the other fails because of it.
#[derive(Debug, Default)]
pub(crate) struct FirstError(Mutex<Option<GazelleError>>);

impl FirstError {
    /// Keeps an error, unless one that is nearer to the cause or came first is kept; what to fail with.
    fn keep(&self, error: GazelleError) -> GazelleError {
        // optional: a poisoned lock still holds what was kept
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| distance(&error) < distance(kept)) {
            *kept = Some(error);
        }
        GazelleError::Panicked
    }

    /// A thread of this inference panicked: that counts more than what came of it elsewhere.
    pub(crate) fn panicked(&self) -> GazelleError {
        // optional: a poisoned lock still holds what was kept
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*kept, Some(GazelleError::Cheating(_))) {
            *kept = Some(GazelleError::Panicked);
        }
        GazelleError::Panicked
    }

    /// What is kept, or else `other`.
    pub(crate) fn or(self, other: GazelleError) -> GazelleError {
        // optional: a poisoned lock still holds what was kept
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => error,
            None => other,
        }
    }
}

/// How far an error may be from what went wrong: who ends a lane makes the other one fail, here and at the peer.
fn distance(error: &GazelleError) -> u8 {
    match error {
        GazelleError::Cheating(_) => 0,
        GazelleError::Channel(ChannelError::TimedOut | ChannelError::Io(_)) => 2,
        GazelleError::Channel(
            ChannelError::PeerFailed | ChannelError::Closed | ChannelError::Dead,
        ) => 3,
        GazelleError::Panicked => 4,
        _ => 1,
    }
}

/// The offline phase's side.
pub(crate) struct Beside<'a, G, P> {
    start: Sender<OnlineStart<G, P>>,
    through: Receiver<Channel>,
    first: &'a FirstError,
    limits: LaneLimits,
    /// Is told when the material is made.
    made: &'a (dyn Fn() + Sync),
}

/// The online phase's side.
pub(crate) struct OnlineSide<'a, G, P> {
    start: Receiver<OnlineStart<G, P>>,
    through: Sender<Channel>,
    first: &'a FirstError,
    /// Behind the hints.
    limits: LaneLimits,
}

/// Both sides of an inference. `limits`: what is kept of the lanes until the hints are here, and from then on; `made` is
/// told when the material is made.
pub(crate) fn sides<'a, G, P>(
    first: &'a FirstError,
    [limits, later]: [LaneLimits; 2],
    made: &'a (dyn Fn() + Sync),
) -> (Beside<'a, G, P>, OnlineSide<'a, G, P>) {
    let ((start, started), (through, is_through)) = (queue(), queue());
    let beside = Beside { start, through: is_through, first, limits, made };
    (beside, OnlineSide { start: started, through, first, limits: later })
}

/// What is kept of the lanes until late hints are here, and from then on. A peer may have nothing to wait for in some
/// steps, so all that either party says online counts on the second lane, and the hints. A client with late hints takes
/// the first lane no further than hints let it: all that the server says offline may be kept. (Plans bound that: it is
/// part of what a session may take.)
pub(crate) fn lane_limits(traffic: &PlannedTraffic, late: bool) -> [LaneLimits; 2] {
    let bytes = |bytes: u64| {
        // optional: more than memory holds is no bound
        usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(SMALL)
    };
    let later = LaneLimits { first: LaneLimits::FIRST, second: bytes(traffic.online.total()) };
    if !late {
        return [later; 2];
    }
    let hints = traffic.online.total() + traffic.linear.setup.total();
    let first = bytes(traffic.offline.server_to_client).max(later.first);
    [LaneLimits { first, second: bytes(hints) }, later]
}

impl<G, P> Beside<'_, G, P> {
    /// Runs `offline` on the first lane, beside the online phase; waits for both. What it gave.
    ///
    /// # Errors
    /// [`FirstError`] knows which.
    pub(crate) fn run<R>(
        self,
        channel: &mut Channel,
        offline: impl FnOnce(&mut Channel, Handing<'_, G, P>) -> Result<R, GazelleError>,
    ) -> Result<R, GazelleError> {
        let Self { start, through, first, limits, made } = self;
        let (lanes, [mut first_lane, online]) =
            channel.lanes(limits).map_err(|error| first.keep(error.into()))?;
        let handle = lanes.handle();
        let ((give, given), (ready, coming)) = (queue(), queue());
        let materials = Materials { coming, come: Vec::new() };
        // Whoever takes these is gone only after an error of its own, which comes.
        let _ =
            start.send(OnlineStart { channel: online, given, materials, lanes: handle.clone() });
        let handing = Handing {
            given: &mut |given| {
                let _ = give.send(given);
            },
            ready: &mut |material| {
                let _ = ready.send(material);
            },
        };
        let result = offline(&mut first_lane, handing).map_err(|error| {
            let error = first.keep(error);
            handle.give_up();
            error
        })?;
        drop((give, ready));
        first_lane.flush().map_err(|error| first.keep(error.into()))?;
        lanes.first_is_through();
        // What is left to wait for is the online phase's.
        first_lane.begin_phase();
        made();
        let online = through.recv().map_err(|_| GazelleError::Panicked)?;
        lanes.join([first_lane, online]).map_err(|error| first.keep(error.into()))?;
        Ok(result)
    }
}

impl<G, P> OnlineSide<'_, G, P> {
    /// Runs `hints` on the second lane, then `online` as soon as the offline phase has come so far. What `online` gave
    /// and took, and what `hints` took.
    ///
    /// # Errors
    /// [`FirstError`] knows which.
    pub(crate) fn run<R>(
        self,
        hints: impl FnOnce(&mut Channel) -> Result<(), GazelleError>,
        online: impl FnOnce(&mut Channel, G, &mut Materials<P>) -> Result<R, GazelleError>,
    ) -> Result<(R, [Phase; 2]), GazelleError> {
        let Self { start, through, first, limits } = self;
        let started = start.recv().map_err(|_| GazelleError::Panicked)?;
        let OnlineStart { mut channel, given, mut materials, lanes } = started;
        // A panic too ends both.
        let mut ends = GivesUp(Some(lanes.clone()));
        let meter = Meter::start(&channel);
        hints(&mut channel).map_err(|error| first.keep(error))?;
        let hinted = meter.stop(&channel);
        lanes.limit(limits);
        // None comes only after an error of the offline phase, which counts.
        let given = given.recv().map_err(|_| first.keep(GazelleError::Panicked))?;
        let meter = Meter::start(&channel);
        let result = online(&mut channel, given, &mut materials)
            .and_then(|result| Ok(channel.flush().map(|()| result)?))
            .map_err(|error| first.keep(error))?;
        let phase = meter.stop(&channel);
        ends.0 = None;
        // The offline phase is gone only after an error of its own.
        let _ = through.send(channel);
        Ok((result, [phase, hinted]))
    }
}

/// Ends both lanes when it is dropped, unless it was emptied.
struct GivesUp(Option<LanesHandle>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        if let Some(lanes) = &self.0 {
            lanes.give_up();
        }
    }
}

/// Of the phases of an inference at once: what the online phase took beyond the offline phase's end, and what it
/// sent, of `whole`, the rest being the offline phase's; without the hints, which belong to the setup.
pub(crate) fn split(
    whole: Phase,
    offline_seconds: f64,
    [online, hinted]: [Phase; 2],
) -> (Phase, Phase) {
    let rest = |of: fn(&Phase) -> u64| of(&whole) - of(&online) - of(&hinted);
    let offline = Phase {
        seconds: offline_seconds,
        bytes_sent: rest(|phase| phase.bytes_sent),
        bytes_received: rest(|phase| phase.bytes_received),
        turns: rest(|phase| phase.turns),
    };
    (offline, Phase { seconds: (whole.seconds - offline_seconds).max(0.0), ..online })
}

/// The bytes of hints that came late, as the setup counts them: in one of its own flights they are no turn.
pub(crate) fn late_bytes(hinted: Phase) -> Phase {
    Phase { seconds: 0.0, turns: 0, ..hinted }
}

#[cfg(test)]
mod tests {
    use gazelle_wire::Cost;

    use super::*;

    /// A client whose hints are late keeps all that the server says offline, and hints and all that is said online
    /// beside: less, and one lane could wait for the other for ever.
    #[test]
    fn known_answer_late_hints_have_room_behind_all_that_is_said_offline() {
        let cost = |client_to_server, server_to_client| Cost { client_to_server, server_to_client };
        let mut traffic = PlannedTraffic {
            offline: cost(7 << 20, 5 << 20),
            online: cost(1000, 2000),
            ..PlannedTraffic::default()
        };
        traffic.linear.setup = cost(0, 9 << 20);
        let sides = |limits: LaneLimits| (limits.first, limits.second);
        let later = (LaneLimits::FIRST, 3000 + SMALL);
        assert_eq!(lane_limits(&traffic, false).map(sides), [later; 2]);
        let late = ((5 << 20) + SMALL, 3000 + (9 << 20) + SMALL);
        assert_eq!(lane_limits(&traffic, true).map(sides), [late, later]);
    }
}
