//! Files that dicom-object, jpeg-encoder and the few lines below write, against values that were computed
//! here from the standard's formulas.

use std::fmt::Write;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use proptest::prelude::*;

use super::*;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const LOSSLESS: &str = "1.2.840.10008.1.2.4.70";

/// A frame's attributes: rows, columns, samples, bits allocated, bits stored, signed.
type FrameShape = (u16, u16, u16, u16, u16, u16);

fn object(shape: FrameShape, photometric: &str) -> InMemDicomObject {
    let (rows, columns, samples, allocated, stored, signed) = shape;
    let mut object = InMemDicomObject::new_empty();
    for (tag, value) in [
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::SAMPLES_PER_PIXEL, samples),
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, stored),
        (tags::HIGH_BIT, stored - 1),
        (tags::PIXEL_REPRESENTATION, signed),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    text(&mut object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
    object
}

fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn native(object: &mut InMemDicomObject, bytes: &[u8]) {
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::from(bytes)));
}

fn fragments(object: &mut InMemDicomObject, fragments: Vec<Vec<u8>>) {
    let even = |mut fragment: Vec<u8>| {
        fragment.resize(fragment.len().next_multiple_of(2), 0);
        fragment
    };
    let fragments: Vec<Vec<u8>> = fragments.into_iter().map(even).collect();
    let value = dicom_core::value::PixelFragmentSequence::new_fragments(fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
}

fn file(object: InMemDicomObject, syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.1")
        .media_storage_sop_instance_uid("1.2.3");
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| (*value as u16).to_le_bytes()).collect()
}

fn scan(bytes: &[u8]) -> Scan {
    match read(bytes).unwrap() {
        Content::Scan(scan) => scan,
        other => panic!("{other:?}"),
    }
}

/// Literal runs and one repeated run where it fits: `PackBits`.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for chunk in bytes.chunks(100) {
        if chunk.len() > 1 && chunk.iter().all(|byte| *byte == chunk[0]) {
            packed.extend([(257 - chunk.len()) as u8, chunk[0]]);
        } else {
            packed.push(chunk.len() as u8 - 1);
            packed.extend(chunk);
        }
    }
    packed.resize(packed.len().next_multiple_of(2), 0);
    packed
}

/// An RLE fragment of planes, each one byte of a sample.
fn rle_fragment(planes: &[Vec<u8>]) -> Vec<u8> {
    let mut header = [0u32; 16];
    header[0] = planes.len() as u32;
    let mut data = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        header[1 + index] = 64 + data.len() as u32;
        data.extend(packed(plane));
    }
    let header = header.iter().flat_map(|word| word.to_le_bytes());
    header.chain(data).collect()
}

/// A lossless JPEG (process 14, predictor: the left neighbour) of greys of `bits` bits.
fn lossless(values: &[i32], width: usize, bits: u8) -> Vec<u8> {
    let height = values.len() / width;
    let mut out = vec![0xff, 0xd8, 0xff, 0xc4, 0, 19 + 17, 0];
    // Seventeen categories, each with a code of five bits.
    out.extend([0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(0..17u8);
    out.extend([0xff, 0xc3, 0, 11, bits, 0, height as u8, 0, width as u8, 1, 1, 0x11, 0]);
    out.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0]);
    let mut stream = String::new();
    for (index, value) in values.iter().enumerate() {
        let before = match (index / width, index % width) {
            (0, 0) => 1 << (bits - 1),
            (_, 0) => values[index - width],
            _ => values[index - 1],
        };
        let difference = value - before;
        let category = 32 - difference.unsigned_abs().leading_zeros();
        write!(stream, "{category:05b}").unwrap();
        if category > 0 {
            let low = if difference < 0 { difference - 1 } else { difference };
            let low = low as u32 & ((1 << category) - 1);
            write!(stream, "{low:0width$b}", width = category as usize).unwrap();
        }
    }
    while !stream.len().is_multiple_of(8) {
        stream.push('1');
    }
    for byte in stream.as_bytes().chunks(8) {
        let byte = u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
        out.push(byte);
        if byte == 0xff {
            out.push(0);
        }
    }
    out.extend([0xff, 0xd9]);
    out
}

/// A CT of 2 x 3 with its rescale to Hounsfield units and a lung window.
fn tomography() -> InMemDicomObject {
    let mut object = object((2, 3, 1, 16, 12, 0), "MONOCHROME2");
    text(&mut object, tags::RESCALE_INTERCEPT, VR::DS, "-1024");
    text(&mut object, tags::RESCALE_SLOPE, VR::DS, "1.0");
    text(&mut object, tags::WINDOW_CENTER, VR::DS, "-600\\40");
    text(&mut object, tags::WINDOW_WIDTH, VR::DS, "1500\\400");
    object
}

const STORED: [i32; 6] = [0, 424, 1024, 1064, 2000, 4095];

#[test]
fn known_answer_a_rescale_and_the_files_own_window() {
    for syntax in [EXPLICIT, IMPLICIT] {
        let mut object = tomography();
        native(&mut object, &words(&STORED));
        let scan = scan(&file(object, syntax));
        let values: Vec<f32> = STORED.iter().map(|stored| *stored as f32 - 1024.0).collect();
        assert_eq!((scan.height, scan.width, &scan.values), (2, 3, &values));
        // ((x + 600.5) / 1499 + 0.5) 255, clipped and rounded.
        assert_eq!(scan.image(None).unwrap().bytes, [55, 128, 230, 236, 255, 255]);
        // A soft-tissue window: ((x - 39.5) / 399 + 0.5) 255.
        let soft = scan.image(Some([40.0, 400.0])).unwrap();
        assert_eq!(soft.bytes, [0, 0, 102, 128, 255, 255]);
        assert_eq!((soft.height, soft.width, soft.channels), (2, 3, 1));
        assert!(
            scan.image(Some([40.0, 0.5])).is_err() && scan.image(Some([f64::NAN, 4.0])).is_err()
        );
    }
}

#[test]
fn known_answer_the_curves_of_the_standard() {
    let byte = |curve, value| GreyWindow::new(100.0, 50.0, curve).unwrap().byte(value);
    // LINEAR_EXACT: (x - c) / w + 0.5.
    assert_eq!(
        [75.0, 100.0, 110.0, 125.0].map(|x| byte(Curve::LinearExact, x)),
        [0, 128, 179, 255]
    );
    // SIGMOID: 255 / (1 + exp(-4 (x - c) / w)).
    assert_eq!([0.0, 100.0, 125.0].map(|x| byte(Curve::Sigmoid, x)), [0, 128, 225]);
    let threshold = GreyWindow::new(10.0, 1.0, Curve::Linear).unwrap();
    assert_eq!([9.0, 9.5, 10.0].map(|x| threshold.byte(x)), [0, 0, 255]);
    assert!(GreyWindow::new(0.0, 0.0, Curve::LinearExact).is_err());
}

#[test]
fn known_answer_signs_inversion_and_the_whole_range() {
    let mut signed = object((1, 4, 1, 16, 16, 1), "MONOCHROME2");
    native(&mut signed, &words(&[-32_768, -1, 0, 32_767]));
    let signed = scan(&file(signed, EXPLICIT));
    assert_eq!(signed.values, [-32_768.0, -1.0, 0.0, 32_767.0]);
    assert_eq!(signed.image(None).unwrap().bytes, [0, 127, 128, 255]);
    assert!(signed.lacks_window(None) && !signed.lacks_window(Some([0.0, 10.0])));
    // Twelve bits: what lies above them is an overlay, and no value.
    let mut inverted = object((1, 4, 1, 16, 12, 0), "MONOCHROME1");
    native(&mut inverted, &words(&[0, 4095, 0xf000, 1365]));
    let inverted = scan(&file(inverted, EXPLICIT));
    assert_eq!(inverted.values, [0.0, 4095.0, 0.0, 1365.0]);
    assert_eq!(inverted.image(None).unwrap().bytes, [255, 0, 255, 170]);
    let mut eight = object((1, 3, 1, 8, 8, 0), "MONOCHROME2");
    native(&mut eight, &[0, 77, 255, 0]);
    assert_eq!(scan(&file(eight, EXPLICIT)).image(None).unwrap().bytes, [0, 77, 255]);
}

#[test]
fn known_answer_colours_interleaved_and_in_planes() {
    let pixels = [1u8, 2, 3, 40, 50, 60];
    for (planar, bytes) in [(0u16, pixels), (1, [1, 40, 2, 50, 3, 60])] {
        let mut object = object((1, 2, 3, 8, 8, 0), "RGB");
        object.put(DataElement::new(
            tags::PLANAR_CONFIGURATION,
            VR::US,
            PrimitiveValue::from(planar),
        ));
        native(&mut object, &bytes);
        let Content::Image(image) = read(&file(object, EXPLICIT)).unwrap() else { panic!() };
        assert_eq!((image.channels, image.width), (3, 2));
        assert_eq!(image.bytes, pixels);
    }
}

#[test]
fn known_answer_rle_and_lossless_jpeg_give_the_values_back() {
    let values: Vec<i32> = (0..40 * 30).map(|i| (i * i * 7 + i / 40 * 90) % 4096).collect();
    let planes: Vec<Vec<u8>> =
        [8, 0].map(|shift| values.iter().map(|value| (value >> shift) as u8).collect()).to_vec();
    let wanted: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    for (syntax, data) in [(RLE, rle_fragment(&planes)), (LOSSLESS, lossless(&values, 40, 12))] {
        let mut object = object((30, 40, 1, 16, 12, 0), "MONOCHROME2");
        fragments(&mut object, vec![data]);
        assert_eq!(scan(&file(object, syntax)).values, wanted, "{syntax}");
    }
    // Colours: a plane for each; the second is one run.
    let mut object = object((1, 3, 3, 8, 8, 0), "RGB");
    fragments(&mut object, vec![rle_fragment(&[vec![1, 2, 3], vec![9; 3], vec![4, 5, 6]])]);
    let Content::Image(image) = read(&file(object, RLE)).unwrap() else { panic!() };
    assert_eq!(image.bytes, [1, 9, 4, 2, 9, 5, 3, 9, 6]);
}

fn jpeg_of(pixels: &[u8], width: u16, colour: jpeg_encoder::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let samples = if colour == jpeg_encoder::ColorType::Luma { 1 } else { 3 };
    let height = pixels.len() / usize::from(width) / samples;
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
    encoder.encode(pixels, width, height as u16, colour).unwrap();
    bytes
}

#[test]
fn known_answer_baseline_jpeg_in_one_fragment_or_several() {
    let grey: Vec<u8> = (0..32 * 16).map(|i| (i % 32 * 8) as u8).collect();
    let data = jpeg_of(&grey, 32, jpeg_encoder::ColorType::Luma);
    let (first, second) = data.split_at(data.len() / 4 * 2);
    for parts in [vec![data.clone()], vec![first.to_vec(), second.to_vec()]] {
        let mut object = object((16, 32, 1, 8, 8, 0), "MONOCHROME2");
        fragments(&mut object, parts);
        let values = scan(&file(object, JPEG)).values;
        assert!(values.iter().zip(&grey).all(|(a, b)| (a - f32::from(*b)).abs() <= 3.0));
    }
    let red: Vec<u8> = [200u8, 30, 90].repeat(16 * 16);
    let mut object = object((16, 16, 3, 8, 8, 0), "YBR_FULL_422");
    fragments(&mut object, vec![jpeg_of(&red, 16, jpeg_encoder::ColorType::Rgb)]);
    let Content::Image(image) = read(&file(object, JPEG)).unwrap() else { panic!() };
    assert!(
        image.bytes.iter().zip(&red).all(|(a, b)| a.abs_diff(*b) <= 4),
        "{:?}",
        &image.bytes[..3]
    );
}

#[test]
fn adversarial_what_cannot_be_shown_is_refused_by_name_and_with_a_remedy() {
    let refusal = |change: &dyn Fn(&mut InMemDicomObject), syntax: &str| {
        let mut object = tomography();
        native(&mut object, &words(&STORED));
        change(&mut object);
        read(&file(object, syntax)).err().unwrap_or_default()
    };
    let frames = refusal(&|o| text(o, tags::NUMBER_OF_FRAMES, VR::IS, "12"), EXPLICIT);
    assert!(frames.contains("\"12\" frames") && frames.contains("--frame"), "{frames}");
    let palette =
        refusal(&|o| text(o, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR"), EXPLICIT);
    assert!(palette.contains("PALETTE COLOR") && palette.contains("dcm2pnm"), "{palette}");
    let short = refusal(&|o| native(o, &[0; 6]), EXPLICIT);
    assert!(short.contains("6 bytes of pixel data instead of 12"), "{short}");
    let missing = refusal(&|o| assert!(o.remove_element(tags::ROWS)), EXPLICIT);
    assert!(missing.contains("without rows"), "{missing}");
    let number = refusal(&|o| text(o, tags::RESCALE_SLOPE, VR::DS, "one"), EXPLICIT);
    assert!(number.contains("rescale slope of \"one\""), "{number}");
    let window = refusal(&|o| text(o, tags::WINDOW_WIDTH, VR::DS, "0"), EXPLICIT);
    assert!(window.contains("width 0"), "{window}");
    let none = refusal(&|o| assert!(o.remove_element(tags::PIXEL_DATA)), EXPLICIT);
    assert!(none.contains("without pixel data"), "{none}");
    // The syntax's name is longer: the header's length is changed as well.
    let mut object = tomography();
    native(&mut object, &words(&STORED));
    let plain = file(object, EXPLICIT);
    for (syntax, name) in
        [("1.2.840.10008.1.2.2", "big-endian"), ("1.2.840.10008.1.2.9", "unknown")]
    {
        let mut other = plain.clone();
        let at = other.windows(19).position(|bytes| bytes == EXPLICIT.as_bytes()).unwrap();
        other[at..at + 19].copy_from_slice(syntax.as_bytes());
        let error = read(&other).unwrap_err();
        assert!(error.contains(name) && error.contains("gdcmconv --raw"), "{error}");
    }
    assert!(coding_of("1.2.840.10008.1.2.4.90").contains("JPEG 2000"));
}

fn coding_of(syntax: &str) -> String {
    elements::coding(syntax).unwrap_err()
}

#[test]
fn adversarial_sizes_that_disagree_are_refused_before_decoding() {
    let large = jpeg_of(&vec![0; 64 * 64], 64, jpeg_encoder::ColorType::Luma);
    let mut inside = object((16, 32, 1, 8, 8, 0), "MONOCHROME2");
    fragments(&mut inside, vec![large]);
    let error = read(&file(inside, JPEG)).unwrap_err();
    assert!(error.contains("64 x 64") && error.contains("32 x 16"), "{error}");
    let mut huge = object((65_535, 65_535, 1, 8, 8, 0), "MONOCHROME2");
    native(&mut huge, &[0; 4]);
    let error = read(&file(huge, EXPLICIT)).unwrap_err();
    assert!(error.contains("65535 x 65535"), "{error}");
    // As many pixels as are allowed, announced by a hundred bytes.
    let mut bomb = object((8192, 8192, 1, 8, 8, 0), "MONOCHROME2");
    fragments(&mut bomb, vec![rle_fragment(&[vec![0; 100]])]);
    assert!(read(&file(bomb, RLE)).unwrap_err().contains("too short"));
}

#[test]
fn adversarial_lengths_and_nesting_without_bound_are_refused_at_once() {
    let mut start = file(tomography(), EXPLICIT);
    // An element of 4 GB less one byte; the file ends behind its header.
    let mut long = start.clone();
    long.extend([0x28, 0, 0x06, 0x30, b'O', b'B', 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert!(read(&long).is_err());
    let mut pixels = start.clone();
    pixels.extend([0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xfe, 0xff, 0xff, 0xff, 1, 2]);
    assert!(read(&pixels).unwrap_err().contains("2 bytes of pixel data"));
    // The end of an item that was never begun, then an item.
    let mut ends = start.clone();
    ends.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]);
    assert!(read(&ends).unwrap_err().contains("not begun"));
    // The same where the file says how it is coded.
    let stray = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0];
    let head = [&[0; 128][..], b"DICM", &stray].concat();
    assert!(read(&head).unwrap_err().contains("transfer syntax"));
    // Empty fragments without number.
    let mut empty = start.clone();
    empty.extend([0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff]);
    for _ in 0..70_000 {
        empty.extend([0xfe, 0xff, 0, 0xe0, 0, 0, 0, 0]);
    }
    assert!(read(&empty).unwrap_err().contains("more than 65536 fragments"));
    for _ in 0..10_000 {
        start.extend([0x28, 0, 0x10, 0x30, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        start.extend([0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    assert!(read(&start).unwrap_err().contains("nested"), "deep");
}

/// One file of each coding.
fn samples() -> Vec<Vec<u8>> {
    let values: Vec<i32> = (0..12 * 9).map(|i| i * 31 % 4096).collect();
    let planes: Vec<Vec<u8>> =
        [8, 0].map(|shift| values.iter().map(|value| (value >> shift) as u8).collect()).to_vec();
    let shape = (9, 12, 1, 16, 12, 0);
    let grey: Vec<u8> = (0..108).collect();
    let with = |shape, syntax: &str, data: Option<Vec<u8>>| {
        let mut object = object(shape, "MONOCHROME2");
        text(&mut object, tags::WINDOW_CENTER, VR::DS, "40");
        text(&mut object, tags::WINDOW_WIDTH, VR::DS, "400");
        match data {
            Some(data) => fragments(&mut object, vec![data]),
            None => native(&mut object, &words(&values)),
        }
        file(object, syntax)
    };
    vec![
        with(shape, EXPLICIT, None),
        with(shape, IMPLICIT, None),
        with(shape, RLE, Some(rle_fragment(&planes))),
        with(shape, LOSSLESS, Some(lossless(&values, 12, 12))),
        with((9, 12, 1, 8, 8, 0), JPEG, Some(jpeg_of(&grey, 12, jpeg_encoder::ColorType::Luma))),
    ]
}

#[test]
fn adversarial_every_truncation_ends_in_an_error_or_a_whole_picture() {
    for sample in samples() {
        assert!(read(&sample).is_ok());
        for len in 0..sample.len() {
            if let Ok(Content::Scan(scan)) = read(&sample[..len]) {
                assert_eq!(scan.values.len(), 9 * 12);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn adversarial_any_mutation_is_survived(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: Option<prop::sample::Index>,
    ) {
        for mut sample in samples() {
            for (at, byte) in &edits {
                // The preamble says nothing.
                let at = 132 + at.index(sample.len() - 132);
                sample[at] = *byte;
            }
            if let Some(cut) = cut {
                sample.truncate(132 + cut.index(sample.len() - 131));
            }
            if let Ok(Content::Scan(scan)) = read(&sample) {
                prop_assert_eq!(scan.values.len(), scan.width * scan.height);
                let _ = scan.image(None);
            }
        }
    }
}
