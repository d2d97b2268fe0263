//! Several inferences at once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::program::{Server, gazelle, objects, output, root, stderr};
use serde_json::Value;

fn samples() -> Vec<String> {
    let folder = root().join("models/mnist_d_minionn/samples");
    (0..10).map(|i| folder.join(format!("{i:03}.npy")).display().to_string()).collect()
}

/// Ten inputs, the fourth of which is none.
fn ask(server: &Server, more: &[&str]) -> (Vec<Value>, String, Option<i32>) {
    let mut inputs = samples();
    inputs.insert(3, root().join("Cargo.toml").display().to_string());
    let mut arguments = vec!["infer", "--json", "--server", &server.address];
    arguments.extend(more);
    arguments.extend(inputs.iter().map(String::as_str));
    let answered = output(&arguments);
    let text = String::from_utf8(answered.stdout.clone()).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (objects, stderr(&answered), answered.status.code())
}

#[test]
fn results_come_in_order_whatever_the_jobs_and_a_broken_input_stops_nothing() {
    let model = root().join("models/mnist_d_minionn/model.onnx");
    let server = Server::start(&model, &["--sessions", "8"]);
    let (alone, _, code) = ask(&server, &[]);
    assert_eq!((alone.len(), code), (10, Some(1)));
    for store in [&["--jobs", "4"][..], &["--jobs", "4", "--no-store"]] {
        let (together, said, code) = ask(&server, store);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("Cargo.toml") && !said.contains("one session less"), "{said}");
        assert_eq!(together.len(), alone.len());
        for (index, (a, b)) in alone.iter().zip(&together).enumerate() {
            assert_eq!((&a["input"], &a["logits"]), (&b["input"], &b["logits"]));
            assert_eq!(b.get("setup").is_some(), index == 0);
        }
    }
}

/// A client with a home of its own, and what the server wrote of its sessions: one setup is made whatever
/// the jobs, and a session that came too late for an input makes none.
#[test]
fn jobs_make_one_setup_in_all_and_late_sessions_none() {
    let name = format!("gazelle-jobs-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let (home, audit) = (folder.join("home"), folder.join("audit.jsonl"));
    let model = root().join("models/mnist_d_minionn/model.onnx");
    let log = audit.display().to_string();
    let server = Server::start(&model, &["--sessions", "8", "--audit", &log]);
    let ask = |jobs: &str, inputs: &[String]| {
        let mut arguments = vec!["infer", "--json", "--server", &server.address, "--jobs", jobs];
        arguments.extend(inputs.iter().map(String::as_str));
        let answers = objects(&gazelle(&arguments).env("GAZELLE_HOME", &home).output().unwrap());
        assert_eq!(answers.len(), inputs.len());
    };
    ask("6", &samples());
    ask("6", &samples()[..7]);
    // A session's end is on record some time after the client has left.
    let until = Instant::now() + Duration::from_mins(1);
    let ended: Vec<Value> = loop {
        let text = std::fs::read_to_string(&audit).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ended: Vec<Value> = events.filter(|event| event["event"] == "session-end").collect();
        let all: u64 = ended.iter().map(|event| event["inferences"].as_u64().unwrap()).sum();
        if all == 17 {
            break ended;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut files = vec![home];
    let mut setups = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.file_name().unwrap().to_string_lossy();
            setups += usize::from(name.starts_with("setup-"));
        }
    }
    assert_eq!(setups, 1);
    for session in ended.iter().filter(|session| session["inferences"] == 0) {
        assert_eq!((&session["bytes_sent"], &session["bytes_received"]), (&0.into(), &0.into()));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn more_jobs_than_places_are_no_failure_and_a_batch_is_resumed() {
    let model = root().join("models/mnist_d_minionn/model.onnx");
    let server = Server::start(&model, &["--sessions", "2"]);
    let name = format!("gazelle-jobs-{}.journal", std::process::id());
    let journal = std::env::temp_dir().join(name).display().to_string();
    let (first, said, _) = ask(&server, &["--jobs", "6", "--resume", &journal]);
    assert_eq!(first.len(), 10, "{said}");
    let (again, said, _) = ask(&server, &["--jobs", "6", "--resume", &journal]);
    std::fs::remove_file(journal).unwrap();
    assert!(again.is_empty(), "{said}");
}

/// Passes connections on to a server, and counts the bytes from it on each.
struct Passage {
    address: String,
    counts: Arc<Mutex<Vec<usize>>>,
    /// So many bytes pass on a new connection, then none until as many as `together` have come so far.
    hold: Arc<AtomicUsize>,
}

fn passage(server: &str, together: usize) -> Passage {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (server, counts) = (server.to_owned(), Arc::new(Mutex::new(Vec::new())));
    let hold = Arc::new(AtomicUsize::new(usize::MAX));
    let (shared, most) = (Arc::clone(&counts), Arc::clone(&hold));
    let held = Arc::new((Mutex::new(0), Condvar::new()));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            let (mut up_from, mut up_to) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut up_from, &mut up_to);
                let _ = up_to.shutdown(Shutdown::Write);
            });
            let (counts, held) = (Arc::clone(&shared), Arc::clone(&held));
            let hold = most.load(Ordering::SeqCst);
            std::thread::spawn(move || {
                let (mut from, mut to, mut passed) = (&server, &client, 0);
                let mut buffer = [0u8; 4096];
                let place = {
                    let mut counts = counts.lock().unwrap();
                    counts.push(0);
                    counts.len() - 1
                };
                loop {
                    let room = if passed < hold { hold - passed } else { buffer.len() };
                    let room = room.min(buffer.len());
                    let Ok(read @ 1..) = from.read(&mut buffer[..room]) else { break };
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                    passed += read;
                    counts.lock().unwrap()[place] = passed;
                    if passed == hold {
                        let mut here = held.0.lock().unwrap();
                        *here += 1;
                        held.1.notify_all();
                        while *here < together {
                            here = held.1.wait(here).unwrap();
                        }
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    Passage { address, counts, hold }
}

/// On a long link four jobs are worth four sessions only if all of them have an inference on its way: here the
/// last byte of each session's first one is held until the four of them wait for it.
#[test]
fn four_jobs_have_four_inferences_under_way_at_once() {
    let home = std::env::temp_dir().join(format!("gazelle-together-{}", std::process::id()));
    let model = root().join("models/mnist_d_minionn/model.onnx");
    let server = Server::start(&model, &["--sessions", "8"]);
    let passage = passage(&server.address, 4);
    let ask = |jobs: &str, inputs: &[String]| {
        let mut arguments = vec!["infer", "--json", "--server", &passage.address, "--jobs", jobs];
        arguments.extend(inputs.iter().map(String::as_str));
        let answers = objects(&gazelle(&arguments).env("GAZELLE_HOME", &home).output().unwrap());
        assert_eq!(answers.len(), inputs.len());
    };
    // A setup and an inference; then the bytes of a session that goes on with it, to its first answer.
    ask("1", &samples()[..1]);
    ask("1", &samples()[..1]);
    let counts = passage.counts.lock().unwrap().clone();
    let [first, again] = counts[..] else { panic!("two sessions: {counts:?}") };
    assert!(again < first, "{counts:?}");
    passage.hold.store(again - 1, Ordering::SeqCst);
    ask("4", &samples()[..8]);
    std::fs::remove_dir_all(home).unwrap();
}
