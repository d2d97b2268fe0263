//! Failures by whose fault they are, as Python's exceptions.

use gazelle::GazelleError;
use gazelle::wire::ChannelError;
use gazelle_host::HostError;
use gazelle_input::InputError;
use gazelle_model::ModelError;
use gazelle_service::ServiceError;
use pyo3::PyErr;

/// What `gazelle/errors.py` declares.
mod python {
    pyo3::import_exception!(gazelle.errors, BusyError);
    pyo3::import_exception!(gazelle.errors, CallerError);
    pyo3::import_exception!(gazelle.errors, Error);
    pyo3::import_exception!(gazelle.errors, InputError);
    pyo3::import_exception!(gazelle.errors, LinkError);
    pyo3::import_exception!(gazelle.errors, ModelError);
    pyo3::import_exception!(gazelle.errors, PeerError);
    pyo3::import_exception!(gazelle.errors, QuotaError);
    pyo3::import_exception!(gazelle.errors, TlsError);
}

/// Why something failed, in words for people.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The link.
    Link(String),
    /// The two parties did not come to terms about TLS.
    Tls(String),
    /// The other side.
    Peer(String),
    /// The server has no room.
    Busy(String),
    /// The server allows no more inferences.
    Quota(String),
    /// The model.
    Model(String),
    /// An input.
    Input(String),
    /// The caller.
    Caller(String),
    /// This program, or this machine.
    Defect(String),
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Link(why) => python::LinkError::new_err(why),
            Failure::Tls(why) => python::TlsError::new_err(why),
            Failure::Peer(why) => python::PeerError::new_err(why),
            Failure::Busy(why) => python::BusyError::new_err(why),
            Failure::Quota(why) => python::QuotaError::new_err(why),
            Failure::Model(why) => python::ModelError::new_err(why),
            Failure::Input(why) => python::InputError::new_err(why),
            Failure::Caller(why) => python::CallerError::new_err(why),
            Failure::Defect(why) => python::Error::new_err(why),
        }
    }
}

impl From<GazelleError> for Failure {
    fn from(error: GazelleError) -> Self {
        let why = error.to_string();
        match error {
            GazelleError::Channel(error) => error.into(),
            GazelleError::Busy => Self::Busy(why),
            GazelleError::Exhausted { .. } | GazelleError::Allowance => Self::Quota(why),
            GazelleError::Plan(_) | GazelleError::CompiledModel(_) => Self::Model(why),
            GazelleError::InputLength { .. }
            | GazelleError::Input(_)
            | GazelleError::InputRange { .. } => Self::Input(why),
            GazelleError::Limit { .. }
            | GazelleError::Material
            | GazelleError::Kept(_)
            | GazelleError::Dead => Self::Caller(why),
            GazelleError::Entropy(_) | GazelleError::Defect(_) | GazelleError::Panicked => {
                Self::Defect(why)
            }
            // All that is left, and whatever may be added, is what the other side said or did.
            _ => Self::Peer(why),
        }
    }
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        let why = error.to_string();
        match error {
            ChannelError::Io(_) | ChannelError::Closed | ChannelError::TimedOut => Self::Link(why),
            ChannelError::Dead => Self::Caller(why),
            ChannelError::Shape { .. } => Self::Defect(why),
            _ => Self::Peer(why),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let why = error.to_string();
        match error {
            ServiceError::Link(_)
            | ServiceError::Unreachable { .. }
            | ServiceError::Proxy { .. } => Self::Link(why),
            ServiceError::Tls(_) => Self::Tls(why),
            _ => Self::Caller(why),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let why = error.to_string();
        match error {
            ModelError::Input(_) | ModelError::OutOfRange { .. } => Self::Input(why),
            _ => Self::Model(why),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Model(error) => error.into(),
            HostError::Session(error) => error.into(),
            HostError::Service(error) => error.into(),
            error => Self::Caller(error.to_string()),
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let why = error.to_string();
        match error {
            InputError::Description(_) => Self::Peer(why),
            _ => Self::Input(why),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Caller(error.to_string())
    }
}

/// Settings and results travel as JSON.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Caller(error.to_string())
    }
}

/// The system gives no random bytes.
pub(crate) fn entropy(error: impl std::fmt::Display) -> Failure {
    Failure::Defect(error.to_string())
}
