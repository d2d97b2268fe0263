//! Whoever answers for a server's sessions: is told what they do, and may end them.

use std::sync::{Mutex, PoisonError};

use crate::report::{InferenceReport, Phase};
use crate::session::apart::OfflineStart;
use crate::session::audit::server::CheatingEvidence;
use crate::session::kept::ServerShelf;

/// Watches one session, from its own threads (that of an offline phase, where it has one); must return soon, but for
/// [`admit`](SessionWatcher::admit) and [`offline_begins`](SessionWatcher::offline_begins), which may make a client wait.
pub trait SessionWatcher: Sync {
    /// Where this client's setups are kept; none are if there is nowhere.
    fn shelf(&self) -> Option<&dyn ServerShelf> {
        None
    }

    /// Setups and offline phases are to have threads of their own, and this is what each does first, such as to lower
    /// its priority; without, the session's thread does all.
    fn offline_start(&self) -> Option<OfflineStart<'_>> {
        None
    }

    /// Handshake and setup are through, but for late hints.
    fn set_up(&self, _setup: &Phase) {}

    /// Hints have come beside the session's first inference, so many bytes of the setup's.
    fn late_hints(&self, _bytes: &Phase) {}

    /// Before the material of an inference is made: whether it may be. The session ends if not.
    fn admit(&self) -> bool {
        true
    }

    /// After that, waits until the material may be made.
    fn offline_begins(&self) {}

    /// The material is made, to be stored ([`kept`](Self::kept)), or used by the client at once or later.
    fn offline_ends(&self) {}

    /// Before prepared or stored material is used: whether the client is still served, which was perhaps caught in
    /// another session. The session ends if not.
    fn serves(&self) -> bool {
        true
    }

    /// The material of an inference was made to be stored, which took this.
    fn kept(&self, _offline: &Phase) {}

    /// The client was caught cheating: the session ends.
    fn caught(&self, _evidence: &CheatingEvidence) {}

    /// An inference is complete: its prediction has been revealed.
    fn inferred(&self, _report: &InferenceReport) {}
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<(Phase, Vec<InferenceReport>)>);

impl Recorder {
    /// What the session did.
    pub(crate) fn into_parts(self) -> (Phase, Vec<InferenceReport>) {
        // optional: a poisoned lock still holds what was recorded
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionWatcher for Recorder {
    fn set_up(&self, setup: &Phase) {
        // optional: a poisoned lock still holds what was recorded
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = *setup;
    }

    fn late_hints(&self, bytes: &Phase) {
        // optional: a poisoned lock still holds what was recorded
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += *bytes;
    }

    fn inferred(&self, report: &InferenceReport) {
        // optional: a poisoned lock still holds what was recorded
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(report.clone());
    }
}
