//! The two streams of an offline phase, this party's and the peer's: a thread each, or both in turn by a
//! party that has one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Condvar, Mutex, PoisonError};

use gazelle_ot::Half;
use gazelle_share::ProtocolError;
use gazelle_wire::{RecvHalf, SendHalf};
use rand_core::CryptoRng;

use crate::offline::parcel::{Parcel, ParcelShape};
use crate::offline::plan::{OtCall, RunPlan, StreamPlace, Unit, WINDOW};
use crate::ot_session::{Extend, Made};

/// A party's parcels of a unit.
pub(crate) type ParcelsOf = fn(&Unit) -> &[ParcelShape];

/// What a stream tells the coordinator.
pub(crate) enum News {
    /// The OTs of a call of a unit, over this party's stream or over the peer's.
    Made { own: bool, unit: usize, call: usize, made: Made },
    /// A parcel of the peer's.
    Heard { unit: usize, parcel: Parcel },
    /// A parcel of this party's has left.
    Left { unit: usize, index: usize },
    /// Bytes that a step took on this party's stream or on the peer's.
    Bytes { own: bool, step: usize, bytes: u64 },
    /// The stream is through.
    Through,
    /// It failed.
    Failed(ProtocolError),
}

/// Bounds the OTs that came over the peer's stream and wait for a use: whatever the peer sends, the
/// stream is read no further. An honest peer is never more than a window ahead of what this party sent,
/// and this party at most a window of what it can begin.
#[derive(Default)]
pub(crate) struct ReadGate {
    alive: Mutex<usize>,
    changed: Condvar,
    closed: AtomicBool,
}

impl ReadGate {
    /// OTs that may wait, unless they are those of one call.
    const MOST: usize = 2 * WINDOW;

    /// Waits until `count` OTs more may come; whether the run goes on.
    fn enter(&self, count: usize) -> bool {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        while *alive > 0 && *alive + count > Self::MOST && !self.is_closed() {
            alive = self.changed.wait(alive).unwrap_or_else(PoisonError::into_inner);
        }
        *alive += count;
        !self.is_closed()
    }

    /// So many have been used.
    pub(crate) fn leave(&self, count: usize) {
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) -= count;
        self.changed.notify_all();
    }

    /// The run is over, with an error or without.
    fn close(&self) {
        // Under the lock, so that nobody misses it between looking and waiting.
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Relaxed);
        drop(alive);
        self.changed.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Closes a gate when the run is over, with a panic as well: nobody waits behind it for ever.
pub(crate) struct ClosesGate<'a>(pub(crate) &'a ReadGate);

impl Drop for ClosesGate<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Buffers that the calls of a stream share.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Vec<Made>>);

impl Buffers {
    /// Buffers that are kept at most.
    const MOST: usize = 64;

    /// A buffer for so many OTs: the smallest of those made before that fits.
    fn take(&self, (count, tweak): (usize, u64)) -> Made {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rooms = kept.iter().map(Made::room).enumerate();
        let fits = rooms.filter(|(_, room)| *room >= count).min_by_key(|(_, room)| *room);
        let mut made = match fits {
            Some((at, _)) if count > 0 => kept.swap_remove(at),
            _ => Made::default(),
        };
        drop(kept);
        made.resize(count, tweak);
        made
    }

    /// Gives one back.
    pub(crate) fn give(&self, made: Made) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Self::MOST && made.room() > 0 {
            kept.push(made);
        }
    }
}

/// What both streams need.
pub(crate) struct Stream<'a> {
    pub(crate) plan: &'a RunPlan,
    pub(crate) gate: &'a ReadGate,
    /// Of this party's stream, and of the peer's.
    pub(crate) buffers: &'a [Buffers; 2],
    /// Whether this party's stream makes the OTs from S to C.
    pub(crate) speaks_down: bool,
}

impl Stream<'_> {
    /// A call's OTs on this party's stream, or on the peer's.
    pub(crate) fn ots(&self, call: &OtCall, own: bool) -> (usize, u64) {
        if own == self.speaks_down { call.down } else { call.up }
    }

    /// This party's stream: OTs by `session`, parcels as they come out of `outbox`. If the run ends
    /// before it is through the peer is told.
    pub(crate) fn speak<T>(
        &self,
        session: &mut dyn Extend,
        half: &mut SendHalf,
        outbox: &Receiver<Parcel>,
        parcels: ParcelsOf,
        (news, wrap): (&Sender<Option<T>>, impl Fn(News) -> T),
        rng: &mut (dyn CryptoRng + Send),
    ) {
        let tell = |item| news.send(Some(wrap(item))).is_ok();
        let mut speaker = SpeakingStream::new(self, (session, rng), half, (parcels, &tell));
        let run = || -> Result<bool, ProtocolError> {
            for place in &self.plan.order {
                if !speaker.place(*place, &mut || Ok(outbox.recv().ok()))? {
                    return Ok(false);
                }
            }
            speaker.flush()?;
            Ok(true)
        };
        let result = catch_unwind(AssertUnwindSafe(run));
        if !matches!(result, Ok(Ok(true))) {
            speaker.give_up();
        }
        conclude(result, news, wrap);
    }

    /// The peer's stream: OTs by `session`, parcels to the coordinator.
    pub(crate) fn listen<T>(
        &self,
        session: &mut dyn Extend,
        half: &mut RecvHalf,
        parcels: ParcelsOf,
        (news, wrap): (&Sender<Option<T>>, impl Fn(News) -> T),
        rng: &mut (dyn CryptoRng + Send),
    ) {
        let tell = |item| news.send(Some(wrap(item))).is_ok();
        let run = || -> Result<bool, ProtocolError> {
            let mut listener = ListeningStream::new(self, (session, rng), half, (parcels, &tell));
            for place in &self.plan.order {
                if !listener.place(*place, &mut || Ok(()))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        conclude(catch_unwind(AssertUnwindSafe(run)), news, wrap);
    }
}

/// A party's parcels, and whom to tell what happens.
pub(crate) type StreamNews<'a> = (ParcelsOf, &'a dyn Fn(News) -> bool);
/// An OT session and its coins.
pub(crate) type Coined<'a> = (&'a mut dyn Extend, &'a mut (dyn CryptoRng + Send));

/// This party's stream, place by place.
pub(crate) struct SpeakingStream<'a, 's> {
    stream: &'a Stream<'s>,
    session: Coined<'a>,
    half: &'a mut SendHalf,
    told: StreamNews<'a>,
}

impl<'a, 's> SpeakingStream<'a, 's> {
    pub(crate) fn new(
        stream: &'a Stream<'s>,
        session: Coined<'a>,
        half: &'a mut SendHalf,
        told: StreamNews<'a>,
    ) -> Self {
        Self { stream, session, half, told }
    }

    /// Says what comes in a place; parcels are the `next`. Whether the run goes on.
    pub(crate) fn place(
        &mut self,
        place: StreamPlace,
        next: &mut dyn FnMut() -> Result<Option<Parcel>, ProtocolError>,
    ) -> Result<bool, ProtocolError> {
        let Self { stream, session: (session, rng), half, told: (parcels, tell) } = self;
        let before = half.sent();
        let (StreamPlace::Ots(unit) | StreamPlace::Parcels(unit)) = place;
        let Some(content) = stream.plan.units.get(unit) else { return Ok(true) };
        if matches!(place, StreamPlace::Ots(_)) {
            for (at, call) in content.calls.iter().enumerate() {
                if stream.gate.is_closed() {
                    return Ok(false);
                }
                let mut made = stream.buffers[0].take(stream.ots(call, true));
                session.make(&mut made, Half::Send(half), *rng)?;
                tell(News::Made { own: true, unit, call: at, made });
            }
        } else {
            for index in 0..parcels(content).len() {
                let Some(parcel) = next()? else { return Ok(false) };
                parcel.send(half)?;
                half.flush()?;
                tell(News::Left { unit, index });
            }
        }
        let bytes = half.sent() - before;
        tell(News::Bytes { own: true, step: content.step, bytes });
        Ok(true)
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> Result<(), ProtocolError> {
        Ok(self.half.flush()?)
    }

    /// Tells the peer that the run is over.
    pub(crate) fn give_up(&mut self) {
        self.half.send_error();
    }
}

/// The peer's stream, place by place.
pub(crate) struct ListeningStream<'a, 's> {
    stream: &'a Stream<'s>,
    session: Coined<'a>,
    half: &'a mut RecvHalf,
    told: StreamNews<'a>,
}

impl<'a, 's> ListeningStream<'a, 's> {
    pub(crate) fn new(
        stream: &'a Stream<'s>,
        session: Coined<'a>,
        half: &'a mut RecvHalf,
        told: StreamNews<'a>,
    ) -> Self {
        Self { stream, session, half, told }
    }

    /// Hears what comes in a place; `made` runs after each call's OTs. Whether the run goes on.
    pub(crate) fn place(
        &mut self,
        place: StreamPlace,
        made: &mut dyn FnMut() -> Result<(), ProtocolError>,
    ) -> Result<bool, ProtocolError> {
        let Self { stream, session: (session, rng), half, told: (parcels, tell) } = self;
        let before = half.received();
        let (StreamPlace::Ots(unit) | StreamPlace::Parcels(unit)) = place;
        let Some(content) = stream.plan.units.get(unit) else { return Ok(true) };
        if matches!(place, StreamPlace::Ots(_)) {
            for (at, call) in content.calls.iter().enumerate() {
                let ots = stream.ots(call, false);
                if !stream.gate.enter(ots.0) {
                    return Ok(false);
                }
                let mut ots = stream.buffers[1].take(ots);
                session.make(&mut ots, Half::Receive(half), *rng)?;
                tell(News::Made { own: false, unit, call: at, made: ots });
                made()?;
            }
        } else {
            for shape in parcels(content) {
                if stream.gate.is_closed() {
                    return Ok(false);
                }
                let parcel = shape.receive(half)?;
                tell(News::Heard { unit, parcel });
            }
        }
        let bytes = half.received() - before;
        tell(News::Bytes { own: false, step: content.step, bytes });
        Ok(true)
    }
}

/// A stream's last news; nothing if it panicked, so that nobody waits for ever.
fn conclude<T>(
    result: std::thread::Result<Result<bool, ProtocolError>>,
    news: &Sender<Option<T>>,
    wrap: impl Fn(News) -> T,
) {
    let last = match result {
        Ok(Ok(_)) => Some(News::Through),
        Ok(Err(error)) => Some(News::Failed(error)),
        Err(_) => None,
    };
    // Nobody listens only after an error, which is what counts then.
    let _ = news.send(last.map(wrap));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn adversarial_a_peer_that_runs_ahead_is_read_no_further_than_two_windows() {
        let gate = Arc::new(ReadGate::default());
        let reader = Arc::clone(&gate);
        let (read, seen) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || {
            // Calls of a fifth of a window, as many as the peer likes.
            while reader.enter(WINDOW / 5) {
                read.send(()).unwrap();
            }
        });
        let wait = Duration::from_millis(200);
        let come = || std::iter::from_fn(|| seen.recv_timeout(wait).ok()).count();
        assert_eq!(come(), 10, "nothing has been used");
        gate.leave(WINDOW / 5);
        gate.leave(WINDOW / 5);
        assert_eq!(come(), 2, "room for two more");
        gate.close();
        reading.join().unwrap();
    }

    #[test]
    fn adversarial_a_coordinator_that_panics_leaves_nobody_behind_the_gate() {
        let gate = ReadGate::default();
        assert!(gate.enter(WINDOW));
        let run = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|threads| {
                let _closes = ClosesGate(&gate);
                threads.spawn(|| assert!(!gate.enter(2 * WINDOW)));
                std::panic::resume_unwind(Box::new(()));
            });
        }));
        assert!(run.is_err());
    }

    #[test]
    fn properties_a_call_larger_than_the_gate_goes_through_alone() {
        let gate = ReadGate::default();
        assert!(gate.enter(3 * WINDOW));
        gate.leave(3 * WINDOW);
        assert!(gate.enter(1));
        gate.close();
        assert!(!gate.enter(1));
    }
}
