//! Tasks in the thread pool whose results a protocol thread waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};

use gazelle_share::ProtocolError;

/// The next result; a worker of the pool helps out meanwhile.
pub(crate) fn wait<T>(results: &Receiver<Option<T>>) -> Result<T, ProtocolError> {
    let panicked = || ProtocolError::Panicked;
    loop {
        if let Ok(result) = results.try_recv() {
            return result.ok_or_else(panicked);
        }
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => {}
            Some(rayon::Yield::Idle) => std::thread::yield_now(),
            None => return results.recv().ok().flatten().ok_or_else(panicked),
        }
    }
}

/// Runs a task and hands over what it gives; nothing if it panics, so that nobody waits for ever.
pub(crate) fn deliver<T>(results: &Sender<Option<T>>, task: impl FnOnce() -> T) {
    // Nobody listens only after an error, which is what counts then.
    let _ = results.send(catch_unwind(AssertUnwindSafe(task)).ok());
}
