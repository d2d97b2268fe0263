//! How many inferences a client may make with a model: counted durably, before any of the server's work.
//!
//! A count that was given leave is on disk before the inference begins; one that is broken off stays
//! counted. So a server that is killed never gives the same leave twice.

use std::path::Path;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;

/// (client, model) -> JSON of [`Used`].
const TABLE: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("quota-1");
const DAY: u64 = 24 * 60 * 60;

/// What a client may do with a model; `None` does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Inferences in all.
    pub in_all: Option<u64>,
    /// Inferences per day (UTC).
    pub per_day: Option<u64>,
    /// Inferences per minute, of which the next is made to wait.
    pub per_minute: Option<u64>,
    /// Bytes per day (UTC), both ways: the inference that exceeds it is the day's last.
    pub bytes_per_day: Option<u64>,
}

impl Quota {
    /// Whether anything is limited.
    pub fn limits(&self) -> bool {
        *self != Self::default()
    }
}

/// Whether an inference may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It has been counted, and may begin.
    Granted {
        /// How many more may follow now; `u64::MAX` if nothing limits them.
        left: u64,
    },
    /// It has been counted, and may begin after this time.
    Later(Duration),
    /// Nothing is left, for this time; for ever if there is none.
    Exhausted(Option<Duration>),
}

/// The counts of all clients and models, in one file.
pub struct QuotaStore {
    database: Database,
}

impl std::fmt::Debug for QuotaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuotaStore")
    }
}

/// What was used; times in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    in_all: u64,
    day: u64,
    today: u64,
    bytes_today: u64,
    /// When the next inference may begin at the allowed rate, in milliseconds since 1970.
    next_ms: u64,
}

impl QuotaStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`ServiceError::Store`] if it is not one, another process has it, or the system fails.
    pub fn open(path: &Path) -> Result<Self, ServiceError> {
        let fail = ServiceError::store(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(ServiceError::file(folder))?;
        }
        let database = Database::create(path).map_err(|error| fail(&error))?;
        let store = Self { database };
        // Made once, so that reading never finds the table missing.
        let made = store.database.begin_write().map_err(redb::Error::from).and_then(|write| {
            write.open_table(TABLE)?;
            write.commit()?;
            Ok(())
        });
        made.map_err(|error| fail(&error))?;
        Ok(store)
    }

    /// Counts one inference, if it may begin; on disk when this returns.
    ///
    /// # Errors
    /// [`ServiceError::Store`]: then it may not begin.
    pub fn take(
        &self,
        client: &str,
        model: &str,
        quota: &Quota,
        now: Duration,
    ) -> Result<Leave, ServiceError> {
        self.change(client, model, |used| used.take(quota, now))
    }

    /// Adds bytes that an inference moved.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub fn add_bytes(
        &self,
        client: &str,
        model: &str,
        bytes: u64,
        now: Duration,
    ) -> Result<(), ServiceError> {
        self.change(client, model, |used| {
            used.turn_to(now);
            used.bytes_today = used.bytes_today.saturating_add(bytes);
        })
    }

    /// What a client may do now; nothing is counted.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub fn left(
        &self,
        client: &str,
        model: &str,
        quota: &Quota,
        now: Duration,
    ) -> Result<Leave, ServiceError> {
        let read = || -> Result<Used, redb::Error> {
            let table = self.database.begin_read()?.open_table(TABLE)?;
            let value = table.get((client, model))?;
            value.map_or(Ok(Used::default()), |value| parse(value.value()))
        };
        let mut used = read().map_err(|error| ServiceError::Store(error.to_string()))?;
        used.turn_to(now);
        Ok(used.exhausted(quota, now).unwrap_or(Leave::Granted { left: used.left(quota) }))
    }

    fn change<T>(
        &self,
        client: &str,
        model: &str,
        change: impl FnOnce(&mut Used) -> T,
    ) -> Result<T, ServiceError> {
        let transaction = || -> Result<T, redb::Error> {
            let write = self.database.begin_write()?;
            let result = {
                let mut table = write.open_table(TABLE)?;
                let mut used = match table.get((client, model))? {
                    Some(value) => parse(value.value())?,
                    None => Used::default(),
                };
                let result = change(&mut used);
                let bytes = serde_json::to_vec(&used)
                    .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                table.insert((client, model), bytes.as_slice())?;
                result
            };
            write.commit()?;
            Ok(result)
        };
        transaction().map_err(|error| ServiceError::Store(error.to_string()))
    }
}

/// An entry that cannot be read gives no leave: nothing is taken for zero.
fn parse(bytes: &[u8]) -> Result<Used, redb::Error> {
    serde_json::from_slice(bytes).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

impl Used {
    /// A new day's counts begin at zero. A clock that goes back changes nothing.
    fn turn_to(&mut self, now: Duration) {
        let day = now.as_secs() / DAY;
        if day > self.day {
            (self.day, self.today, self.bytes_today) = (day, 0, 0);
        }
    }

    /// Inferences that the counts leave.
    fn left(&self, quota: &Quota) -> u64 {
        let of = |limit: Option<u64>, used: u64| limit.map_or(u64::MAX, |l| l.saturating_sub(used));
        of(quota.in_all, self.in_all).min(of(quota.per_day, self.today))
    }

    fn exhausted(&self, quota: &Quota, now: Duration) -> Option<Leave> {
        if quota.in_all.is_some_and(|limit| self.in_all >= limit) {
            return Some(Leave::Exhausted(None));
        }
        let bytes = quota.bytes_per_day.is_some_and(|limit| self.bytes_today >= limit);
        if bytes || quota.per_day.is_some_and(|limit| self.today >= limit) {
            let midnight = Duration::from_secs((self.day + 1) * DAY);
            return Some(Leave::Exhausted(Some(midnight.saturating_sub(now))));
        }
        None
    }

    fn take(&mut self, quota: &Quota, now: Duration) -> Leave {
        self.turn_to(now);
        if let Some(exhausted) = self.exhausted(quota, now) {
            return exhausted;
        }
        self.in_all += 1;
        self.today += 1;
        let now_ms = now.as_millis() as u64;
        if let Some(rate) = quota.per_minute {
            let pause = 60_000 / rate.max(1);
            // A minute's worth may come at once, after a minute without.
            let earliest = now_ms.saturating_sub(60_000 - pause);
            self.next_ms = self.next_ms.max(earliest) + pause;
            if self.next_ms > now_ms + pause {
                return Leave::Later(Duration::from_millis(self.next_ms - pause - now_ms));
            }
        }
        Leave::Granted { left: self.left(quota) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: u64, seconds: u64) -> Duration {
        Duration::from_secs(days * DAY + seconds)
    }

    struct Temporary(std::path::PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("gazelle-quota-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder.join(name))
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn counts_are_per_client_and_model_and_outlive_the_process() {
        let file = Temporary::new("a.redb");
        let quota = Quota { in_all: Some(3), ..Quota::default() };
        for (store, wanted) in [(0, 2), (1, 1), (2, 0)] {
            let open = QuotaStore::open(&file.0).unwrap();
            assert_eq!(
                open.take("alice", "m", &quota, at(1, store)).unwrap(),
                Leave::Granted { left: wanted }
            );
        }
        let open = QuotaStore::open(&file.0).unwrap();
        assert_eq!(open.take("alice", "m", &quota, at(9, 0)).unwrap(), Leave::Exhausted(None));
        assert_eq!(open.left("alice", "m", &quota, at(9, 0)).unwrap(), Leave::Exhausted(None));
        for (client, model) in [("bob", "m"), ("alice", "n")] {
            let left = open.take(client, model, &quota, at(9, 0)).unwrap();
            assert_eq!(left, Leave::Granted { left: 2 });
        }
    }

    #[test]
    fn days_and_bytes_begin_anew_at_midnight_and_not_when_a_clock_goes_back() {
        let file = Temporary::new("b.redb");
        let store = QuotaStore::open(&file.0).unwrap();
        let quota = Quota { per_day: Some(2), bytes_per_day: Some(100), ..Quota::default() };
        let take = |now| store.take("a", "m", &quota, now).unwrap();
        assert_eq!(take(at(5, 10)), Leave::Granted { left: 1 });
        assert_eq!(take(at(5, 20)), Leave::Granted { left: 0 });
        let rest = Some(Duration::from_secs(DAY - 30));
        assert_eq!(take(at(5, 30)), Leave::Exhausted(rest));
        assert!(matches!(take(at(4, 30)), Leave::Exhausted(Some(_))));
        assert_eq!(take(at(6, 0)), Leave::Granted { left: 1 });
        store.add_bytes("a", "m", 100, at(6, 5)).unwrap();
        assert!(matches!(take(at(6, 6)), Leave::Exhausted(Some(_))));
        assert_eq!(take(at(7, 0)), Leave::Granted { left: 1 });
    }

    #[test]
    fn a_rate_makes_wait_and_never_refuses() {
        let file = Temporary::new("c.redb");
        let store = QuotaStore::open(&file.0).unwrap();
        let quota = Quota { per_minute: Some(6), ..Quota::default() };
        let take = |seconds| store.take("a", "m", &quota, at(1, seconds)).unwrap();
        for _ in 0..6 {
            assert_eq!(take(0), Leave::Granted { left: u64::MAX });
        }
        assert_eq!(take(0), Leave::Later(Duration::from_secs(10)));
        assert_eq!(take(0), Leave::Later(Duration::from_secs(20)));
        assert_eq!(take(30), Leave::Granted { left: u64::MAX });
    }

    #[test]
    fn adversarial_a_file_that_is_no_store_is_refused_and_left_alone() {
        let file = Temporary::new("d.redb");
        std::fs::write(&file.0, b"nonsense, and more of it than a header takes".repeat(100))
            .unwrap();
        let before = std::fs::read(&file.0).unwrap();
        assert!(matches!(QuotaStore::open(&file.0), Err(ServiceError::Store(_))));
        assert_eq!(std::fs::read(&file.0).unwrap(), before);
        // And a store that another process holds.
        let other = Temporary::new("e.redb");
        let _held = QuotaStore::open(&other.0).unwrap();
        assert!(matches!(QuotaStore::open(&other.0), Err(ServiceError::Store(_))));
    }
}
