//! From an input file's content to the integers that the protocol takes, by the server's public
//! description; and from the revealed integers to what the user sees.

use gazelle_model::{Fit, InputDescription, Interface, OutOfRange, Pixels, fixed, samples};
use gazelle_share::{Architecture, TensorShape};
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Rgb};

use crate::content::Content;
use crate::error::InputError;
use crate::raster::Image;
use crate::scan::Scan;
use crate::source::Input;

/// Share of a picture that may be cut off without a word: that of 2 : 1 pictures with the usual
/// crop to 224 of 256 pixels is still told.
const KEPT: f64 = 0.5;

/// Encodes inputs for one model.
#[derive(Debug, Clone)]
pub struct Encoder {
    architecture: Option<Architecture>,
    /// Shape of a ready tensor, where the model says one.
    shape: Vec<usize>,
    input: Option<InputDescription>,
    /// What the tensor is held to, of a network to encode for.
    interface: Option<Interface>,
    outside: OutOfRange,
}

impl Encoder {
    /// For a network that a server described. Checks the interface; the rest is checked when the
    /// session is accepted.
    ///
    /// # Errors
    /// [`InputError::Description`] if the interface is not one of this network.
    pub fn new(
        architecture: &Architecture,
        interface: Option<&Interface>,
    ) -> Result<Self, InputError> {
        let interface = interface.cloned();
        if let Some(interface) = &interface {
            let shape = architecture.input().shape;
            interface
                .check(shape, gazelle_model::reveal::classes(architecture))
                .map_err(|error| InputError::Description(error.to_string()))?;
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
    pub fn uncoded(interface: &Interface) -> Self {
        let (shape, input) = (interface.shape.clone(), interface.input.clone());
        let outside = OutOfRange::Refuse;
        Self { architecture: None, shape, input, interface: None, outside }
    }

    /// Elements beyond the model's declared range are clipped to it, if `clamp`; else refused.
    #[must_use]
    pub fn clamping(self, clamp: bool) -> Self {
        Self { outside: if clamp { OutOfRange::Clamp } else { OutOfRange::Refuse }, ..self }
    }

    /// What happens to an input that a user may not expect.
    fn notices(&self, input: &Input) -> Vec<Notice> {
        let mut notices = Vec::new();
        if input.transparent {
            notices.push(Notice::Transparent);
        }
        let Some(description) = &self.input else { return notices };
        let size = match &input.content {
            Content::Image(image) => Some((image.height, image.width)),
            Content::Scan(scan) => Some((scan.height, scan.width)),
            Content::Tensor(_) => None,
        };
        if let Some((height, width)) = size
            && let Ok(fit) = description.fit(height, width)
            && fit.kept < KEPT
        {
            notices.push(Notice::Cropped(fit.kept));
        }
        if let Content::Scan(scan) = &input.content
            && scan.lacks_window(description.window)
        {
            notices.push(Notice::Unwindowed);
        }
        notices
    }

    /// Whether the size or shape of an input is the model's: no pixel is touched.
    ///
    /// # Errors
    /// [`InputError::File`] names both sizes or shapes.
    pub fn fits(&self, input: &Input) -> Result<(), InputError> {
        let fail = |why: String| InputError::File { name: input.name.clone(), why };
        match &input.content {
            Content::Tensor(tensor) if samples::same_shape(&self.shape, &tensor.shape) => Ok(()),
            Content::Tensor(tensor) => {
                Err(fail(samples::differ(&self.shape, &tensor.shape).to_string()))
            }
            Content::Image(Image { height, width, .. })
            | Content::Scan(Scan { height, width, .. }) => {
                let fit = self.described().map_err(fail)?.fit(*height, *width);
                fit.map(drop).map_err(|error| fail(error.to_string()))
            }
        }
    }

    /// The input tensor in floating point, row-major, as the ONNX file has it.
    ///
    /// # Errors
    /// As [`fits`](Self::fits).
    pub fn tensor(&self, input: &Input) -> Result<Vec<f32>, InputError> {
        let fail = |why: String| InputError::File { name: input.name.clone(), why };
        // Every size is checked here, before a pixel is touched.
        self.fits(input)?;
        match &input.content {
            Content::Tensor(tensor) => Ok(tensor.values.clone()),
            Content::Image(image) => self.pixels(image).map_err(fail),
            Content::Scan(scan) => {
                let window = self.described().map_err(fail)?.window;
                let image = scan.image(window).map_err(fail)?;
                self.pixels(&image).map_err(fail)
            }
        }
    }

    /// How images become tensors.
    fn described(&self) -> Result<&InputDescription, String> {
        let none = "the model takes no images; give a float32 NPY tensor";
        self.input.as_ref().ok_or_else(|| none.to_owned())
    }

    /// The tensor of an image: resize, crop, channels, scale.
    fn pixels(&self, image: &Image) -> Result<Vec<f32>, String> {
        let description = self.described()?;
        let fit = description.fit(image.height, image.width).map_err(|error| error.to_string())?;
        let resized = resized(fit, image);
        let pixels = Pixels {
            height: fit.height,
            width: fit.width,
            channels: image.channels,
            bytes: resized.as_deref().unwrap_or(&image.bytes),
        };
        description.tensor(&pixels).map_err(|error| error.to_string())
    }

    /// What the model is shown of an input before any resize or crop: a picture as it is, a scan through
    /// its window; nothing of a tensor.
    ///
    /// # Errors
    /// [`InputError::File`] if a scan has no window that makes sense.
    pub fn shown(&self, input: &Input) -> Result<Option<Image>, InputError> {
        match &input.content {
            Content::Image(image) => Ok(Some(image.clone())),
            Content::Scan(scan) => {
                let window = self.input.as_ref().and_then(|description| description.window);
                scan.image(window).map(Some).map_err(InputError::file(&input.name))
            }
            Content::Tensor(_) => Ok(None),
        }
    }

    /// The input tensor as integers `x 2^scale`, row-major, and what its owner may not expect.
    ///
    /// # Errors
    /// As [`fits`](Self::fits); [`InputError::File`] if an element leaves the model's range;
    /// [`InputError::NoNetwork`] after [`uncoded`](Self::uncoded).
    pub fn encode(&self, input: &Input) -> Result<(Vec<i64>, Vec<Notice>), InputError> {
        let mut notices = self.notices(input);
        let tensor = self.tensor(input)?;
        let architecture = self.architecture.as_ref().ok_or(InputError::NoNetwork)?;
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
            .map_err(InputError::file(&input.name))?;
        Ok((words, notices))
    }
}

/// Something that happens to an input and that its owner may not expect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Notice {
    /// Transparent pixels lie on white.
    Transparent,
    /// Only this share of the picture reaches the network.
    Cropped(f64),
    /// A scan is seen as a whole: neither the model nor its file has a window.
    Unwindowed,
    /// The server's numbers may not hold what it leads to.
    Unlike,
}

impl Notice {
    /// What is said of all inputs of a kind together.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Transparent => "transparent pixels were laid on white",
            Self::Cropped(_) => "much of the picture was cropped",
            Self::Unwindowed => "no DICOM window: the whole range of stored values is seen",
            Self::Unlike => "unlike the inputs that the model was calibrated with: do not trust",
        }
    }
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transparent | Self::Unwindowed => f.write_str(self.kind()),
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
fn axes(shape: TensorShape) -> Vec<usize> {
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
