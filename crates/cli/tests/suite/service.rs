//! A server under orders: quotas, metrics, audit log, drain, several models.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultClient};
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{GazelleError, Limits, Offer};
use serde_json::Value;

use crate::program::{Server, gazelle, objects, output, root, stderr};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

fn model() -> PathBuf {
    root().join("models/mnist_d_minionn/model.onnx")
}

fn samples(count: usize) -> Vec<String> {
    let folder = root().join("models/mnist_d_minionn/samples");
    (0..count).map(|i| folder.join(format!("{i:03}.npy")).display().to_string()).collect()
}

/// A folder of this test's own; gone on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("gazelle-service-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ask(server: &Server, count: usize, more: &[&str]) -> std::process::Output {
    let inputs = samples(count);
    let mut arguments = vec!["infer", "--json", "--server", &server.address];
    arguments.extend(more);
    arguments.extend(inputs.iter().map(String::as_str));
    output(&arguments)
}

/// A session of our own, set up and silent.
fn session(server: &Server) -> DefaultClient {
    let channel = tcp::connect(server.address.as_str(), &Timeouts::default()).unwrap();
    let mut rng = gazelle::system_rng().unwrap();
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng).unwrap();
    let choice = Choice::parse(offer.description()).unwrap();
    let suite = choice.suite(offer.description().nonlinear.len());
    offer.accept(suite, &mut rng).unwrap()
}

#[test]
fn a_quota_is_told_kept_and_outlives_the_server() {
    let folder = Folder::new();
    let file = folder.file("quota.redb");
    let quota = ["--max-inferences", "3", "--quota-file", &file];
    let server = Server::start(&model(), &quota);
    let first = ask(&server, 2, &[]);
    assert_eq!(objects(&first).len(), 2);
    // One is left of two wanted: it is given, then the client stops by itself.
    let second = ask(&server, 2, &[]);
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(String::from_utf8(second.stdout.clone()).unwrap().lines().count(), 1);
    assert!(
        stderr(&second).contains("all inferences that the server allows"),
        "{}",
        stderr(&second)
    );
    let third = stderr(&ask(&server, 1, &[]));
    assert!(third.contains("allows this client no more inferences"), "{third}");
    drop(server);
    let server = Server::start(&model(), &quota);
    assert!(stderr(&ask(&server, 1, &[])).contains("no more inferences"));
    // Another model has counts of its own.
    drop(server);
    let server = Server::start(&model(), &[&quota[..], &["--reveal", "class"]].concat());
    assert_eq!(objects(&ask(&server, 1, &[])).len(), 1);
}

#[test]
fn a_client_without_quota_left_uses_what_it_made_ahead_and_makes_no_more() {
    let folder = Folder::new();
    let (file, store, home) =
        (folder.file("quota.redb"), folder.file("store"), folder.file("home"));
    let arguments = ["--max-inferences", "3", "--quota-file", &file, "--store", &store];
    let arguments = [&arguments[..], &["--metrics", "127.0.0.1:0"]].concat();
    let server = Server::logging(&model(), &arguments);
    let run = |arguments: &[&str]| {
        let mut command = crate::program::gazelle(arguments);
        command
            .env("GAZELLE_HOME", &home)
            .env("RUST_LOG", "info")
            .args(["--server", &server.address])
            .output()
            .unwrap()
    };
    let metric = |name: &str| {
        let text = get(&metrics(&server), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert!(run(&["prepare", "--count", "3"]).status.success());
    let one_more = run(&["prepare", "--count", "1"]);
    assert!(!one_more.status.success());
    // It had to be let in to use what is there, and was not let make anything.
    assert!(
        stderr(&one_more).contains("no more inferences") || stderr(&one_more).contains("are made")
    );
    let inputs = samples(4);
    let all: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let first = run(&[&["infer", "--json"], &all[..2]].concat());
    assert_eq!(objects(&first).len(), 2);
    let used = |output: &std::process::Output| {
        stderr(output).matches("material that was made ahead is used").count()
    };
    assert_eq!(used(&first), 2, "{}", stderr(&first));
    // The last one is used, and the fourth is refused.
    let rest = run(&[&["infer", "--json"], &all[2..]].concat());
    assert_eq!(rest.status.code(), Some(1));
    assert_eq!(String::from_utf8(rest.stdout.clone()).unwrap().lines().count(), 1);
    assert_eq!(used(&rest), 1, "{}", stderr(&rest));
    assert!(stderr(&rest).contains("all inferences that the server allows"), "{}", stderr(&rest));
    let none = run(&[&["infer", "--json"], &all[..1]].concat());
    assert!(stderr(&none).contains("allows this client no more inferences"), "{}", stderr(&none));
    let until = Instant::now() + Duration::from_mins(1);
    while metric("gazelle_stored_entries") > 0.0 {
        assert!(Instant::now() < until, "entries are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn adversarial_a_client_that_does_not_count_is_stopped_by_the_server() {
    let folder = Folder::new();
    let file = folder.file("quota.redb");
    let server = Server::logging(&model(), &["--per-day", "2", "--quota-file", &file]);
    let mut rng = gazelle::system_rng().unwrap();
    // Two sessions at once, each of which was told that two are left.
    let (mut a, mut b) = (session(&server), session(&server));
    assert_eq!((a.allowance(), b.allowance()), (2, 2));
    a.prepare(&mut rng).unwrap();
    a.prepare(&mut rng).unwrap();
    assert!(matches!(a.prepare(&mut rng), Err(GazelleError::Allowance)));
    assert!(b.prepare(&mut rng).is_err());
    drop((a, b));
    std::thread::sleep(Duration::from_millis(300));
    let log = server.stop();
    assert!(
        log.contains("all inferences that the server allows this client now are made"),
        "{log}"
    );
}

#[test]
fn local_rounding_is_capped_at_256_unless_its_owner_says_otherwise() {
    let folder = Folder::new();
    let file = folder.file("quota.redb");
    for (more, wanted) in [(&[][..], 256), (&["--max-inferences", "1000"], 1000)] {
        let arguments = [&["--rounding", "local", "--quota-file", &file], more].concat();
        let server = Server::start(&model(), &arguments);
        assert_eq!(session(&server).allowance(), wanted);
    }
    let server = Server::start(&model(), &[]);
    assert_eq!(session(&server).allowance(), u64::MAX);
}

pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Where the metrics are, as the server says.
pub(crate) fn metrics(server: &Server) -> String {
    let line = server.preamble.lines().find_map(|line| line.strip_prefix("metrics on http://"));
    line.unwrap().strip_suffix("/metrics").unwrap().to_owned()
}

/// The whole number behind a name; a metric that was never counted is none.
pub(crate) fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn metrics_and_the_audit_log_say_what_happened() {
    let folder = Folder::new();
    let audit = folder.file("audit.jsonl");
    let server = Server::logging(&model(), &["--metrics", "127.0.0.1:0", "--audit", &audit]);
    let address = metrics(&server);
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let answers = objects(&ask(&server, 3, &[]));
    let refused = ask(&server, 1, &["--model", "no such"]);
    assert!(stderr(&refused).contains("no model of that name"), "{}", stderr(&refused));
    let until = Instant::now() + Duration::from_secs(10);
    let text = loop {
        let text = get(&address, "/metrics");
        if value(&text, "gazelle_sessions ") == Some(0) || Instant::now() > until {
            break text;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        value(&text, "gazelle_inferences_total{model=\"mnist_d_minionn\"}"),
        Some(3),
        "{text}"
    );
    assert_eq!(value(&text, "gazelle_refusals_total{reason=\"model\"}"), Some(1), "{text}");
    assert_eq!(value(&text, "gazelle_sessions "), Some(0));
    let online = |party: &str| -> u64 {
        answers.iter().map(|answer| answer["online"][party].as_u64().unwrap()).sum()
    };
    let name =
        "gazelle_phase_bytes_total{direction=\"sent\",model=\"mnist_d_minionn\",phase=\"online\"}";
    assert_eq!(value(&text, name), Some(online("bytes_received")));
    let text = std::fs::read_to_string(&audit).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["event"], "session-begin");
    assert_eq!(
        (&lines[0]["client"], &lines[0]["reveals"]),
        (&"127.0.0.1".into(), &"logits".into())
    );
    assert_eq!(lines[1]["event"], "session-end");
    assert_eq!((&lines[1]["inferences"], &lines[1]["outcome"]), (&3.into(), &"completed".into()));
    assert_eq!(lines[0]["session"], lines[1]["session"]);
    assert_eq!((&lines[2]["event"], &lines[2]["reason"]), (&"refused".into(), &"model".into()));
}

#[test]
fn a_server_that_is_told_to_stop_ends_idle_sessions_and_lets_inferences_finish() {
    let server = Server::start(&model(), &[]);
    let mut rng = gazelle::system_rng().unwrap();
    let mut idle = session(&server);
    let mut busy = session(&server);
    let prepared = busy.prepare(&mut rng).unwrap();
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    // One that waits for nothing has been closed, one with material may use it.
    assert!(idle.prepare(&mut rng).is_err());
    let input = vec![0; busy.description().architecture.input().shape.len()];
    assert!(busy.infer(prepared, &input).is_ok());
    let begin = Instant::now();
    assert_eq!(server.wait(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_second_signal_ends_the_server_at_once_and_so_does_its_patience() {
    for (drain, signals) in [("60", 2), ("1", 1)] {
        let server = Server::start(&model(), &["--drain", drain]);
        let mut busy = session(&server);
        let _prepared = busy.prepare(&mut gazelle::system_rng().unwrap()).unwrap();
        let begin = Instant::now();
        for _ in 0..signals {
            server.signal("TERM");
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(server.wait(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}

/// A copy of a model with its samples, under a name of its own.
fn copy(folder: &Folder, from: &str, name: &str) {
    let to = folder.0.join(name);
    std::fs::create_dir_all(to.join("samples")).unwrap();
    let from = root().join("models").join(from);
    std::fs::copy(from.join("model.onnx"), to.join("model.onnx")).unwrap();
    for sample in 0..2 {
        let file = format!("samples/{sample:03}.npy");
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    let text = std::fs::read_to_string(from.join("model.toml")).unwrap();
    std::fs::write(to.join("model.toml"), format!("name = {name:?}\n{text}")).unwrap();
}

fn listed(server: &Server) -> Vec<Value> {
    objects(&output(&["models", "--json", "--server", &server.address]))
}

#[test]
fn several_models_share_a_port_and_are_exchanged_by_sighup() {
    let folder = Folder::new();
    copy(&folder, "mnist_d_minionn", "first");
    copy(&folder, "mnist_d_minionn", "second");
    let server = Server::start(Path::new(&folder.0), &[]);
    let names = |models: &[Value]| -> Vec<String> {
        models.iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    };
    let models = listed(&server);
    assert_eq!(names(&models), ["first", "second"]);
    assert_eq!(models[0]["input"], serde_json::json!([1, 28, 28]));
    assert_eq!(models[0]["classes"], 10);
    assert_ne!(models[0]["digest"], models[1]["digest"]);
    let digest = models[1]["digest"].as_str().unwrap();
    assert_eq!(objects(&ask(&server, 1, &["--model", "second", "--pin", digest])).len(), 1);
    let unnamed = ask(&server, 1, &[]);
    assert!(stderr(&unnamed).contains("gazelle models"), "{}", stderr(&unnamed));
    // A session that runs keeps its model while the folder changes.
    let text = String::from_utf8(output(&["models", "--server", &server.address]).stdout).unwrap();
    assert!(text.contains("second  1x28x28, 10 classes, reveals logits"), "{text}");
    std::fs::remove_dir_all(folder.0.join("first")).unwrap();
    copy(&folder, "mnist_d_minionn", "third");
    server.signal("HUP");
    let until = Instant::now() + Duration::from_mins(1);
    while names(&listed(&server)) != ["second", "third"] {
        assert!(Instant::now() < until, "not exchanged");
        std::thread::sleep(Duration::from_millis(200));
    }
    // A folder that cannot be loaded changes nothing.
    std::fs::write(folder.0.join("second/model.onnx"), b"broken").unwrap();
    server.signal("HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(names(&listed(&server)), ["second", "third"]);
}

#[test]
fn what_a_server_cannot_do_it_says_when_it_starts() {
    let folder = Folder::new();
    let file = model().display().to_string();
    let listen = ["serve", &file, "--listen", "127.0.0.1:0"];
    let empty = folder.file("");
    let broken = folder.file("broken.redb");
    std::fs::write(&broken, b"no store").unwrap();
    for (more, wanted) in [
        (&["--memory", "1"][..], "--memory 1"),
        (&["--sessions", "100000000"], "ulimit"),
        (&["--max-inferences", "1", "--quota-file", &broken], "broken.redb"),
        (&["--audit", "/no/such/folder/x"], "/no/such/folder/x"),
        (&["--metrics", "192.0.2.1:1"], "192.0.2.1:1"),
        (&[empty.as_str()], "no ONNX files"),
        (&[file.as_str()], "two models are called"),
    ] {
        let refused = output(&[&listen[..], more].concat());
        assert_eq!(refused.status.code(), Some(1), "{more:?}");
        assert!(stderr(&refused).contains(wanted), "{more:?}: {}", stderr(&refused));
    }
}

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_of_json_holds_nothing_else() {
    let mut command = gazelle(&["--log-format", "json", "-v", "serve", "--listen", "127.0.0.1:0"]);
    let mut server = Killed(command.arg(model()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let address = loop {
        let line = next();
        assert!(line["timestamp"].as_str().unwrap().starts_with("20"), "{line}");
        if let Some(address) =
            line["fields"]["message"].as_str().unwrap().strip_prefix("listening on ")
        {
            break address.to_owned();
        }
    };
    let sample = samples(1).remove(0);
    let told = output(&["--log-format", "json", "infer", "--json", "--server", &address, &sample]);
    assert!(told.status.success());
    // A remark of the client's, and an error.
    assert!(stderr(&told).lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let told =
        output(&["--log-format", "json", "infer", "--server", &address, "absent\u{202e}.npy"]);
    let error = stderr(&told);
    assert!(!error.contains('\u{202e}'), "{error}");
    let first: Value = serde_json::from_str(error.lines().next().unwrap()).unwrap();
    assert_eq!(first["level"], "ERROR");
    let message = first["fields"]["message"].as_str().unwrap();
    assert!(message.contains("absent\u{202e}.npy"), "{error}");
    loop {
        let line = next();
        if line["fields"]["message"] == "session ended" {
            assert_eq!(line["fields"]["inferences"], 1);
            break;
        }
    }
}
