//! Reading inputs: PNG, JPEG, NPY, IDX (.gz) and CIFAR .bin files.

#[cfg(test)]
mod fuzz;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::failure::Failure;

/// Bytes of one input file at most, unpacked.
const MAX_BYTES: u64 = 1 << 30;
/// Values of one NPY tensor at most.
const MAX_VALUES: u64 = 1 << 28;
/// One label and 32 x 32 RGB planes.
const CIFAR_RECORD: usize = 1 + 3 * 32 * 32;

/// One input.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// For people and reports: the file's name, with `#index` if the file holds several.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) content: Content,
}

/// What an input file holds.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// An 8-bit image: to be preprocessed.
    Image(Image),
    /// A ready tensor: never preprocessed.
    Tensor {
        /// As stored, batch axis included.
        shape: Vec<u64>,
        /// Row-major.
        values: Vec<f32>,
    },
}

/// An 8-bit image, rows of pixels, channels interleaved.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
    /// `height * width * channels` bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Reads all inputs of a file; at most `limit` of one with several.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<Input>, Failure> {
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let fail = |why: String| Failure::Run(format!("{}: {why}", path.display()));
    let many = |images: Vec<Image>| {
        let name = &name;
        let inputs = images.into_iter().enumerate().map(|(index, image)| Input {
            name: format!("{name}#{index}"),
            content: Content::Image(image),
        });
        Ok(inputs.collect())
    };
    let one = |content: Content| Ok(vec![Input { name: name.clone(), content }]);
    let lower = name.to_ascii_lowercase();
    let has = |ending: &str| lower.ends_with(ending);
    if has(".npy") {
        one(npy(path).map_err(fail)?)
    } else if has(".png") || has(".jpg") || has(".jpeg") {
        one(Content::Image(picture(path).map_err(fail)?))
    } else if has(".bin") {
        many(cifar(&bytes(path, false).map_err(fail)?, limit).map_err(fail)?)
    } else if has(".gz") {
        many(idx(&bytes(path, true).map_err(fail)?, limit).map_err(fail)?)
    } else if has("ubyte") || has(".idx") {
        many(idx(&bytes(path, false).map_err(fail)?, limit).map_err(fail)?)
    } else {
        Err(fail("unknown kind of file; use .png, .jpg, .npy, IDX (.gz) or CIFAR .bin".into()))
    }
}

/// As [`read`] for several files and directories (whose input files are taken in order of their
/// names; a picture is left out where an NPY file of the same name lies beside it).
pub(crate) fn read_all(paths: &[PathBuf], limit: usize) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                .map_err(Failure::run(path.display()))?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|file| {
                    is_input(file) && (is_npy(file) || !file.with_extension("npy").exists())
                })
                .collect();
            files.sort();
            for file in files {
                if inputs.len() >= limit {
                    break;
                }
                inputs.extend(read(&file, limit)?);
            }
        } else {
            inputs.extend(read(path, limit)?);
        }
    }
    inputs.truncate(limit);
    Ok(inputs)
}

/// A PNG that is built into the program.
pub(crate) fn embedded(name: &str, bytes: &[u8]) -> Result<Input, Failure> {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
    let image = decode(reader).map_err(Failure::run(name))?;
    Ok(Input { name: name.into(), content: Content::Image(image) })
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

fn is_input(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    [".npy", ".png", ".jpg", ".jpeg", ".bin", "ubyte", "ubyte.gz", ".idx"]
        .iter()
        .any(|ending| name.ends_with(ending))
        && !name.contains("labels")
}

fn bytes(path: &Path, packed: bool) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut reader: Box<dyn Read> =
        if packed { Box::new(GzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
    let count = reader
        .by_ref()
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if count as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}

fn picture(path: &Path) -> Result<Image, String> {
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|error| error.to_string())?;
    decode(reader)
}

fn decode<R: std::io::BufRead + std::io::Seek>(
    mut reader: image::ImageReader<R>,
) -> Result<Image, String> {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(1 << 14);
    limits.max_image_height = Some(1 << 14);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| error.to_string())?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    Ok(if picture.color().has_color() {
        Image { width, height, channels: 3, bytes: picture.into_rgb8().into_raw() }
    } else {
        Image { width, height, channels: 1, bytes: picture.into_luma8().into_raw() }
    })
}

fn npy(path: &Path) -> Result<Content, String> {
    let bytes = bytes(path, false)?;
    gazelle_model::samples::check_npy_header(&bytes).map_err(|error| error.to_string())?;
    let header = npyz::NpyFile::new(bytes.as_slice()).map_err(|error| error.to_string())?;
    let shape = header.shape().to_vec();
    let values = shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
    if values.is_none_or(|values| values > MAX_VALUES) {
        return Err(format!("a tensor of shape {shape:?} is too large"));
    }
    if header.order() != npyz::Order::C {
        return Err("the tensor must be in C order".into());
    }
    let values = header
        .into_vec::<f32>()
        .map_err(|error| format!("{error}; a NPY input must hold float32"))?;
    Ok(Content::Tensor { shape, values })
}

/// Images of an IDX file: magic 0x00000803, count, rows, columns (big-endian), bytes.
fn idx(bytes: &[u8], limit: usize) -> Result<Vec<Image>, String> {
    let word = |index: usize| -> Result<usize, String> {
        let word = bytes.get(4 * index..4 * index + 4).and_then(|word| word.try_into().ok());
        Ok(u32::from_be_bytes(word.ok_or("an IDX file must have a header")?) as usize)
    };
    if word(0)? != 0x0803 {
        return Err("not an IDX file of 8-bit images (magic 0x00000803)".into());
    }
    let (count, height, width) = (word(1)?, word(2)?, word(3)?);
    let len = height.checked_mul(width).filter(|len| *len > 0).ok_or("images without pixels")?;
    let pixels = bytes.get(16..).unwrap_or_default();
    if count.checked_mul(len) != Some(pixels.len()) {
        return Err(format!("{count} images of {height} x {width} do not fill the file"));
    }
    let image = |bytes: &[u8]| Image { width, height, channels: 1, bytes: bytes.to_vec() };
    Ok(pixels.chunks(len).take(limit).map(image).collect())
}

/// Images of a CIFAR-10 batch: a label byte and three planes each.
fn cifar(bytes: &[u8], limit: usize) -> Result<Vec<Image>, String> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(CIFAR_RECORD) {
        return Err(format!("a CIFAR file has records of {CIFAR_RECORD} bytes"));
    }
    let image = |record: &[u8]| {
        let planes = record.get(1..).unwrap_or_default();
        let at = |index: usize| planes.get(index).copied().unwrap_or_default();
        let bytes = (0..32 * 32).flat_map(|i| [at(i), at(1024 + i), at(2048 + i)]).collect();
        Image { width: 32, height: 32, channels: 3, bytes }
    };
    Ok(bytes.chunks(CIFAR_RECORD).take(limit).map(image).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idx_images_are_cut_as_the_header_says() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1];
        file.extend([1, 2, 3, 4]);
        let images = idx(&file, 10).unwrap();
        assert_eq!(images.len(), 2);
        assert_eq!((images[1].height, images[1].width), (2, 1));
        assert_eq!(images[1].bytes, [3, 4]);
        assert_eq!(idx(&file, 1).unwrap().len(), 1);
    }

    #[test]
    fn damaged_idx_files_are_refused() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1];
        file.extend([1, 2, 3]);
        assert!(idx(&file, 10).is_err());
        assert!(idx(&file[..10], 10).is_err());
        assert!(idx(&[0, 0, 8, 1, 0, 0, 0, 0], 10).is_err());
        let huge = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(idx(&huge, 10).is_err());
    }

    #[test]
    fn cifar_planes_become_interleaved_pixels() {
        let mut record = vec![7u8];
        record.extend((0..3u8).flat_map(|plane| vec![plane + 1; 1024]));
        let images = cifar(&record, 5).unwrap();
        assert_eq!(images[0].bytes[..6], [1, 2, 3, 1, 2, 3]);
        assert!(cifar(&record[1..], 5).is_err());
        assert!(cifar(&[], 5).is_err());
    }
}
