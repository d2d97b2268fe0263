//! What can go wrong below a session, sorted by whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

/// The error of keys, links and proxies. The texts say what to do; they name certificates, never
/// keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The system, on a file of ours.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is no identity, or that this program should not use.
    #[error("{path}: {why}")]
    Identity {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The caller's wish cannot be fulfilled.
    #[error("{0}")]
    Caller(String),
    /// The link failed before TLS began, or below it.
    #[error("the link failed: {0}")]
    Link(#[from] io::Error),
    /// The two parties did not come to terms about TLS; nothing secret moved.
    #[error("{0}")]
    Tls(String),
    /// The proxy did not let us through.
    #[error("the proxy {proxy}: {why}")]
    Proxy {
        /// Its address.
        proxy: String,
        /// Why.
        why: String,
    },
    /// A store of ours cannot be used.
    #[error("the store: {0}")]
    Store(String),
    /// No connection came about.
    #[error("no connection to {address}: {source}")]
    Unreachable {
        /// As the caller wrote it.
        address: String,
        /// Why.
        source: io::Error,
    },
}

impl ServiceError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }

    /// What a database says about a file.
    pub(crate) fn store(path: &Path) -> impl Fn(&dyn std::fmt::Display) -> Self {
        let path = path.display().to_string();
        move |error| Self::Store(format!("{path}: {error}"))
    }

    pub(crate) fn identity(path: &Path, why: impl Into<String>) -> Self {
        Self::Identity { path: path.to_path_buf(), why: why.into() }
    }
}
