//! What the page gets of an inference.

use gazelle::{Answer, Description, Inference, Layer, Phase};
use serde::Serialize;

/// One inference; the page gets it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WebAnswer {
    /// All classes that were revealed, best first.
    #[serde(flatten)]
    pub answer: Answer,
    /// The revealed integers, as the program has them; `values / 2^scale` are the logits.
    pub values: Vec<i64>,
    /// See `values`.
    pub scale: i32,
    /// What happened to the input that its owner may not expect.
    pub notices: Vec<String>,
    /// Handshake and setup.
    pub setup: Phase,
    /// Before the masked image left.
    pub offline: Phase,
    /// After.
    pub online: Phase,
    /// In the order of the network.
    pub layers: Vec<Layer>,
}

impl WebAnswer {
    /// Of an inference with the model of `description`.
    pub(crate) fn new(
        description: &Description,
        inference: Inference,
        setup: Phase,
        notices: Vec<String>,
    ) -> Self {
        let model = &description.model;
        let interface = model.interface.as_ref();
        let labels = interface.map_or(&[][..], |interface| &interface.output.labels);
        let answer = Answer::new(&inference, model, labels, usize::MAX);
        let Inference { values, scale, report, .. } = inference;
        Self {
            answer,
            values,
            scale,
            notices,
            setup,
            offline: report.offline,
            online: report.online,
            layers: report.layers,
        }
    }
}
