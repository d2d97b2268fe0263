//! Who is told how far the quantiser is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is being done, how much of it is done, and how much there is.
type WatcherTold = dyn Fn(&'static str, usize, usize) + Send + Sync;

/// Is told how far loading and quantising a model is; the default tells nobody.
#[derive(Clone, Default)]
pub struct Watcher(Option<Arc<WatcherTold>>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Watcher {
    /// Tells `told`, from whichever thread works.
    pub fn new(told: Arc<WatcherTold>) -> Self {
        Self(Some(told))
    }

    /// `done` of `of` parts of something are done.
    pub(crate) fn tell(&self, what: &'static str, done: usize, of: usize) {
        if let Some(told) = &self.0 {
            told(what, done, of);
        }
    }

    /// Parts that may be done in any order.
    pub(crate) fn parts(&self, what: &'static str, of: usize) -> WatchedParts<'_> {
        self.tell(what, 0, of);
        WatchedParts { watcher: self, what, done: AtomicUsize::new(0), of }
    }
}

/// See [`Watcher::parts`].
pub(crate) struct WatchedParts<'a> {
    watcher: &'a Watcher,
    what: &'static str,
    done: AtomicUsize,
    of: usize,
}

impl WatchedParts<'_> {
    /// One more is done.
    pub(crate) fn one(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.watcher.tell(self.what, done, self.of);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn parts_are_counted_from_none_to_all() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let tell = move |what, done, of| list.lock().unwrap().push((what, done, of));
        let watcher = Watcher::new(Arc::new(tell));
        let parts = watcher.parts("x", 2);
        parts.one();
        parts.one();
        assert_eq!(*told.lock().unwrap(), [("x", 0, 2), ("x", 1, 2), ("x", 2, 2)]);
        Watcher::default().parts("x", 1).one();
    }
}
