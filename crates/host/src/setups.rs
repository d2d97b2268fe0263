//! The server's part of kept setups: some bytes each, in memory, and in a store if there is one.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use gazelle::share::KeptSetup;
use gazelle::{ServerShelf, SetupName, WriteInto};
use gazelle_service::{SealedHeader, Store};

use crate::client::ServedClient;

/// What the store calls them.
const SETUP: &str = "setup";
const MATERIAL: &str = "material";
/// How long material is of use.
const MATERIAL_LASTING: Duration = Duration::from_hours(30 * 24);
/// Entries of one client.
const ENTRIES_EACH: usize = 1024;
/// How long a setup is of use.
const LASTING: Duration = Duration::from_hours(30 * 24);
/// Setups of one client; of clients without certificates, all of them together have [`ALL`].
const EACH: usize = 64;
/// Setups in all.
const ALL: usize = 1 << 16;

/// A client's name, what a setup is good for, and its id.
type SetupKey = (String, [u8; 32], [u8; 32]);

/// All setups that this server knows.
pub struct Setups {
    known: Mutex<HashMap<SetupKey, KnownSetup>>,
    store: Option<Store>,
    /// Bytes of material in the store at most.
    most: u64,
}

#[derive(Clone)]
struct KnownSetup {
    setup: KeptSetup,
    /// Inferences that were counted.
    counted: u64,
    made: u64,
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl KnownSetup {
    fn is_fresh(&self) -> bool {
        now() < self.made.saturating_add(LASTING.as_secs())
    }
}

impl Setups {
    /// Those of a store, with at most `most` bytes of material; without one they end with the process.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: Option<Store>, most: u64) -> io::Result<Self> {
        let mut known = HashMap::new();
        for stored in store
            .iter()
            .map(|store| store.list(SETUP))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
        {
            let store = store.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let read = stored.header.and_then(|header| Ok((read(store, &header)?, header)));
            match read {
                Ok((Some(setup), header)) => {
                    known.insert((header.owner, header.bound, header.id), setup);
                }
                Ok((None, _)) => {}
                Err(error) => {
                    // It may be another key's, or the disk's mood: nothing is removed that cannot be read.
                    tracing::warn!(%error, file = stored.file, "a kept setup cannot be read");
                }
            }
        }
        if let Some(store) = &store {
            sweep(store)?;
        }
        Ok(Self { known: Mutex::new(known), store, most })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SetupKey, KnownSetup>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The setups of one client.
    pub(crate) fn of(&self, client: &ServedClient) -> ServedSetups<'_> {
        let owner = match client {
            ServedClient::Certificate(id) => id.hex(),
            // Whoever knows the id, 32 random bytes, is the client.
            ServedClient::Address(_) => String::new(),
        };
        ServedSetups { setups: self, owner }
    }

    fn write(&self, (owner, bound, id): &SetupKey, known: &KnownSetup) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut header = SealedHeader::new(SETUP, owner, *bound, *id, LASTING);
        (header.digest, header.made) = (known.setup.digest, known.made);
        header.until = known.made.saturating_add(LASTING.as_secs());
        store.put(&header, true, &mut |out| {
            out.write_all(&known.counted.to_le_bytes())?;
            out.write_all(&known.setup.secret)
        })
    }

    /// Makes room for one more of a client: its oldest goes, or the oldest of all.
    fn make_room(&self, known: &mut HashMap<SetupKey, KnownSetup>, owner: &str) {
        known.retain(|key, known| known.is_fresh() || self.gone(key));
        let own = known.keys().filter(|key| key.0 == owner).count();
        let crowded = !owner.is_empty() && own >= EACH;
        if crowded || known.len() >= ALL {
            let candidates = known.iter().filter(|(key, _)| !crowded || key.0 == owner);
            let oldest = candidates.min_by_key(|(_, known)| known.made).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.gone(&oldest);
                known.remove(&oldest);
            }
        }
    }

    /// Removes a setup's file; says that it is not kept.
    fn gone(&self, (owner, bound, id): &SetupKey) -> bool {
        let removed = self.store.as_ref().map(|store| store.forget(SETUP, owner, bound, id));
        if let Some(Err(error)) = removed {
            tracing::warn!(%error, "a kept setup cannot be removed");
        }
        false
    }
}

fn read(store: &Store, header: &SealedHeader) -> io::Result<Option<KnownSetup>> {
    let found = store.find(SETUP, &header.owner, &header.bound, &header.id)?;
    let Some((header, mut content)) = found else { return Ok(None) };
    let mut counted = [0; 8];
    content.read_exact(&mut counted)?;
    let mut secret = zeroize::Zeroizing::new(Vec::with_capacity(256));
    content.take(256).read_to_end(&mut secret)?;
    let setup = KeptSetup { digest: header.digest, secret };
    Ok(Some(KnownSetup { setup, counted: u64::from_le_bytes(counted), made: header.made }))
}

/// One client's.
pub(crate) struct ServedSetups<'a> {
    setups: &'a Setups,
    owner: String,
}

impl ServedSetups<'_> {
    fn key(&self, bound: &[u8; 32], id: &[u8; 32]) -> SetupKey {
        (self.owner.clone(), *bound, *id)
    }
}

impl ServerShelf for ServedSetups<'_> {
    fn find(&self, bound: &[u8; 32], name: &SetupName) -> Option<(KeptSetup, u64)> {
        let known = self.setups.known();
        let found = known.get(&self.key(bound, &name.id));
        let found = found.filter(|known| known.is_fresh() && known.setup.digest == name.digest)?;
        Some((found.setup.clone(), found.counted))
    }

    fn keep(&self, bound: &[u8; 32], id: &[u8; 32], setup: &KeptSetup) -> bool {
        let key = self.key(bound, id);
        let mut known = self.setups.known();
        // An id that another session uses is not taken from it.
        if known.contains_key(&key) {
            return false;
        }
        self.setups.make_room(&mut known, &self.owner);
        let new = KnownSetup { setup: setup.clone(), counted: 0, made: now() };
        let written = self.setups.write(&key, &new);
        if let Err(error) = &written {
            tracing::error!(%error, "a setup is not kept");
        } else {
            known.insert(key, new);
        }
        written.is_ok()
    }

    fn count(&self, bound: &[u8; 32], id: &[u8; 32], inferences: u64) -> Option<u64> {
        let key = self.key(bound, id);
        let mut all = self.setups.known();
        let known = all.get_mut(&key)?;
        let counted = known.counted.checked_add(inferences)?;
        let new = KnownSetup { counted, ..known.clone() };
        if let Err(error) = self.setups.write(&key, &new) {
            tracing::error!(%error, "inferences of a kept setup cannot be counted");
            return None;
        }
        *known = new;
        Some(counted)
    }

    fn keep_entry(&self, bound: &[u8; 32], entry: &[u8; 32], write: &mut WriteInto<'_>) -> bool {
        let Some(store) = &self.setups.store else { return false };
        let kept = self.room(store).and_then(|room| {
            if !room {
                return Err(io::Error::other(
                    "no room for more material (--store-mib, 1,024 a client)",
                ));
            }
            let header = SealedHeader::new(MATERIAL, &self.owner, *bound, *entry, MATERIAL_LASTING);
            // Never in place of another's: two halves under one id would not belong together.
            store.create(&header, write)
        });
        kept.inspect_err(|error| tracing::error!(%error, "material is not stored")).is_ok()
    }

    fn take_entry(&self, bound: &[u8; 32], entry: &[u8; 32]) -> Option<Box<dyn Read + Send>> {
        let store = self.setups.store.as_ref()?;
        let taken = store.spend(MATERIAL, &self.owner, bound, entry);
        let taken =
            taken.inspect_err(|error| tracing::warn!(%error, "material is lost")).ok()??;
        // optional: 32 bytes begin with 8
        let first = entry.first_chunk().copied().unwrap_or_default();
        let id = format!("{:016x}", u64::from_be_bytes(first));
        tracing::info!(id, "material that was made ahead is taken");
        Some(taken.1)
    }

    fn compare_entries(&self, bound: &[u8; 32], entries: &[[u8; 32]]) -> Vec<bool> {
        let Some(store) = &self.setups.store else { return vec![false; entries.len()] };
        let all = store.list(MATERIAL).inspect_err(|error| {
            tracing::error!(%error, "material cannot be listed");
        });
        let mut known = HashSet::new();
        for stored in all.into_iter().flatten() {
            let Ok(header) = &stored.header else { continue };
            if (&header.owner, &header.bound) != (&self.owner, bound) {
                continue;
            }
            if entries.contains(&header.id) {
                known.insert(header.id);
            } else if !self.owner.is_empty()
                && let Err(error) = store.remove(&stored.file)
            {
                // Clients without certificates are not told apart: theirs end with time.
                tracing::warn!(%error, "material without its other half cannot be removed");
            }
        }
        entries.iter().map(|entry| known.contains(entry)).collect()
    }
}

impl ServedSetups<'_> {
    /// Whether one more entry of this client has room.
    fn room(&self, store: &Store) -> io::Result<bool> {
        sweep(store)?;
        let (mut own, mut bytes) = (0, 0);
        for stored in store.list(MATERIAL)? {
            bytes += stored.bytes;
            own += usize::from(stored.header.is_ok_and(|header| header.owner == self.owner));
        }
        Ok(own < ENTRIES_EACH && bytes < self.setups.most)
    }
}

/// Removes material whose time is over; tells of what cannot be read.
fn sweep(store: &Store) -> io::Result<()> {
    for stored in store.list(MATERIAL)? {
        match stored.header {
            Ok(header) if header.is_over() => {
                store.remove(&stored.file)?;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, file = stored.file, "stored material cannot be read");
            }
        }
    }
    Ok(())
}
