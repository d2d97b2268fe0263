//! `model.toml`: how an image becomes the network's input, and what its output means. Public: the
//! server sends it to clients, who need no other knowledge of the model.
//!
//! ```toml
//! name = "pets"              # what clients see
//!
//! [input]
//! layout = "nchw"            # or "nhwc"
//! channels = "rgb"           # "bgr", "grey" (or "gray")
//! resize = 256               # short side, bilinear, before the crop
//! crop = [224, 224]          # rows, columns, from the centre
//! scale = 0.00392156862745   # x = (byte * scale - mean) / std
//! mean = [0.485, 0.456, 0.406]
//! std = [0.229, 0.224, 0.225]
//! window = [-600, 1500]      # centre and width, of DICOM files
//! range = [-2.2, 2.7]        # of ready tensors; [[low, high], ..] one per channel
//!
//! [output]
//! labels = ["cat", "dog"]    # or the name of a file beside model.toml, one label per line
//! reveal = "logits"          # "top-k", "class"
//! resolution = 0.0625        # a power of two
//! ```

mod geometry;
mod pixels;
mod tensors;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use geometry::Fit;
use serde::{Deserialize, Serialize};

use gazelle_share::TensorShape;

use crate::error::ModelError;
use crate::graph::{Activation, Graph, InputGrid};
use crate::likeness::Likeness;
use crate::quantise::MAX_RESOLUTION;
use crate::range::{InputRange, RangeSource};

/// Order of an image's axes in the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channels, rows, columns.
    Nchw,
    /// Rows, columns, channels.
    Nhwc,
}

/// Meaning of an image's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One.
    #[serde(alias = "gray")]
    Grey,
}

impl Channels {
    /// How many.
    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// What the client learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reveal {
    /// All logits, rounded.
    Logits,
    /// The k largest.
    TopK,
    /// The class alone.
    Class,
}

/// From bytes to the input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputDescription {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Order of axes.
    pub layout: Layout,
    /// Meaning of channels.
    pub channels: Channels,
    /// Short side before the crop, if images are resized.
    pub resize: Option<usize>,
    /// Whether the centre is cut out of larger images; else only exact sizes are taken.
    pub crop: bool,
    /// Factor on bytes.
    pub scale: f64,
    /// Subtracted then, per channel.
    pub mean: Vec<f64>,
    /// Divides then, per channel.
    pub std: Vec<f64>,
    /// Centre and width of what is seen of a DICOM file's greys; else the file's own window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[f64; 2]>,
}

/// What the output means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDescription {
    /// One per class.
    pub labels: Vec<String>,
    /// What the client learns.
    pub reveal: Reveal,
    /// Logits are multiples of `2^-resolution`; the calibration decides if nobody did.
    pub resolution: Option<i32>,
    /// Computed by the client in the clear on what it learns.
    pub activation: Option<Activation>,
    /// Whether the values that the client reads are what the activation gives, instead of the logits
    /// in front of it.
    #[serde(default)]
    pub activated: bool,
}

/// Both; public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// What a file calls the model; clients learn it beside this description.
    #[serde(skip)]
    pub name: Option<String>,
    /// Of the input tensor as the ONNX file has it, batch axis included: what a ready tensor must
    /// have, with or without that axis.
    pub shape: Vec<usize>,
    /// What every element of an input tensor must lie in; [`declare`](Self::declare) fills it in if
    /// nobody did.
    pub range: Option<InputRange>,
    /// What inputs are like that hidden values are known to fit; absent where all in the range do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<Likeness>,
    /// Absent where the input is no image of one or three channels: only tensors are taken then.
    pub input: Option<InputDescription>,
    /// The output.
    pub output: OutputDescription,
    /// The input's elements are rounded to these values first.
    #[serde(default)]
    pub input_grid: Option<InputGrid>,
}

/// An image of bytes, rows of pixels of channels; one channel is grey, three are red, green, blue.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, 1 or 3.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub bytes: &'a [u8],
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: Option<String>,
    input: FileInput,
    output: FileOutput,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct FileInput {
    layout: Option<Layout>,
    channels: Option<Channels>,
    resize: Option<usize>,
    crop: Option<[usize; 2]>,
    scale: Option<f64>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
    range: Option<Ends>,
    window: Option<[f64; 2]>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ends {
    All([f32; 2]),
    Channels(Vec<[f32; 2]>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct FileOutput {
    labels: Option<LabelSource>,
    reveal: Option<Reveal>,
    resolution: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LabelSource {
    List(Vec<String>),
    File(String),
}

/// Longest label and name in bytes.
const MAX_LABEL: usize = 256;
/// Largest side of an image.
const MAX_SIDE: usize = 1 << 14;

impl Interface {
    /// The defaults: bytes / 255, RGB or grey by the model's channels, exact size, all logits.
    pub(crate) fn default_for(graph: &Graph) -> Self {
        let file = File::default();
        let input = Self::input_for(graph, &file.input).ok().flatten();
        let output = Self::output_for(graph, Vec::new(), Self::reveal_of(graph), None);
        let (shape, input_grid) = (graph.input_dims.clone(), graph.input_grid);
        Self { name: None, shape, range: None, likeness: None, input, output, input_grid }
    }

    /// Reads a `model.toml`; `dir` is where a file of labels lies.
    ///
    /// # Errors
    /// [`ModelError::Description`] says what does not fit.
    pub fn parse(text: &str, graph: &Graph, dir: Option<&Path>) -> Result<Self, ModelError> {
        let fail = |why: String| ModelError::Description(why);
        let file: File = toml::from_str(text).map_err(|error| fail(error.to_string()))?;
        let labels = match file.output.labels {
            None => Vec::new(),
            Some(LabelSource::List(list)) => list,
            Some(LabelSource::File(name)) => {
                // optional: beside the program where the caller names no folder
                let path = dir.unwrap_or(Path::new(".")).join(&name);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| fail(format!("labels {}: {error}", path.display())))?;
                text.lines().map(str::to_owned).collect()
            }
        };
        let resolution = file.output.resolution.map(exponent).transpose().map_err(fail)?;
        let name = file.name.map(|name| name.trim().to_owned());
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > MAX_LABEL) {
            return Err(fail(format!("a name must have 1 to {MAX_LABEL} bytes")));
        }
        // optional: a file may leave it out
        let reveal = file.output.reveal.unwrap_or_else(|| Self::reveal_of(graph));
        let input = Self::input_for(graph, &file.input).map_err(fail)?;
        let FileInput { scale, mean, std, range, .. } = file.input;
        let range = match (range, &input) {
            (Some(Ends::All(ends)), _) => Some(InputRange::new(vec![ends])?),
            (Some(Ends::Channels(ends)), _) => Some(InputRange::new(ends)?),
            // The file says what bytes become, so it says what ready tensors hold.
            (None, Some(input)) if scale.is_some() || mean.is_some() || std.is_some() => {
                let (low, high) = input.range();
                Some(InputRange::uniform(low, high).with_slack())
            }
            (None, _) => None,
        };
        let output = Self::output_for(graph, labels, reveal, resolution);
        let (shape, input_grid) = (graph.input_dims.clone(), graph.input_grid);
        let likeness = None;
        let description = Self { name, shape, range, likeness, input, output, input_grid };
        let outputs = graph.shape(graph.output).len();
        description.check(graph.input_shape(), outputs)?;
        Ok(description)
    }

    /// The range that inputs are held to, filled in if nobody gave one: what calibration inputs
    /// showed and some more, with all that images can become; or else that of bytes over 255.
    ///
    /// # Errors
    /// [`ModelError::Input`] if a calibration input leaves the range that was given.
    pub fn declare(
        &mut self,
        graph: &Graph,
        calibration: &[Vec<f32>],
    ) -> Result<(InputRange, RangeSource), ModelError> {
        let shape = graph.input_shape();
        if let Some(range) = &self.range {
            range.admit_all(calibration, shape)?;
            return Ok((range.clone(), RangeSource::Given));
        }
        let pixels = self.input.as_ref().map(InputDescription::range);
        let pixels = pixels.map(|(low, high)| InputRange::uniform(low, high).with_slack());
        let (range, source) = match (InputRange::likely(calibration, shape), pixels) {
            (Some(likely), Some(pixels)) => (likely.union(&pixels), RangeSource::Calibration),
            (Some(likely), None) => (likely, RangeSource::Calibration),
            (None, Some(pixels)) => (pixels, RangeSource::Assumed),
            (None, None) => (InputRange::uniform(0.0, 1.0).with_slack(), RangeSource::Assumed),
        };
        self.range = Some(range.clone());
        Ok((range, source))
    }

    /// The files that describe a model, whether they are there or not: `model.toml` beside it, and the file of
    /// labels that this names.
    pub fn files(model: &Path) -> Vec<PathBuf> {
        let path = model.with_file_name("model.toml");
        let text = std::fs::read_to_string(&path).ok();
        let file = text.and_then(|text| toml::from_str::<File>(&text).ok());
        let labels = match file.and_then(|file| file.output.labels) {
            Some(LabelSource::File(name)) => Some(model.with_file_name(name)),
            _ => None,
        };
        std::iter::once(path).chain(labels).collect()
    }

    /// The `model.toml` beside an ONNX file, or the defaults if there is none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn beside(model: &Path, graph: &Graph) -> Result<Self, ModelError> {
        let path = model.with_file_name("model.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, graph, path.parent()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default_for(graph))
            }
            Err(error) => Err(ModelError::Description(format!("{}: {error}", path.display()))),
        }
    }

    /// What a file reveals if nobody says otherwise: of one that ends with `ArgMax` the class.
    fn reveal_of(graph: &Graph) -> Reveal {
        if graph.activation == Some(Activation::ArgMax) { Reveal::Class } else { Reveal::Logits }
    }

    fn output_for(
        graph: &Graph,
        mut labels: Vec<String>,
        reveal: Reveal,
        resolution: Option<i32>,
    ) -> OutputDescription {
        if labels.is_empty() {
            labels = (0..graph.shape(graph.output).len()).map(|class| class.to_string()).collect();
        }
        OutputDescription {
            labels,
            reveal,
            resolution,
            activation: graph.activation,
            activated: graph.activated_output,
        }
    }

    fn input_for(graph: &Graph, file: &FileInput) -> Result<Option<InputDescription>, String> {
        let given = file.layout.is_some() || file.channels.is_some() || file.crop.is_some();
        let given = given || file.window.is_some();
        let [1, a, b, c] = *graph.input_dims.as_slice() else {
            return if given { Err("the model's input is no image".into()) } else { Ok(None) };
        };
        let likely =
            if matches!(c, 1 | 3) && !matches!(a, 1 | 3) { Layout::Nhwc } else { Layout::Nchw };
        // optional: a file may leave it out
        let layout = file.layout.unwrap_or(likely);
        let (count, height, width) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        let channels = match (file.channels, count) {
            (Some(channels), _) => channels,
            (None, 1) => Channels::Grey,
            (None, 3) => Channels::Rgb,
            _ if given => return Err(format!("an image of {count} channels")),
            _ => return Ok(None),
        };
        if channels.count() != count {
            return Err(format!("{channels:?} images for a model of {count} channels"));
        }
        if file.crop.is_some_and(|crop| crop != [height, width]) {
            return Err(format!("a crop to {:?} for an input of {height} x {width}", file.crop));
        }
        let list = |values: &Option<Vec<f64>>, default: f64| match values.as_deref() {
            None => vec![default; count],
            Some([single]) => vec![*single; count],
            Some(values) => values.to_vec(),
        };
        Ok(Some(InputDescription {
            height,
            width,
            layout,
            channels,
            resize: file.resize,
            crop: file.crop.is_some(),
            // optional: a file may leave it out
            scale: file.scale.unwrap_or(1.0 / 255.0),
            mean: list(&file.mean, 0.0),
            std: list(&file.std, 1.0),
            window: file.window,
        }))
    }

    /// Whether a description (from a file or a stranger) makes sense for a network with an input of
    /// this shape and so many output elements.
    ///
    /// # Errors
    /// [`ModelError::Description`] says what does not.
    pub fn check(&self, shape: TensorShape, outputs: usize) -> Result<(), ModelError> {
        let fail = |why: String| Err(ModelError::Description(why));
        let output = &self.output;
        if output.labels.len() != outputs {
            return fail(format!("{} labels for {outputs} classes", output.labels.len()));
        }
        if output.labels.iter().any(|label| label.len() > MAX_LABEL)
            || output.resolution.is_some_and(|bits| bits.abs() > MAX_RESOLUTION)
        {
            return fail("a label is too long, or the resolution out of bounds".into());
        }
        if let Some(range) = &self.range {
            range.check_for(shape.channels)?;
        }
        let elements = self.shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
        if elements != Some(shape.len()) {
            let values = shape.len();
            return fail(format!("a shape of {:?} for {values} input values", self.shape));
        }
        if output.activation.is_some_and(|activation| !activation.fits(outputs)) {
            return fail(format!("an activation that does not fit {outputs} values"));
        }
        if self.likeness.is_some_and(|likeness| !likeness.is_sound()) {
            return fail("figures of likely inputs that make no sense".into());
        }
        if self.input_grid.is_some_and(|grid| !grid.is_sound()) {
            return fail("a grid of input values that makes no sense".into());
        }
        let Some(input) = &self.input else { return Ok(()) };
        let count = input.channels.count();
        let sides = [input.height, input.width];
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side))
            || count * input.height * input.width != shape.len()
        {
            return fail("sizes that do not fit the model".into());
        }
        if let Some(side) = input.resize.filter(|_| !input.has_sane_resize()) {
            return fail(format!(
                "resize = {side} for an input of {} x {} pixels is out of range",
                input.width, input.height
            ));
        }
        let sane =
            |[center, width]: [f64; 2]| center.is_finite() && (1.0..=f64::MAX).contains(&width);
        if let Some(window) = input.window.filter(|window| !sane(*window)) {
            return fail(format!("a window of {window:?}: its centre and its width, at least 1"));
        }
        let numbers = [input.scale].into_iter().chain(input.mean.iter().chain(&input.std).copied());
        if input.mean.len() != count
            || input.std.len() != count
            || input.std.contains(&0.0)
            || numbers.into_iter().any(|number| !number.is_finite())
        {
            return fail("scale, mean or std does not fit".into());
        }
        Ok(())
    }
}

/// The exponent r of a step `2^-r`.
fn exponent(step: f64) -> Result<i32, String> {
    let bits = if step > 0.0 { -step.log2() } else { f64::NAN };
    if bits.fract() == 0.0 && bits.abs() <= f64::from(MAX_RESOLUTION) {
        Ok(bits as i32)
    } else {
        Err(format!("resolution {step} is not a power of two, such as 0.0625 or 4.0"))
    }
}
