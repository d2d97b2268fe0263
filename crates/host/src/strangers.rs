//! What the log says of connections that never became sessions: probes nothing, the others at most
//! a line a minute of each kind.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines of one kind.
const PAUSE: Duration = Duration::from_mins(1);

/// Counts what is not said.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    failed: Limited,
    turned_away: Limited,
}

#[derive(Debug, Default)]
struct Limited(Mutex<(Option<Instant>, u64)>);

impl Limited {
    /// Whether to speak now: how many were passed over since the last time.
    fn speak(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, passed) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            *passed += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(passed))
    }
}

impl Strangers {
    /// A handshake that failed before the client said anything.
    pub(crate) fn silent(peer: SocketAddr, error: &dyn Display) {
        // Somebody looked whether the port is open.
        tracing::debug!(%peer, %error, "connection closed before it said anything");
    }

    /// A handshake that failed.
    pub(crate) fn failed(&self, peer: SocketAddr, error: &dyn Display) {
        if let Some(passed_over) = self.failed.speak(Instant::now()) {
            tracing::warn!(%peer, %error, passed_over, "handshake failed");
        }
    }

    /// A client for whom there was no place.
    pub(crate) fn turned_away(&self, peer: SocketAddr, why: &dyn Display) {
        if let Some(passed_over) = self.turned_away.speak(Instant::now()) {
            tracing::warn!(%peer, passed_over, "turned away: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversarial_a_flood_is_told_once_a_minute_with_its_count() {
        let limited = Limited::default();
        let start = Instant::now();
        assert_eq!(limited.speak(start), Some(0));
        for second in 0..59 {
            assert_eq!(limited.speak(start + Duration::from_secs(second)), None);
        }
        assert_eq!(limited.speak(start + PAUSE), Some(59));
        assert_eq!(limited.speak(start + 2 * PAUSE), Some(0));
    }
}
