//! How many inferences a client may make, whatever the number of its sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::GazelleError;

/// Inferences that a client may still make; its sessions share it. Who a client is, the server's
/// owner says: by address, or by certificate. Under local rounding the number bounds what replays tell
/// about the weights (docs/threat-model.md).
#[derive(Debug, Clone)]
pub struct Quota {
    left: Arc<AtomicU64>,
    most: u64,
}

impl Default for Quota {
    /// No limit.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Quota {
    /// Allows `most` inferences in all.
    pub fn new(most: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(most)), most }
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Uses up one, as its preparation begins.
    ///
    /// # Errors
    /// [`GazelleError::Quota`] if none is left.
    pub(crate) fn take(&self) -> Result<(), GazelleError> {
        let one_less = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Ok(()),
            Err(_) => Err(GazelleError::Quota { most: self.most }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_sessions_of_a_client_share_what_is_left() {
        let quota = Quota::new(2);
        let other = quota.clone();
        quota.take().unwrap();
        other.take().unwrap();
        assert_eq!((quota.left(), other.left()), (0, 0));
        assert!(matches!(quota.take(), Err(GazelleError::Quota { most: 2 })));
    }
}
