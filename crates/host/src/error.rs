//! What can go wrong in a host, sorted by whose fault it is.

use std::io;

use gazelle::GazelleError;
use gazelle_model::ModelError;
use gazelle_service::ServiceError;

/// The error of loading and of serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The model's file or its description.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A plan or a session.
    #[error(transparent)]
    Session(#[from] GazelleError),
    /// Keys, quotas, stores.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The caller's wish cannot be fulfilled.
    #[error("{0}")]
    Caller(String),
    /// The system, on a file or a socket of ours.
    #[error(transparent)]
    System(#[from] io::Error),
}
