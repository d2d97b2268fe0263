//! From an image's bytes to the input tensor.

use super::{Channels, InputDescription, Layout, Pixels};
use crate::error::ModelError;

impl InputDescription {
    /// Smallest and largest element that a byte can become.
    pub(crate) fn range(&self) -> (f32, f32) {
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
    #[expect(clippy::indexing_slicing, reason = "the size was compared and the crop placed inside")]
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
                    let pixel = &image.bytes[at..at + image.channels];
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

    /// - `pixel`: of one channel or of three.
    #[expect(clippy::indexing_slicing, reason = "an image has at most three channels")]
    fn byte(&self, pixel: &[u8], channel: usize) -> f64 {
        match (pixel, self.channels) {
            ([grey], _) => f64::from(*grey),
            ([r, g, b], Channels::Grey) => {
                (0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b)).round()
            }
            (_, Channels::Bgr) => f64::from(pixel[2 - channel]),
            _ => f64::from(pixel[channel]),
        }
    }
}
