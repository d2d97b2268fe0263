//! Pictures of bytes.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

/// An 8-bit image, rows of pixels, channels interleaved.
#[derive(Debug, Clone)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub bytes: Vec<u8>,
}

impl Image {
    /// A PNG of the picture that fits into a square of `side` pixels, its sides in proportion; none if its bytes
    /// are not of its size.
    pub fn thumbnail(&self, side: u32) -> Option<Vec<u8>> {
        let (width, height) = (u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?);
        let bytes = self.bytes.clone();
        let picture: DynamicImage = match self.channels {
            1 => GrayImage::from_raw(width, height, bytes)?.into(),
            3 => RgbImage::from_raw(width, height, bytes)?.into(),
            _ => return None,
        };
        let small = if width.max(height) > side { picture.thumbnail(side, side) } else { picture };
        let mut png = Cursor::new(Vec::new());
        small.write_to(&mut png, ImageFormat::Png).ok()?;
        Some(png.into_inner())
    }
}
