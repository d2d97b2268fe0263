//! Reading inputs one at a time: PNG, JPEG, NPY, IDX (.gz) and CIFAR .bin files.

#[cfg(test)]
mod fuzz;
mod picture;
mod records;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use gazelle_model::samples;

use crate::failure::Failure;

/// Bytes of one NPY file at most.
const MAX_BYTES: u64 = 1 << 30;

/// One input.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// For people and reports: the path as it was typed, with `#index` if the file holds several.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) content: Content,
    /// Some pixels were not opaque: they lie on white now.
    pub(crate) transparent: bool,
}

/// What an input file holds.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// An 8-bit image: to be preprocessed.
    Image(Image),
    /// A ready tensor: never preprocessed.
    Tensor(samples::NpyTensor),
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

/// A file of one or more inputs.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: PathBuf,
    kind: FileKind,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Npy,
    Picture,
    Idx { packed: bool },
    Cifar,
}

impl Source {
    /// Looks at a file: whether it is there, its kind, how many inputs it announces (`limit` at
    /// most). Nothing is decoded.
    ///
    /// # Errors
    /// A folder is wrong usage; a missing file, an unknown kind or a damaged header is the file's.
    pub(crate) fn open(path: &Path, limit: usize) -> Result<Self, Failure> {
        let fail = |why: String| Failure::Run(format!("{}: {why}", path.display()));
        let found = std::fs::metadata(path).map_err(|error| {
            let pattern = path.to_string_lossy().contains(['*', '?', '[']);
            fail(if pattern && error.kind() == std::io::ErrorKind::NotFound {
                "no file matches this pattern".into()
            } else {
                error.to_string()
            })
        })?;
        if found.is_dir() {
            return Err(Failure::Usage(format!(
                "{0}: a folder; name the files in it, as in {0}/*.png",
                path.display().to_string().trim_end_matches('/')
            )));
        }
        let kind = FileKind::of(path).ok_or_else(|| {
            fail("an unknown kind of file; use .png, .jpg, .npy, IDX (.gz) or CIFAR .bin".into())
        })?;
        let count = match kind {
            FileKind::Npy | FileKind::Picture => 1,
            FileKind::Idx { packed } => records::idx(path, packed).map_err(fail)?.left(),
            FileKind::Cifar => records::cifar(path).map_err(fail)?.left(),
        };
        Ok(Self { path: path.to_owned(), kind, count: count.min(limit) })
    }

    /// How many inputs it announces.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Its inputs, read when they are asked for; each with its own error.
    pub(crate) fn inputs(self) -> Box<dyn Iterator<Item = Result<Input, Failure>> + Send> {
        let Self { path, kind, count } = self;
        let name = path.display().to_string();
        let records = match kind {
            FileKind::Npy | FileKind::Picture => {
                return Box::new(std::iter::once_with(move || single(&path, kind)));
            }
            FileKind::Idx { packed } => records::idx(&path, packed),
            FileKind::Cifar => records::cifar(&path),
        };
        let records = match records {
            Ok(records) => records.take(count),
            Err(why) => {
                return Box::new(std::iter::once(Err(Failure::Run(format!("{name}: {why}")))));
            }
        };
        Box::new(records.enumerate().map(move |(index, image)| match image {
            Ok(image) => Ok(Input {
                name: format!("{name}#{index}"),
                content: Content::Image(image),
                transparent: false,
            }),
            Err(why) => Err(Failure::Run(format!("{name}#{index}: {why}"))),
        }))
    }
}

impl FileKind {
    fn of(path: &Path) -> Option<Self> {
        let lower = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let has = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
        if has(&[".npy"]) {
            Some(Self::Npy)
        } else if has(&[".png", ".jpg", ".jpeg"]) {
            Some(Self::Picture)
        } else if has(&[".bin"]) {
            Some(Self::Cifar)
        } else if has(&[".gz"]) {
            Some(Self::Idx { packed: true })
        } else if has(&["ubyte", ".idx"]) {
            Some(Self::Idx { packed: false })
        } else {
            None
        }
    }
}

/// The input of a file that holds one.
fn single(path: &Path, kind: FileKind) -> Result<Input, Failure> {
    let fail = |why: String| Failure::Run(format!("{}: {why}", path.display()));
    let (content, transparent) = if kind == FileKind::Npy {
        let tensor = samples::npy(&bytes(path).map_err(fail)?);
        (Content::Tensor(tensor.map_err(|error| fail(error.to_string()))?), false)
    } else {
        let picture = picture::read(path).map_err(fail)?;
        (Content::Image(picture.image), picture.transparent)
    };
    Ok(Input { name: path.display().to_string(), content, transparent })
}

/// Reads the inputs of several files and directories, `limit` in all at most; input files of a
/// directory are taken in order of their names, and a picture is left out where an NPY file of the
/// same name lies beside it.
pub(crate) fn read_all(paths: &[PathBuf], limit: usize) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            files = std::fs::read_dir(path)
                .map_err(Failure::run(path.display()))?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()
                .map_err(Failure::run(path.display()))?;
            files.retain(|file| {
                is_input(file) && (is_npy(file) || !file.with_extension("npy").exists())
            });
            files.sort();
        }
        for file in files {
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

/// A PNG that is built into the program.
pub(crate) fn embedded(name: &str, bytes: &[u8]) -> Result<Input, Failure> {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format()?;
    let picture = picture::decode(reader).map_err(Failure::run(name))?;
    let (content, transparent) = (Content::Image(picture.image), picture.transparent);
    Ok(Input { name: name.into(), content, transparent })
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// Files of a directory that are inputs: labels and other packed files are not.
fn is_input(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let kind = FileKind::of(path);
    let other = kind == Some(FileKind::Idx { packed: true }) && !name.contains("ubyte");
    path.is_file() && kind.is_some() && !other && !name.contains("labels")
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
    fn known_answer_kinds_follow_from_the_names_endings() {
        let kind = |name: &str| FileKind::of(Path::new(name));
        assert_eq!(kind("a/b.NPY"), Some(FileKind::Npy));
        assert_eq!(kind("b.jpeg"), Some(FileKind::Picture));
        assert_eq!(kind("images-idx3-ubyte.gz"), Some(FileKind::Idx { packed: true }));
        assert_eq!(kind("images-idx3-ubyte"), Some(FileKind::Idx { packed: false }));
        assert_eq!(kind("data.bin"), Some(FileKind::Cifar));
        assert_eq!(kind("b.txt"), None);
        assert_eq!(kind(".."), None);
    }

    #[test]
    fn adversarial_folders_and_patterns_are_named_as_such() {
        let folder = Source::open(&std::env::temp_dir(), 1).unwrap_err();
        assert!(matches!(&folder, Failure::Usage(why) if why.contains("a folder")), "{folder}");
        let pattern = Source::open(Path::new("/nowhere/*.png"), 1).unwrap_err();
        assert!(pattern.to_string().contains("no file matches"), "{pattern}");
    }
}
