//! Progress bars, on a terminal alone.

use std::io::IsTerminal;
use std::sync::Arc;

use gazelle::{Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar that follows a session; hidden if standard error is no terminal or `quiet`.
#[derive(Debug, Clone)]
pub(crate) struct Bar(Arc<ProgressBar>);

impl Bar {
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(Arc::new(ProgressBar::hidden()));
        }
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} [{bar:32}] {pos}/{len} {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(Arc::new(bar))
    }

    /// What sessions report to.
    pub(crate) fn observer(&self) -> Box<Observer> {
        let bar = Arc::clone(&self.0);
        Box::new(move |progress: &Progress<'_>| {
            bar.set_prefix(progress.phase);
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(progress.layer.to_owned());
        })
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
