//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Each rule is a function from the tree to a list of complaints; an empty tree of rules would
//! pass, so each rule is tested on a planted offence.

mod arrows;
mod house;
mod imports;
mod kinds;
mod links;
mod manifests;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// A file of the tree: path from the root with forward slashes, and its text.
pub(crate) struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let files = read_tree(root)?;
    for note in sources::long_files(&files) {
        println!("note: {note}");
    }
    let complaints = complaints(&files);
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if complaints.is_empty() {
        println!("{} files are tidy", files.len());
        Ok(())
    } else {
        Err(format!("{} complaints", complaints.len()).into())
    }
}

/// Prints the figures of `cargo xtask house`.
pub(crate) fn house(root: &Path) -> Result<(), Failure> {
    house::House::of(&read_tree(root)?).print();
    Ok(())
}

fn complaints(files: &[File]) -> Vec<String> {
    [arrows::check, manifests::check, sources::check, house::check, kinds::check, links::check]
        .into_iter()
        .flat_map(|rule| rule(files))
        .collect()
}

/// Every text file that the rules look at, in a fixed order.
fn read_tree(root: &Path) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "corpus" {
                    folders.push(path);
                }
                continue;
            }
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if matches!(extension.as_str(), "rs" | "toml" | "md") {
                let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
                files.push(File { path: relative, text: fs::read_to_string(&path)? });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn is_generated(file: &File) -> bool {
    file.text.lines().next().is_some_and(|line| line.contains("@generated"))
}

/// The folder of a crate (`crates/ring`), if the path lies in one.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

#[cfg(test)]
fn plant(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_tree_is_tidy() {
        let files = super::read_tree(&crate::root()).unwrap();
        assert!(files.len() > 50);
        assert_eq!(super::complaints(&files), Vec::<String>::new());
    }
}
