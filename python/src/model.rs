//! A quantised model, and what is known of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gazelle::backend::{DefaultService, Machine, StepProtocol};
use gazelle::isa;
use gazelle::wire::Link;
use gazelle_host::{HostError, Inspection, Loaded, ModelFile, ServedModel, Wanted};
use gazelle_input::{Encoder, Input};
use gazelle_model::{ImportOptions, Reveal, RoundingMode};
use gazelle_service::Quota;
use pyo3::prelude::*;
use serde::Deserialize;

use crate::failures::Failure;
use crate::inputs::{self, Given};
use crate::lock;
use crate::waiting::wait_for;

/// Inferences of each client where steps round locally and nothing else is said, as for `gazelle serve`.
const LOCAL_INFERENCES: u64 = 256;

/// What `gazelle.inspect` and its relatives were told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    name: Option<String>,
    backend: Option<String>,
    link: Option<String>,
    reveal: Option<Reveal>,
    reveal_count: Option<usize>,
    /// Logits are multiples of `2^-resolution`.
    resolution: Option<i32>,
    rounding: Option<String>,
    inferences_per_setup: Option<u32>,
    guaranteed: bool,
    /// Of inferences, where clients are not trusted.
    audit_rate: Option<String>,
    calibration_limit: Option<usize>,
}

impl Settings {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let unknown = |what: &str, got: &str, known: &str| {
            Err(Failure::Caller(format!("{what} is one of {known}, not {got:?}")))
        };
        let backend = match self.backend.as_deref() {
            None | Some("auto") => None,
            Some("gmw") => Some(StepProtocol::Gmw),
            Some("garbled") => Some(StepProtocol::Garbled),
            Some(other) => return unknown("backend", other, "auto, gmw, garbled"),
        };
        let rounding = match self.rounding.as_deref() {
            None | Some("exact") => RoundingMode::Exact,
            Some("local") => RoundingMode::Local,
            Some(other) => return unknown("rounding", other, "exact, local"),
        };
        let audit = self.audit_rate.as_deref().map(|text| {
            text.parse()
                .map_err(|error| Failure::Caller(format!("audit_rate is {error}, not {text}")))
        });
        let audit = audit.transpose()?;
        if audit.is_some()
            && (rounding == RoundingMode::Local || backend == Some(StepProtocol::Gmw))
        {
            let why = "audit_rate needs exact rounding and garbled circuits in every step";
            return Err(Failure::Caller(why.into()));
        }
        let wanted = Wanted::default();
        let link = self.link.as_deref().map(link).transpose()?;
        Ok(Wanted {
            backend,
            rounding,
            guaranteed: self.guaranteed,
            audit,
            link: link.unwrap_or(wanted.link),
            reveal_count: self.reveal_count.unwrap_or(wanted.reveal_count),
            inferences: self.inferences_per_setup.unwrap_or(wanted.inferences),
            ..wanted
        })
    }
}

fn link(text: &str) -> Result<Link, Failure> {
    text.parse().map_err(|error| Failure::Caller(format!("{text}: {error}")))
}

/// A model, quantised and planned.
#[pyclass(frozen, module = "gazelle._native")]
pub(crate) struct Model {
    loaded: Arc<Mutex<Loaded>>,
    wanted: Wanted,
    service: Mutex<Option<Arc<DefaultService>>>,
}

#[pymethods]
impl Model {
    /// Loads an ONNX file; `settings` is JSON.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        calibration: Vec<Given>,
        settings: &str,
    ) -> PyResult<Self> {
        let settings: Settings = serde_json::from_str(settings).map_err(Failure::from)?;
        let wanted = settings.wanted()?;
        let loaded = wait_for(py, move || load(&path, calibration, &settings, wanted))?;
        let loaded = Arc::new(Mutex::new(loaded));
        Ok(Self { loaded, wanted, service: Mutex::default() })
    }

    /// Why a file cannot run: the inspection of a model that is not supported, as JSON; none if it can be
    /// imported.
    #[staticmethod]
    fn refused(py: Python<'_>, path: PathBuf) -> PyResult<Option<String>> {
        wait_for(py, move || match ModelFile::open(&path, &ImportOptions::default()) {
            Err(HostError::Model(error)) => {
                Ok(Some(serde_json::to_string(&Inspection::refused(error))?))
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(None),
        })
    }

    /// The inspection for some links, as JSON.
    fn inspect(&self, py: Python<'_>, links: Vec<String>) -> PyResult<String> {
        let (loaded, wanted) = (Arc::clone(&self.loaded), self.wanted);
        wait_for(py, move || {
            let links = links.iter().map(|text| link(text)).collect::<Result<Vec<_>, _>>()?;
            let mut loaded = lock(&loaded);
            let choice = loaded.choice.clone();
            let machine = (&Machine::here(), isa::level().to_string());
            let inspection = Inspection::of(&mut loaded, wanted, &links, machine);
            // It chose for its last link.
            loaded.choice = choice;
            Ok(serde_json::to_string(&inspection?)?)
        })
    }

    /// The model's name.
    #[getter]
    fn name(&self) -> String {
        lock(&self.loaded).info.name.clone()
    }

    /// Names of the classes; empty where the model has none.
    #[getter]
    fn labels(&self) -> Vec<String> {
        let loaded = lock(&self.loaded);
        loaded.info.interface.as_ref().map_or_else(Vec::new, |own| own.output.labels.clone())
    }

    /// What the file computes in the clear, in floating point, for one input.
    fn plaintext(&self, py: Python<'_>, given: Given) -> PyResult<Vec<Vec<f32>>> {
        let loaded = Arc::clone(&self.loaded);
        wait_for(py, move || {
            let loaded = lock(&loaded);
            let architecture = loaded.quantised.network.architecture();
            let encoder = Encoder::new(architecture, loaded.info.interface.as_ref())?;
            let values = |input: Result<Input, Failure>| -> Result<Vec<f32>, Failure> {
                Ok(loaded.model.values(&encoder.tensor(&input?)?)?)
            };
            inputs::stream(given)?.map(values).collect()
        })
    }
}

impl Model {
    /// Compiled once, for sessions in this process.
    ///
    /// # Errors
    /// [`Failure::Model`] if it cannot be planned.
    pub(crate) fn service(&self) -> Result<Arc<DefaultService>, Failure> {
        let mut service = lock(&self.service);
        if let Some(service) = &*service {
            return Ok(Arc::clone(service));
        }
        let compiled = Arc::new(lock(&self.loaded).compile()?);
        *service = Some(Arc::clone(&compiled));
        Ok(compiled)
    }

    /// Compiled for a server; `quota`: what each client may do with it.
    ///
    /// # Errors
    /// [`HostError::Session`] if it cannot be planned.
    pub(crate) fn serve(&self, quota: Quota) -> Result<ServedModel, HostError> {
        let model = lock(&self.loaded).compiled(Vec::new());
        ServedModel::new(model, quota)
    }

    /// Inferences that a client may make in all, where nothing is said.
    pub(crate) fn most(&self) -> Option<u64> {
        (self.wanted.rounding == RoundingMode::Local).then_some(LOCAL_INFERENCES)
    }
}

fn load(
    path: &std::path::Path,
    calibration: Vec<Given>,
    settings: &Settings,
    wanted: Wanted,
) -> Result<Loaded, Failure> {
    let mut file = ModelFile::open(path, &ImportOptions::default())?;
    if let Some(name) = &settings.name {
        name.clone_into(&mut file.name);
    }
    let output = &mut file.interface.output;
    output.resolution = settings.resolution.or(output.resolution);
    if let Some(reveal) = settings.reveal {
        output.reveal = reveal;
    }
    let limit = settings.calibration_limit.unwrap_or(usize::MAX);
    let tensors = if calibration.is_empty() {
        file.samples(limit.min(64))
    } else {
        let encoder = Encoder::uncoded(&file.interface);
        let mut tensors = Vec::new();
        for given in calibration {
            for input in inputs::stream(given)?.take(limit - tensors.len()) {
                tensors.push(encoder.tensor(&input?)?);
            }
        }
        tensors
    };
    Ok(file.load(tensors, wanted)?)
}
