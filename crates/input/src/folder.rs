//! What a path on a command line stands for: a file, the files of a folder, or those that a pattern matches.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::error::InputError;
use crate::kind::FileKind;

/// The files of a path.
#[derive(Debug, Default)]
pub struct FoundFiles {
    /// In natural order: `2.png` before `10.png`.
    pub files: Vec<PathBuf>,
    /// Of a folder: what is no input, in the same order.
    pub left_out: Vec<PathBuf>,
}

/// The files that a path stands for.
///
/// - A folder: its files that are inputs, but no tables or lists of labels, and no picture beside an NPY
///   file of the same name; hidden files and folders in it are passed over.
/// - A pattern with `*`, `?` or `[..]` that is no file's name: what it matches (a shell often expands it
///   before).
/// - Anything else: itself.
///
/// # Errors
/// [`InputError::File`] if a folder cannot be read or has no input, or nothing matches.
pub fn find(path: &Path) -> Result<FoundFiles, InputError> {
    let fail = |why: String| InputError::File { name: path.display().to_string(), why };
    if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|error| fail(error.to_string()))?;
        files.retain(|file| file.is_file() && !is_hidden(file));
        files.sort_by(|a, b| natural(a, b));
        let (files, left_out): (Vec<_>, Vec<_>) = files.into_iter().partition(|f| is_input(f));
        if files.is_empty() {
            return Err(fail("a folder without any input file".into()));
        }
        return Ok(FoundFiles { files, left_out });
    }
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) || path.exists() {
        return Ok(FoundFiles { files: vec![path.to_owned()], left_out: Vec::new() });
    }
    let matches = glob::glob(&text).map_err(|error| fail(error.to_string()))?;
    let mut files: Vec<PathBuf> =
        matches.collect::<Result<_, _>>().map_err(|error| fail(error.to_string()))?;
    files.retain(|file| file.is_file());
    if files.is_empty() {
        return Err(fail("no file matches this pattern".into()));
    }
    files.sort_by(|a, b| natural(a, b));
    Ok(FoundFiles { files, left_out: Vec::new() })
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// Files of a folder that are inputs: labels, tables and other packed files are not.
fn is_input(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let Some(name) = name.filter(|name| !name.contains("labels")) else { return false };
    match FileKind::of(path) {
        None | Some(FileKind::Table) => false,
        Some(FileKind::Idx { packed: true }) => name.contains("ubyte"),
        Some(FileKind::Single) => is_npy(path) || !path.with_extension("npy").exists(),
        Some(_) => true,
    }
}

/// Numbers in names count as numbers; equal ones fall back to the names as they are.
fn natural(a: &Path, b: &Path) -> Ordering {
    let (first, second) = (a.to_string_lossy(), b.to_string_lossy());
    let (mut x, mut y) = (first.as_ref(), second.as_ref());
    while let (Some(p), Some(q)) = (x.chars().next(), y.chars().next()) {
        let (left, right);
        let order = if p.is_ascii_digit() && q.is_ascii_digit() {
            (left, x) = number(x);
            (right, y) = number(y);
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        } else {
            (x, y) = (after(x, p), after(y, q));
            p.cmp(&q)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    x.len().cmp(&y.len()).then_with(|| first.cmp(&second))
}

/// What follows a text's first character.
fn after(text: &str, first: char) -> &str {
    text.strip_prefix(first).unwrap_or_default()
}

/// The digits at the beginning of a text, without leading zeros, and the rest.
fn number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer_numbers_in_names_count() {
        let mut names = ["b10", "b9", "b010", "b", "a2x1", "a2x", "a10", "B1", "é2", "é10", "b9z"];
        names.sort_by(|a, b| natural(Path::new(a), Path::new(b)));
        let sorted = ["B1", "a2x", "a2x1", "a10", "b", "b9", "b9z", "b010", "b10", "é2", "é10"];
        assert_eq!(names, sorted);
    }

    #[test]
    fn known_answer_a_folder_and_a_pattern_stand_for_their_files() {
        let folder = std::env::temp_dir().join(format!("gazelle-find-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("deeper")).unwrap();
        let mut dicom = vec![0u8; 128];
        dicom.extend(b"DICM");
        for name in ["10.png", "9.png", "9.npy", "notes.txt", "labels.csv", ".hidden.png", "x.gz"] {
            std::fs::write(folder.join(name), b"?").unwrap();
        }
        std::fs::write(folder.join("IM0001"), dicom).unwrap();
        let names = |files: &[PathBuf]| -> Vec<String> {
            files.iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let found = find(&folder).unwrap();
        assert_eq!(names(&found.files), ["9.npy", "10.png", "IM0001"]);
        assert_eq!(names(&found.left_out), ["9.png", "labels.csv", "notes.txt", "x.gz"]);
        let found = find(&folder.join("*.png")).unwrap();
        assert_eq!(names(&found.files), [".hidden.png", "9.png", "10.png"]);
        let none = find(&folder.join("*.jpg")).unwrap_err().to_string();
        assert!(none.contains("no file matches"), "{none}");
        let empty = find(&folder.join("deeper")).unwrap_err().to_string();
        assert!(empty.contains("without any input"), "{empty}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
