//! `cargo xtask web`: the page for browsers as `target/web`, and its tests in headless Chromium.
//!
//! What is missing is installed, and said: the WebAssembly target (rustup), Chromium (Debian's package, as root),
//! the tests' two packages (npm, into `target/web-tests`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Failure, process, tests_built};

const TARGET: &str = "wasm32-unknown-unknown";
/// Bytes of the engine at most, as it is and by gzip.
const LARGEST: (u64, u64) = (6 << 20, 2 << 20);
/// The page's archive and the folder in it.
const ARCHIVE: &str = "gazelle-page";
const CHROMIUM: &str = "/usr/bin/chromium";

/// Builds; tests unless there is `--no-tests`. `--pack` makes an archive of the page instead of testing, `--time
/// MODEL FILE...` measures predictions.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let page = build(root)?;
    match arguments {
        [] => test(root, &page, &[]),
        [flag] if flag == "--no-tests" => Ok(()),
        [flag] if flag == "--pack" => pack(root, &page),
        [flag, model, files @ ..] if flag == "--time" && !files.is_empty() => {
            let mut more = vec!["--time".to_owned(), model.clone()];
            more.extend_from_slice(files);
            test(root, &page, &more)
        }
        _ => Err("usage: cargo xtask web [--no-tests | --pack | --time MODEL.onnx FILE...]".into()),
    }
}

/// The folder of the page's files.
pub(crate) fn build(root: &Path) -> Result<PathBuf, Failure> {
    let start = Instant::now();
    let installed = process::output(Command::new("rustup").current_dir(root).args([
        "target",
        "list",
        "--installed",
    ]))?;
    if !installed.lines().any(|line| line == TARGET) {
        println!("installing the target {TARGET}");
        process::run(Command::new("rustup").current_dir(root).args(["target", "add", TARGET]))?;
    }
    // What is built for this machine would lie in target/web, which is the page's.
    let target = root.join("target/web-build");
    process::run(
        process::cargo(root)
            .args(["build", "--quiet", "--locked", "--package", "gazelle-web"])
            .args(["--profile", "web", "--target", TARGET])
            .arg("--target-dir")
            .arg(&target),
    )?;
    let tool = root.join("target/bindgen");
    process::run(
        process::cargo(root)
            .args(["build", "--quiet", "--locked", "--manifest-path", "xtask/bindgen/Cargo.toml"])
            .arg("--target-dir")
            .arg(&tool),
    )?;
    let page = root.join("target/web");
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    fs::create_dir_all(&page)?;
    let engine = target.join(TARGET).join("web/gazelle_web.wasm");
    process::run(Command::new(tool.join("debug/gazelle-bindgen")).arg(&engine).arg(&page))?;
    for entry in fs::read_dir(root.join("crates/web/page"))? {
        let entry = entry?;
        fs::copy(entry.path(), page.join(entry.file_name()))?;
    }
    sizes(&page.join("gazelle_bg.wasm"))?;
    println!("{} in {:.0} s", page.display(), start.elapsed().as_secs_f64());
    Ok(page)
}

/// The page as an institution gets it to host it: one archive, how to do so, the licences, and the SHA-256 beside it.
pub(crate) fn pack(root: &Path, page: &Path) -> Result<(), Failure> {
    let dist = root.join("target/dist");
    let folder = dist.join(ARCHIVE);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("page"))?;
    for entry in fs::read_dir(page)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join("page").join(entry.file_name()))?;
    }
    for paper in ["docs/browser.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        let to = Path::new(paper).file_name().ok_or("a paper without a name")?;
        fs::copy(root.join(paper), folder.join(to)).map_err(|error| format!("{paper}: {error}"))?;
    }
    let archive = format!("{ARCHIVE}.tar.gz");
    // Names in order, no owner, no time of today: the same files give the same archive.
    process::run(
        Command::new("tar")
            .current_dir(&dist)
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--use-compress-program=gzip -n9", "--create", "--file", &archive, ARCHIVE]),
    )?;
    let sum = process::output(Command::new("sha256sum").current_dir(&dist).arg(&archive))?;
    fs::write(dist.join(format!("{archive}.sha256")), &sum)?;
    print!("{sum}");
    Ok(())
}

fn sizes(engine: &Path) -> Result<(), Failure> {
    let plain = fs::metadata(engine)?.len();
    let gzip = Command::new("gzip").arg("-9c").arg(engine).stderr(Stdio::inherit()).output()?;
    let small = gzip.stdout.len() as u64;
    println!("the engine has {plain} bytes, {small} by gzip");
    if !gzip.status.success() || plain > LARGEST.0 || small > LARGEST.1 {
        return Err(format!("more than {} bytes, or {} by gzip", LARGEST.0, LARGEST.1).into());
    }
    Ok(())
}

fn test(root: &Path, page: &Path, more: &[String]) -> Result<(), Failure> {
    if !Path::new(CHROMIUM).exists() {
        println!("installing Debian's chromium");
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdout(Stdio::null());
            process::run(&mut command)
        };
        apt(&["-qq", "update"])?;
        // The font is only recommended by it, and a page without one has no text.
        let packages = ["chromium", "fonts-dejavu-core"];
        apt(&[&["-qq", "install", "--yes", "--no-install-recommends"], packages.as_slice()]
            .concat())?;
    }
    let packages = root.join("target/web-tests");
    let tests = root.join("crates/web/tests");
    fs::create_dir_all(&packages)?;
    let mut fresh = true;
    for name in ["package.json", "package-lock.json"] {
        let (from, to) = (tests.join(name), packages.join(name));
        fresh &= fs::read(&from)? == fs::read(&to).unwrap_or_default();
        fs::copy(from, to)?;
    }
    if !fresh || !packages.join("node_modules").exists() {
        println!("installing playwright-core and axe-core from npm");
        process::run(Command::new("npm").current_dir(&packages).args([
            "ci",
            "--silent",
            "--no-audit",
            "--no-fund",
        ]))?;
    }
    let program = tests_built::program(root, "gazelle")?;
    process::run(
        Command::new("node")
            .current_dir(&packages)
            .env("CHROMIUM", CHROMIUM)
            .arg(tests.join("browser.mjs"))
            .arg(program)
            .arg(page)
            .arg(root.join("models"))
            .arg(root.join("target/web-screenshots"))
            .args(more),
    )
}
