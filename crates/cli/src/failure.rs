//! Why the program stops, and with which exit code.

use std::process::ExitCode;

/// Why the program stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Wrong usage: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Something went wrong: exit code 1.
    #[error("{0}")]
    Run(String),
    /// The answer is "no", and has been printed: exit code 1.
    #[error("{0}")]
    No(String),
}

impl Failure {
    /// Exit code 1, with what was being done.
    pub(crate) fn run<E: std::fmt::Display>(
        what: impl std::fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        let what = what.to_string();
        move |error| Self::Run(format!("{what}: {error}"))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Run(_) | Self::No(_) => ExitCode::from(1),
        }
    }
}

impl From<gazelle::GazelleError> for Failure {
    fn from(error: gazelle::GazelleError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<gazelle_host::HostError> for Failure {
    fn from(error: gazelle_host::HostError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<gazelle_service::ServiceError> for Failure {
    fn from(error: gazelle_service::ServiceError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<gazelle_input::InputError> for Failure {
    fn from(error: gazelle_input::InputError) -> Self {
        match error {
            gazelle_input::InputError::Usage(why) => Self::Usage(why),
            error => Self::Run(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.to_string())
    }
}
