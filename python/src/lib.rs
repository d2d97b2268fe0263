//! The native module of the Python package `gazelle`: thin glue over `gazelle-host` (models, servers),
//! `gazelle` (sessions) and `gazelle-input` (files and arrays). What it returns is JSON in the program's own
//! stable forms; the Python side makes objects of it.
//!
//! Every call that computes or waits does so on another thread with the GIL released, and looks for
//! signals meanwhile: [`waiting`].

mod client;
mod failures;
mod inputs;
mod model;
mod server;
mod session;
mod tls;
mod waiting;

use pyo3::prelude::*;

/// The module's content.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::inputs::{HeldInput, Inputs};
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::server::Server;
}

/// Locks, whether or not another holder panicked.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
