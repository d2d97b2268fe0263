//! How far a model is on its way to being served: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gazelle_model::Watcher;
use indicatif::{ProgressBar, ProgressStyle};

use crate::screen::{tell, visible};

/// Between two lines where there is no terminal.
const REMINDER: Duration = Duration::from_secs(10);

/// A bar; gone on drop.
#[derive(Debug)]
pub(super) struct CompileBar {
    bar: ProgressBar,
    watcher: Watcher,
}

impl CompileBar {
    /// For a model's file; says nothing if `quiet`.
    pub(super) fn new(file: &Path, quiet: bool) -> Self {
        let name = visible(&file.display().to_string()).into_owned();
        let terminal = std::io::stderr().is_terminal() && !console::is_dumb();
        let bar = if quiet || !terminal {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::new(1);
            if let Ok(style) = ProgressStyle::with_template("[{bar:20}] {wide_msg} {elapsed}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        };
        let (told, shown) = (Mutex::new(Instant::now()), bar.clone());
        let watcher = Watcher::new(Arc::new(move |what, done, of| {
            shown.set_length(of as u64);
            shown.set_position(done as u64);
            shown.set_message(format!("{name}: {what}"));
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if !quiet && !terminal && told.elapsed() >= REMINDER {
                *told = Instant::now();
                tell!("{name}: {what}, {done}/{of}");
            }
        }));
        Self { bar, watcher }
    }

    /// What the loading of the model reports to.
    pub(super) fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }
}

impl Drop for CompileBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
