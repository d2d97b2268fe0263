//! The audit log: who asked what of which model, and how it ended. JSON lines, rotated by size.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ServiceError;

/// Old files that are kept: `audit.jsonl.1` is the newest.
const KEPT: u32 = 8;

/// One event. No image, no prediction: who, what, how much, and the outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AuditEvent<'a> {
    /// A client's session begins.
    SessionBegin {
        /// The session's number in this process, which its end has too.
        session: u64,
        /// Who: the certificate's SHA-256, or the address.
        client: &'a str,
        /// The certificate's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        /// BLAKE3 of the model's description.
        model: &'a str,
        /// What clients learn: `logits`, `top-k` or `class`.
        reveals: &'a str,
    },
    /// A session has ended.
    SessionEnd {
        /// The session's number.
        session: u64,
        /// Predictions that were revealed.
        inferences: u64,
        /// Bytes to the client and from it.
        bytes_sent: u64,
        /// Bytes from the client.
        bytes_received: u64,
        /// `completed`, `gave-way`, or what failed.
        outcome: &'a str,
    },
    /// A client was caught cheating.
    Cheating {
        /// The session's number.
        session: u64,
        /// Who.
        client: &'a str,
        /// The certificate's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        /// What it failed.
        check: &'a str,
        /// BLAKE3 of what was said (docs/untrusted-clients.md).
        transcript: String,
        /// The seed that it opened, in an audit.
        #[serde(skip_serializing_if = "Option::is_none")]
        opened: Option<String>,
        /// Whether it is not served any more.
        blocked: bool,
    },
    /// A client was not served.
    Refused {
        /// Who, as far as is known.
        client: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a AuditEvent<'a>,
}

/// The log file.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    /// A file that would grow beyond this is moved away first.
    most: u64,
    state: Mutex<Option<(File, u64)>>,
}

impl AuditLog {
    /// Opens the file to append, or makes it, for its owner alone; moved away when it would exceed `most`
    /// bytes.
    ///
    /// # Errors
    /// [`ServiceError::File`].
    pub fn open(path: &Path, most: u64) -> Result<Self, ServiceError> {
        let file = opened(path)?;
        Ok(Self { path: path.to_path_buf(), most, state: Mutex::new(Some(file)) })
    }

    /// Writes one event; it is with the system when this returns.
    ///
    /// # Errors
    /// [`ServiceError::File`]: the event is not on record.
    pub fn write(&self, event: &AuditEvent<'_>) -> Result<(), ServiceError> {
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let mut line = serde_json::to_vec(&Line { time, event })
            .map_err(|error| ServiceError::Store(error.to_string()))?;
        line.push(b'\n');
        let mut state = self.state();
        if state.as_ref().is_some_and(|(_, size)| *size > 0 && size + line.len() as u64 > self.most)
        {
            *state = None;
            self.rotate()?;
        }
        let (file, size) = match state.as_mut() {
            Some(open) => open,
            None => state.insert(opened(&self.path)?),
        };
        // One write a line: lines of two processes do not mix.
        file.write_all(&line).map_err(ServiceError::file(&self.path))?;
        *size += line.len() as u64;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, Option<(File, u64)>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `audit.jsonl` becomes `.1`, that `.2`, and so on; the oldest is gone.
    fn rotate(&self) -> Result<(), ServiceError> {
        let numbered = |number: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT).rev() {
            let (from, to) = (numbered(number), numbered(number + 1));
            if from.exists() {
                std::fs::rename(&from, &to).map_err(ServiceError::file(&from))?;
            }
        }
        std::fs::rename(&self.path, numbered(1)).map_err(ServiceError::file(&self.path))
    }
}

fn opened(path: &Path) -> Result<(File, u64), ServiceError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(ServiceError::file(path))?;
    let size = file.metadata().map_err(ServiceError::file(path))?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_files_stay_below_their_size() {
        let folder = std::env::temp_dir().join(format!("gazelle-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        let log = AuditLog::open(&path, 600).unwrap();
        let reason = "a \"quoted\"\nreason";
        for _ in 0..100 {
            log.write(&AuditEvent::Refused { client: "192.0.2.1", reason }).unwrap();
        }
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len() as u32, KEPT + 1, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.len() <= 600 && text.ends_with('\n'));
            for line in text.lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(value["event"], "refused");
                assert_eq!(value["reason"], reason);
                assert!(value["time"].as_str().unwrap().ends_with('Z'));
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_log_is_continued_and_not_begun_anew() {
        let folder =
            std::env::temp_dir().join(format!("gazelle-audit-again-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.jsonl");
        for _ in 0..2 {
            let log = AuditLog::open(&path, 1 << 20).unwrap();
            log.write(&AuditEvent::Refused { client: "x", reason: "busy" }).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
