//! The threads that compute in offline phases. Online phases have the common pool to themselves: a short task of theirs
//! would otherwise queue behind whole chunks, and a server may lower the priority of these.

use std::sync::OnceLock;

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

/// Gives `work` a scope of these threads, or of the common pool's where there can be no others.
pub(crate) fn scope<'s, T>(work: impl FnOnce(&Scope<'s>) -> T) -> T {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let name = |index| format!("offline-{index}");
    match POOL.get_or_init(|| ThreadPoolBuilder::new().thread_name(name).build().ok()) {
        Some(pool) => pool.in_place_scope(work),
        None => rayon::in_place_scope(work),
    }
}
