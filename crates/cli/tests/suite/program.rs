//! Running the program.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program with arguments; `GAZELLE_PROGRAM` names another build of it (a release, for slow
/// tests).
pub(crate) fn gazelle(arguments: &[&str]) -> Command {
    let program = std::env::var_os("GAZELLE_PROGRAM");
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_gazelle").into()));
    command.args(arguments);
    // Neither this user's keys nor this network's proxies.
    command.env("GAZELLE_HOME", std::env::temp_dir().join("gazelle-tests-without-keys"));
    for name in ["HTTPS_PROXY", "https_proxy", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs to the end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    gazelle(arguments).output().unwrap()
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server process; killed on drop.
pub(crate) struct Server {
    child: Child,
    log: Option<JoinHandle<String>>,
    /// What it said before it listened.
    pub(crate) preamble: String,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Server {
    /// Serves `model` and waits until it listens.
    pub(crate) fn start(model: &Path, arguments: &[&str]) -> Self {
        Self::launch(&["--quiet"], model, arguments)
    }

    /// As [`start`](Self::start), with what it logs: see [`stop`](Self::stop).
    pub(crate) fn logging(model: &Path, arguments: &[&str]) -> Self {
        Self::launch(&[], model, arguments)
    }

    fn launch(global: &[&str], model: &Path, arguments: &[&str]) -> Self {
        let mut command = gazelle(global);
        command.args(["serve", &model.display().to_string(), "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Self::run(&mut command)
    }

    /// Runs a command that serves, and waits until it listens.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut text = String::new();
        let address = loop {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended");
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                break address.to_owned();
            }
            eprint!("server: {line}");
            text.push_str(&line);
        };
        let preamble = text.clone();
        // The rest is read as it comes, so that the server never waits for us.
        let log = std::thread::spawn(move || {
            let _ = lines.read_to_string(&mut text);
            text
        });
        Self { child, log: Some(log), preamble, address }
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(kill.success());
    }

    /// Name and niceness of each of its threads by now.
    #[cfg(target_os = "linux")]
    pub(crate) fn threads(&self) -> Vec<(String, i32)> {
        threads(self.child.id())
    }

    /// Ends the server; all that it wrote to standard error.
    pub(crate) fn stop(mut self) -> String {
        let _ = self.child.kill();
        self.log.take().unwrap().join().unwrap()
    }

    /// Waits for a `--once` server; its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Name and niceness of each thread of a process by now.
#[cfg(target_os = "linux")]
pub(crate) fn threads(process: u32) -> Vec<(String, i32)> {
    // A process that has ended has none.
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let told = |task: std::io::Result<std::fs::DirEntry>| {
        // One that ended meanwhile has no file any more.
        let text = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = text.split_once('(')?.1.rsplit_once(") ")?;
        // proc(5): the 19th field, and the name is the second.
        Some((name.to_owned(), rest.split(' ').nth(16)?.parse().unwrap()))
    };
    tasks.filter_map(told).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Parses one JSON object per line.
pub(crate) fn objects(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Folders of networks that are there: the repository's own, then the shared data.
pub(crate) fn networks() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in ["models", "../shared/data/models"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        folders.sort();
        for folder in folders {
            let known = found.iter().any(|known| known.file_name() == folder.file_name());
            if !known && folder.join("model.onnx").exists() && folder.join("expected.json").exists()
            {
                found.push(folder);
            }
        }
    }
    found
}

/// Whether slow tests run: set `GAZELLE_SLOW=1`.
pub(crate) fn slow() -> bool {
    std::env::var("GAZELLE_SLOW").is_ok_and(|value| value == "1")
}
