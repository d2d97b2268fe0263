//! The models that are served: one or several behind one port, exchanged while the server runs.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use gazelle::AuditRate;
use gazelle::backend::{CompiledModel, DefaultService};
use gazelle_model::Reveal;
use gazelle_service::Quota;
use serde::{Deserialize, Serialize};

use crate::error::HostError;
use crate::offline_turns::OfflineTime;

/// What a session takes beside its material: OT states, buffers, threads. Measured with the material
/// of one inference: 14 MB a session for MNIST-D, 34 MB for ResNet-20.
const SESSION_BYTES: u64 = 32 << 20;

/// One model, compiled.
pub struct ServedModel {
    /// What clients ask for.
    pub(crate) name: String,
    /// BLAKE3 of the description, in hexadecimal digits.
    pub(crate) digest: String,
    /// `logits`, `top-k` or `class`.
    pub(crate) reveals: &'static str,
    /// Input shape without the batch axis, and number of classes.
    shape: [usize; 3],
    classes: usize,
    /// What each client may do with it.
    pub(crate) quota: Quota,
    /// Bytes that a session is predicted to take.
    pub(crate) session_bytes: u64,
    /// How many inferences are opened, where clients are not trusted.
    pub(crate) audit: Option<AuditRate>,
    /// How long making the material of an inference takes.
    pub(crate) offline: OfflineTime,
    pub(crate) service: DefaultService,
}

/// A model in the list that clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// What `infer --model` takes.
    pub name: String,
    /// What `infer --pin` takes.
    pub digest: String,
    /// Channels, height, width.
    pub input: [usize; 3],
    /// How many outputs it has.
    pub classes: usize,
    /// `logits`, `top-k` or `class`.
    pub reveals: String,
    /// Inferences that this client may make now; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
}

/// All models; what a session has begun with, it keeps.
#[derive(Default)]
pub struct Models(RwLock<Arc<Vec<Arc<ServedModel>>>>);

impl Models {
    /// Of some models.
    ///
    /// # Errors
    /// [`HostError::Caller`] if two have one name.
    pub fn new(models: Vec<ServedModel>) -> Result<Self, HostError> {
        Ok(Self(RwLock::new(shared(models)?)))
    }

    /// Exchanges all of them, if no two have one name.
    pub(crate) fn exchange(&self, models: Vec<ServedModel>) -> Result<(), HostError> {
        let new = shared(models)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// The models as they are now.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<ServedModel>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The model of a name; the only one if none is asked for.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ServedModel>> {
        let all = self.all();
        let found = match (name, &**all) {
            ("", [only]) => Some(only),
            (name, _) => all.iter().find(|model| model.name == name),
        };
        found.cloned()
    }
}

impl ServedModel {
    /// Ready to be served; `quota`: what each client may do with it.
    ///
    /// # Errors
    /// [`HostError::Session`] if it cannot be planned, [`HostError::Caller`] if its name is too long.
    pub fn new(mut model: CompiledModel, quota: Quota) -> Result<Self, HostError> {
        let name = model.info.name.clone();
        if gazelle::wire::handshake::ModelName::new(&name).is_none() {
            return Err(HostError::Caller("a name of more than 64 bytes".into()));
        }
        model.choice.max_inferences = quota.in_all;
        let architecture = model.network.architecture();
        let (shape, classes) =
            (architecture.input().shape, gazelle_model::reveal::classes(architecture));
        let revealed = model.info.interface.as_ref().map(|interface| interface.output.reveal);
        let reveals = match revealed {
            Some(Reveal::TopK) => "top-k",
            Some(Reveal::Class) => "class",
            Some(Reveal::Logits) | None => "logits",
        };
        let audit = model.choice.audit;
        let service = model.service()?;
        let digest = blake3::Hash::from_bytes(gazelle::digest(service.description()));
        Ok(Self {
            name,
            digest: digest.to_hex().to_string(),
            reveals,
            shape: [shape.channels, shape.height, shape.width],
            classes,
            quota,
            session_bytes: service.session_memory() + SESSION_BYTES,
            audit,
            offline: OfflineTime::default(),
            service,
        })
    }

    /// What clients ask for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its clients are taken for such as follow the protocol.
    pub fn trusts_clients(&self) -> bool {
        self.audit.is_none()
    }

    /// What each client may do with it.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// BLAKE3 of the description, in hexadecimal digits: what clients pin.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes that a session is predicted to take.
    pub fn session_bytes(&self) -> u64 {
        self.session_bytes
    }

    /// Its line in the list, for a client that may make `left` inferences.
    pub(crate) fn entry(&self, left: u64) -> CatalogueEntry {
        CatalogueEntry {
            name: self.name.clone(),
            digest: self.digest.clone(),
            input: self.shape,
            classes: self.classes,
            reveals: self.reveals.to_owned(),
            left: (left != u64::MAX).then_some(left),
        }
    }
}

fn shared(models: Vec<ServedModel>) -> Result<Arc<Vec<Arc<ServedModel>>>, HostError> {
    let mut names = HashSet::new();
    for model in &models {
        if !names.insert(&model.name) {
            return Err(HostError::Caller(format!(
                "two models are called {:?}: name one of them otherwise, in its model.toml",
                model.name
            )));
        }
    }
    Ok(Arc::new(models.into_iter().map(Arc::new).collect()))
}
