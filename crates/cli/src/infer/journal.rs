//! Which inputs of a batch have their answer: a file that outlives this process.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// One name a line, as JSON; appended once its answer has been printed.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// How often each name has had its answer.
    done: HashMap<String, usize>,
}

impl Journal {
    /// Opens a batch's journal, or begins one.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let fail = || Failure::run::<std::io::Error>(path.display());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail()(error)),
        };
        // A line without its end was being written when the process died: its answer counts as not given.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines = text.get(..whole).unwrap_or_default().lines();
        let mut done = HashMap::new();
        for line in lines {
            let name: String = serde_json::from_str(line).map_err(|error| {
                Failure::Run(format!("{}: not a journal of --resume: {error}", path.display()))
            })?;
            *done.entry(name).or_default() += 1;
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(fail())?;
        file.set_len(whole as u64).map_err(fail())?;
        Ok(Self { path: path.to_path_buf(), file, done })
    }

    /// How many inputs have their answer.
    pub(super) fn count(&self) -> usize {
        self.done.values().sum()
    }

    /// Whether an input of this name still has to be asked for: each answer on record lets one pass.
    pub(super) fn filter(&self) -> impl FnMut(&str) -> bool + Send + 'static {
        let mut done = self.done.clone();
        move |name| match done.get_mut(name) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        }
    }

    /// An input's answer has been printed.
    pub(super) fn add(&mut self, name: &str) -> Result<(), Failure> {
        let fail =
            |error: std::io::Error| Failure::Run(format!("{}: {error}", self.path.display()));
        let mut line = serde_json::to_string(name).map_err(Failure::run("journal"))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_continued_and_a_torn_line_counts_as_not_given() {
        let path = std::env::temp_dir().join(format!("gazelle-journal-{}", std::process::id()));
        let mut journal = Journal::open(&path).unwrap();
        journal.add("a/1.png").unwrap();
        journal.add("odd\nname").unwrap();
        drop(journal);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("\"torn");
        std::fs::write(&path, text).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        journal.add("a/1.png").unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.count(), 3);
        let mut left = journal.filter();
        let wanted = ["a/1.png", "b", "a/1.png", "a/1.png", "torn", "odd\nname"];
        assert_eq!(wanted.map(&mut left), [false, true, false, true, true, false]);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(Journal::open(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
