//! `cargo xtask vectors`: the ONNX message types, generated from the proto file and committed.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use crate::{Failure, process};

/// The messages of ONNX that the importer reads.
const PROTO: &str = "crates/model/proto/onnx.proto";
/// What prost makes of it.
const GENERATED: &str = "crates/model/src/onnx/generated.rs";

pub(crate) fn run(root: &Path, check: bool) -> Result<(), Failure> {
    if !root.join(PROTO).exists() {
        println!("no {PROTO}: nothing to do");
        return Ok(());
    }
    let fresh = generate(root)?;
    let path = root.join(GENERATED);
    if check {
        let committed = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        if committed != fresh {
            return Err(format!("{GENERATED} is not what `cargo xtask vectors` makes").into());
        }
    } else {
        fs::write(path, fresh)?;
    }
    Ok(())
}

fn generate(root: &Path) -> Result<String, Failure> {
    let proto = root.join(PROTO);
    let folder = proto.parent().ok_or("a file has a folder")?;
    let descriptors = protox::compile([&proto], [folder])?;
    let out = std::env::temp_dir().join(format!("gazelle-vectors-{}", std::process::id()));
    fs::create_dir_all(&out)?;
    let mut config = prost_build::Config::new();
    config.out_dir(&out).disable_comments(["."]).default_package_filename("onnx");
    config.compile_fds(descriptors)?;
    let text = fs::read_dir(&out)?.next().ok_or("prost-build wrote nothing")??.path();
    let mut format = Command::new("rustfmt");
    process::run(format.args(["--edition", "2024", "--config-path"]).arg(root).arg(&text))?;
    let text = fs::read_to_string(text)?;
    fs::remove_dir_all(&out)?;
    Ok(text)
}
