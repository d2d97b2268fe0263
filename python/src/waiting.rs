//! Long work beside Python: no GIL, and signals are looked for.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;

use crate::failures::Failure;

/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own and waits for it without the GIL.
///
/// # Errors
/// The work's; or what a signal's handler raises (`KeyboardInterrupt`): then the thread goes on by itself, and
/// nobody learns what it finds.
pub(crate) fn wait_for<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let (done, mut end) = channel();
    std::thread::Builder::new().name("gazelle".into()).spawn(move || {
        // Nobody listens any more behind an interruption.
        let _ = done.send(work());
    })?;
    loop {
        let (back, got) = py.detach(move || {
            let got = end.recv_timeout(LOOK);
            (end, got)
        });
        end = back;
        match got {
            Ok(result) => return Ok(result?),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Defect("a thread of this program panicked".into()).into());
            }
        }
    }
}
