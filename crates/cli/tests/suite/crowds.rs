//! Many connections that want nothing: honest clients get their answers all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gazelle::backend::Choice;
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{Limits, Offer};

use crate::program::{Server, objects, output, root, stderr};
use crate::service::{get, metrics, value};

fn model() -> PathBuf {
    root().join("models/mnist_d_minionn/model.onnx")
}

fn sample() -> String {
    root().join("models/mnist_d_minionn/samples/000.npy").display().to_string()
}

/// One inference by the program; its seconds.
fn honest(address: &str) -> Duration {
    let begin = Instant::now();
    let result = output(&["infer", "--json", "--server", address, &sample()]);
    assert_eq!(objects(&result).len(), 1);
    begin.elapsed()
}

#[test]
fn adversarial_64_silent_connections_do_not_delay_an_honest_client() {
    let server = Server::start(&model(), &[]);
    let alone = honest(&server.address);
    let silent: Vec<TcpStream> =
        (0..64).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let crowded = honest(&server.address);
    // Far below the handshake's time limit of 10 s.
    assert!(crowded < alone * 3 + Duration::from_secs(3), "{crowded:?}, alone {alone:?}");
    drop(silent);
}

#[test]
fn adversarial_an_address_that_fails_again_and_again_waits_and_its_honest_client_gets_in() {
    let server = Server::logging(&model(), &["--metrics", "127.0.0.1:0"]);
    let alone = honest(&server.address);
    let begin = Instant::now();
    for _ in 0..2000 {
        let mut rude = TcpStream::connect(&server.address).unwrap();
        // Some are closed by then.
        let _ = rude.write_all(b"GET / HTTP/1.1\r\n\r\n, and no hello that anybody would know");
    }
    // Until it is noticed that they have left: more than 128 of one address are not held.
    std::thread::sleep(Duration::from_millis(300));
    // These stay, in front of an honest client of the same address.
    let silent: Vec<TcpStream> =
        (0..16).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let behind = honest(&server.address);
    assert!(behind < alone * 3 + Duration::from_secs(4), "{behind:?}, alone {alone:?}");
    let passed = begin.elapsed().as_secs();
    drop(silent);
    let text = get(&metrics(&server), "/metrics");
    let refused = |reason: &str| {
        // optional: what never happened is not listed
        value(&text, &format!("gazelle_refusals_total{{reason=\"{reason}\"}}")).unwrap_or(0)
    };
    // All that were let in: what the address may at once, and 32 a second.
    assert!((1..=256 + 32 * (passed + 1)).contains(&refused("handshake")), "{text}");
    assert!(refused("held") > 0 && refused("throttled") > 0, "{text}");
}

#[test]
fn adversarial_a_silent_connection_is_closed_after_the_handshakes_time_limit() {
    let server = Server::start(&model(), &[]);
    let mut silent = TcpStream::connect(&server.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let begin = Instant::now();
    let mut rest = Vec::new();
    // An error frame, then the end.
    silent.read_to_end(&mut rest).unwrap();
    let held = begin.elapsed();
    assert!((8..20).contains(&held.as_secs()), "{held:?}");
}

#[test]
fn adversarial_sessions_that_ask_for_nothing_give_way() {
    let server = Server::start(&model(), &["--sessions", "2"]);
    let mut rng = gazelle::system_rng().unwrap();
    // Set up in full, then silent: both places are taken.
    let idle: Vec<_> = (0..2)
        .map(|_| {
            let channel = tcp::connect(server.address.as_str(), &Timeouts::default()).unwrap();
            let offer = Offer::receive(channel, Limits::default(), None, &mut rng).unwrap();
            let choice = Choice::parse(offer.description()).unwrap();
            let suite = choice.suite(offer.description().nonlinear.len());
            offer.accept(suite, &mut rng).unwrap()
        })
        .collect();
    // At once there is no place: an honest client is told so within seconds.
    let begin = Instant::now();
    let busy = output(&["infer", "--wait", "0", "--server", &server.address, &sample()]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(stderr(&busy).contains("busy"), "{}", stderr(&busy));
    assert!(begin.elapsed() < Duration::from_secs(10));
    // Who stands in line has its turn once they have let the server wait for five seconds.
    let waited = output(&["infer", "--json", "--server", &server.address, &sample()]);
    assert_eq!(objects(&waited).len(), 1);
    assert!(stderr(&waited).contains(" in line"), "{}", stderr(&waited));
    drop(idle);
}

#[test]
fn a_session_at_work_keeps_its_place() {
    let server = Server::start(&model(), &["--sessions", "1"]);
    let address = server.address.clone();
    let worker = std::thread::spawn(move || {
        let samples: Vec<String> = std::iter::repeat_n(sample(), 12).collect();
        let mut arguments = vec!["infer", "--json", "--server", &address];
        arguments.extend(samples.iter().map(String::as_str));
        objects(&output(&arguments)).len()
    });
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..3 {
        // Served after the worker, never instead of it.
        honest(&server.address);
    }
    assert_eq!(worker.join().unwrap(), 12);
}

#[test]
fn probes_leave_no_line_in_the_log_and_floods_one() {
    let server = Server::logging(&model(), &[]);
    for _ in 0..20 {
        drop(TcpStream::connect(&server.address).unwrap());
    }
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..20 {
        let mut rude = TcpStream::connect(&server.address).unwrap();
        let _ = rude.write_all(b"GET / HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n");
        let _ = rude.read(&mut [0; 16]);
    }
    honest(&server.address);
    std::thread::sleep(Duration::from_millis(300));
    let log = server.stop();
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert_eq!(log.matches("session ended").count(), 1, "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    // Each line of the log begins with its time.
    let line = log.lines().find(|line| line.contains("session ended")).unwrap();
    assert!(line.starts_with("20") && line.contains("Z  INFO "), "{line}");
}
