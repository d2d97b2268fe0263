//! `cargo xtask bench …`: hands everything to the benchmark runner, but for `--plot`, which measures nothing.

use std::path::Path;

use crate::{Failure, plot, process};

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    if arguments == ["--plot"] {
        return plot::run(root);
    }
    process::run(
        process::cargo(root)
            .args(["run", "--release", "--quiet", "--package", "gazelle-benches", "--"])
            .args(arguments),
    )
}
