//! `cargo xtask dist`: the program as users get it: one archive with its manual, completions, licences and
//! bill of materials, and the archive's SHA-256 beside it.
//!
//! The same commit is to give the same bytes, wherever it lies: paths are mapped to `/gazelle` and `/cargo`, times to
//! the commit's, and the archive has an order of its own. The build has a target folder of its own, since its flags
//! would make everything else anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, process, web};

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

/// The tool that writes the bill of materials, and how to get it.
const SBOM: &str = "cargo install --locked cargo-cyclonedx";

/// Builds and packs into `target/dist`; `--profile NAME` takes another build than the release, `--no-sbom` leaves
/// the bill of materials out (it needs cargo-cyclonedx).
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let (mut profile, mut sbom) = ("release", true);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--profile" => profile = words.next().ok_or("--profile needs a name")?,
            "--no-sbom" => sbom = false,
            _ => return Err("usage: cargo xtask dist [--profile NAME] [--no-sbom]".into()),
        }
    }
    let target = root.join("target/dist-build");
    let mut build = process::cargo(root);
    build.args(["build", "--locked", "--package", "gazelle-cli", "--profile", profile]);
    reproducible(&mut build, root, &target)?;
    process::run(&mut build)?;
    let program = target.join(profile).join("gazelle");
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
    if sbom {
        fs::write(folder.join("gazelle.cdx.json"), bill_of_materials(root)?)?;
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
    // The page is an archive of its own: another institution hosts it.
    web::pack(root, &web::build(root)?)
}

/// Keeps where, when and by whom it is built out of what is built.
fn reproducible(build: &mut Command, root: &Path, target: &Path) -> Result<(), Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let home = home.or_else(user).ok_or("neither CARGO_HOME nor HOME")?;
    // The last one that fits counts: the target folder lies in the checkout.
    let places = [(root, "/gazelle"), (home.as_path(), "/cargo"), (target, "/target")];
    let (mut rust, mut c) = (Vec::new(), Vec::new());
    for (from, to) in places {
        let from = from.to_str().ok_or("a path that is no UTF-8")?;
        rust.push(format!("--remap-path-prefix={from}={to}"));
        c.push(format!("-ffile-prefix-map={from}={to}"));
    }
    // What lies in a debugger's tables is of no use to users, and the largest part.
    rust.push("-Cstrip=debuginfo".into());
    // What replaces the flags of .cargo/config.toml has to say what they say.
    if cfg!(target_arch = "x86_64") {
        rust.push("--cfg=curve25519_dalek_backend=\"avx512\"".into());
    }
    build
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env("CFLAGS", c.join(" "))
        .env("CXXFLAGS", c.join(" "))
        .env("ASFLAGS", c.join(" "))
        .env("SOURCE_DATE_EPOCH", commit_time(root)?)
        .env("CARGO_INCREMENTAL", "0");
    Ok(())
}

/// Seconds since 1970 of the commit that is built.
fn commit_time(root: &Path) -> Result<String, Failure> {
    let mut git = Command::new("git");
    let time = process::output(git.current_dir(root).args(["log", "-1", "--format=%ct"]))?;
    Ok(time.trim().to_owned())
}

/// The document (`CycloneDX`) of the program's dependencies, by cargo-cyclonedx; the same for the same commit.
fn bill_of_materials(root: &Path) -> Result<String, Failure> {
    let manifest = root.join("crates/cli/Cargo.toml");
    let mut tool = process::cargo(root);
    tool.args(["cyclonedx", "--format", "json", "--spec-version", "1.5"]);
    tool.arg("--override-filename").arg("gazelle.cdx").arg("--manifest-path").arg(manifest);
    tool.env("SOURCE_DATE_EPOCH", commit_time(root)?);
    process::run(&mut tool).map_err(|error| format!("{error}: {SBOM}, or --no-sbom"))?;
    let mut found = None;
    // It writes one beside the manifest of each crate of the workspace.
    for folder in fs::read_dir(root.join("crates"))?.chain(fs::read_dir(root)?) {
        let folder = folder?.path();
        let file = folder.join("gazelle.cdx.json");
        if file.is_file() {
            let text = fs::read_to_string(&file)?;
            fs::remove_file(&file)?;
            if folder.ends_with("crates/cli") {
                found = Some(text);
            }
        }
    }
    let text = found.ok_or("cargo-cyclonedx wrote nothing for crates/cli")?;
    anonymous(&text, root)
}

/// A bill of materials without what differs from run to run: its number, and where the checkout lies.
fn anonymous(text: &str, root: &Path) -> Result<String, Failure> {
    let root = root.to_str().ok_or("a path that is no UTF-8")?;
    let mut bill: serde_json::Value = serde_json::from_str(&text.replace(root, "/gazelle"))?;
    let object = bill.as_object_mut().ok_or("no object")?;
    object.remove("serialNumber");
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
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
    use std::path::Path;

    use super::{anonymous, archive_name};

    #[test]
    fn a_bill_of_materials_does_not_say_where_or_when() {
        let text = r#"{"serialNumber":"urn:uuid:1","components":[{"bom-ref":"path+file:///home/me/crates/he#0.1"}]}"#;
        let bill = anonymous(text, Path::new("/home/me")).unwrap();
        assert!(bill.contains("path+file:///gazelle/crates/he#0.1"), "{bill}");
        assert!(!bill.contains("uuid") && !bill.contains("/home/me"), "{bill}");
    }

    #[test]
    fn archives_are_named_by_version_and_machine() {
        let name = archive_name("gazelle 0.1.0\n", "x86_64", "linux").unwrap();
        assert_eq!(name, "gazelle-0.1.0-x86_64-linux");
        archive_name("else 1", "x86_64", "linux").unwrap_err();
    }
}
