//! A folder of sealed files: setups that are kept, and material that was made ahead.
//!
//! A file appears whole or not at all (it is written aside, then renamed), and is taken by renaming it: of all
//! who try, one gets it. Whoever writes or uses up a file holds its lock, which ends with the process: what a killed
//! one left half-written or half-used is removed when the folder is opened.

mod header;
mod sweep;
mod turn;

use data_encoding::HEXLOWER;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use header::FORMAT;
pub use header::SealedHeader;
pub use turn::StoreTurn;

use crate::entropy::random;
use crate::error::ServiceError;
use crate::home::{create_private, read_private};
use crate::sealed::{SealedReader, SealedWriter, StoreKey};

/// Files that are being written, and that are being used up.
const PARTIAL: &str = "partial-";
const SPENT: &str = "spent-";

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
        sweep::sweep(folder, alone).map_err(fail())?;
        Ok(store)
    }

    /// The salt of a folder's passphrase, made if there is none.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if it cannot be read or written.
    pub fn salt(folder: &Path) -> Result<[u8; 16], ServiceError> {
        random_of(&folder.join("salt"), "not a store's salt")
    }

    /// What this folder is known by to the other party: 32 random bytes, made if there are none. A copy of the
    /// folder has the same.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if they cannot be read or written.
    pub fn name(&self) -> Result<[u8; 32], ServiceError> {
        random_of(&self.folder.join("name"), "not a store's name")
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This process's turn to prepare material.
    ///
    /// # Errors
    /// The disk's.
    pub fn turn(&self) -> io::Result<StoreTurn> {
        StoreTurn::take(private(&self.folder.join("turn"), false)?)
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
        self.place(header, durable, write, |aside, place| fs::rename(aside, place)).map(drop)
    }

    /// Keeps what is not there yet, on disk when this returns; its bytes there.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`io::ErrorKind::AlreadyExists`] if something of this name is there.
    pub fn create(
        &self,
        header: &SealedHeader,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<u64> {
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
    ) -> io::Result<u64> {
        let aside = self.folder.join(format!("{PARTIAL}{}", HEXLOWER.encode(&random::<12>()?)));
        let words = serde_json::to_vec(header).map_err(io::Error::other)?;
        let written = private(&aside, true).and_then(|file| {
            // Held until it has its name: nobody sweeps it.
            file.lock()?;
            let mut sealed = SealedWriter::new(file, &self.key, &words)?;
            write(&mut sealed)?;
            let file = sealed.finish()?;
            if durable {
                file.sync_all()?;
            }
            let bytes = file.metadata()?.len();
            into_place(&aside, &self.folder.join(self.file_of(header)))?;
            Ok(bytes)
        });
        if written.is_err() {
            // What is left of a failed attempt is of no use to anybody.
            let _ = fs::remove_file(&aside);
        }
        let bytes = written?;
        if durable {
            self.sync()?;
        }
        Ok(bytes)
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
    /// when this returns, and so is its nonce, without which the key of the store opens nothing; the content is
    /// read as it is used.
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
        let (path, aside) = (self.folder.join(name), aside + &HEXLOWER.encode(&random::<12>()?));
        let aside = self.folder.join(aside);
        let there = || -> io::Result<File> {
            // For writing: some file systems lock no others alone.
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            // Before it is called spent, and until its last byte has been read: nobody sweeps it. Who waits here
            // for another that takes it finds it gone.
            file.lock()?;
            fs::rename(&path, &aside)?;
            Ok(file)
        };
        let file = match there() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.sync()?;
        let found = self.open_sealed(file, |header| {
            (header.kind.as_str(), header.owner.as_str()) == (kind, owner)
                && (&header.bound, &header.id) == (bound, id)
        });
        // An open file can be read to its end, its beginning has been read; what is not erased now is swept
        // later.
        let _ = sweep::erase(&aside);
        let (header, content) = found?;
        Ok((!header.is_over()).then(|| (header, Box::new(content) as SealedContent)))
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
        self.each(kind, &mut |stored, _| all.push(stored))?;
        let made = |stored: &Stored| stored.header.as_ref().map_or(0, |header| header.made);
        all.sort_by_key(|stored| std::cmp::Reverse(made(stored)));
        Ok(all)
    }

    /// Shows all files of a kind, in any order, with the content of those whose header can be read.
    ///
    /// # Errors
    /// The disk's, on the folder itself.
    pub fn each(
        &self,
        kind: &str,
        see: &mut dyn FnMut(Stored, Option<SealedContent>),
    ) -> io::Result<()> {
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
            let (header, content) = match header {
                Ok((header, content)) => (Ok(header), Some(Box::new(content) as SealedContent)),
                Err(error) => (Err(error), None),
            };
            see(Stored { header, bytes: metadata.len(), file }, content);
        }
        Ok(())
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
        self.open_sealed(File::open(self.folder.join(file))?, fits)
    }

    fn open_sealed(
        &self,
        opened: File,
        fits: impl Fn(&SealedHeader) -> bool,
    ) -> io::Result<(SealedHeader, SealedReader<File>)> {
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

/// Random bytes in a file of a folder, made if there are none; whoever makes them first is heeded by all.
fn random_of<const N: usize>(path: &Path, why: &str) -> Result<[u8; N], ServiceError> {
    if !path.exists() {
        let bytes = random::<N>().map_err(ServiceError::file(path))?;
        create_private(path, HEXLOWER.encode(&bytes).as_bytes())?;
    }
    let bytes = HEXLOWER.decode(read_private(path)?.trim().as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; N]>::try_from(bytes.as_slice()).ok());
    bytes.ok_or_else(|| ServiceError::identity(path, why))
}

/// A file for its owner alone.
fn private(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).create_new(new);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(path)
}

#[cfg(test)]
mod tests;
