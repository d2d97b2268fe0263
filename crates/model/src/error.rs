//! What can go wrong with a model file, an image or a description.

/// An ONNX node that this program cannot run privately.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unsupported {
    /// The node's name, or one made up; empty if it is the file as a whole.
    pub node: String,
    /// Its operator; "model" for the file as a whole.
    pub op: String,
    /// Why not.
    pub why: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.node.is_empty() {
            return f.write_str(&self.why);
        }
        write!(f, "node {:?} ({}): {}", self.node, self.op, self.why)
    }
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file's bytes are no ONNX model.
    #[error("malformed ONNX model: {0}")]
    Malformed(String),
    /// A file that cannot be read, or is something else than an ONNX model.
    #[error("{0}")]
    File(String),
    /// The model needs what this program does not have.
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
    /// A range, width or error bound cannot be met.
    #[error("cannot quantise: {0}")]
    Quantise(String),
    /// The input tensor or image does not fit the model.
    #[error("input does not fit: {0}")]
    Input(String),
    /// What was made of the model does not compute what its file says: a defect of this program,
    /// found before anything is served.
    #[error("internal error: {0}; please report it with the model")]
    Internal(String),
    /// An element of an input leaves the declared range; its value is not told: errors are logged.
    #[error(
        "element {element} of the input lies outside the model's range, {low} to {high}; was it \
         prepared as for training?"
    )]
    OutOfRange {
        /// Its place in the tensor, row-major.
        element: usize,
        /// Least element.
        low: f32,
        /// Largest element.
        high: f32,
    },
    /// A `model.toml` that makes no sense.
    #[error("model description: {0}")]
    Description(String),
}

impl ModelError {
    /// A reason that concerns the file as a whole.
    pub(crate) fn whole(why: impl Into<String>) -> Self {
        let (node, op) = (String::new(), "model".to_owned());
        Self::Unsupported(vec![Unsupported { node, op, why: why.into() }])
    }

    /// Why the model cannot run, one entry per node or one for the file as a whole.
    pub fn reasons(self) -> Vec<Unsupported> {
        match self {
            Self::Unsupported(nodes) => nodes,
            error => {
                let (node, op) = (String::new(), "model".to_owned());
                vec![Unsupported { node, op, why: error.to_string() }]
            }
        }
    }
}

fn list(nodes: &[Unsupported]) -> String {
    let shown: Vec<String> = nodes
        .iter()
        .take(5)
        .map(|node| match node.node.as_str() {
            "" => node.to_string(),
            _ => format!("unsupported {node}"),
        })
        .collect();
    match nodes.len().saturating_sub(5) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
