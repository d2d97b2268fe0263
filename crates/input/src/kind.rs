//! How a file is read, by its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::dicom;

/// How a file's inputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// One input, whose kind follows from its content.
    Single,
    Table,
    Idx {
        packed: bool,
    },
    Cifar,
}

impl FileKind {
    /// By the name's ending; a DICOM file may have any, or none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        const SINGLE: [&str; 10] =
            [".npy", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom"];
        let lower = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let has = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
        if has(&SINGLE) {
            Some(Self::Single)
        } else if has(&[".csv", ".tsv"]) {
            Some(Self::Table)
        } else if has(&[".bin"]) {
            Some(Self::Cifar)
        } else if has(&[".gz"]) {
            Some(Self::Idx { packed: true })
        } else if has(&["ubyte", ".idx"]) {
            Some(Self::Idx { packed: false })
        } else {
            let mut head = [0u8; 132];
            File::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
            dicom::is_dicom(&head).then_some(Self::Single)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_kinds_follow_from_the_names_endings() {
        let kind = |name: &str| FileKind::of(Path::new(name));
        assert_eq!(kind("a/b.NPY"), Some(FileKind::Single));
        assert_eq!(kind("b.jpeg"), Some(FileKind::Single));
        assert_eq!(kind("slice.DCM"), Some(FileKind::Single));
        assert_eq!(kind("patients.csv"), Some(FileKind::Table));
        assert_eq!(kind("images-idx3-ubyte.gz"), Some(FileKind::Idx { packed: true }));
        assert_eq!(kind("images-idx3-ubyte"), Some(FileKind::Idx { packed: false }));
        assert_eq!(kind("data.bin"), Some(FileKind::Cifar));
        assert_eq!(kind("b.txt"), None);
        assert_eq!(kind(".."), None);
    }
}
