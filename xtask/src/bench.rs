//! `cargo xtask bench …`: hands everything to the benchmark runner.

use std::path::Path;

use crate::{Failure, process};

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    process::run(
        process::cargo(root)
            .args(["run", "--release", "--quiet", "--package", "gazelle-benches", "--"])
            .args(arguments),
    )
}
