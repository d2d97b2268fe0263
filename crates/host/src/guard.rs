//! Listening sockets on which the system itself turns away addresses that flood. On Linux; elsewhere none does.

#[cfg(target_os = "linux")]
mod syn_filter;

use std::io;
use std::net::{IpAddr, TcpListener};
#[cfg(target_os = "linux")]
use std::sync::{Mutex, PoisonError};

/// The sockets that a house guards.
#[derive(Debug, Default)]
pub(crate) struct FloodGuard {
    #[cfg(target_os = "linux")]
    filters: Mutex<Vec<syn_filter::SynFilter>>,
}

#[cfg(target_os = "linux")]
impl FloodGuard {
    /// Guards one more.
    pub(crate) fn add(&self, listener: &TcpListener) -> io::Result<()> {
        let filter = syn_filter::SynFilter::new(listener)?;
        self.filters.lock().unwrap_or_else(PoisonError::into_inner).push(filter);
        Ok(())
    }

    /// Drops every second request of these addresses to connect, and of no others.
    pub(crate) fn set(&self, flooding: &[IpAddr]) {
        for filter in &mut *self.filters.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Err(error) = filter.set(flooding) {
                tracing::warn!(%error, "no filter against addresses that flood");
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl FloodGuard {
    pub(crate) fn add(&self, _listener: &TcpListener) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn set(&self, _flooding: &[IpAddr]) {}
}
