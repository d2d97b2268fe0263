//! A folder of sealed files: setups that are kept, and material that was made ahead.
//!
//! A file appears whole or not at all (it is written aside, then renamed), and is taken by renaming it: of all
//! who try, one gets it. What a killed process left half-written or half-used is removed when the folder is
//! opened.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::home::{read_private, write_private};
use crate::sealed::{SealedReader, SealedWriter, StoreKey, random};

/// Of the headers; another one is not read.
const FORMAT: u32 = 1;
/// Files that are being written, and that are being used up.
const PARTIAL: &str = "partial-";
const SPENT: &str = "spent-";
/// So long a half-written file of a process that may still live is left alone.
const ABANDONED: Duration = Duration::from_hours(1);

/// What a sealed file is; part of it, and sealed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedHeader {
    /// Of the file.
    format: u32,
    /// `setup`, `material`, ..
    pub kind: String,
    /// The other party, as the holder knows it.
    pub owner: String,
    /// What it is good for: a digest.
    pub bound: [u8; 32],
    /// Which one.
    pub id: [u8; 32],
    /// What both parties say of it; zero where they say nothing.
    pub digest: [u8; 32],
    /// For people: the model's name.
    pub label: String,
    /// Seconds since 1970.
    pub made: u64,
    /// The same: when it is of no use any more.
    pub until: u64,
}

impl SealedHeader {
    /// Of something made now that is of use for `lasting`.
    pub fn new(kind: &str, owner: &str, bound: [u8; 32], id: [u8; 32], lasting: Duration) -> Self {
        let made = now();
        Self {
            format: FORMAT,
            kind: kind.to_owned(),
            owner: owner.to_owned(),
            bound,
            id,
            digest: [0; 32],
            label: String::new(),
            made,
            until: made.saturating_add(lasting.as_secs()),
        }
    }

    /// Whether it is of no use any more.
    pub fn is_over(&self) -> bool {
        self.until < now()
    }
}

/// A file of a store as a listing has it.
#[derive(Debug)]
pub struct Stored {
    /// What it is, or why that cannot be said.
    pub header: Result<SealedHeader, io::Error>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Its name in the folder.
    pub file: String,
}

/// What is read of a sealed file, after its header.
pub type SealedContent = Box<dyn Read + Send>;

/// A folder of sealed files of one key.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    key: StoreKey,
    /// Held by who has the store alone.
    _lock: Option<File>,
}

impl Store {
    /// Opens a folder, or makes it for the owner alone. `alone`: no other process may have it meanwhile.
    ///
    /// # Errors
    /// [`ServiceError::File`] if the system fails, [`ServiceError::Store`] if another process has it.
    pub fn open(folder: &Path, key: StoreKey, alone: bool) -> Result<Self, ServiceError> {
        let fail = || ServiceError::file(folder);
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(folder).map_err(fail())?;
        let mut lock = None;
        if alone {
            let file = private(&folder.join("lock"), false).map_err(fail())?;
            file.try_lock()
                .map_err(|_| ServiceError::store(folder)(&"another process has it open"))?;
            lock = Some(file);
        }
        let store = Self { folder: folder.to_path_buf(), key, _lock: lock };
        store.sweep(alone).map_err(fail())?;
        Ok(store)
    }

    /// The salt of a folder's passphrase, made if there is none.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if it cannot be read or written.
    pub fn salt(folder: &Path) -> Result<[u8; 16], ServiceError> {
        let path = folder.join("salt");
        if !path.exists() {
            let salt = random::<16>().map_err(ServiceError::file(&path))?;
            write_private(&path, &HEXLOWER.encode(&salt))?;
        }
        let salt = HEXLOWER.decode(read_private(&path)?.trim().as_bytes()).ok();
        let salt = salt.and_then(|salt| <[u8; 16]>::try_from(salt.as_slice()).ok());
        salt.ok_or_else(|| ServiceError::identity(&path, "not a store's salt"))
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what killed processes left.
    fn sweep(&self, alone: bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let left = name.starts_with(PARTIAL) || name.starts_with(SPENT);
            let old = || {
                let modified = entry.metadata().and_then(|metadata| metadata.modified());
                modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED))
            };
            if left && (alone || old()) {
                // Another process may have been faster.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn file(&self, kind: &str, owner: &str, bound: &[u8; 32], id: &[u8; 32]) -> String {
        let name = self.key.name(&[kind.as_bytes(), owner.as_bytes(), bound, id]);
        format!("{kind}-{name}")
    }

    fn file_of(&self, header: &SealedHeader) -> String {
        self.file(&header.kind, &header.owner, &header.bound, &header.id)
    }

    /// Keeps what `write` writes, in place of what has been kept as the same. `durable`: it is on disk when this
    /// returns.
    ///
    /// # Errors
    /// The disk's (it may be full) and `write`'s: then nothing has changed.
    pub fn put(
        &self,
        header: &SealedHeader,
        durable: bool,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.place(header, durable, write, |aside, place| fs::rename(aside, place))
    }

    /// Keeps what is not there yet, on disk when this returns.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`io::ErrorKind::AlreadyExists`] if something of this name is there.
    pub fn create(
        &self,
        header: &SealedHeader,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.place(header, true, write, |aside, place| {
            // Unlike a rename, a link replaces nothing.
            fs::hard_link(aside, place)?;
            fs::remove_file(aside)
        })
    }

    fn place(
        &self,
        header: &SealedHeader,
        durable: bool,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
        into_place: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let aside = self.folder.join(format!("{PARTIAL}{}", HEXLOWER.encode(&random::<12>()?)));
        let words = serde_json::to_vec(header).map_err(io::Error::other)?;
        let written = private(&aside, true).and_then(|file| {
            let mut sealed = SealedWriter::new(file, &self.key, &words)?;
            write(&mut sealed)?;
            let file = sealed.finish()?;
            if durable {
                file.sync_all()?;
            }
            into_place(&aside, &self.folder.join(self.file_of(header)))
        });
        if written.is_err() {
            // What is left of a failed attempt is of no use to anybody.
            let _ = fs::remove_file(&aside);
        }
        written?;
        if durable { self.sync() } else { Ok(()) }
    }

    /// What was kept, if it still is of use.
    ///
    /// # Errors
    /// The disk's; [`io::ErrorKind::InvalidData`] if it was changed or belongs elsewhere.
    pub fn find(
        &self,
        kind: &str,
        owner: &str,
        bound: &[u8; 32],
        id: &[u8; 32],
    ) -> io::Result<Option<(SealedHeader, SealedContent)>> {
        self.read(&self.file(kind, owner, bound, id), |header| {
            (header.kind.as_str(), header.owner.as_str()) == (kind, owner)
                && (&header.bound, &header.id) == (bound, id)
        })
    }

    /// Takes what was kept: afterwards nobody finds it, not even after a crash. It is on disk that it is gone
    /// when this returns; the content is read as it is used, and removed with the value.
    ///
    /// # Errors
    /// As [`find`](Self::find); what cannot be read is gone all the same.
    pub fn spend(
        &self,
        kind: &str,
        owner: &str,
        bound: &[u8; 32],
        id: &[u8; 32],
    ) -> io::Result<Option<(SealedHeader, SealedContent)>> {
        let (name, aside) = (self.file(kind, owner, bound, id), SPENT.to_owned());
        let aside = aside + &HEXLOWER.encode(&random::<12>()?);
        match fs::rename(self.folder.join(name), self.folder.join(&aside)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        self.sync()?;
        let found = self.read(&aside, |header| {
            (header.kind.as_str(), header.owner.as_str()) == (kind, owner)
                && (&header.bound, &header.id) == (bound, id)
        });
        // An open file can be read to its end; what is not removed now is swept later.
        let _ = fs::remove_file(self.folder.join(&aside));
        found
    }

    /// Removes a file of a listing; whether it was there.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, file: &str) -> io::Result<bool> {
        match fs::remove_file(self.folder.join(file)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes what was kept as this.
    ///
    /// # Errors
    /// The disk's.
    pub fn forget(
        &self,
        kind: &str,
        owner: &str,
        bound: &[u8; 32],
        id: &[u8; 32],
    ) -> io::Result<bool> {
        self.remove(&self.file(kind, owner, bound, id))
    }

    /// All files of a kind, the newest first; those that cannot be read as well.
    ///
    /// # Errors
    /// The disk's, on the folder itself.
    pub fn list(&self, kind: &str) -> io::Result<Vec<Stored>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if !file.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')) {
                continue;
            }
            // Gone meanwhile: somebody has used it.
            let Ok(metadata) = entry.metadata() else { continue };
            let header = self.head(&file, |header| self.file_of(header) == file);
            if header.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                continue;
            }
            let header = header.map(|(header, _)| header);
            all.push(Stored { header, bytes: metadata.len(), file });
        }
        let made = |stored: &Stored| stored.header.as_ref().map_or(0, |header| header.made);
        all.sort_by_key(|stored| std::cmp::Reverse(made(stored)));
        Ok(all)
    }

    fn read(
        &self,
        file: &str,
        fits: impl Fn(&SealedHeader) -> bool,
    ) -> io::Result<Option<(SealedHeader, SealedContent)>> {
        match self.head(file, fits) {
            Ok((header, _)) if header.is_over() => {
                self.remove(file)?;
                Ok(None)
            }
            Ok((header, content)) => Ok(Some((header, Box::new(content)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn head(
        &self,
        file: &str,
        fits: impl Fn(&SealedHeader) -> bool,
    ) -> io::Result<(SealedHeader, SealedReader<File>)> {
        let opened = File::open(self.folder.join(file))?;
        let (words, content) = SealedReader::new(opened, &self.key)?;
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it belongs elsewhere");
        let header: SealedHeader = serde_json::from_slice(&words).map_err(|_| foreign())?;
        if header.format != FORMAT || !fits(&header) {
            return Err(foreign());
        }
        Ok((header, content))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// A file for its owner alone.
fn private(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(new);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("gazelle-store-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn store(&self) -> Store {
            Store::open(&self.0, StoreKey::new([7; 32]), false).unwrap()
        }

        fn only(&self, kind: &str) -> PathBuf {
            let mut files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
            let of_kind =
                |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(kind);
            files.find(of_kind).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const DAY: Duration = Duration::from_hours(24);

    fn put(store: &Store, header: &SealedHeader, body: &[u8]) {
        store.put(header, true, &mut |out| out.write_all(body)).unwrap();
    }

    fn body(found: Option<(SealedHeader, SealedContent)>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        found?.1.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn what_is_spent_is_found_by_nobody_again() {
        let folder = Folder::new("spend");
        let store = folder.store();
        let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
        put(&store, &header, b"secret");
        let other = folder.store();
        assert_eq!(
            body(other.find("material", "alice", &[1; 32], &[2; 32]).unwrap()).unwrap(),
            b"secret"
        );
        let spent = store.spend("material", "alice", &[1; 32], &[2; 32]).unwrap();
        assert!(other.spend("material", "alice", &[1; 32], &[2; 32]).unwrap().is_none());
        assert!(other.list("material").unwrap().is_empty());
        assert_eq!(body(spent).unwrap(), b"secret");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_is_not_replaced_by_what_is_created() {
        let folder = Folder::new("create");
        let store = folder.store();
        let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
        store.create(&header, &mut |out| out.write_all(b"first")).unwrap();
        let again = store.create(&header, &mut |out| out.write_all(b"second")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let found = store.find("material", "alice", &[1; 32], &[2; 32]).unwrap();
        assert_eq!(body(found).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn files_are_bound_to_owner_purpose_and_id_and_are_not_found_by_others() {
        let folder = Folder::new("bound");
        let store = folder.store();
        let header = SealedHeader::new("setup", "alice", [1; 32], [2; 32], DAY);
        put(&store, &header, b"secret");
        for (owner, bound, id) in [("bob", 1, 2), ("alice", 9, 2), ("alice", 1, 9)] {
            assert!(store.find("setup", owner, &[bound; 32], &[id; 32]).unwrap().is_none());
        }
        // Under another's name it is refused.
        let other = SealedHeader { owner: "bob".into(), ..header.clone() };
        fs::rename(folder.only("setup"), folder.0.join(store.file_of(&other))).unwrap();
        let error = store.find("setup", "bob", &[1; 32], &[2; 32]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(store.list("setup").unwrap()[0].header.is_err());
    }

    #[test]
    fn adversarial_changed_foreign_stale_and_half_written_files_are_told_and_never_used() {
        let folder = Folder::new("adversarial");
        let store = folder.store();
        let header = SealedHeader::new("material", "alice", [1; 32], [2; 32], DAY);
        put(&store, &header, &vec![5; 100_000]);
        let path = folder.only("material");
        let mut bytes = fs::read(&path).unwrap();
        bytes[90_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let mut content = Vec::new();
        let found = store.find("material", "alice", &[1; 32], &[2; 32]).unwrap().unwrap();
        let error = { found }.1.read_to_end(&mut content).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let foreign = Store::open(&folder.0, StoreKey::new([8; 32]), false).unwrap();
        assert!(foreign.list("material").unwrap()[0].header.is_err());
        // Stale ones are removed.
        let stale = SealedHeader { until: 1, ..header };
        put(&store, &stale, b"old");
        assert!(store.find("material", "alice", &[1; 32], &[2; 32]).unwrap().is_none());
        assert!(store.list("material").unwrap().is_empty());
        // A write that fails leaves nothing.
        let full = store.put(&stale, true, &mut |out| {
            out.write_all(&vec![1; 200_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
        // What a killed process left is swept by whoever has the store alone.
        fs::write(folder.0.join("partial-1"), b"half").unwrap();
        fs::write(folder.0.join("spent-1"), b"used").unwrap();
        let alone = Store::open(&folder.0, StoreKey::new([7; 32]), true).unwrap();
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "the lock");
        assert!(Store::open(&folder.0, StoreKey::new([7; 32]), true).is_err());
        drop(alone);
    }
}
