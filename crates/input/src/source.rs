//! Reading inputs one at a time: pictures, DICOM, NPY, CSV, IDX (.gz) and CIFAR .bin files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gazelle_model::samples;

use crate::content::Content;
use crate::error::InputError;
use crate::kind::FileKind;
use crate::table::CsvTable;
use crate::{dicom, folder, picture, records};

/// Bytes of one picture, DICOM or NPY file at most.
const MAX_BYTES: u64 = 1 << 30;

/// One input.
#[derive(Debug, Clone)]
pub struct Input {
    /// For people and reports: the path as it was typed, with `#index` if the file holds several.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// Some pixels were not opaque: they lie on white now.
    pub transparent: bool,
}

/// A file of one or more inputs.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    kind: FileKind,
    count: usize,
}

/// The inputs of one file.
type SourceInputs = Box<dyn Iterator<Item = Result<Input, InputError>> + Send>;

impl Source {
    /// Looks at a file: whether it is there, its kind, how many inputs it announces (`limit` at
    /// most). Nothing is decoded, but the rows of a table are counted.
    ///
    /// # Errors
    /// A folder is wrong usage ([`find`](crate::find) lists its files); a missing file, an unknown kind or a
    /// damaged header is the file's.
    pub fn open(path: &Path, limit: usize) -> Result<Self, InputError> {
        let fail = |why: String| InputError::File { name: path.display().to_string(), why };
        let found = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
        if found.is_dir() {
            return Err(InputError::Usage(format!("{}: a folder, not a file", path.display())));
        }
        let kind = FileKind::of(path).ok_or_else(|| {
            fail(
                "an unknown kind of file; use .png, .jpg, .tif, .webp, .bmp, .dcm, .npy, .csv, IDX (.gz) \
                 or CIFAR .bin"
                    .into(),
            )
        })?;
        let count = match kind {
            FileKind::Single => 1,
            FileKind::Table => {
                CsvTable::open(path).and_then(|table| table.count(limit)).map_err(fail)?
            }
            FileKind::Idx { packed } => records::idx(path, packed).map_err(fail)?.left(),
            FileKind::Cifar => records::cifar(path).map_err(fail)?.left(),
        };
        Ok(Self { path: path.to_owned(), kind, count: count.min(limit) })
    }

    /// How many inputs it announces.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Its inputs, read when they are asked for; each with its own error.
    pub fn inputs(self) -> SourceInputs {
        let Self { path, kind, count } = self;
        let name = path.display().to_string();
        match kind {
            FileKind::Single => Box::new(std::iter::once_with(move || single(&path))),
            FileKind::Table => several(name, count, CsvTable::open(&path), Content::Tensor),
            FileKind::Idx { packed } => {
                several(name, count, records::idx(&path, packed), Content::Image)
            }
            FileKind::Cifar => several(name, count, records::cifar(&path), Content::Image),
        }
    }
}

/// The first `count` inputs of a file of several.
fn several<T, R>(
    name: String,
    count: usize,
    records: Result<R, String>,
    content: fn(T) -> Content,
) -> SourceInputs
where
    T: 'static,
    R: Iterator<Item = Result<T, String>> + Send + 'static,
{
    match records {
        Ok(records) => Box::new(records.take(count).enumerate().map(move |(index, record)| {
            let name = format!("{name}#{index}");
            match record {
                Ok(record) => Ok(Input { name, content: content(record), transparent: false }),
                Err(why) => Err(InputError::File { name, why }),
            }
        })),
        Err(why) => Box::new(std::iter::once(Err(InputError::File { name, why }))),
    }
}

/// The input of a file that holds one.
fn single(path: &Path) -> Result<Input, InputError> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(InputError::file(&name))?;
    Input::decode(&name, &bytes)
}

/// Reads the inputs of several files, folders and patterns, `limit` in all at most, files in natural order
/// of their names.
///
/// # Errors
/// That of the first file that cannot be read.
pub fn read_all(paths: &[PathBuf], limit: usize) -> Result<Vec<Input>, InputError> {
    let mut inputs = Vec::new();
    for path in paths {
        for file in folder::find(path)?.files {
            if inputs.len() >= limit {
                break;
            }
            for input in Source::open(&file, limit - inputs.len())?.inputs() {
                inputs.push(input?);
            }
        }
    }
    Ok(inputs)
}

impl Input {
    /// The input of a file that holds one, from the file's bytes: a picture, a DICOM file or an NPY tensor;
    /// its kind follows from its content. For callers that have no file system.
    ///
    /// - `name`: for reports.
    ///
    /// # Errors
    /// [`InputError::File`] if it is of another kind, damaged, or larger than this crate decodes.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, InputError> {
        let (content, transparent) = if bytes.starts_with(b"\x93NUMPY") {
            (samples::npy(bytes).map(Content::Tensor).map_err(InputError::file(name))?, false)
        } else if dicom::is_dicom(bytes) {
            (dicom::read(bytes).map_err(InputError::file(name))?, false)
        } else {
            let picture = picture::decode(bytes).map_err(InputError::file(name))?;
            (Content::Image(picture.image), picture.transparent)
        };
        Ok(Self { name: name.into(), content, transparent })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let count = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if count as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversarial_folders_and_missing_files_are_named_as_such() {
        let folder = Source::open(&std::env::temp_dir(), 1).unwrap_err();
        assert!(matches!(&folder, InputError::Usage(why) if why.contains("a folder")), "{folder}");
        let missing = Source::open(Path::new("/nowhere/a.png"), 1).unwrap_err();
        assert!(missing.to_string().starts_with("/nowhere/a.png: "), "{missing}");
    }
}
