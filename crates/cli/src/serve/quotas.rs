//! How many inferences each client may make while the server runs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use gazelle::Quota;

/// What a client may make by default where steps round locally: about a tenth of the replays that tell
/// the last layer's weights (docs/threat-model.md).
pub(crate) const LOCAL_INFERENCES: u64 = 256;
/// Clients with an account of their own; all that come later share one.
const ACCOUNTS: usize = 1 << 16;

/// The accounts of clients, told apart by `K`.
#[derive(Debug)]
pub(crate) struct Quotas<K> {
    most: Option<u64>,
    accounts: Mutex<HashMap<K, Quota>>,
    others: Quota,
}

impl<K: Eq + Hash> Quotas<K> {
    /// Each client may make `most` inferences, or as many as it likes.
    pub(crate) fn new(most: Option<u64>) -> Self {
        let others = most.map_or_else(Quota::default, Quota::new);
        Self { most, accounts: Mutex::default(), others }
    }

    /// The account of a client.
    pub(crate) fn of(&self, client: K) -> Quota {
        let Some(most) = self.most else { return Quota::default() };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS && !accounts.contains_key(&client) {
            return self.others.clone();
        }
        accounts.entry(client).or_insert_with(|| Quota::new(most)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_a_client_has_one_account_and_the_many_share_one() {
        let quotas = Quotas::new(Some(3));
        for client in 0..ACCOUNTS + 10 {
            assert_eq!(quotas.of(client).left(), 3);
        }
        assert_eq!(quotas.accounts.lock().unwrap().len(), ACCOUNTS);
        assert_eq!(Quotas::new(None).of(1).left(), u64::MAX);
    }
}
