//! Files that people have, from a folder to the class.

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use crate::program::{Server, objects, output, root, stderr};

/// A digit as a DICOM file of 12 bits, dark on bright (MONOCHROME1), with a window that shows its bytes.
fn dicom(digit: &image::GrayImage) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    let (columns, rows) = digit.dimensions();
    for (tag, value) in [
        (tags::ROWS, rows as u16),
        (tags::COLUMNS, columns as u16),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    // A byte b is stored as 1000 + 2 (255 - b): the window from 1000 to 1510 shows 255 - b, inverted.
    for (tag, vr, value) in [
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1"),
        (tags::WINDOW_CENTER, VR::DS, "1255"),
        (tags::WINDOW_WIDTH, VR::DS, "510"),
        (tags::VOILUT_FUNCTION, VR::CS, "LINEAR_EXACT"),
    ] {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    let stored = |byte: &u8| (1000 + 2 * (255 - u16::from(*byte))).to_le_bytes();
    let bytes: Vec<u8> = digit.as_raw().iter().flat_map(stored).collect();
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::from(bytes)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax("1.2.840.10008.1.2.1")
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.1")
        .media_storage_sop_instance_uid("1.2.3");
    let mut file = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut file).unwrap();
    file
}

#[test]
fn known_answer_a_folder_of_all_formats_gives_one_answer() {
    let server = Server::start(&root().join("models/mnist_d_minionn").join("model.onnx"), &[]);
    let folder = std::env::temp_dir().join(format!("gazelle-{}-formats", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let digit = image::open(root().join("models/mnist_d_minionn").join("samples/000.png"))
        .unwrap()
        .into_luma8();
    for name in ["2.png", "10.tif", "11.bmp"] {
        digit.save(folder.join(name)).unwrap();
    }
    image::DynamicImage::from(digit.clone()).into_rgb8().save(folder.join("9.webp")).unwrap();
    std::fs::write(folder.join("scan"), dicom(&digit)).unwrap();
    std::fs::write(folder.join("notes.txt"), "?").unwrap();
    let ask = |path: &Path| {
        let path = path.display().to_string();
        output(&["infer", "--json", "--server", &server.address, &path])
    };
    let result = ask(&folder);
    let told = stderr(&result);
    let answers = objects(&result);
    let names: Vec<&str> =
        answers.iter().map(|o| o["input"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["2.png", "9.webp", "10.tif", "11.bmp", "scan"]);
    assert!(told.contains("notes.txt: no input file, left out"), "{told}");
    // The default rounding is exact: the same picture, the same logits.
    assert!(answers.iter().all(|object| object["logits"] == answers[0]["logits"]));
    let pattern = ask(&folder.join("*.[tb][im]*"));
    assert_eq!(objects(&pattern).len(), 2, "{}", stderr(&pattern));
    std::fs::remove_dir_all(&folder).unwrap();
}
