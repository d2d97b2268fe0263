//! A client, from Python.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;

use crate::failures::Failure;
use crate::inputs::HeldInput;
use crate::lock;
use crate::model::Model;
use crate::session::{Call, Session};
use crate::tls::{self, TlsPaths};
use crate::waiting::wait_for;

/// A session that a thread may be at work with.
type Shared = Arc<Mutex<Option<Session>>>;

/// A client's session. One call at a time; behind an interruption it is closed.
#[pyclass(frozen, module = "gazelle._native")]
pub(crate) struct Client {
    session: Mutex<Option<Shared>>,
    known: String,
}

#[pymethods]
impl Client {
    /// Connects to a server. Seconds; `pin`: the model's digest.
    #[staticmethod]
    #[pyo3(signature = (address, *, tls, server_name, insecure, timeout, wait, model, pin, clamp))]
    #[expect(clippy::too_many_arguments, reason = "all of them keywords")]
    fn connect(
        py: Python<'_>,
        address: String,
        tls: Option<TlsPaths>,
        server_name: Option<String>,
        insecure: bool,
        timeout: f64,
        wait: f64,
        model: String,
        pin: Option<[u8; 32]>,
        clamp: bool,
    ) -> PyResult<Self> {
        let (timeout, wait) = (seconds("timeout", timeout)?, seconds("wait", wait)?);
        Self::begin(py, move || {
            let tls = tls.map(tls::client).transpose()?;
            let pinned = pin;
            Session::connect(&Call {
                address,
                tls,
                server_name,
                insecure,
                timeout,
                wait,
                model,
                pinned,
                clamp,
            })
        })
    }

    /// Both parties in this process.
    #[staticmethod]
    fn within(py: Python<'_>, model: Py<Model>, clamp: bool) -> PyResult<Self> {
        Self::begin(py, move || Session::within(model.get().service()?, clamp))
    }

    /// What is known of the server, as JSON.
    #[getter]
    fn known(&self) -> &str {
        &self.known
    }

    /// How many inferences are made ahead.
    fn ready(&self, py: Python<'_>) -> PyResult<usize> {
        self.work(py, |session| Ok(session.ready()))
    }

    /// Makes one more ahead.
    fn prepare(&self, py: Python<'_>) -> PyResult<()> {
        self.work(py, Session::prepare)
    }

    /// The answer to one input, as JSON.
    fn infer(&self, py: Python<'_>, input: &HeldInput, top: usize) -> PyResult<String> {
        let input = Arc::clone(&input.0);
        self.work(py, move |session| session.infer(&input, top))
    }

    /// Tells the server; nothing if it was closed before.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(shared) = lock(&self.session).take() else { return Ok(()) };
        wait_for(py, move || {
            let session = lock(&shared).take();
            session.map_or(Ok(()), Session::close)
        })
    }
}

impl Client {
    fn begin(
        py: Python<'_>,
        session: impl FnOnce() -> Result<Session, Failure> + Send + 'static,
    ) -> PyResult<Self> {
        let (session, known) = wait_for(py, move || {
            let session = session()?;
            let known = session.known()?;
            Ok((session, known))
        })?;
        let shared = Arc::new(Mutex::new(Some(session)));
        Ok(Self { session: Mutex::new(Some(shared)), known })
    }

    /// Works with the session on another thread. An interruption leaves it to that thread, which drops it.
    fn work<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Session) -> Result<T, Failure> + Send + 'static,
    ) -> PyResult<T> {
        let Some(shared) = lock(&self.session).clone() else {
            return Err(Failure::Caller("the client is closed".into()).into());
        };
        let result = wait_for(py, move || match &mut *lock(&shared) {
            Some(session) => work(session),
            None => Err(Failure::Caller("the client is closed".into())),
        });
        if let Err(error) = &result
            && error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py)
        {
            lock(&self.session).take();
        }
        result
    }
}

/// A span that a caller gave.
///
/// # Errors
/// [`Failure::Caller`] if it is negative, not finite, or longer than time lasts.
pub(crate) fn seconds(what: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Failure::Caller(format!("{what} is a number of seconds, not {seconds}")))
}
