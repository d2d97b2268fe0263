//! `cargo xtask dist`: the program as users get it: one archive with its manual, completions and
//! licences, and the archive's SHA-256 beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, process};

/// What lies beside the program in the archive.
const PAPERS: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/deploy.md",
    "docs/from-pytorch.md",
    "docs/threat-model.md",
];
/// Shells and the names under which they look for completions.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "gazelle.bash"), ("zsh", "_gazelle"), ("fish", "gazelle.fish")];

/// Builds and packs into `target/dist`; `--profile NAME` takes another build than the release.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let profile = match arguments {
        [] => "release",
        [flag, name] if flag == "--profile" => name,
        _ => return Err("usage: cargo xtask dist [--profile NAME]".into()),
    };
    process::run(
        process::cargo(root)
            .args(["build", "--locked", "--package", "gazelle-cli"])
            .args(["--profile", profile]),
    )?;
    let program = root.join("target").join(profile).join("gazelle");
    let version = process::output(Command::new(&program).arg("--version"))?;
    let name = archive_name(&version, std::env::consts::ARCH, std::env::consts::OS)?;
    let dist = root.join("target/dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::copy(&program, folder.join("gazelle"))?;
    for paper in PAPERS {
        let from = root.join(paper);
        let to = Path::new(paper).file_name().map(PathBuf::from).unwrap_or_default();
        fs::copy(&from, folder.join(to)).map_err(|error| format!("{paper}: {error}"))?;
    }
    process::run(Command::new(&program).arg("man").arg("--directory").arg(folder.join("man")))?;
    for (shell, file) in COMPLETIONS {
        let text = process::output(Command::new(&program).args(["completions", shell]))?;
        fs::write(folder.join(file), text)?;
    }
    // Names in order, no owner, no time of today: the same files give the same archive.
    let archive = format!("{name}.tar.gz");
    process::run(
        Command::new("tar")
            .current_dir(&dist)
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--use-compress-program=gzip -n9", "--create", "--file", &archive, &name]),
    )?;
    let sum = process::output(Command::new("sha256sum").current_dir(&dist).arg(&archive))?;
    fs::write(dist.join(format!("{archive}.sha256")), &sum)?;
    print!("{sum}");
    Ok(())
}

/// `gazelle 0.1.0` -> `gazelle-0.1.0-x86_64-linux`.
fn archive_name(version: &str, machine: &str, system: &str) -> Result<String, Failure> {
    match version.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["gazelle", number] => Ok(format!("gazelle-{number}-{machine}-{system}")),
        _ => Err(format!("not a version: {version:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::archive_name;

    #[test]
    fn archives_are_named_by_version_and_machine() {
        let name = archive_name("gazelle 0.1.0\n", "x86_64", "linux").unwrap();
        assert_eq!(name, "gazelle-0.1.0-x86_64-linux");
        archive_name("else 1", "x86_64", "linux").unwrap_err();
    }
}
