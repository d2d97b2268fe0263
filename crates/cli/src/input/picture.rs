//! PNG and JPEG files as 8-bit images: turned as their EXIF orientation says, transparency laid on
//! white, 16-bit samples rounded to 8.

use std::io::{BufRead, Seek};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::input::Image;

/// Pixels of one picture at most: 64 MiB of them.
const MAX_PIXELS: u64 = 1 << 26;
/// Longest side of a picture.
const MAX_SIDE: u32 = 1 << 16;
/// What the decoder may allocate: eight bytes for each pixel, and its own tables.
const MAX_BYTES: u64 = 8 * MAX_PIXELS + (64 << 20);

/// A decoded picture and what was done to it that a user may not expect.
pub(super) struct Picture {
    pub(super) image: Image,
    /// Some pixels were not opaque.
    pub(super) transparent: bool,
}

/// Reads a picture; its kind is guessed from its content.
pub(super) fn read(path: &Path) -> Result<Picture, String> {
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| error.to_string())?;
    decode(reader)
}

/// Decodes a picture; its size is checked before its pixels.
pub(super) fn decode<R: BufRead + Seek>(mut reader: ImageReader<R>) -> Result<Picture, String> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels, more than {MAX_PIXELS} in all"));
    }
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    picture.apply_orientation(orientation);
    Ok(flatten(picture))
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

    use super::*;

    fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn decoded(bytes: &[u8]) -> Result<Picture, String> {
        decode(ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap())
    }

    #[test]
    fn known_answer_sixteen_bits_are_rounded_to_eight() {
        // 128 / 257 lies just below a half, 129 / 257 just above.
        let samples = vec![0u16, 128, 129, 257, 32_896, 65_535];
        let grey = ImageBuffer::<Luma<u16>, _>::from_raw(6, 1, samples).unwrap();
        let picture = decoded(&png(grey)).unwrap();
        assert_eq!(picture.image.bytes, [0, 0, 1, 1, 128, 255]);
        assert_eq!(picture.image.channels, 1);
        let rgb = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, vec![65_535u16, 257, 514]).unwrap();
        assert_eq!(decoded(&png(rgb)).unwrap().image.bytes, [255, 1, 2]);
    }

    #[test]
    fn known_answer_transparency_shows_white() {
        let raw = vec![10u8, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128];
        let rgba = ImageBuffer::<Rgba<u8>, _>::from_raw(3, 1, raw).unwrap();
        let picture = decoded(&png(rgba)).unwrap();
        assert_eq!(picture.image.bytes, [10, 20, 30, 255, 255, 255, 127, 127, 127]);
        assert!(picture.transparent);
        let grey = ImageBuffer::<LumaA<u8>, _>::from_raw(2, 1, vec![7u8, 255, 7, 0]).unwrap();
        let picture = decoded(&png(grey)).unwrap();
        assert_eq!((picture.image.channels, picture.image.bytes), (1, vec![7, 255]));
        let raw = vec![0u16, 0, 0, 65_535, 0, 0, 0, 0];
        let wide = ImageBuffer::<Rgba<u16>, _>::from_raw(2, 1, raw).unwrap();
        assert_eq!(decoded(&png(wide)).unwrap().image.bytes, [0, 0, 0, 255, 255, 255]);
        let opaque = ImageBuffer::<Rgba<u8>, _>::from_raw(1, 1, vec![1u8, 2, 3, 255]).unwrap();
        assert!(!decoded(&png(opaque)).unwrap().transparent);
    }

    #[test]
    fn properties_wide_transparency_is_the_nearest_byte() {
        for sample in (0..=65_535u32).step_by(251) {
            for alpha in (0..=65_535u32).step_by(509).chain([65_535]) {
                let raw = [sample as u16, alpha as u16];
                let grey = ImageBuffer::<LumaA<u16>, _>::from_raw(1, 1, raw.to_vec()).unwrap();
                let (bytes, _) = on_white(grey.into(), 1);
                let (c, a) = (f64::from(sample) / 65_535.0, f64::from(alpha) / 65_535.0);
                let exact = 255.0 * (c * a + 1.0 - a);
                assert!((f64::from(bytes[0]) - exact).abs() <= 0.5 + 1e-9, "{sample} {alpha}");
            }
        }
    }

    /// A JPEG with an EXIF segment that holds this orientation and nothing else.
    fn turned(orientation: u8) -> Vec<u8> {
        // Dark left half, bright right half: 16 columns, 8 rows.
        let picture = RgbImage::from_fn(16, 8, |x, _| Rgb([if x < 8 { 20 } else { 230 }; 3]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(picture).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        let plain = bytes.into_inner();
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01".to_vec();
        exif.extend([0, orientation, 0, 0, 0, 0, 0, 0]);
        let mut file = plain[..2].to_vec();
        file.extend([0xff, 0xe1]);
        file.extend((exif.len() as u16 + 2).to_be_bytes());
        file.extend(exif);
        file.extend(&plain[2..]);
        file
    }

    #[test]
    fn known_answer_pictures_are_turned_as_their_exif_says() {
        let corner = |orientation: u8| {
            let Image { width, height, channels, bytes } =
                decoded(&turned(orientation)).unwrap().image;
            let at = |x: usize, y: usize| bytes[(y * width + x) * channels] > 128;
            (width, height, at(0, 0), at(width - 1, 0), at(0, height - 1))
        };
        // Top left, top right, bottom left: bright or not.
        assert_eq!(corner(1), (16, 8, false, true, false));
        assert_eq!(corner(2), (16, 8, true, false, true));
        assert_eq!(corner(3), (16, 8, true, false, true));
        assert_eq!(corner(4), (16, 8, false, true, false));
        assert_eq!(corner(5), (8, 16, false, false, true));
        assert_eq!(corner(6), (8, 16, false, false, true));
        assert_eq!(corner(7), (8, 16, true, true, false));
        assert_eq!(corner(8), (8, 16, true, true, false));
        // No orientation that EXIF knows: left as it is.
        assert_eq!(corner(0), corner(1));
        assert_eq!(corner(99), corner(1));
    }

    #[test]
    fn adversarial_sizes_in_headers_are_refused_before_decoding() {
        let mut huge = png(image::GrayImage::new(1, 1));
        // Width and height in IHDR, and its checksum.
        huge[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        let crc = crc(&huge[12..29]);
        huge[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = decoded(&huge).err().unwrap();
        assert!(error.contains("32768 x 32768"), "{error}");
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
            })
        })
    }
}
