//! `model.toml`: how an image becomes the network's input, and what its output means. Public: the
//! server sends it to clients, who need no other knowledge of the model.
//!
//! ```toml
//! [input]
//! layout = "nchw"            # or "nhwc"
//! channels = "rgb"           # "bgr", "grey"
//! resize = 256               # short side, bilinear, before the crop
//! crop = [224, 224]          # rows, columns, from the centre
//! scale = 0.00392156862745   # x = (byte * scale - mean) / std
//! mean = [0.485, 0.456, 0.406]
//! std = [0.229, 0.224, 0.225]
//!
//! [output]
//! labels = ["cat", "dog"]    # or the name of a file beside model.toml, one label per line
//! reveal = "logits"          # "top-k", "class"
//! resolution = 0.0625        # a power of two
//! ```

mod geometry;

use std::path::Path;

pub use geometry::{Fit, MAX_RESIZED_PIXELS};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::graph::{Activation, Graph};

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
}

/// What the output means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDescription {
    /// One per class.
    pub labels: Vec<String>,
    /// What the client learns.
    pub reveal: Reveal,
    /// Logits are multiples of `2^-resolution`.
    pub resolution: u32,
    /// Computed by the client in the clear on what it learns.
    pub activation: Option<Activation>,
}

/// Both; public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Of the input tensor as the ONNX file has it, batch axis included: what a ready tensor must
    /// have, with or without that axis.
    pub shape: Vec<usize>,
    /// Absent where the input is no image of one or three channels: only tensors are taken then.
    pub input: Option<InputDescription>,
    /// The output.
    pub output: OutputDescription,
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

/// Longest label in bytes.
const MAX_LABEL: usize = 256;
/// Largest side of an image.
const MAX_SIDE: usize = 1 << 14;
/// Default resolution: 1/16.
const RESOLUTION: u32 = 4;

impl Interface {
    /// The defaults: bytes / 255, RGB or grey by the model's channels, exact size, logits at 1/16.
    pub fn default_for(graph: &Graph) -> Self {
        let file = File::default();
        let input = Self::input_for(graph, &file.input).ok().flatten();
        let output = Self::output_for(graph, Vec::new(), Reveal::Logits, RESOLUTION);
        Self { shape: graph.input_dims.clone(), input, output }
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
                let path = dir.unwrap_or(Path::new(".")).join(&name);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| fail(format!("labels {}: {error}", path.display())))?;
                text.lines().map(str::to_owned).collect()
            }
        };
        let resolution = match file.output.resolution {
            None => RESOLUTION,
            Some(step) => {
                let bits = (0..=16).find(|bits| (f64::from(-*bits).exp2() - step).abs() < 1e-9);
                bits.ok_or_else(|| fail(format!("resolution {step} is not 1, 1/2, .., 2^-16")))?
                    as u32
            }
        };
        let reveal = file.output.reveal.unwrap_or(Reveal::Logits);
        let input = Self::input_for(graph, &file.input).map_err(fail)?;
        let output = Self::output_for(graph, labels, reveal, resolution);
        let description = Self { shape: graph.input_dims.clone(), input, output };
        let outputs = graph.shape(graph.output).len();
        description.check(graph.input_shape().len(), outputs)?;
        Ok(description)
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

    /// Whether a ready tensor of this shape is the network's input: the same shape, or the same
    /// without the batch axis.
    pub fn takes(&self, shape: &[u64]) -> bool {
        crate::samples::same_shape(&self.shape, shape)
    }

    fn output_for(
        graph: &Graph,
        mut labels: Vec<String>,
        reveal: Reveal,
        resolution: u32,
    ) -> OutputDescription {
        if labels.is_empty() {
            labels = (0..graph.shape(graph.output).len()).map(|class| class.to_string()).collect();
        }
        OutputDescription { labels, reveal, resolution, activation: graph.activation }
    }

    fn input_for(graph: &Graph, file: &FileInput) -> Result<Option<InputDescription>, String> {
        let given = file.layout.is_some() || file.channels.is_some() || file.crop.is_some();
        let [1, a, b, c] = *graph.input_dims.as_slice() else {
            return if given { Err("the model's input is no image".into()) } else { Ok(None) };
        };
        let likely =
            if matches!(c, 1 | 3) && !matches!(a, 1 | 3) { Layout::Nhwc } else { Layout::Nchw };
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
            scale: file.scale.unwrap_or(1.0 / 255.0),
            mean: list(&file.mean, 0.0),
            std: list(&file.std, 1.0),
        }))
    }

    /// Whether a description (from a file or a stranger) makes sense for a network with so many
    /// input and output elements.
    ///
    /// # Errors
    /// [`ModelError::Description`] says what does not.
    pub fn check(&self, input_len: usize, outputs: usize) -> Result<(), ModelError> {
        let fail = |why: String| Err(ModelError::Description(why));
        let output = &self.output;
        if output.labels.len() != outputs {
            return fail(format!("{} labels for {outputs} classes", output.labels.len()));
        }
        if output.labels.iter().any(|label| label.len() > MAX_LABEL) || output.resolution > 16 {
            return fail("a label is too long, or the resolution too fine".into());
        }
        let elements = self.shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
        if elements != Some(input_len) {
            return fail(format!("a shape of {:?} for {input_len} input values", self.shape));
        }
        let Some(input) = &self.input else { return Ok(()) };
        let count = input.channels.count();
        let sides = [input.height, input.width];
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side))
            || count * input.height * input.width != input_len
        {
            return fail("sizes that do not fit the model".into());
        }
        if !input.has_sane_resize() {
            let side = input.resize.unwrap_or_default();
            return fail(format!(
                "resize = {side} for an input of {} x {} pixels is out of range",
                input.width, input.height
            ));
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

impl InputDescription {
    /// Smallest and largest element that a byte can become.
    pub fn range(&self) -> (f32, f32) {
        let ends = self.mean.iter().zip(&self.std).flat_map(|(mean, std)| {
            [0.0, 255.0].map(|byte: f64| ((byte * self.scale - mean) / std) as f32)
        });
        ends.fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(x), high.max(x)))
    }

    /// The input tensor of an image that is already of the size that
    /// [`fit`](Self::fit) gave: crop, channels, scale.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the size does not fit.
    pub fn tensor(&self, image: &Pixels<'_>) -> Result<Vec<f32>, ModelError> {
        let size =
            image.height.checked_mul(image.width).and_then(|n| n.checked_mul(image.channels));
        if size != Some(image.bytes.len()) || !matches!(image.channels, 1 | 3) {
            return Err(ModelError::Input("bytes and size of the image disagree".into()));
        }
        let (top, left) = self.placed(image.height, image.width)?;
        let mut planes = Vec::with_capacity(self.channels.count());
        for ((channel, mean), std) in (0..self.channels.count()).zip(&self.mean).zip(&self.std) {
            let mut plane = Vec::with_capacity(self.height * self.width);
            for y in top..top + self.height {
                for x in left..left + self.width {
                    let at = (y * image.width + x) * image.channels;
                    let pixel = image.bytes.get(at..at + image.channels).unwrap_or_default();
                    plane.push(((self.byte(pixel, channel) * self.scale - mean) / std) as f32);
                }
            }
            planes.push(plane);
        }
        Ok(match self.layout {
            Layout::Nchw => planes.concat(),
            Layout::Nhwc => (0..self.height * self.width)
                .flat_map(|i| planes.iter().filter_map(move |plane| plane.get(i).copied()))
                .collect(),
        })
    }

    fn byte(&self, pixel: &[u8], channel: usize) -> f64 {
        match (pixel, self.channels) {
            ([grey], _) => f64::from(*grey),
            ([r, g, b], Channels::Grey) => {
                (0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b)).round()
            }
            (_, Channels::Bgr) => f64::from(pixel.get(2 - channel).copied().unwrap_or_default()),
            _ => f64::from(pixel.get(channel).copied().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gazelle_share::TensorShape;

    fn graph(dims: Vec<usize>, outputs: usize) -> Graph {
        let shape = TensorShape::new(dims[1], dims[2], dims[3]);
        let mut graph = Graph::new("x", shape, dims);
        let op = gazelle_share::LinearOp::FullyConnected { inputs: shape.len(), outputs };
        let op = crate::Op::Linear { op, weights: vec![], bias: vec![] };
        graph.output = graph.push("fc", op, vec![0], TensorShape::vector(outputs));
        graph
    }

    #[test]
    fn known_answer_defaults_divide_bytes_by_255() {
        let description = Interface::default_for(&graph(vec![1, 1, 2, 2], 3));
        let input = description.input.clone().unwrap();
        assert_eq!((input.channels, input.layout), (Channels::Grey, Layout::Nchw));
        let image = Pixels { height: 2, width: 2, channels: 1, bytes: &[0, 51, 102, 255] };
        assert_eq!(input.tensor(&image).unwrap(), [0.0, 0.2, 0.4, 1.0]);
        assert_eq!(description.output.labels, ["0", "1", "2"]);
        assert!(description.check(4, 3).is_ok());
    }

    #[test]
    fn known_answer_mean_std_crop_and_channel_order() {
        let text = "[input]\nchannels = 'bgr'\ncrop = [1, 1]\nresize = 3\nscale = 1.0\n\
                    mean = [1, 2, 3]\nstd = [1, 2, 4]\n[output]\nlabels = ['a', 'b']\nresolution = 0.25";
        let description = Interface::parse(text, &graph(vec![1, 3, 1, 1], 2), None).unwrap();
        let input = description.input.unwrap();
        let mut bytes = vec![0; 27];
        bytes[12..15].copy_from_slice(&[11, 22, 33]);
        let image = Pixels { height: 3, width: 3, channels: 3, bytes: &bytes };
        assert_eq!(input.tensor(&image).unwrap(), [32.0, 10.0, 2.0]);
        let fit = input.fit(100, 300).unwrap();
        assert_eq!((fit.height, fit.width), (3, 9));
        assert_eq!(description.output.resolution, 2);
    }

    #[test]
    fn known_answer_channels_last() {
        let text = "[input]\nlayout = 'nhwc'\nscale = 1.0";
        let description = Interface::parse(text, &graph(vec![1, 1, 2, 3], 1), None).unwrap();
        let image = Pixels { height: 1, width: 2, channels: 3, bytes: &[1, 2, 3, 4, 5, 6] };
        let tensor = description.input.unwrap().tensor(&image).unwrap();
        assert_eq!(tensor, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn adversarial_descriptions_that_do_not_fit_are_refused() {
        let graph = graph(vec![1, 3, 4, 4], 2);
        for text in [
            "[input]\nchannels = 'grey'",
            "[input]\nstd = [0, 1, 1]",
            "[input]\nmean = [1, 2]",
            "[input]\nscale = nan",
            "[input]\ncrop = [5, 5]",
            "[output]\nlabels = ['one']",
            "[output]\nresolution = 0.3",
            "[output]\nreveal = 'weights'",
            "[input]\nunknown = 1",
            "[output]\nlabels = '/nonexistent/labels'",
            "not toml",
        ] {
            let parsed = Interface::parse(text, &graph, None);
            assert!(matches!(parsed, Err(ModelError::Description(_))), "{text}");
        }
    }

    #[test]
    fn known_answer_a_tensor_has_the_shape_with_or_without_the_batch_axis() {
        let description = Interface::default_for(&graph(vec![1, 3, 4, 4], 2));
        assert!(description.takes(&[1, 3, 4, 4]) && description.takes(&[3, 4, 4]));
        for other in [&[1, 4, 4, 3][..], &[48], &[1, 48], &[4, 4], &[1, 1, 3, 4, 4], &[], &[2, 3]] {
            assert!(!description.takes(other), "{other:?}");
        }
        assert!(description.check(48, 2).is_ok());
        assert!(Interface { shape: vec![1, 3, 4, 5], ..description }.check(48, 2).is_err());
    }

    #[test]
    fn adversarial_images_of_the_wrong_size_are_refused() {
        let input = Interface::default_for(&graph(vec![1, 3, 4, 4], 2)).input.unwrap();
        let image = |height, width, bytes| Pixels { height, width, channels: 3, bytes };
        assert!(input.tensor(&image(4, 4, &[0; 47])).is_err());
        assert!(input.tensor(&image(5, 4, &[0; 60])).is_err());
        assert!(input.tensor(&image(usize::MAX, 4, &[])).is_err());
        assert!(input.tensor(&image(4, 4, &[0; 48])).is_ok());
    }
}
