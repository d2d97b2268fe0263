//! PNG, JPEG, TIFF, WebP and BMP files as 8-bit images: turned as their EXIF orientation says, transparency
//! laid on white, 16-bit samples rounded to 8. What would be seen otherwise than it is meant (CMYK, floating
//! point, several pages) is refused by name.

#[cfg(test)]
mod tests;

use std::io::{BufRead, Cursor, Seek};

use image::codecs::bmp::BmpDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat};

use crate::raster::Image;

/// Pixels of one picture at most: 64 MiB of them.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;
/// Longest side of a picture.
const MAX_SIDE: u32 = 1 << 16;
/// What the decoder may allocate: eight bytes for each pixel, and its own tables.
const MAX_BYTES: u64 = 8 * MAX_PIXELS + (64 << 20);

/// A decoded picture and what was done to it that a user may not expect.
pub(crate) struct Picture {
    pub(crate) image: Image,
    /// Some pixels were not opaque.
    pub(crate) transparent: bool,
}

/// Decodes a picture, whose kind follows from its content; its size is checked before its pixels.
pub(crate) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    let text = |error: image::ImageError| error.to_string();
    let reader = Cursor::new(bytes);
    let format = image::guess_format(bytes).map_err(|_| {
        "neither a PNG, JPEG, TIFF, WebP or BMP picture, nor a DICOM or NPY file".to_owned()
    })?;
    match format {
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(reader, limits()).map_err(text)?;
            if decoder.is_apng().map_err(text)? {
                return Err(ANIMATED.into());
            }
            finish(decoder)
        }
        ImageFormat::Jpeg => {
            refuse_four_inks(bytes)?;
            finish(JpegDecoder::new(reader).map_err(text)?)
        }
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(reader).map_err(text)?;
            if decoder.has_animation() {
                return Err(ANIMATED.into());
            }
            finish(decoder)
        }
        ImageFormat::Tiff => {
            refuse_pages(reader.clone())?;
            finish(TiffDecoder::new(reader).map_err(text)?)
        }
        ImageFormat::Bmp => finish(BmpDecoder::new(reader).map_err(text)?),
        other => Err(format!(
            "a {} file; PNG, JPEG, TIFF, WebP and BMP pictures can be read",
            other.extensions_str().first().map_or_else(String::new, |name| name.to_uppercase())
        )),
    }
}

const ANIMATED: &str = "an animated picture; give the one that is meant as a file of its own";

fn limits() -> image::Limits {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

/// Checks the size and the kind of samples, then decodes, turns and flattens.
fn finish(mut decoder: impl ImageDecoder) -> Result<Picture, String> {
    let text = |error: image::ImageError| error.to_string();
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels, more than {MAX_PIXELS} in all"));
    }
    decoder.set_limits(limits()).map_err(text)?;
    if matches!(decoder.original_color_type(), ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16)
    {
        return Err(FOUR_INKS.into());
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(
            "floating-point samples, which have no agreed white; save them as 8 or 16 bits, or \
                    as a ready float32 NPY tensor"
                .into(),
        );
    }
    let orientation = decoder.orientation().map_err(text)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(text)?;
    picture.apply_orientation(orientation);
    Ok(flatten(picture))
}

const FOUR_INKS: &str =
    "a CMYK picture, whose colours depend on a printer's profile; save it as RGB";

/// The picture decoder would make some red, green and blue of four inks without a word.
fn refuse_four_inks(bytes: &[u8]) -> Result<(), String> {
    let mut header = jpeg_decoder::Decoder::new(bytes);
    // What cannot be read here is refused with a reason by the picture decoder.
    let known = header.read_info().is_ok();
    let format = header.info().filter(|_| known).map(|info| info.pixel_format);
    if format == Some(jpeg_decoder::PixelFormat::CMYK32) { Err(FOUR_INKS.into()) } else { Ok(()) }
}

/// Of several pages nobody says which one is meant.
fn refuse_pages(reader: impl BufRead + Seek) -> Result<(), String> {
    let decoder = tiff::decoder::Decoder::new(reader).map_err(|error| error.to_string())?;
    if decoder.more_images() {
        return Err(
            "a TIFF file of several pages; give the one that is meant as a file of its own, as \
                    with tiffcp in.tif,0 out.tif"
                .into(),
        );
    }
    Ok(())
}

/// Three channels for coloured pictures, one for grey ones.
fn flatten(picture: DynamicImage) -> Picture {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let colour = picture.color();
    let channels = if colour.has_color() { 3 } else { 1 };
    let (bytes, transparent) = if colour.has_alpha() {
        on_white(picture, channels)
    } else if channels == 3 {
        (picture.into_rgb8().into_raw(), false)
    } else {
        (picture.into_luma8().into_raw(), false)
    };
    Picture { image: Image { width, height, channels, bytes }, transparent }
}

/// `c a + 1 - a` for samples c and opacities a in [0, 1]; whether some a is below 1.
fn on_white(picture: DynamicImage, channels: usize) -> (Vec<u8>, bool) {
    let wide = matches!(picture, DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgba16(_));
    if wide {
        let raw = match picture {
            DynamicImage::ImageLumaA16(grey) => grey.into_raw(),
            other => other.into_rgba16().into_raw(),
        };
        let byte = |sample: u16, alpha: u16| {
            let (sample, alpha) = (u64::from(sample), u64::from(alpha));
            // Rounded once: c a + 65535 (65535 - a) is in units of 1 / 65535^2.
            ((sample * alpha + 65_535 * (65_535 - alpha)) * 2 + 65_535 * 257) / (2 * 65_535 * 257)
        };
        compose(&raw, channels, u16::MAX, |sample, alpha| byte(sample, alpha) as u8)
    } else {
        let raw = match picture {
            DynamicImage::ImageLumaA8(grey) => grey.into_raw(),
            other => other.into_rgba8().into_raw(),
        };
        let byte = |sample: u8, alpha: u8| {
            let (sample, alpha) = (u32::from(sample), u32::from(alpha));
            (sample * alpha + 255 * (255 - alpha) + 127) / 255
        };
        compose(&raw, channels, u8::MAX, |sample, alpha| byte(sample, alpha) as u8)
    }
}

fn compose<T: Copy + PartialEq>(
    raw: &[T],
    channels: usize,
    opaque: T,
    byte: impl Fn(T, T) -> u8,
) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(raw.len() / (channels + 1) * channels);
    let mut transparent = false;
    for pixel in raw.chunks_exact(channels + 1) {
        if let Some((alpha, samples)) = pixel.split_last() {
            transparent |= *alpha != opaque;
            bytes.extend(samples.iter().map(|sample| byte(*sample, *alpha)));
        }
    }
    (bytes, transparent)
}
