//! The executables that `cargo test` has built, so that they can run again without a rebuild.
//!
//! Selecting some packages with `-p` would resolve other features and compile most of the tree a
//! second time; the executables of the whole workspace are there already.

use std::path::{Path, PathBuf};

use crate::{Failure, process};

/// What every step that builds is called with: one profile, one feature set.
pub(crate) const SELECTION: [&str; 5] =
    ["--workspace", "--all-features", "--locked", "--profile", "ci"];

/// An executable from the workspace's test build.
#[derive(Debug)]
pub(crate) struct Built {
    /// The crate's folder.
    pub(crate) folder: PathBuf,
    /// The target's name.
    pub(crate) target: String,
    /// True for tests, false for a program.
    pub(crate) is_test: bool,
    /// True for an example.
    pub(crate) is_example: bool,
    /// Where it lies.
    pub(crate) executable: PathBuf,
}

/// Builds all tests and lists them.
///
/// # Errors
/// If the build fails.
pub(crate) fn build(root: &Path) -> Result<Vec<Built>, Failure> {
    let messages = process::output(
        process::cargo(root)
            .args(["test", "--no-run", "--message-format", "json-render-diagnostics"])
            .args(SELECTION),
    )?;
    Ok(messages.lines().filter_map(parse).filter(|built| built.is_test).collect())
}

/// Builds a program of the workspace with the same features, and says where it lies.
///
/// # Errors
/// If the build fails, or there is no such program.
pub(crate) fn program(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let messages = process::output(
        process::cargo(root)
            .args(["build", "--bin", name, "--message-format", "json-render-diagnostics"])
            .args(SELECTION),
    )?;
    let built = messages.lines().filter_map(parse).find(|built| built.target == name);
    Ok(built.ok_or(format!("no program {name}"))?.executable)
}

/// Builds a program as users have it, and says where it lies.
///
/// # Errors
/// If the build fails, or there is no such program.
pub(crate) fn release_program(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let messages = process::output(process::cargo(root).args([
        "build",
        "--release",
        "--locked",
        "--bin",
        name,
        "--message-format",
        "json-render-diagnostics",
    ]))?;
    let built = messages.lines().filter_map(parse).find(|built| built.target == name);
    Ok(built.ok_or(format!("no program {name}"))?.executable)
}

/// Builds all examples, and lists those that show a user's program: the orchestrator's, and every
/// `own_*`, which swaps a primitive.
///
/// # Errors
/// If the build fails.
pub(crate) fn examples(root: &Path) -> Result<Vec<Built>, Failure> {
    let messages = process::output(
        process::cargo(root)
            .args(["build", "--examples", "--message-format", "json-render-diagnostics"])
            .args(SELECTION),
    )?;
    let shown = |built: &Built| {
        built.folder.ends_with("crates/gazelle") || built.target.starts_with("own_")
    };
    Ok(messages
        .lines()
        .filter_map(parse)
        .filter(|built| built.is_example && shown(built))
        .collect())
}

fn parse(line: &str) -> Option<Built> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let executable = message.get("executable")?.as_str()?.into();
    let manifest: PathBuf = message.get("manifest_path")?.as_str()?.into();
    let kinds = message.get("target")?.get("kind").and_then(serde_json::Value::as_array);
    Some(Built {
        is_example: kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "example")),
        folder: manifest.parent()?.into(),
        target: message.get("target")?.get("name")?.as_str()?.to_owned(),
        is_test: message.get("profile")?.get("test")?.as_bool()?,
        executable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_with_an_executable_count() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/ring/Cargo.toml",
            "target":{"name":"suite"},"profile":{"test":true},"executable":"/t/suite-1"}"#;
        let built = parse(&line.replace('\n', "")).unwrap();
        assert_eq!(built.folder, Path::new("/w/crates/ring"));
        assert_eq!((built.target.as_str(), built.is_test), ("suite", true));
        assert!(parse(&line.replace("\"/t/suite-1\"", "null").replace('\n', "")).is_none());
        assert!(parse("warning: not json").is_none());
    }
}
