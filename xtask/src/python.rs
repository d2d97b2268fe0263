//! `cargo xtask python`: the Python package from its source to its examples, in a virtual environment below
//! target/.
//!
//! It shares the target directory and the profile `ci` with all other steps: what comes from registries with
//! the same features is compiled once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Failure, process, tests_built};

/// How long the example on Ray may take: it starts a cluster of its own.
const RAY: Duration = Duration::from_mins(10);
/// Images that Ray's example computes here.
const RAY_IMAGES: &str = "200";
/// Succeeds where Python is as new as the pinned requirements need it; the package itself runs on 3.10.
const VERSION: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

/// Builds the wheel, installs it, checks its types, runs its tests and examples; with `ray` only the example
/// on Ray, with the wheel that is installed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => package(root),
        [only] if only == "ray" => ray(root),
        _ => Err("usage: cargo xtask python [ray]".into()),
    }
}

/// Programs of the virtual environment.
struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Makes it, if there is none, with what a file of requirements says.
    fn with(root: &Path, requirements: &str) -> Result<Self, Failure> {
        let environment = Self { folder: root.join("target/python/venv") };
        if !environment.program("python").is_file() {
            let good = Command::new("python3").args(["-c", VERSION]).status();
            if !good.is_ok_and(|status| status.success()) {
                return Err(
                    "python3 is missing, or older than 3.11 (Debian: apt-get install python3 \
                            python3-venv)"
                        .into(),
                );
            }
            process::run(Command::new("python3").args(["-m", "venv"]).arg(&environment.folder))
                .map_err(|error| format!("{error} (Debian: apt-get install python3-venv)"))?;
        }
        let file = root.join("python").join(requirements);
        let mut pip = environment.pip();
        process::run(pip.arg("-r").arg(file))?;
        Ok(environment)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn pip(&self) -> Command {
        let mut command = Command::new(self.program("python"));
        command.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"]);
        command
    }
}

fn package(root: &Path) -> Result<(), Failure> {
    let python = root.join("python");
    process::run(process::cargo(&python).args(["fmt", "--check"]))?;
    process::run(
        process::cargo(&python)
            .args(["clippy", "--quiet", "--locked", "--profile", "ci", "--", "-D", "warnings"])
            .env("CARGO_TARGET_DIR", root.join("target")),
    )?;
    let environment = Environment::with(root, "requirements.txt")?;
    let wheel = wheel(root, &environment)?;
    let mut pip = environment.pip();
    process::run(pip.args(["--force-reinstall", "--no-deps"]).arg(wheel))?;
    let program = tests_built::program(root, "gazelle")?;
    let run = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(environment.program(name));
        command.current_dir(&python).env("GAZELLE_PROGRAM", &program);
        process::run(command.args(arguments))
    };
    run("python", &["-m", "mypy"])?;
    run("python", &["-m", "mypy.stubtest", "gazelle._native"])?;
    run("python", &["-m", "pytest", "-q"])?;
    run("python", &["examples/five_lines.py"])?;
    run("jupyter-execute", &["--timeout=600", "examples/medical_images.ipynb"])
}

/// The wheel, built with what the tests are built with.
fn wheel(root: &Path, environment: &Environment) -> Result<PathBuf, Failure> {
    let folder = root.join("target/python/wheels");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    process::run(
        Command::new(environment.program("maturin"))
            .args(["build", "--quiet", "--locked", "--profile", "ci", "--out"])
            .arg(&folder)
            .current_dir(root.join("python"))
            .env("CARGO_TARGET_DIR", root.join("target")),
    )?;
    let wheels: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => Err(format!("{}: {} wheels, not one", folder.display(), wheels.len()).into()),
    }
}

/// The data set through Ray, bounded in time.
fn ray(root: &Path) -> Result<(), Failure> {
    let environment = Environment::with(root, "requirements-ray.txt")?;
    let mut child = Command::new(environment.program("python"))
        .args(["examples/ray_batch.py", "--images", RAY_IMAGES])
        .current_dir(root.join("python"))
        .env("RAY_USAGE_STATS_ENABLED", "0")
        .spawn()?;
    let end = Instant::now() + RAY;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("ray_batch.py: {status}").into()),
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err(format!("ray_batch.py: not done in {} s", RAY.as_secs()).into());
            }
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
