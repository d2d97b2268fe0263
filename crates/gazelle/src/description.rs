//! What the server says about its model before anything secret moves.

use gazelle_model::OutOfRange;
use gazelle_share::{Architecture, LinearProtocol, NonlinearProtocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::GazelleError;
use crate::suite::{Clients, Hints, Suite};

/// What a model's owner says about it besides the network itself. Public.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// For people.
    pub name: String,
    /// How an image becomes the input tensor, and what the output means; absent for networks
    /// that are no image classifiers.
    pub interface: Option<gazelle_model::Interface>,
    /// A logit's distance from the f32 network's at most, as far as calibration inputs show.
    pub tolerance: f64,
    /// Whether it is proven that no input in the declared range overflows a hidden value; else that
    /// is known of inputs like the calibration's alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proven: bool,
}

/// The description of a served model: all that the client needs to take part. Sent as JSON of at
/// most 4 MiB in the handshake; both parties confirm its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// About the model.
    pub model: ModelInfo,
    /// Operators, shapes, widths, scales.
    pub architecture: Architecture,
    /// Name of the linear protocol.
    pub linear: String,
    /// Its parameters and tilings.
    pub linear_plan: Value,
    /// Name of each step's protocol.
    pub nonlinear: Vec<String>,
    /// What else the program needs to build the same suite (the choice of backends).
    pub choice: Value,
}

impl Description {
    /// Encodes an input tensor for [`Client::infer`](crate::Client::infer), held to the
    /// model's declared range and rounded to its grid: integers `x 2^s`, s the scale of its channel.
    ///
    /// # Errors
    /// [`GazelleError::Input`] if the number of elements is wrong, or one leaves the range where
    /// such are refused; it names the element, never its value.
    pub fn encode(&self, input: &[f32], outside: OutOfRange) -> Result<Vec<i64>, GazelleError> {
        let input = match &self.model.interface {
            Some(interface) => interface
                .admit(input, self.architecture.input().shape, outside)
                .map_err(GazelleError::Input)?,
            None => input.into(),
        };
        gazelle_model::fixed::encode(&self.architecture, &input).map_err(GazelleError::Input)
    }

    /// Parses a server's bytes. The architecture is valid then; nothing else is checked.
    ///
    /// # Errors
    /// [`GazelleError::Description`] if they are not a description, or not one of a valid network.
    pub fn parse(bytes: &[u8]) -> Result<Self, GazelleError> {
        serde_json::from_slice(bytes).map_err(|error| GazelleError::Description(error.to_string()))
    }

    /// Returns the bytes that are sent.
    ///
    /// # Errors
    /// [`GazelleError::Description`] if it cannot be written as JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, GazelleError> {
        serde_json::to_vec(self).map_err(|error| GazelleError::Description(error.to_string()))
    }

    /// Returns what the parties' digests cover besides the bytes: the protocols actually compiled.
    /// The linear protocol's name, then the primitives of the non-linear one with their parameters
    /// and its name by step, each behind a zero byte, and whether hints are fresh; the linear
    /// parameters are in the description.
    pub(crate) fn suite_bytes<L: LinearProtocol, N: NonlinearProtocol>(
        suite: &Suite<L, N>,
        steps: &[String],
    ) -> Vec<u8> {
        let mut bytes = suite.linear().name().as_bytes().to_vec();
        for name in std::iter::once(&suite.nonlinear().primitives()).chain(steps) {
            bytes.push(0);
            bytes.extend_from_slice(name.as_bytes());
        }
        if suite.hints() == Hints::Fresh {
            bytes.extend_from_slice(b"\0fresh hints");
        }
        if suite.clients() != Clients::Trusted {
            bytes.extend_from_slice(b"\0clients that are not trusted");
        }
        bytes
    }
}

/// BLAKE3 over the handshake's joint coin, suite, description and what the link exports: binds the
/// sub-protocols to this handshake and to this link. Neither party chose it alone.
pub(crate) fn context(
    coin: &[u8; 32],
    suite: &[u8],
    description: &[u8],
    link: &[u8; 32],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 session context v2");
    hasher.update(coin);
    hasher.update(&(suite.len() as u64).to_le_bytes());
    hasher.update(suite);
    hasher.update(description);
    hasher.update(link);
    *hasher.finalize().as_bytes()
}

/// How this build derives coins, hint secrets and material from seeds. Raise the number whenever expansion,
/// samplers, order of groups or the layout of stored material change: what was kept under other rules would be
/// read without an error and give nonsense.
const DERIVATION: &str = concat!(env!("CARGO_PKG_VERSION"), ", derivation 2");

/// What a kept setup is good for: sessions with this suite and description, by builds that derive alike.
pub(crate) fn kept_binding(suite: &[u8], description: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 kept setup");
    hasher.update(&(DERIVATION.len() as u64).to_le_bytes()).update(DERIVATION.as_bytes());
    hasher.update(&(suite.len() as u64).to_le_bytes()).update(suite).update(description);
    *hasher.finalize().as_bytes()
}

/// What a server's half of stored material is good for: `kept`, and the linear protocol's digest of its weights.
pub(crate) fn material_binding(kept: &[u8; 32], weights: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 stored material");
    hasher.update(kept).update(weights);
    *hasher.finalize().as_bytes()
}

/// What the linear setup of inference `id` is bound to, where each has one of its own; `opened`: how many audits
/// have opened under this id.
pub(crate) fn inference_context(context: &[u8; 32], id: u32, opened: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 setup of one inference");
    hasher.update(context).update(&id.to_le_bytes());
    if opened > 0 {
        hasher.update(&opened.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// BLAKE3 of a description's bytes: what clients pin.
pub fn digest(description: &[u8]) -> [u8; 32] {
    *blake3::hash(description).as_bytes()
}
