//! Remarks about inputs: the first of each kind in full, the others as a count.

use std::mem::discriminant;

use gazelle_input::Notice;

use crate::screen::{tell, visible};

/// What has been remarked so far.
#[derive(Debug)]
pub(crate) struct Notices {
    quiet: bool,
    seen: Vec<(Notice, usize)>,
}

impl Notices {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, seen: Vec::new() }
    }

    /// Remarks on an input; the second of a kind is only counted.
    pub(crate) fn tell(&mut self, input: &str, notice: Notice) {
        let same = |seen: &&mut (Notice, usize)| discriminant(&seen.0) == discriminant(&notice);
        if let Some((_, more)) = self.seen.iter_mut().find(same) {
            *more += 1;
            return;
        }
        self.seen.push((notice, 0));
        if !self.quiet {
            tell!("gazelle: {}: {notice}", visible(input));
        }
    }

    /// Says how many more there were.
    pub(crate) fn end(&self) {
        for (notice, more) in self.seen.iter().filter(|(_, more)| *more > 0 && !self.quiet) {
            tell!("gazelle: {more} more inputs: {}", notice.kind());
        }
    }
}
