//! The processor shared between sessions: whoever uses material goes before whoever makes some.
//!
//! A session works from the moment at which bytes of its client have come until it waits for the next. Online
//! phases, and commands that may begin one, are worked on at once. All else, setups and offline phases, takes turns: as many sessions at a time as there
//! are cores, online ones counted, in the order in which they had something to do. A turn ends with the next
//! wait for the client, so that nobody who stalls holds one, and begins after [`LONGEST`] in any case, so that
//! a crowd of online phases slows the others down and does not stop them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gazelle::wire::pace::{Pace, Turn};
use gazelle::{Activity, OfflineStart, SessionStage};

use crate::niceness::Niceness;
use crate::offline_turns::{OfflinePlace, OfflineTime, OfflineTurns};

/// How long a session waits for one turn at most. With 50 ms, eight clients on the server's own two cores took a
/// third longer in all.
const LONGEST: Duration = Duration::from_millis(5);

/// All sessions of a house.
#[derive(Debug)]
pub(crate) struct SessionTurns {
    cores: usize,
    /// Of threads that set up or make material.
    nice: Option<Niceness>,
    state: Mutex<TurnState>,
    changed: Condvar,
    offline: Arc<OfflineTurns>,
}

#[derive(Debug, Default)]
struct TurnState {
    next: u64,
    /// Sessions that work.
    working: usize,
    /// Those that wait for a turn, the first to come first.
    line: VecDeque<u64>,
}

impl SessionTurns {
    /// For the cores of this machine; whoever makes material is so nice.
    pub(crate) fn of_machine(nice: Option<Niceness>) -> Arc<Self> {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from), nice)
    }

    fn new(cores: usize, nice: Option<Niceness>) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { cores, nice, state, changed, offline: OfflineTurns::of_machine(cores) })
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's part; `pace`: of its link.
    pub(crate) fn of_session(
        self: &Arc<Self>,
        stage: SessionStage,
        pace: Option<Pace>,
    ) -> SessionTurn {
        let (turns, works) = (Arc::clone(self), Mutex::new(false));
        let state = Arc::new(SessionState { turns, stage, pace, works });
        SessionTurn { state, offline: Mutex::default(), cold: AtomicBool::new(false) }
    }

    /// Waits until it is this session's turn.
    fn begin(&self) {
        let mut state = self.state();
        let until = Instant::now() + LONGEST;
        let number = state.next;
        state.next += 1;
        state.line.push_back(number);
        loop {
            let first = state.line.front() == Some(&number);
            let left = until.saturating_duration_since(Instant::now());
            if first && state.working < self.cores || left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.line.retain(|other| *other != number);
        state.working += 1;
        drop(state);
        // The next in line may have room as well.
        self.changed.notify_all();
    }

    fn end(&self) {
        let mut state = self.state();
        state.working = state.working.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }
}

#[derive(Debug)]
struct SessionState {
    turns: Arc<SessionTurns>,
    stage: SessionStage,
    pace: Option<Pace>,
    /// Whether it is counted as working. Its directions of the link may be read and written by two threads: the
    /// last one that was heard of counts.
    works: Mutex<bool>,
}

impl SessionState {
    fn is_working(&self) -> MutexGuard<'_, bool> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session's part; it works no more when this is dropped.
#[derive(Debug)]
pub(crate) struct SessionTurn {
    state: Arc<SessionState>,
    /// From the beginning of an offline phase to the end of the online one that follows.
    offline: Mutex<Option<OfflinePlace>>,
    /// Hints come beside its offline phase.
    cold: AtomicBool,
}

impl SessionTurn {
    /// What the session's link tells.
    pub(crate) fn of_link(&self) -> Box<dyn Turn> {
        Box::new(LinkTurn(Arc::clone(&self.state)))
    }

    /// What threads that make material for it do first.
    pub(crate) fn offline_start(&self) -> Option<OfflineStart<'static>> {
        let nice = self.state.turns.nice?;
        Some(Box::new(move || nice.enter()))
    }

    fn offline(&self) -> MutexGuard<'_, Option<OfflinePlace>> {
        self.offline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until material may be made, for a model whose phases take so long.
    pub(crate) fn begin_offline(&self, time: &OfflineTime) {
        self.rests();
        // Material that was made before, and not used so far, is not used at once.
        *self.offline() = None;
        self.cold.store(false, Ordering::Relaxed);
        let place = self.state.turns.offline.begin(self.state.pace.clone(), time);
        *self.offline() = Some(place);
    }

    /// The material is made: that took so long.
    pub(crate) fn end_offline(&self, time: &OfflineTime) {
        if let Some(place) = &mut *self.offline() {
            let took = place.made();
            // Others do not wait for hints; but too long is better than nothing.
            if !self.cold.load(Ordering::Relaxed) || !time.is_known() {
                time.add(took);
            }
        }
    }

    /// Hints came beside this offline phase: others do not take as long.
    pub(crate) fn is_cold(&self) {
        self.cold.store(true, Ordering::Relaxed);
    }

    /// The material was used or stored.
    pub(crate) fn end_inference(&self) {
        *self.offline() = None;
    }

    /// Gives up the turn: the session is about to wait.
    pub(crate) fn rests(&self) {
        LinkTurn(Arc::clone(&self.state)).rests();
    }
}

impl Drop for SessionTurn {
    fn drop(&mut self) {
        self.rests();
    }
}

#[derive(Debug)]
struct LinkTurn(Arc<SessionState>);

impl Turn for LinkTurn {
    fn rests(&self) {
        if std::mem::replace(&mut *self.0.is_working(), false) {
            self.0.turns.end();
        }
    }

    fn works(&self) {
        {
            let mut works = self.0.is_working();
            if *works {
                return;
            }
            let activity = self.0.stage.activity();
            if matches!(activity, Activity::Online | Activity::Idle | Activity::Prepared) {
                *works = true;
                self.0.turns.state().working += 1;
                return;
            }
        }
        // Not under the lock: the other direction goes on.
        self.0.turns.begin();
        if std::mem::replace(&mut *self.0.is_working(), true) {
            // It was counted twice.
            self.0.turns.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A session that makes material.
    fn offline(turns: &Arc<SessionTurns>) -> (SessionTurn, Box<dyn Turn>) {
        let session = turns.of_session(SessionStage::default(), None);
        let link = session.of_link();
        (session, link)
    }

    #[test]
    fn who_waits_for_commands_is_answered_at_once() {
        let turns = SessionTurns::new(1, None);
        let (_one, first) = offline(&turns);
        first.works();
        let stage = SessionStage::of(Activity::Prepared);
        let session = turns.of_session(stage, None);
        session.of_link().works();
        assert_eq!(turns.state().working, 2);
        assert!(turns.state().line.is_empty());
    }

    #[test]
    fn as_many_sessions_work_as_there_are_cores_and_none_waits_for_ever() {
        let turns = SessionTurns::new(1, None);
        let (one, first) = offline(&turns);
        let (_two, second) = offline(&turns);
        first.works();
        assert_eq!(turns.state().working, 1);
        // A second word of the same session changes nothing.
        first.works();
        assert_eq!(turns.state().working, 1);
        // Nobody gives way: after a while the other one works all the same.
        let begin = Instant::now();
        second.works();
        assert!(begin.elapsed() >= LONGEST);
        assert_eq!(turns.state().working, 2);
        second.rests();
        second.rests();
        assert_eq!(turns.state().working, 1);
        // A session that ends in the middle of its work.
        drop(one);
        assert_eq!(turns.state().working, 0);
        assert!(turns.state().line.is_empty());
    }

    #[test]
    fn a_session_holds_one_offline_turn_until_its_material_is_used() {
        let turns = SessionTurns::new(1, None);
        let (session, _link) = offline(&turns);
        let time = OfflineTime::default();
        for _ in 0..2 {
            session.begin_offline(&time);
            session.end_offline(&time);
            assert_eq!(turns.offline.count(), 1);
        }
        session.end_inference();
        assert_eq!(turns.offline.count(), 0);
        session.begin_offline(&time);
        // It is cut off in the middle.
        drop(session);
        assert_eq!(turns.offline.count(), 0);
    }

    #[test]
    fn who_rests_lets_the_first_in_line_work() {
        let turns = SessionTurns::new(1, None);
        let (_one, first) = offline(&turns);
        first.works();
        let (told, heard) = channel();
        let (_two, second) = offline(&turns);
        let waits = std::thread::spawn(move || {
            second.works();
            told.send(()).unwrap();
            second
        });
        while turns.state().line.is_empty() && turns.state().working == 1 {
            std::thread::yield_now();
        }
        first.rests();
        heard.recv().unwrap();
        let second = waits.join().unwrap();
        assert_eq!(turns.state().working, 1);
        second.rests();
        assert_eq!(turns.state().working, 0);
    }
}
