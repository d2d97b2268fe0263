//! Pictures that were made here, against what their bytes mean.

use image::{ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};

use super::*;

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn known_answer_sixteen_bits_are_rounded_to_eight() {
    // 128 / 257 lies just below a half, 129 / 257 just above.
    let samples = vec![0u16, 128, 129, 257, 32_896, 65_535];
    let grey = ImageBuffer::<Luma<u16>, _>::from_raw(6, 1, samples).unwrap();
    let picture = decode(&png(grey)).unwrap();
    assert_eq!(picture.image.bytes, [0, 0, 1, 1, 128, 255]);
    assert_eq!(picture.image.channels, 1);
    let rgb = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, vec![65_535u16, 257, 514]).unwrap();
    assert_eq!(decode(&png(rgb)).unwrap().image.bytes, [255, 1, 2]);
}

#[test]
fn known_answer_transparency_shows_white() {
    let raw = vec![10u8, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128];
    let rgba = ImageBuffer::<Rgba<u8>, _>::from_raw(3, 1, raw).unwrap();
    let picture = decode(&png(rgba)).unwrap();
    assert_eq!(picture.image.bytes, [10, 20, 30, 255, 255, 255, 127, 127, 127]);
    assert!(picture.transparent);
    let grey = ImageBuffer::<LumaA<u8>, _>::from_raw(2, 1, vec![7u8, 255, 7, 0]).unwrap();
    let picture = decode(&png(grey)).unwrap();
    assert_eq!((picture.image.channels, picture.image.bytes), (1, vec![7, 255]));
    let raw = vec![0u16, 0, 0, 65_535, 0, 0, 0, 0];
    let wide = ImageBuffer::<Rgba<u16>, _>::from_raw(2, 1, raw).unwrap();
    assert_eq!(decode(&png(wide)).unwrap().image.bytes, [0, 0, 0, 255, 255, 255]);
    let opaque = ImageBuffer::<Rgba<u8>, _>::from_raw(1, 1, vec![1u8, 2, 3, 255]).unwrap();
    assert!(!decode(&png(opaque)).unwrap().transparent);
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
        let Image { width, height, channels, bytes } = decode(&turned(orientation)).unwrap().image;
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
    let error = decode(&huge).err().unwrap();
    assert!(error.contains("32768 x 32768"), "{error}");
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// A picture in which every pixel differs, so that turns and mirrors show.
fn gradient() -> RgbImage {
    RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, (x * y) as u8]))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn known_answer_lossless_formats_give_the_pixels_back() {
    let picture = gradient();
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Bmp] {
        let read = decode(&encoded(picture.clone(), format)).unwrap();
        let Image { width, height, channels, bytes } = read.image;
        assert_eq!((width, height, channels), (9, 7, 3), "{format:?}");
        assert_eq!(&bytes, picture.as_raw(), "{format:?}");
    }
    let grey = image::GrayImage::from_fn(5, 3, |x, y| Luma([(x * 50 + y) as u8]));
    for format in [ImageFormat::Tiff, ImageFormat::Bmp] {
        let read = decode(&encoded(grey.clone(), format)).unwrap().image;
        let first: Vec<u8> = read.bytes.chunks(read.channels).map(|pixel| pixel[0]).collect();
        assert_eq!(&first, grey.as_raw(), "{format:?}");
    }
    let deep = ImageBuffer::<Luma<u16>, _>::from_raw(3, 1, vec![129u16, 32_896, 65_535]).unwrap();
    let read = decode(&encoded(deep, ImageFormat::Tiff)).unwrap().image;
    assert_eq!((read.channels, read.bytes), (1, vec![1, 128, 255]));
    let clear = ImageBuffer::<Rgba<u8>, _>::from_raw(1, 1, vec![1u8, 2, 3, 0]).unwrap();
    for format in [ImageFormat::WebP, ImageFormat::Tiff] {
        let read = decode(&encoded(clear.clone(), format)).unwrap();
        assert_eq!((read.transparent, read.image.bytes), (true, vec![255; 3]), "{format:?}");
    }
}

/// A TIFF of uncompressed 8-bit samples, little-endian, with one strip, and maybe a second page.
fn tiff_file(
    width: u16,
    photometric: u16,
    samples: &[u8],
    orientation: u16,
    pages: u16,
) -> Vec<u8> {
    let each = if photometric == 5 { 4u16 } else { 1 };
    let height = samples.len() as u16 / width / each;
    let mut out = b"II\x2a\0\x08\0\0\0".to_vec();
    // Bits of four samples do not fit their field: they lie behind the last directory.
    let directory = 2 + 12 * 10 + 4;
    let bits = 8 + directory * u32::from(pages);
    let strip = bits + 8;
    for page in 1..=pages {
        out.extend(10u16.to_le_bytes());
        let bits_field = if each == 1 { 8 } else { bits };
        for (tag, kind, count, value) in [
            (256u16, 3u16, 1u32, u32::from(width)),
            (257, 3, 1, u32::from(height)),
            (258, 3, u32::from(each), bits_field),
            (259, 3, 1, 1),
            (262, 3, 1, u32::from(photometric)),
            (273, 4, 1, strip),
            (274, 3, 1, u32::from(orientation)),
            (277, 3, 1, u32::from(each)),
            (278, 3, 1, u32::from(height)),
            (279, 4, 1, samples.len() as u32),
        ] {
            out.extend(tag.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(count.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        let next = if page < pages { 8 + directory * u32::from(page) } else { 0 };
        out.extend(next.to_le_bytes());
    }
    out.extend([8, 0, 8, 0, 8, 0, 8, 0]);
    out.extend(samples);
    out
}

#[test]
fn known_answer_a_tiff_is_turned_and_white_may_be_zero() {
    let samples = [10, 20, 30, 40, 50, 60];
    let plain = decode(&tiff_file(3, 1, &samples, 1, 1)).unwrap().image;
    assert_eq!((plain.width, plain.height, plain.bytes), (3, 2, samples.to_vec()));
    let turned = decode(&tiff_file(3, 1, &samples, 6, 1)).unwrap().image;
    assert_eq!((turned.width, turned.height), (2, 3));
    assert_eq!(turned.bytes, [40, 10, 50, 20, 60, 30]);
    let inverted = decode(&tiff_file(3, 0, &samples, 1, 1)).unwrap().image;
    assert_eq!(inverted.bytes, samples.map(|sample| 255 - sample));
}

#[test]
fn adversarial_what_would_be_seen_otherwise_than_meant_is_refused_by_name() {
    let refusal = |bytes: &[u8]| decode(bytes).err().unwrap_or_default();
    let pages = refusal(&tiff_file(3, 1, &[0; 6], 1, 2));
    assert!(pages.contains("several pages"), "{pages}");
    let inks = refusal(&tiff_file(2, 5, &[0; 8], 1, 1));
    assert!(inks.contains("CMYK"), "{inks}");
    let mut jpeg = Vec::new();
    jpeg_encoder::Encoder::new(&mut jpeg, 90)
        .encode(&[7; 4 * 64], 8, 8, jpeg_encoder::ColorType::Cmyk)
        .unwrap();
    assert!(refusal(&jpeg).contains("CMYK"), "{}", refusal(&jpeg));
    let float = image::Rgb32FImage::from_pixel(2, 2, Rgb([0.5, 7.0, -1.0]));
    let float = refusal(&encoded(float, ImageFormat::Tiff));
    assert!(float.contains("floating-point"), "{float}");
    let gif = refusal(b"GIF89a\x01\0\x01\0\0\0\0");
    assert!(gif.contains("GIF"), "{gif}");
    let none = refusal(b"hello");
    assert!(none.contains("neither"), "{none}");
    // An animation's header: VP8X with its flag, and a frame.
    let mut webp =
        b"RIFF\x2c\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\0\0\0\0\0\0ANIM\x06\0\0\0\0\0\0\0\0\0"
            .to_vec();
    webp.extend(b"ANMF\0\0\0\0");
    assert!(!refusal(&webp).is_empty());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    #[test]
    fn adversarial_any_damage_to_any_format_is_survived(
        edits in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()),
            0..6,
        ),
        cut: Option<proptest::sample::Index>,
    ) {
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Tiff,
            ImageFormat::WebP,
            ImageFormat::Bmp,
        ] {
            let mut bytes = encoded(gradient(), format);
            for (at, byte) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(picture) = decode(&bytes) {
                let Image { width, height, channels, bytes } = picture.image;
                proptest::prop_assert_eq!(bytes.len(), width * height * channels);
            }
        }
    }
}
