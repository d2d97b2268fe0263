//! From an input file's content to the integers that the protocol takes, by the server's public
//! description; and from the revealed integers to what the user sees.

use gazelle::{Description, ModelInfo};
use gazelle_model::{Activation, InputDescription, Pixels, fixed};
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use crate::failure::Failure;
use crate::input::{Content, Image, Input};

/// Encodes inputs for one model.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    architecture: Option<gazelle::share::Architecture>,
    values: usize,
    input: Option<InputDescription>,
    activation: Option<Activation>,
}

impl Encoder {
    /// For the model of a description. Checks its interface; the rest is checked when the session
    /// is accepted.
    pub(crate) fn new(description: &Description) -> Result<Self, Failure> {
        Self::of(&description.architecture, &description.model)
    }

    /// As [`new`](Self::new), from the parts of a description.
    pub(crate) fn of(
        architecture: &gazelle::share::Architecture,
        model: &ModelInfo,
    ) -> Result<Self, Failure> {
        let interface = model.interface.clone();
        if let Some(interface) = &interface {
            let inputs = architecture.input().shape.len();
            interface
                .check(inputs, gazelle_model::reveal::classes(architecture))
                .map_err(Failure::run("the server's description"))?;
        }
        Ok(Self {
            architecture: Some(architecture.clone()),
            values: architecture.input().shape.len(),
            input: interface.as_ref().and_then(|interface| interface.input.clone()),
            activation: interface.and_then(|interface| interface.output.activation),
        })
    }

    /// Makes tensors of `values` elements only; there is no network yet to encode them for.
    pub(crate) fn uncoded(values: usize, input: Option<InputDescription>) -> Self {
        Self { architecture: None, values, input, activation: None }
    }

    /// The input tensor in floating point.
    pub(crate) fn tensor(&self, input: &Input) -> Result<Vec<f32>, Failure> {
        let fail = |why: String| Failure::Run(format!("{}: {why}", input.name));
        match &input.content {
            Content::Tensor { shape, values } => {
                let expected = self.values;
                if values.len() == expected {
                    Ok(values.clone())
                } else {
                    Err(fail(format!(
                        "a tensor of shape {shape:?} has {} values, the model takes {expected}",
                        values.len()
                    )))
                }
            }
            Content::Image(image) => {
                let description = self.input.as_ref().ok_or_else(|| {
                    fail("the model takes no images; give a float32 NPY tensor".into())
                })?;
                let image = resized(description, image).map_err(fail)?;
                let pixels = Pixels {
                    height: image.height,
                    width: image.width,
                    channels: image.channels,
                    bytes: &image.bytes,
                };
                description.tensor(&pixels).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// The input tensor as integers.
    pub(crate) fn encode(&self, input: &Input) -> Result<Vec<i64>, Failure> {
        let tensor = self.tensor(input)?;
        let architecture = self
            .architecture
            .as_ref()
            .ok_or_else(|| Failure::Run("there is no network to encode for".into()))?;
        fixed::encode(architecture, &tensor).map_err(Failure::run(&input.name))
    }

    /// What the model's final softmax or sigmoid makes of the logits, if it has one.
    pub(crate) fn probabilities(&self, logits: &[f64]) -> Option<Vec<f64>> {
        // People read probabilities, not their logarithms.
        let activation = match self.activation? {
            Activation::LogSoftmax => Activation::Softmax,
            Activation::LogSoftmaxOf { classes, inner } => Activation::SoftmaxOf { classes, inner },
            activation => activation,
        };
        Some(activation.apply(logits))
    }
}

fn resized(description: &InputDescription, image: &Image) -> Result<Image, String> {
    let (height, width) = description.resized(image.height, image.width);
    if (height, width) == (image.height, image.width) {
        return Ok(image.clone());
    }
    let (from, to) =
        ((image.width as u32, image.height as u32), (u32::try_from(width), u32::try_from(height)));
    let (Ok(to_width), Ok(to_height)) = to else { return Err("too large".into()) };
    let bytes = image.bytes.clone();
    let bytes = if image.channels == 3 {
        let picture = RgbImage::from_raw(from.0, from.1, bytes).ok_or("bytes are missing")?;
        imageops::resize(&picture, to_width, to_height, FilterType::Triangle).into_raw()
    } else {
        let picture = GrayImage::from_raw(from.0, from.1, bytes).ok_or("bytes are missing")?;
        imageops::resize(&picture, to_width, to_height, FilterType::Triangle).into_raw()
    };
    Ok(Image { width, height, channels: image.channels, bytes })
}
