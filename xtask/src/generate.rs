//! `cargo xtask generate NAME FILE`: a network of a well-known shape, written by gazelle-model.

use std::path::{Path, absolute};

use crate::{Failure, process};

/// Cargo runs in the workspace's root: the file's path is made absolute first.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let mut arguments = arguments.to_vec();
    if let Some(file) = arguments.get_mut(1) {
        absolute(&*file)?.to_str().ok_or("the path is not UTF-8")?.clone_into(file);
    }
    process::run(
        process::cargo(root)
            .args(["run", "--release", "--quiet", "--package", "gazelle-model"])
            .args(["--example", "generate", "--"])
            .args(arguments),
    )
}
