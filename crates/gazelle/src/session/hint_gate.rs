//! Answers of the linear layers that wait for their group's hints, where these come beside all else.
//!
//! | who collects answers | who hears hints |
//! |---|---|
//! | `begin`, with the worker's giver | |
//! | `collected`: to the worker, if the hints are here | `heard`: what waits for them goes to the worker |
//! | `close` when it ends, however it ends | `close` if it fails |
//!
//! The worker ends when nobody can give it anything any more: whoever fails closes the gate, so that nobody waits
//! for a group whose hints do not come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::session::background::Giver;

/// See above. `C`: an answer.
pub(crate) struct HintGate<C>(Mutex<Waiting<C>>);

struct Waiting<C> {
    /// The hints of so many groups are here.
    heard: usize,
    answers: BTreeMap<usize, C>,
    /// Nothing before `begin` and after `close`.
    giver: Option<Giver<C>>,
    closed: bool,
}

impl<C> HintGate<C> {
    pub(crate) fn new() -> Self {
        let answers = BTreeMap::new();
        Self(Mutex::new(Waiting { heard: 0, answers, giver: None, closed: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<C>> {
        // optional: a poisoned lock still holds what waits
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on answers that have their hints go to the worker of `giver`.
    pub(crate) fn begin(&self, giver: Option<Giver<C>>) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.giver = giver;
        }
    }

    /// The answer to a group's request is here.
    pub(crate) fn collected(&self, group: usize, answer: C) {
        let mut waiting = self.lock();
        if group >= waiting.heard {
            waiting.answers.insert(group, answer);
        } else if let Some(giver) = &waiting.giver {
            giver.give(group, answer);
        }
    }

    /// The hints of a group are here, and of all groups before it.
    pub(crate) fn heard(&self, group: usize) {
        let mut waiting = self.lock();
        waiting.heard = group + 1;
        if let (Some(answer), Some(giver)) = (waiting.answers.remove(&group), &waiting.giver) {
            giver.give(group, answer);
        }
    }

    /// Nothing more goes to the worker.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        (waiting.giver, waiting.closed) = (None, true);
        waiting.answers.clear();
    }
}

/// Closes a gate when it is dropped, unless it was emptied.
pub(crate) struct Closing<'a, C>(pub(crate) Option<&'a HintGate<C>>);

impl<C> Drop for Closing<'_, C> {
    fn drop(&mut self) {
        if let Some(gate) = self.0 {
            gate.close();
        }
    }
}
