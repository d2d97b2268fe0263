//! Clients that are not served any more, in a text file: one line each, which the operator may remove.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ServiceError;

/// The list: `key<TAB>time<TAB>why` by line. Read again when the file changes, so that several servers may share it.
#[derive(Debug)]
pub struct BlockedClients {
    path: PathBuf,
    state: Mutex<BlockedState>,
}

#[derive(Debug, Default)]
struct BlockedState {
    /// Length and time of the file when it was read.
    seen: Option<(u64, SystemTime)>,
    keys: HashSet<String>,
    /// Those that could not be written.
    unwritten: HashSet<String>,
}

impl BlockedClients {
    /// Opens the list, or one that is empty if there is no file.
    ///
    /// # Errors
    /// [`ServiceError::File`] if it is there and cannot be read.
    pub fn open(path: &Path) -> Result<Self, ServiceError> {
        let list = Self { path: path.to_path_buf(), state: Mutex::default() };
        list.contains("")?;
        Ok(list)
    }

    /// Whether a client is on it.
    ///
    /// # Errors
    /// [`ServiceError::File`] if the list cannot be read: nobody knows then.
    pub fn contains(&self, key: &str) -> Result<bool, ServiceError> {
        let failed = ServiceError::file(&self.path);
        let mut state = self.state();
        let now = match std::fs::metadata(&self.path)
            .and_then(|meta| Ok((meta.len(), meta.modified()?)))
        {
            Ok(seen) => Some(seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if now != state.seen {
            let text = if now.is_some() {
                std::fs::read_to_string(&self.path).map_err(failed)?
            } else {
                String::new()
            };
            let key = |line: &str| line.split('\t').next().map(|key| key.trim().to_owned());
            state.keys = text.lines().filter_map(key).filter(|key| !key.is_empty()).collect();
            state.seen = now;
        }
        Ok(state.keys.contains(key) || state.unwritten.contains(key))
    }

    /// Puts a client on it; on disk when this returns.
    ///
    /// # Errors
    /// [`ServiceError::File`]: it is not on disk, and blocked as long as this value lives.
    pub fn add(&self, key: &str, why: &str) -> Result<(), ServiceError> {
        let written = self.write(key, why);
        if written.is_err() {
            self.state().unwritten.insert(key.to_owned());
        }
        written
    }

    fn write(&self, key: &str, why: &str) -> Result<(), ServiceError> {
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(ServiceError::file(folder))?;
        }
        let mut state = self.state();
        let mut file = options.open(&self.path).map_err(ServiceError::file(&self.path))?;
        // Begins a line of its own, whatever the line before it ends with.
        file.write_all(format!("\n{key}\t{time}\t{why}\n").as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(ServiceError::file(&self.path))?;
        // Read again at the next question, whatever the file system's clock says.
        state.seen = None;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, BlockedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_blocked_stays_so_until_the_operator_removes_the_line() {
        let folder = std::env::temp_dir().join(format!("gazelle-blocked-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("blocked.tsv");
        let list = BlockedClients::open(&path).unwrap();
        assert!(!list.contains("ab12").unwrap());
        list.add("ab12", "the audit of a request").unwrap();
        assert!(list.contains("ab12").unwrap() && !list.contains("ab1").unwrap());
        // Another server.
        let other = BlockedClients::open(&path).unwrap();
        assert!(other.contains("ab12").unwrap());
        other.add("cd34", "the check of returned colours").unwrap();
        assert!(list.contains("cd34").unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let left: Vec<&str> = text.lines().filter(|line| line.starts_with("cd34")).collect();
        // By an editor that ends no last line.
        std::fs::write(&path, left.concat()).unwrap();
        assert!(!list.contains("ab12").unwrap() && list.contains("cd34").unwrap());
        list.add("ef56", "the check of returned colours").unwrap();
        assert!(list.contains("ef56").unwrap() && list.contains("cd34").unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!list.contains("cd34").unwrap());
        // The folder is made where it is missing; a list that cannot be written blocks until the server ends.
        list.add("ab12", "again").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
        assert!(other.add("gh78", "the audit of a request").is_err());
        std::fs::remove_file(&folder).unwrap();
        assert!(other.contains("gh78").unwrap() && !list.contains("gh78").unwrap());
    }
}
