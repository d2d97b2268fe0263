//! Real programs on loopback: servers with keys, clients with certificates, and connections that mean no
//! good. Each user has a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Failure, process, tests_built};

/// A folder with an authority, a server's identity for 127.0.0.1, and clients'.
pub(crate) struct Fleet {
    program: PathBuf,
    root: PathBuf,
    folder: PathBuf,
}

/// A server; killed on drop.
pub(crate) struct FleetServer {
    child: Child,
    /// Writes down what it says, to its end.
    scribe: Option<JoinHandle<std::io::Result<u64>>>,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// The same of its metrics.
    pub(crate) metrics: String,
}

/// Revealed integers are exact: the text of an input's logits, by input.
pub(crate) type Answers = BTreeMap<String, String>;

impl Fleet {
    /// Builds the program if that is needed, and makes keys for so many clients.
    pub(crate) fn new(root: &Path, name: &str, clients: usize) -> Result<Self, Failure> {
        Self::of(root, name, clients, tests_built::program(root, "gazelle")?)
    }

    /// The same with a program that is there.
    pub(crate) fn of(
        root: &Path,
        name: &str,
        clients: usize,
        program: PathBuf,
    ) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("gazelle-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let fleet = Self { program, root: root.to_path_buf(), folder };
        fleet.keys("vendor", &["new-ca"])?;
        fleet.keys("vendor", &["new-server", "127.0.0.1"])?;
        for client in 0..clients {
            let (name, file) = (client_name(client), format!("{}.pem", client_name(client)));
            fleet.keys("vendor", &["new-client", &name])?;
            fleet.keys(&name, &["install", &file])?;
        }
        Ok(fleet)
    }

    fn command(&self, user: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("GAZELLE_HOME", self.folder.join(user));
        command.env_remove("HTTPS_PROXY").env_remove("https_proxy").env_remove("RUST_LOG");
        command
    }

    fn keys(&self, user: &str, arguments: &[&str]) -> Result<(), Failure> {
        process::run(self.command(user).args(["--quiet", "keys"]).args(arguments))
    }

    /// A server of a model of this repository, or of another folder, as the vendor.
    pub(crate) fn serve(&self, model: &str, more: &[&str]) -> Result<FleetServer, Failure> {
        self.serve_at(model, "127.0.0.1:0", more)
    }

    /// The same on an address. What it says from then on is appended to `server.log` in the fleet's folder.
    pub(crate) fn serve_at(
        &self,
        model: &str,
        address: &str,
        more: &[&str],
    ) -> Result<FleetServer, Failure> {
        let log = self.folder.join("server.log");
        let mut log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let model = self.model(model)?.join("model.onnx");
        let mut child = self
            .command("vendor")
            .arg("serve")
            .arg(model)
            .args(["--listen", address, "--metrics", "127.0.0.1:0"])
            .args(more)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?);
        let (mut text, mut metrics) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Err(format!("the server ended: {text}").into());
            }
            if let Some(address) = line.trim().strip_prefix("metrics on http://") {
                address.trim_end_matches("/metrics").clone_into(&mut metrics);
            }
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                let address = address.to_owned();
                // The rest is read as it comes, so that the server never waits for us.
                let scribe = Some(std::thread::spawn(move || std::io::copy(&mut lines, &mut log)));
                return Ok(FleetServer { child, scribe, address, metrics });
            }
            text.push_str(&line);
            log.write_all(line.as_bytes())?;
        }
    }

    /// Any command of a client; what it says comes back.
    pub(crate) fn client(&self, client: usize, arguments: &[&str]) -> Result<Child, Failure> {
        let mut command = self.command(&client_name(client));
        command.env("RUST_LOG", "info").args(arguments);
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// The folder of a model: by name, or as seen from here.
    fn model(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(match model_folder(&self.root, name) {
            Some(folder) => PathBuf::from(folder),
            None => std::path::absolute(name)?,
        })
    }

    /// A model's samples.
    pub(crate) fn samples(&self, model: &str) -> Result<Vec<String>, Failure> {
        let folder = self.model(model)?.join("samples");
        let mut files = Vec::new();
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "npy") {
                files.push(path.display().to_string());
            }
        }
        files.sort();
        Ok(files)
    }

    /// A client over inputs.
    pub(crate) fn infer(
        &self,
        client: usize,
        server: &str,
        arguments: &[&str],
        inputs: &[String],
    ) -> Result<Child, Failure> {
        let mut command = self.command(&client_name(client));
        command.args(["infer", "--json", "--retries", "10", "--server", server]);
        command.args(arguments).args(inputs);
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Where another program's files may lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Keys of nobody; what cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn client_name(client: usize) -> String {
    format!("client-{client}")
}

impl FleetServer {
    /// Its port.
    pub(crate) fn port(address: &str) -> Result<u16, Failure> {
        Ok(address.rsplit_once(':').ok_or("no port")?.1.parse()?)
    }

    /// Kills it at once, without a word to anybody.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(scribe) = self.scribe.take() {
            scribe.join().map_err(|_| "the server's log was not written to its end")??;
        }
        Ok(())
    }

    /// Open files and resident bytes.
    pub(crate) fn holds(&self) -> Result<(usize, u64), Failure> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let files = fs::read_dir(folder.join("fd"))?.count();
        let status = fs::read_to_string(folder.join("status"))?;
        let resident = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok()
        });
        Ok((files, resident.ok_or("no VmRSS")? * 1024))
    }

    /// A metric that has no labels, or that is written with them.
    pub(crate) fn metric(&self, name: &str) -> Result<f64, Failure> {
        let mut stream = TcpStream::connect(&self.metrics)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.ok_or_else(|| format!("no {name}"))?.parse()?)
    }
}

impl Drop for FleetServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// The folder of a model of this repository, or of one that is not distributed with it and lies beside it, as
/// the benchmarks' do.
pub(crate) fn model_folder(root: &Path, name: &str) -> Option<String> {
    let folders = [root.join("models").join(name), root.join("../shared/data/models").join(name)];
    let there = folders.into_iter().find(|folder| folder.join("model.onnx").exists())?;
    Some(there.display().to_string())
}

/// Waits for a client: its answers, each once and in order; or what it said.
pub(crate) fn answers(child: Child, inputs: &[String]) -> Result<Answers, Failure> {
    read(&child.wait_with_output()?, inputs)
}

/// The same of a client that has ended.
pub(crate) fn read(output: &Output, inputs: &[String]) -> Result<Answers, Failure> {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("a client failed: {told}").into());
    }
    let mut found = Answers::new();
    let mut names = Vec::new();
    for line in std::str::from_utf8(&output.stdout)?.lines() {
        let object: serde_json::Value = serde_json::from_str(line)?;
        let input = object.get("input").and_then(serde_json::Value::as_str).ok_or("no input")?;
        let logits = object.get("logits").ok_or("no logits")?.to_string();
        names.push(input.to_owned());
        if let Some(before) = found.insert(input.to_owned(), logits.clone())
            && before != logits
        {
            return Err(format!("two answers for {input}: {before} and {logits}").into());
        }
    }
    if names == inputs { Ok(found) } else { Err("not each input once and in order".into()) }
}

/// Seconds of the online phases of a client that has ended.
pub(crate) fn online_seconds(output: &Output) -> Result<Vec<f64>, Failure> {
    let mut seconds = Vec::new();
    for line in std::str::from_utf8(&output.stdout)?.lines() {
        let object: serde_json::Value = serde_json::from_str(line)?;
        let online = object.get("online").and_then(|online| online.get("seconds"));
        seconds.push(online.and_then(serde_json::Value::as_f64).ok_or("no online phase")?);
    }
    Ok(seconds)
}

/// A free port of this machine.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Connections that garble, stall and flood, until they are stopped.
pub(crate) struct Hostile {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Hostile {
    /// So many threads against a server from an address of this machine, a third of each kind; each is nicer than
    /// this process by `nice`.
    pub(crate) fn start(
        count: usize,
        (from, nice): (IpAddr, u8),
        server: &str,
    ) -> Result<Self, Failure> {
        let server: SocketAddr = server.parse()?;
        connect(SocketAddr::new(from, PORTS.0), server)?;
        let stop = Arc::new(AtomicBool::new(false));
        let attack = |index: usize| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                nicer(nice);
                let mut connections = 0;
                let ports =
                    (index..).step_by(count).map(|n| PORTS.0 + (n % usize::from(PORTS.1)) as u16);
                for port in ports.take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let from = SocketAddr::new(from, port);
                    let Ok(stream) = connect(from, server) else { continue };
                    connections += 1;
                    attack(index, stream, &stop);
                }
                connections
            })
        };
        let threads = (0..count).map(attack).collect();
        Ok(Self { stop, threads })
    }

    /// Stops; how many connections there were.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    }
}

/// Makes this thread nicer; on Linux alone, where threads have a niceness of their own.
fn nicer(by: u8) {
    #[cfg(target_os = "linux")]
    if by > 0 && rustix::process::nice(by.into()).is_err() {
        eprintln!("hostile threads are not nicer");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = by;
}

/// The first port that hostile connections come from, and how many there are: below those that the system gives to
/// others, and enough that none is used twice within a second (a connection's port serves again after that).
const PORTS: (u16, u16) = (10_000, 20_000);

fn connect(from: SocketAddr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&from.into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// One connection that the server ends sooner or later.
fn attack(kind: usize, mut stream: TcpStream, stop: &AtomicBool) {
    let pause = Duration::from_millis(20);
    // A socket that is closed already is what it comes to.
    let _ = stream.set_read_timeout(Some(pause));
    match kind % 3 {
        // Says what looks like the beginning of TLS, then noise.
        0 => {
            let noise: Vec<u8> =
                (0..2000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
            let _ = stream.write_all(&noise);
            let _ = stream.read(&mut [0; 64]);
            std::thread::sleep(pause);
        }
        // Says nothing, for as long as it may.
        1 => {
            let mut buffer = [0; 64];
            while !stop.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(0) => return,
                    Err(error) if !is_pause(&error) => return,
                    _ => {}
                }
            }
        }
        // Comes and goes.
        _ => std::thread::sleep(pause / 4),
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
