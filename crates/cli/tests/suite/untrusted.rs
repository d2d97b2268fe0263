//! A server that does not trust its clients.

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use gazelle::backend::{Choice, DefaultClient, DefaultPrepared};
use gazelle::wire::Channel;
use gazelle::{GazelleError, Limits, Offer};

use crate::program::{Server, objects, output, root, stderr};

fn model() -> PathBuf {
    root().join("models/mnist_a_secureml/model.onnx")
}

fn ask(server: &Server, count: usize) -> std::process::Output {
    let sample = root().join("models/mnist_a_secureml/samples/000.npy").display().to_string();
    let inputs = vec![sample; count];
    let mut arguments = vec!["infer", "--json", "--no-store", "--server", &server.address];
    arguments.extend(inputs.iter().map(String::as_str));
    output(&arguments)
}

/// A stream of frames in which the first bit of the first payload of a kind is another one.
struct Liar {
    stream: TcpStream,
    kind: u16,
    header: Vec<u8>,
    /// Bytes of the payload that are still to come.
    left: usize,
    lies: bool,
}

impl Write for Liar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut said = bytes.to_vec();
        for byte in &mut said {
            if self.left > 0 {
                *byte ^= u8::from(std::mem::take(&mut self.lies));
                self.left -= 1;
                continue;
            }
            self.header.push(*byte);
            if let [a, b, _, _, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.lies = u16::from_le_bytes([*a, *b]) == self.kind;
                self.left = u32::from_le_bytes(length) as usize;
                if self.lies {
                    self.kind = u16::MAX;
                }
                self.header.clear();
            }
        }
        self.stream.write_all(&said)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A session with one prepared inference, of a client that lies in its first frame of a kind; and its input.
fn prepare(
    server: &Server,
    kind: u16,
) -> Result<(DefaultClient, DefaultPrepared, Vec<i64>), GazelleError> {
    let mut rng = gazelle::system_rng().unwrap();
    let stream = TcpStream::connect(&server.address).unwrap();
    let reader = stream.try_clone().unwrap();
    let liar = Liar { stream, kind, header: Vec::new(), left: 0, lies: false };
    let channel = Channel::new(Box::new(reader), Box::new(liar));
    let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
    let description = offer.description().clone();
    let suite = Choice::parse(&description)?.suite(description.nonlinear.len());
    let mut client = offer.accept(suite, &mut rng)?;
    let prepared = client.prepare(&mut rng)?;
    let input = vec![0; description.architecture.input().shape.len()];
    Ok((client, prepared, input))
}

/// One inference of such a client.
fn lie(server: &Server, kind: u16) -> Result<Vec<i64>, GazelleError> {
    let (mut client, prepared, input) = prepare(server, kind)?;
    client.infer(prepared, &input).map(|inference| inference.values)
}

#[test]
fn honest_clients_are_served_and_liars_are_logged_and_blocked() {
    let folder = std::env::temp_dir().join(format!("gazelle-untrusted-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [log, blocked] = ["audit.jsonl", "blocked.tsv"].map(|name| folder.join(name));
    let (log_file, blocked_file) = (log.display().to_string(), blocked.display().to_string());
    let plain = Server::start(&model(), &[]);
    let expected = objects(&ask(&plain, 3));
    drop(plain);
    let server = Server::start(
        &model(),
        &[
            "--clients",
            "untrusted",
            "--audit-rate",
            "1/2",
            "--audit",
            &log_file,
            "--blocked",
            &blocked_file,
        ],
    );
    let asked = ask(&server, 3);
    assert!(stderr(&asked).contains("trusts no client: 1/2"), "{}", stderr(&asked));
    for (answer, expected) in objects(&asked).iter().zip(&expected) {
        assert_eq!(answer["logits"], expected["logits"]);
        assert_eq!(answer["class"], expected["class"]);
    }
    let events = || std::fs::read_to_string(&log).unwrap();
    assert!(!events().contains("cheating"));
    // No frame is of this kind: what it prepares here is honest.
    let (mut beside, kept, input) = prepare(&server, u16::MAX).unwrap();
    // A colour is another one: nothing is revealed, nothing goes on.
    assert!(lie(&server, 0x0605).is_err());
    let find = || events().lines().find(|line| line.contains("\"cheating\"")).map(str::to_owned);
    let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while find().is_none() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let event: serde_json::Value = serde_json::from_str(&find().unwrap()).unwrap();
    assert_eq!(event["check"], "the check of returned colours");
    assert_eq!((&event["client"], &event["blocked"]), (&"127.0.0.1".into(), &true.into()));
    assert_eq!(event["transcript"].as_str().unwrap().len(), 64);
    let refused = stderr(&ask(&server, 1));
    assert!(refused.contains("refused"), "{refused}");
    // Nor is what the client had prepared in another session of use.
    assert!(beside.infer(kept, &input).is_err());
    // The operator forgives.
    std::fs::write(&blocked, "").unwrap();
    assert_eq!(objects(&ask(&server, 1)).len(), 1);
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn inspect_says_what_it_costs_and_what_it_needs() {
    let model = model().display().to_string();
    let inspect = |flags: &[&str]| {
        let mut arguments = vec!["inspect", "--json", &model, "--clients", "untrusted"];
        arguments.extend(flags);
        output(&arguments)
    };
    let object = objects(&inspect(&["--audit-rate", "1/4"])).remove(0);
    assert_eq!(object["clients"], "clients are not trusted: 1/4 of what they prepare is opened");
    // One of four opened: one for every three that are used.
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let first = ["setup", "offline", "online"].map(|phase| {
        let phase = &object["predicted"]["lan"][phase];
        number(&phase["bytes_sent"]) + number(&phase["bytes_received"])
    });
    // OTs come in batches: a second offline phase differs a little from the first.
    let audited = number(&object["audited_bytes"]) - first.iter().sum::<f64>();
    let opened = number(&object["opened_bytes"]) / 3.0;
    assert!(audited > 0.9 * opened && audited < 1.1 * opened, "{object}");
    // An opened inference has no tables, which are most of the offline phase.
    assert!(number(&object["opened_bytes"]) < first[1] / 3.0);
    let trusted = objects(&output(&["inspect", "--json", &model])).remove(0);
    assert!(trusted["opened_bytes"].is_null() && trusted["audited_bytes"].is_null());
    let refused = inspect(&["--rounding", "local"]);
    assert!(!refused.status.success() && stderr(&refused).contains("exact rounding"));
    let refused = inspect(&["--audit-rate", "2/3"]);
    assert!(!refused.status.success() && stderr(&refused).contains("at most 1/2"));
}
