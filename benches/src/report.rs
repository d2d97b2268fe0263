//! One JSON object per line, on standard output and into a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// Where the lines go.
pub(crate) struct Report {
    file: Option<File>,
}

impl Report {
    /// Lines go to standard output, and to `path` if there is one (created or emptied).
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, std::io::Error> {
        Ok(Self { file: path.map(File::create).transpose()? })
    }

    /// Writes one object as one line.
    pub(crate) fn line(&mut self, object: &impl Serialize) -> Outcome {
        let line = serde_json::to_string(object)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}
