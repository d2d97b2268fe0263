//! From values to what is seen: window centre and width (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3).

use crate::raster::Image;

/// Greys of one frame before any window: a radiograph, a slice.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` values after the modality's rescale (of a CT: Hounsfield units), row-major.
    pub values: Vec<f32>,
    /// The file's own window.
    pub(crate) window: Option<GreyWindow>,
    /// What the least and the largest stored value stand for.
    pub(crate) ends: [f64; 2],
    /// Low values are bright (MONOCHROME1).
    pub(crate) inverted: bool,
    /// A VOI look-up table instead of a window.
    pub(crate) has_table: bool,
}

/// A window: values from `center - width / 2` to `center + width / 2` become 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GreyWindow {
    center: f64,
    width: f64,
    curve: Curve,
}

/// How values between a window's ends are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    /// `((x - (c - 0.5)) / (w - 1) + 0.5) 255`, for whole numbers; `w` of at least 1.
    Linear,
    /// `((x - c) / w + 0.5) 255`.
    LinearExact,
    /// `255 / (1 + exp(-4 (x - c) / w))`.
    Sigmoid,
}

impl GreyWindow {
    /// Checks centre and width.
    pub(crate) fn new(center: f64, width: f64, curve: Curve) -> Result<Self, String> {
        let least = if curve == Curve::Linear { 1.0 } else { f64::MIN_POSITIVE };
        if !center.is_finite() || !width.is_finite() || width < least {
            return Err(format!("a window of centre {center} and width {width}"));
        }
        Ok(Self { center, width, curve })
    }

    /// What is seen of a value: a byte, rounded to the nearest.
    pub(crate) fn byte(self, value: f64) -> u8 {
        let Self { center, width, curve } = self;
        let share = match curve {
            // A width of 1 is a threshold.
            Curve::Linear if width <= 1.0 => f64::from(u8::from(value > center - 0.5)),
            Curve::Linear => (value - (center - 0.5)) / (width - 1.0) + 0.5,
            Curve::LinearExact => (value - center) / width + 0.5,
            Curve::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        };
        (share * 255.0).round().clamp(0.0, 255.0) as u8
    }
}

impl Scan {
    /// Whether nobody says what is to be seen: neither this file nor the model, whose `window` is centre
    /// and width.
    pub(crate) fn lacks_window(&self, window: Option<[f64; 2]>) -> bool {
        window.is_none() && self.window.is_none()
    }

    /// The picture that a window shows, bright where there is much: the model's `window` (centre and width);
    /// else the file's own; else the whole range of its stored values.
    ///
    /// # Errors
    /// Says why there is none: a window that makes no sense, or a look-up table in place of one.
    pub fn image(&self, window: Option<[f64; 2]>) -> Result<Image, String> {
        let window = match (window, self.window) {
            (Some([center, width]), _) => GreyWindow::new(center, width, Curve::Linear)?,
            (None, Some(own)) => own,
            (None, None) if self.has_table => {
                return Err(
                    "a VOI look-up table instead of a window; the model would have to say \
                            `window = [centre, width]`, or convert it: dcm2pnm in.dcm out.png"
                        .into(),
                );
            }
            (None, None) => {
                let [low, high] = self.ends;
                GreyWindow::new(f64::midpoint(low, high), high - low, Curve::LinearExact)?
            }
        };
        let mut bytes: Vec<u8> =
            self.values.iter().map(|value| window.byte(f64::from(*value))).collect();
        if self.inverted {
            for byte in &mut bytes {
                *byte = 255 - *byte;
            }
        }
        Ok(Image { width: self.width, height: self.height, channels: 1, bytes })
    }
}
