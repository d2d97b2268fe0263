//! The server's halves of material that clients made ahead: in a store, with an index of it in memory.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gazelle::WriteInto;
use gazelle_service::{SealedHeader, Store};

/// What the store calls it.
const MATERIAL: &str = "material";
/// How long it is of use.
const LASTING: Duration = Duration::from_hours(30 * 24);
/// Entries of one client.
const EACH: usize = 1024;

/// How many bytes of material a store takes.
#[derive(Debug, Clone, Copy)]
pub struct MaterialBytes {
    /// In all.
    pub all: u64,
    /// Of one certificate. Clients without are not told apart: all of them together may fill the store.
    pub each: u64,
}

/// Whose, what it is good for, and its id.
type EntryKey = (String, [u8; 32], [u8; 32]);

/// All entries of a store that this process has alone.
pub(crate) struct StoredMaterial {
    store: Arc<Store>,
    /// Bytes at most; sessions that make an entry at the same time may exceed them by one each.
    most: MaterialBytes,
    /// Which of several servers this is.
    replica: [u8; 32],
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    entries: HashMap<EntryKey, Entry>,
    /// Of files that cannot be read: they take room as well.
    unreadable: u64,
}

struct Entry {
    header: SealedHeader,
    bytes: u64,
}

impl Index {
    fn bytes(&self) -> u64 {
        self.unreadable + self.entries.values().map(|entry| entry.bytes).sum::<u64>()
    }
}

impl StoredMaterial {
    /// Reads the store's listing once.
    pub(crate) fn open(store: Arc<Store>, most: MaterialBytes) -> io::Result<Self> {
        let replica = store.name().map_err(io::Error::other)?;
        let mut index = Index::default();
        for stored in store.list(MATERIAL)? {
            match stored.header {
                Ok(header) => {
                    let key = (header.owner.clone(), header.bound, header.id);
                    index.entries.insert(key, Entry { header, bytes: stored.bytes });
                }
                Err(error) => {
                    // It may be another key's, or the disk's mood: nothing is removed that cannot be read.
                    tracing::warn!(%error, file = stored.file, "stored material cannot be read");
                    index.unreadable += stored.bytes;
                }
            }
        }
        let material = Self { store, most, replica, index: Mutex::new(index) };
        material.sweep();
        Ok(material)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of several servers this is.
    pub(crate) fn replica(&self) -> [u8; 32] {
        self.replica
    }

    /// Entries, and bytes on disk.
    pub(crate) fn count(&self) -> (usize, u64) {
        let index = self.index();
        (index.entries.len(), index.bytes())
    }

    /// Whether a client has any.
    pub(crate) fn has_of(&self, owner: &str) -> bool {
        self.index().entries.keys().any(|(of, ..)| of == owner)
    }

    /// Removes those whose time is over.
    fn sweep(&self) {
        self.drop_some(|_, entry| entry.header.is_over());
    }

    fn drop_some(&self, which: impl Fn(&EntryKey, &Entry) -> bool) {
        let mut dropped = Vec::new();
        self.index().entries.retain(|key, entry| {
            let keep = !which(key, entry);
            if !keep {
                dropped.push(key.clone());
            }
            keep
        });
        // Others need not wait for the disk.
        for (owner, bound, id) in dropped {
            if let Err(error) = self.store.forget(MATERIAL, &owner, &bound, &id) {
                // It is not found again; its room is known at the next start.
                tracing::warn!(%error, "stored material cannot be removed");
            }
        }
    }

    /// Whether one more entry of this client has room.
    pub(crate) fn has_room(&self, owner: &str) -> bool {
        self.sweep();
        let index = self.index();
        let own = index.entries.iter().filter(|((of, ..), _)| of == owner);
        let (count, bytes) =
            own.fold((0, 0), |(count, bytes), (_, entry)| (count + 1, bytes + entry.bytes));
        let within = owner.is_empty() || bytes < self.most.each;
        count < EACH && within && index.bytes() < self.most.all
    }

    /// Stores an entry, on disk when this returns.
    pub(crate) fn keep(
        &self,
        owner: &str,
        (bound, entry, holder): (&[u8; 32], &[u8; 32], &[u8; 32]),
        write: &mut WriteInto<'_>,
    ) -> io::Result<()> {
        let mut header = SealedHeader::new(MATERIAL, owner, *bound, *entry, LASTING);
        header.digest = *holder;
        // Never in place of another's: two halves under one id would not belong together.
        let bytes = self.store.create(&header, write)?;
        let key = (owner.to_owned(), *bound, *entry);
        self.index().entries.insert(key, Entry { header, bytes });
        Ok(())
    }

    /// Takes an entry off the store; it is on disk that it is gone when this returns.
    pub(crate) fn take(
        &self,
        owner: &str,
        bound: &[u8; 32],
        entry: &[u8; 32],
    ) -> io::Result<Option<Box<dyn Read + Send>>> {
        let taken = self.store.spend(MATERIAL, owner, bound, entry);
        self.index().entries.remove(&(owner.to_owned(), *bound, *entry));
        Ok(taken?.map(|(_, content)| content))
    }

    /// Which of a holder's entries there are; its others are dropped.
    pub(crate) fn compare(
        &self,
        owner: &str,
        (bound, holder): (&[u8; 32], &[u8; 32]),
        entries: &[[u8; 32]],
    ) -> Vec<bool> {
        // Clients without certificates are not told apart: theirs end with time.
        if !owner.is_empty() {
            let named: std::collections::HashSet<&[u8; 32]> = entries.iter().collect();
            self.drop_some(|key, entry| {
                (key.0.as_str(), &key.1, &entry.header.digest) == (owner, bound, holder)
                    && !named.contains(&key.2)
            });
        }
        let index = self.index();
        let there =
            |entry: &[u8; 32]| index.entries.contains_key(&(owner.to_owned(), *bound, *entry));
        entries.iter().map(there).collect()
    }
}
