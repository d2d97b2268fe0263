//! What can go wrong with a model file, an image or a description.

/// An ONNX node that this program cannot run privately.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unsupported {
    /// The node's name, or one made up.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why not.
    pub why: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {:?} ({}): {}", self.node, self.op, self.why)
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file is not a sound ONNX model.
    #[error("malformed ONNX model: {0}")]
    Malformed(String),
    /// The model needs what this program does not have.
    #[error("unsupported {}", list(.0))]
    Unsupported(Vec<Unsupported>),
    /// A range, width or error bound cannot be met.
    #[error("cannot quantise: {0}")]
    Quantise(String),
    /// The input tensor or image does not fit the model.
    #[error("input does not fit: {0}")]
    Input(String),
    /// A `model.toml` that makes no sense.
    #[error("model description: {0}")]
    Description(String),
}

fn list(nodes: &[Unsupported]) -> String {
    let shown: Vec<String> = nodes.iter().take(5).map(ToString::to_string).collect();
    match nodes.len().saturating_sub(5) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
