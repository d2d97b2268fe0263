//! From an input file's content to the integers that the protocol takes, by the server's public
//! description; and from the revealed integers to what the user sees.

use gazelle::{Description, ModelInfo};
use gazelle_model::{Fit, InputDescription, Interface, OutOfRange, Pixels, fixed, samples};
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb};

use crate::failure::Failure;
use crate::input::{Content, Image, Input};

/// Share of a picture that may be cut off without a word: that of 2 : 1 pictures with the usual
/// crop to 224 of 256 pixels is still told.
const KEPT: f64 = 0.5;

/// Encodes inputs for one model.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    architecture: Option<gazelle::share::Architecture>,
    /// Shape of a ready tensor, where the model says one.
    shape: Vec<usize>,
    input: Option<InputDescription>,
    /// What the tensor is held to, of a network to encode for.
    interface: Option<Interface>,
    outside: OutOfRange,
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
            let shape = architecture.input().shape;
            interface
                .check(shape, gazelle_model::reveal::classes(architecture))
                .map_err(Failure::run("the server's description"))?;
        }
        Ok(Self {
            architecture: Some(architecture.clone()),
            shape: interface.as_ref().map_or_else(
                || axes(architecture.input().shape),
                |interface| interface.shape.clone(),
            ),
            input: interface.as_ref().and_then(|interface| interface.input.clone()),
            interface,
            outside: OutOfRange::Refuse,
        })
    }

    /// Makes tensors only; there is no network yet to encode them for.
    pub(crate) fn uncoded(interface: &gazelle_model::Interface) -> Self {
        let (shape, input) = (interface.shape.clone(), interface.input.clone());
        let outside = OutOfRange::Refuse;
        Self { architecture: None, shape, input, interface: None, outside }
    }

    /// Elements beyond the model's declared range are clipped to it, if `clamp`; else refused.
    pub(crate) fn clamping(self, clamp: bool) -> Self {
        Self { outside: if clamp { OutOfRange::Clamp } else { OutOfRange::Refuse }, ..self }
    }

    /// What happens to an input that a user may not expect.
    fn notices(&self, input: &Input) -> Vec<Notice> {
        let mut notices = Vec::new();
        if input.transparent {
            notices.push(Notice::Transparent);
        }
        if let (Some(description), Content::Image(image)) = (&self.input, &input.content)
            && let Ok(fit) = description.fit(image.height, image.width)
            && fit.kept < KEPT
        {
            notices.push(Notice::Cropped(fit.kept));
        }
        notices
    }

    /// Whether the size or shape of an input is the model's: no pixel is touched.
    pub(crate) fn fits(&self, input: &Input) -> Result<(), Failure> {
        let fail = |why: String| Failure::Run(format!("{}: {why}", input.name));
        match &input.content {
            Content::Tensor(tensor) if samples::same_shape(&self.shape, &tensor.shape) => Ok(()),
            Content::Tensor(tensor) => {
                Err(fail(samples::differ(&self.shape, &tensor.shape).to_string()))
            }
            Content::Image(image) => {
                let description = self.input.as_ref().ok_or_else(|| {
                    fail("the model takes no images; give a float32 NPY tensor".into())
                })?;
                let fit = description.fit(image.height, image.width);
                fit.map(drop).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// The input tensor in floating point.
    pub(crate) fn tensor(&self, input: &Input) -> Result<Vec<f32>, Failure> {
        let fail = |why: String| Failure::Run(format!("{}: {why}", input.name));
        // Every size is checked here, before a pixel is touched.
        self.fits(input)?;
        match &input.content {
            Content::Tensor(tensor) => Ok(tensor.values.clone()),
            Content::Image(image) => {
                let description = self.input.as_ref().ok_or_else(|| {
                    fail("the model takes no images; give a float32 NPY tensor".into())
                })?;
                let fit = description
                    .fit(image.height, image.width)
                    .map_err(|error| fail(error.to_string()))?;
                let resized = resized(fit, image);
                let pixels = Pixels {
                    height: fit.height,
                    width: fit.width,
                    channels: image.channels,
                    bytes: resized.as_deref().unwrap_or(&image.bytes),
                };
                description.tensor(&pixels).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// The input tensor as integers, and what its owner may not expect.
    pub(crate) fn encode(&self, input: &Input) -> Result<(Vec<i64>, Vec<Notice>), Failure> {
        let mut notices = self.notices(input);
        let tensor = self.tensor(input)?;
        let architecture = self
            .architecture
            .as_ref()
            .ok_or_else(|| Failure::Run("there is no network to encode for".into()))?;
        let shape = architecture.input().shape;
        let admitted = match &self.interface {
            Some(interface) => interface.admit(&tensor, shape, self.outside),
            None => Ok(tensor.as_slice().into()),
        };
        let unlike = self.interface.as_ref().and_then(|interface| interface.likeness);
        if let (Some(likeness), Ok(tensor)) = (unlike, &admitted)
            && !likeness.admits(tensor, shape)
        {
            notices.push(Notice::Unlike);
        }
        let words = admitted
            .and_then(|tensor| fixed::encode(architecture, &tensor))
            .map_err(Failure::run(&input.name))?;
        Ok((words, notices))
    }
}

/// Something that happens to an input and that its owner may not expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Notice {
    /// Transparent pixels lie on white.
    Transparent,
    /// Only this share of the picture reaches the network.
    Cropped(f64),
    /// The server's numbers may not hold what it leads to.
    Unlike,
}

impl Notice {
    /// What is said of all inputs of a kind together.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Transparent => "transparent pixels were laid on white",
            Self::Cropped(_) => "much of the picture was cropped",
            Self::Unlike => "unlike the inputs that the model was calibrated with: do not trust",
        }
    }
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transparent => f.write_str(self.kind()),
            Self::Unlike => f.write_str(
                "unlike the inputs that the model was calibrated with, in brightness,\n  \
                 contrast or grain: hidden values may overflow, so do not trust the answer",
            ),
            Self::Cropped(kept) => write!(
                f,
                "the model's crop keeps {:.0} % of the picture, whose sides differ much",
                kept * 100.0
            ),
        }
    }
}

/// The axes of a description that names none: channels, rows, columns.
fn axes(shape: gazelle::share::TensorShape) -> Vec<usize> {
    vec![1, shape.channels, shape.height, shape.width]
}

/// The picture in the size of `fit`; none if it has that size.
fn resized(fit: Fit, image: &Image) -> Option<Vec<u8>> {
    if (fit.height, fit.width) == (image.height, image.width) {
        return None;
    }
    // Sides are at most 2^24.
    let (width, height) = (image.width as u32, image.height as u32);
    let (to_width, to_height) = (fit.width as u32, fit.height as u32);
    let bytes = image.bytes.as_slice();
    if image.channels == 3 {
        let picture = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, bytes)?;
        Some(imageops::resize(&picture, to_width, to_height, FilterType::Triangle).into_raw())
    } else {
        let picture = ImageBuffer::<Luma<u8>, &[u8]>::from_raw(width, height, bytes)?;
        Some(imageops::resize(&picture, to_width, to_height, FilterType::Triangle).into_raw())
    }
}
