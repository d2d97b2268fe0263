//! What killed processes left in a store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::{PARTIAL, SPENT};
use crate::sealed::BEGINNING;

/// So young a half-written file may have been made by a process that has not locked it yet.
const YOUNG: Duration = Duration::from_mins(1);

/// Removes half-written files, and those that were being used up; `alone`: there are no other processes.
pub(super) fn sweep(folder: &Path, alone: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let (partial, spent) = (name.starts_with(PARTIAL), name.starts_with(SPENT));
        let young = || {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            !modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > YOUNG))
        };
        let path = entry.path();
        if (partial || spent) && (alone || (!(partial && young()) && is_abandoned(&path))) {
            // Another process may have been faster.
            let _ = erase(&path);
        }
    }
    Ok(())
}

/// Whether no living process has a file locked.
fn is_abandoned(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.is_ok_and(|file: File| file.try_lock().is_ok())
}

/// Overwrites what a sealed file begins with, its nonce, and removes it. On disks and file systems that write
/// in place nothing opens the rest then; others (SSDs, copies on write) may keep what was overwritten.
pub(super) fn erase(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    // No more than that: the rest may still be read, by whoever has the file open.
    file.write_all(&[0; BEGINNING])?;
    file.sync_data()?;
    fs::remove_file(path)
}
