//! Setups that this client keeps of a server.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use gazelle::{ClientShelf, SetupName};
use gazelle_service::{SealedContent, SealedHeader, Store};

use crate::failure::Failure;

/// What the store calls them.
pub(crate) const SETUP: &str = "setup";
pub(crate) const MATERIAL: &str = "material";
/// How long a setup is of use; servers keep theirs as long.
pub(crate) const LASTING: Duration = Duration::from_hours(30 * 24);
/// Setups of one model at one address: more servers than these behind it are set up again in turn.
const EACH: usize = 4;
/// Bytes of all setups.
const ALL: u64 = 4 << 30;

/// The setups of one server's models.
pub(crate) struct ClientSetups {
    store: Store,
    /// The server, as the command line names it.
    server: String,
}

impl ClientSetups {
    pub(crate) fn new(store: Store, server: &str) -> Self {
        Self { store, server: server.to_owned() }
    }

    /// The entries of material for a model, the oldest first.
    pub(crate) fn entries(&self, bound: &[u8; 32]) -> VecDeque<OwnEntry> {
        let found = entries(&self.store, &self.server, bound).inspect_err(|error| {
            tracing::warn!(%error, "the material that was made ahead cannot be listed");
        });
        found.into_iter().flatten().collect()
    }

    /// Takes an entry: nobody finds it again, not even after a crash. Nothing if another process has.
    pub(crate) fn take(
        &self,
        bound: &[u8; 32],
        id: &[u8; 32],
    ) -> io::Result<Option<SealedContent>> {
        let taken = self.store.spend(MATERIAL, &self.server, bound, id)?;
        Ok(taken.map(|(_, content)| content))
    }

    /// Makes room: the oldest go.
    fn make_room(&self, bound: &[u8; 32]) -> io::Result<()> {
        let (mut same, mut bytes) = (0, 0);
        for stored in self.store.list(SETUP)? {
            bytes += stored.bytes;
            let header = stored.header.as_ref().ok();
            let own = header.filter(|header| header.owner == self.server && header.bound == *bound);
            same += usize::from(own.is_some());
            // What cannot be read may be another identity's: only the room it takes counts.
            if header.is_some() && bytes > ALL || own.is_some() && same >= EACH {
                self.store.remove(&stored.file)?;
            }
        }
        Ok(())
    }
}

impl ClientShelf for ClientSetups {
    fn names(&self, bound: &[u8; 32]) -> Vec<SetupName> {
        let all = self.store.list(SETUP).inspect_err(|error| {
            tracing::warn!(%error, "the setups that were kept cannot be listed");
        });
        let headers = all.into_iter().flatten().filter_map(|stored| stored.header.ok());
        headers
            .filter(|header| header.owner == self.server && header.bound == *bound)
            .map(|header| SetupName { id: header.id, digest: header.digest })
            .collect()
    }

    fn open(&self, bound: &[u8; 32], name: &SetupName) -> io::Result<Box<dyn Read>> {
        match self.store.find(SETUP, &self.server, bound, &name.id)? {
            Some((header, content)) if header.digest == name.digest => Ok(content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn keep(
        &self,
        bound: &[u8; 32],
        name: &SetupName,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.make_room(bound)?;
        let mut header = SealedHeader::new(SETUP, &self.server, *bound, name.id, LASTING);
        header.digest = name.digest;
        // One that is lost in a crash costs a new one.
        self.store.put(&header, false, write)
    }

    fn forget(&self, bound: &[u8; 32], name: &SetupName) {
        if let Err(error) = self.store.forget(SETUP, &self.server, bound, &name.id) {
            tracing::warn!(%error, "a kept setup cannot be removed");
        }
    }
}

/// A half in this client's store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnEntry {
    pub(crate) id: [u8; 32],
    /// Which of several servers behind the address has the other half.
    pub(crate) replica: [u8; 32],
}

/// A server's entries in this client's store, the oldest first.
pub(crate) fn entries(
    store: &Store,
    server: &str,
    bound: &[u8; 32],
) -> Result<Vec<OwnEntry>, Failure> {
    let headers = store.list(MATERIAL)?.into_iter().rev().filter_map(|stored| stored.header.ok());
    let own = headers.filter(|header| header.owner == server && header.bound == *bound);
    Ok(own.map(|header| OwnEntry { id: header.id, replica: header.digest }).collect())
}
