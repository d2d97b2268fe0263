//! The server's part of kept setups: some bytes each, in memory, and in a store if there is one.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use gazelle::share::KeptSetup;
use gazelle::{ServerShelf, SetupName, WriteInto};
use gazelle_service::{SealedContent, SealedHeader, Store, Stored};

use crate::client::ServedClient;
use crate::material::{MaterialBytes, StoredMaterial};

/// What the store calls them.
const SETUP: &str = "setup";
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
    store: Option<Arc<Store>>,
    /// Material that clients made ahead, where there is a store.
    material: Option<StoredMaterial>,
}

#[derive(Clone)]
struct KnownSetup {
    setup: KeptSetup,
    /// Inferences that were counted. Locked while the disk is told, which sessions of other setups need not wait
    /// for.
    counted: Arc<Mutex<u64>>,
    made: u64,
    /// Sessions that run with it: it does not go while there are any.
    live: usize,
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl KnownSetup {
    fn is_fresh(&self) -> bool {
        now() < self.made.saturating_add(LASTING.as_secs())
    }

    fn counted(&self) -> MutexGuard<'_, u64> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Setups {
    /// Those of a store, with so much material; without one they end with the process.
    ///
    /// # Errors
    /// The store's.
    pub fn open(store: Option<Store>, most: MaterialBytes) -> io::Result<Self> {
        let (mut known, store) = (HashMap::new(), store.map(Arc::new));
        let mut see = |stored: Stored, content: Option<SealedContent>| {
            let read = stored.header.and_then(|header| {
                let content = content.ok_or(io::ErrorKind::InvalidData)?;
                Ok((read(&header, content)?, header))
            });
            match read {
                // Those whose time is over go when there is to be room.
                Ok((setup, header)) => {
                    known.insert((header.owner, header.bound, header.id), setup);
                }
                Err(error) => {
                    // It may be another key's, or the disk's mood: nothing is removed that cannot be read.
                    tracing::warn!(%error, file = stored.file, "a kept setup cannot be read");
                }
            }
        };
        if let Some(store) = &store {
            store.each(SETUP, &mut see)?;
        }
        let material = store.clone().map(|store| StoredMaterial::open(store, most)).transpose()?;
        Ok(Self { known: Mutex::new(known), store, material })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SetupKey, KnownSetup>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The setups of one client.
    pub(crate) fn of(&self, client: &ServedClient) -> ServedSetups<'_> {
        ServedSetups { setups: self, owner: owner(client), held: Mutex::default() }
    }

    /// Whether a client has material here that it made ahead.
    pub(crate) fn has_material(&self, client: &ServedClient) -> bool {
        self.material.as_ref().is_some_and(|material| material.has_of(&owner(client)))
    }

    /// Inferences whose material is stored, and its bytes.
    pub(crate) fn stored(&self) -> (usize, u64) {
        // optional: nothing is stored without a store
        self.material.as_ref().map(StoredMaterial::count).unwrap_or_default()
    }

    fn write(
        &self,
        (owner, bound, id): &SetupKey,
        known: &KnownSetup,
        counted: u64,
    ) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut header = SealedHeader::new(SETUP, owner, *bound, *id, LASTING);
        (header.digest, header.made) = (known.setup.digest, known.made);
        header.until = known.made.saturating_add(LASTING.as_secs());
        store.put(&header, true, &mut |out| {
            out.write_all(&counted.to_le_bytes())?;
            out.write_all(&known.setup.secret)
        })
    }

    /// Makes room for one more of a client: its oldest goes, or the oldest of all, that no session runs with.
    /// Those that went, and whether there is room then.
    fn make_room(known: &mut HashMap<SetupKey, KnownSetup>, owner: &str) -> (Vec<SetupKey>, bool) {
        let mut gone = Vec::new();
        known.retain(|key, known| {
            let keep = known.live > 0 || known.is_fresh();
            if !keep {
                gone.push(key.clone());
            }
            keep
        });
        let own = known.keys().filter(|key| key.0 == owner).count();
        let crowded = !owner.is_empty() && own >= EACH;
        if crowded || known.len() >= ALL {
            let candidates =
                known.iter().filter(|(key, known)| known.live == 0 && (!crowded || key.0 == owner));
            let oldest = candidates.min_by_key(|(_, known)| known.made).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return (gone, false) };
            known.remove(&oldest);
            gone.push(oldest);
        }
        (gone, true)
    }

    /// Removes setups' files.
    fn forget(&self, gone: &[SetupKey]) {
        let Some(store) = &self.store else { return };
        for (owner, bound, id) in gone {
            if let Err(error) = store.forget(SETUP, owner, bound, id) {
                tracing::warn!(%error, "a kept setup cannot be removed");
            }
        }
    }
}

fn read(header: &SealedHeader, mut content: SealedContent) -> io::Result<KnownSetup> {
    let mut counted = [0; 8];
    content.read_exact(&mut counted)?;
    let mut secret = zeroize::Zeroizing::new(Vec::with_capacity(256));
    content.take(256).read_to_end(&mut secret)?;
    let setup = KeptSetup { digest: header.digest, secret };
    let counted = Arc::new(Mutex::new(u64::from_le_bytes(counted)));
    Ok(KnownSetup { setup, counted, made: header.made, live: 0 })
}

/// One client's.
pub(crate) struct ServedSetups<'a> {
    setups: &'a Setups,
    owner: String,
    /// Those that this session runs with.
    held: Mutex<Vec<SetupKey>>,
}

/// What a client's files are filed under.
fn owner(client: &ServedClient) -> String {
    match client {
        ServedClient::Certificate(id) => id.hex(),
        // Whoever knows the id, 32 random bytes, is the client.
        ServedClient::Address(_) => String::new(),
    }
}

impl ServedSetups<'_> {
    fn held(&self) -> MutexGuard<'_, Vec<SetupKey>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, bound: &[u8; 32], id: &[u8; 32]) -> SetupKey {
        (self.owner.clone(), *bound, *id)
    }
}

impl ServerShelf for ServedSetups<'_> {
    fn find(&self, bound: &[u8; 32], name: &SetupName) -> Option<(KeptSetup, u64)> {
        let known = self.setups.known();
        let found = known.get(&self.key(bound, &name.id));
        let found = found.filter(|known| known.is_fresh() && known.setup.digest == name.digest);
        let found = found?.clone();
        // Not while the disk may be slow.
        drop(known);
        let counted = *found.counted();
        Some((found.setup, counted))
    }

    fn keep(&self, bound: &[u8; 32], id: &[u8; 32], setup: &KeptSetup) -> bool {
        let key = self.key(bound, id);
        let new =
            KnownSetup { setup: setup.clone(), counted: Arc::default(), made: now(), live: 1 };
        // Nobody counts before the first count is on disk.
        let counted = new.counted();
        let (gone, room) = {
            let mut known = self.setups.known();
            // An id that another session uses is not taken from it.
            if known.contains_key(&key) {
                return false;
            }
            let (gone, room) = Setups::make_room(&mut known, &self.owner);
            if room {
                known.insert(key.clone(), new.clone());
                self.held().push(key.clone());
            }
            (gone, room)
        };
        self.setups.forget(&gone);
        if !room {
            tracing::warn!("a setup is not kept: sessions run with all that are");
            return false;
        }
        let written = self.setups.write(&key, &new, *counted);
        if let Err(error) = &written {
            tracing::error!(%error, "a setup is not kept");
            self.setups.known().remove(&key);
        }
        written.is_ok()
    }

    fn count(&self, bound: &[u8; 32], id: &[u8; 32], inferences: u64) -> Option<u64> {
        let key = self.key(bound, id);
        let known = {
            let mut all = self.setups.known();
            let known = all.get_mut(&key)?;
            let mut held = self.held();
            if !held.contains(&key) {
                known.live += 1;
                held.push(key.clone());
            }
            known.clone()
        };
        let mut counted = known.counted();
        let new = counted.checked_add(inferences)?;
        if let Err(error) = self.setups.write(&key, &known, new) {
            tracing::error!(%error, "inferences of a kept setup cannot be counted");
            return None;
        }
        *counted = new;
        Some(new)
    }

    fn replica(&self) -> [u8; 32] {
        // optional: who stores no material is no replica
        self.setups.material.as_ref().map(StoredMaterial::replica).unwrap_or_default()
    }

    fn has_room(&self) -> bool {
        let room = self.setups.material.as_ref().map(|material| material.has_room(&self.owner));
        if room == Some(false) {
            tracing::warn!(
                "no room for more material (--store-mib, --store-client-mib, 1,024 entries a client)"
            );
        }
        room == Some(true)
    }

    fn keep_entry(
        &self,
        bound: &[u8; 32],
        entry: &[u8; 32],
        holder: &[u8; 32],
        write: &mut WriteInto<'_>,
    ) -> bool {
        let Some(material) = &self.setups.material else { return false };
        let kept = material.keep(&self.owner, (bound, entry, holder), write);
        kept.inspect_err(|error| tracing::error!(%error, "material is not stored")).is_ok()
    }

    fn take_entry(&self, bound: &[u8; 32], entry: &[u8; 32]) -> Option<Box<dyn Read + Send>> {
        let material = self.setups.material.as_ref()?;
        let taken = material.take(&self.owner, bound, entry);
        let taken =
            taken.inspect_err(|error| tracing::warn!(%error, "material is lost")).ok()??;
        // optional: 32 bytes begin with 8
        let first = entry.first_chunk().copied().unwrap_or_default();
        let id = format!("{:016x}", u64::from_be_bytes(first));
        tracing::info!(id, "material that was made ahead is taken");
        Some(taken)
    }

    fn compare_entries(
        &self,
        bound: &[u8; 32],
        holder: &[u8; 32],
        entries: &[[u8; 32]],
    ) -> Vec<bool> {
        match &self.setups.material {
            Some(material) => material.compare(&self.owner, (bound, holder), entries),
            None => vec![false; entries.len()],
        }
    }
}

impl Drop for ServedSetups<'_> {
    fn drop(&mut self) {
        let mut known = self.setups.known();
        for key in self.held().drain(..) {
            if let Some(known) = known.get_mut(&key) {
                known.live = known.live.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
