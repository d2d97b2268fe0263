//! What is written down: quotas before an inference, metrics and the audit log after it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use gazelle::{
    CheatingEvidence, InferenceReport, OfflineStart, Phase, ServerShelf, SessionWatcher,
};
use gazelle_service::{
    AuditEvent, AuditLog, BlockedClients, Leave, Metrics, PhaseCount, QuotaStore, ServiceError,
};

use crate::client::ServedClient;
use crate::models::ServedModel;
use crate::setups::{ServedSetups, Setups};
use crate::turns::SessionTurn;

/// How long a rate may make a client wait before its session ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server's books.
#[derive(Debug)]
pub struct Ledger {
    /// Counts of everything.
    pub metrics: Arc<Metrics>,
    /// Who asked what, and how it ended.
    pub audit: Option<AuditLog>,
    /// Who is not served any more, where cheating has that consequence.
    pub blocked: Option<BlockedClients>,
    /// Where what clients do with models is counted, if anything limits it.
    pub quota: Option<QuotaStore>,
}

/// Seconds since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Ledger {
    /// What a client may do with a model now.
    pub(crate) fn left(
        &self,
        client: &ServedClient,
        model: &ServedModel,
    ) -> Result<Leave, ServiceError> {
        match &self.quota {
            Some(store) => store.left(&client.account().key(), &model.digest, &model.quota, now()),

            None => Ok(Leave::Granted { left: u64::MAX }),
        }
    }

    /// Whether a client was caught cheating and is not served; also if the list cannot be read.
    pub(crate) fn is_blocked(&self, client: &ServedClient) -> bool {
        let Some(blocked) = &self.blocked else { return false };
        let found = blocked.contains(&client.account().key());
        found
            .inspect_err(|error| tracing::error!(%error, "the list of blocked clients"))
            .unwrap_or(true)
    }

    /// A client was not served.
    pub(crate) fn refused(&self, client: &str, reason: &str) {
        self.metrics.refusal(reason);
        self.audit(&AuditEvent::Refused { client, reason });
    }

    fn audit(&self, event: &AuditEvent<'_>) -> bool {
        let written = self.audit.as_ref().map_or(Ok(()), |audit| audit.write(event));
        written.inspect_err(|error| tracing::error!(%error, "the audit log")).is_ok()
    }

    /// A session begins; `None` if that cannot be put on record: then it must not.
    pub(crate) fn begin<'a>(
        &'a self,
        number: u64,
        client: &'a ServedClient,
        model: &'a ServedModel,
        setups: &'a Setups,
        turn: SessionTurn,
    ) -> Option<SessionRecord<'a>> {
        let event = AuditEvent::SessionBegin {
            session: number,
            client: &client.key(),
            name: client.name(),
            model: &model.digest,
            reveals: model.reveals,
        };
        self.audit(&event).then(|| SessionRecord {
            ledger: self,
            number,
            client,
            model,
            setups: setups.of(client),
            turn,
            sums: Mutex::default(),
        })
    }
}

/// Hexadecimal digits.
fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write;
        // A string takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One session's page.
pub(crate) struct SessionRecord<'a> {
    ledger: &'a Ledger,
    number: u64,
    client: &'a ServedClient,
    model: &'a ServedModel,
    setups: ServedSetups<'a>,
    turn: SessionTurn,
    sums: Mutex<SessionSums>,
}

/// What a session did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SessionSums {
    /// Predictions revealed.
    pub(crate) inferences: u64,
    /// Seconds of their online phases.
    pub(crate) online_seconds: f64,
    sent: u64,
    received: u64,
}

impl SessionRecord<'_> {
    fn sums(&self) -> MutexGuard<'_, SessionSums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session has ended: `completed`, or why it did not.
    pub(crate) fn end(self, outcome: &str) -> SessionSums {
        let sums = *self.sums();
        self.ledger.audit(&AuditEvent::SessionEnd {
            session: self.number,
            inferences: sums.inferences,
            bytes_sent: sums.sent,
            bytes_received: sums.received,
            outcome,
        });
        sums
    }

    /// Adds traffic to what the client's quota counts.
    fn count_bytes(&self, bytes: u64) {
        let (Some(store), Some(_)) = (&self.ledger.quota, self.model.quota.bytes_per_day) else {
            return;
        };
        let client = self.client.account().key();
        if let Err(error) = store.add_bytes(&client, &self.model.digest, bytes, now()) {
            tracing::error!(%error, "bytes cannot be counted");
        }
    }

    fn phase(&self, phase: &'static str, seen: &Phase) {
        let Phase { seconds, bytes_sent: sent, bytes_received: received, .. } = *seen;
        self.ledger.metrics.phase(&self.model.name, &PhaseCount { phase, seconds, sent, received });
        let mut sums = self.sums();
        sums.sent += sent;
        sums.received += received;
    }
}

impl SessionWatcher for SessionRecord<'_> {
    fn shelf(&self) -> Option<&dyn ServerShelf> {
        Some(&self.setups)
    }

    fn offline_start(&self) -> Option<OfflineStart<'_>> {
        self.turn.offline_start()
    }

    fn offline_begins(&self) {
        self.turn.begin_offline(&self.model.offline);
    }

    fn offline_ends(&self) {
        self.turn.end_offline(&self.model.offline);
    }

    fn set_up(&self, setup: &Phase) {
        self.phase("setup", setup);
    }

    fn late_hints(&self, bytes: &Phase) {
        self.turn.is_cold();
        self.phase("setup", bytes);
    }

    fn caught(&self, evidence: &CheatingEvidence) {
        let CheatingEvidence { check, transcript, opened } = evidence;
        let (ledger, client) = (self.ledger, self.client);
        let blocked = ledger.blocked.as_ref().is_some_and(|list| {
            let added = list.add(&client.account().key(), check);
            added
                .inspect_err(
                    |error| tracing::error!(%error, %client, "blocked only until the server ends"),
                )
                .is_ok()
        });
        ledger.metrics.refusal("cheating");
        ledger.audit(&AuditEvent::Cheating {
            session: self.number,
            client: &client.key(),
            name: client.name(),
            check,
            transcript: hex(transcript),
            opened: opened.as_ref().map(hex),
            blocked,
        });
        tracing::error!(%client, check, blocked, "a client was caught cheating");
    }

    fn serves(&self) -> bool {
        let blocked = self.ledger.is_blocked(self.client);
        if blocked {
            self.ledger.metrics.refusal("blocked");
        }
        !blocked
    }

    fn admit(&self) -> bool {
        if !self.serves() {
            return false;
        }
        let Some(store) = &self.ledger.quota else { return true };
        let ServedModel { digest, quota, .. } = self.model;
        match store.take(&self.client.account().key(), digest, quota, now()) {
            Ok(Leave::Granted { .. }) => true,
            Ok(Leave::Later(wait)) if wait <= PATIENCE => {
                self.turn.rests();
                std::thread::sleep(wait);
                true
            }
            Ok(Leave::Later(_) | Leave::Exhausted(_)) => {
                self.ledger.metrics.refusal("quota");
                false
            }
            Err(error) => {
                tracing::error!(%error, "an inference cannot be counted");
                false
            }
        }
    }

    fn kept(&self, offline: &Phase) {
        self.turn.end_inference();
        self.phase("offline", offline);
        self.count_bytes(offline.bytes());
    }

    fn inferred(&self, report: &InferenceReport) {
        self.turn.end_inference();
        self.phase("offline", &report.offline);
        self.phase("online", &report.online);
        self.ledger.metrics.inference(&self.model.name);
        {
            let mut sums = self.sums();
            sums.inferences += 1;
            sums.online_seconds += report.online.seconds;
        }
        self.count_bytes(report.offline.bytes() + report.online.bytes());
    }
}
