//! `serve --offline-nice` and `infer --offline-nice`: which threads give way.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::program::{Server, gazelle, objects, output, root, stderr, threads};

/// Threads that only make material, by the beginning of their names: of both pools, and those that an offline phase
/// starts.
const OFFLINE: [&str; 6] =
    ["linear", "offline-", "server-speaks", "server-listens", "client-speaks", "client-listens"];

/// Names and niceness of all threads that a server has while it answers the samples, above those of the server itself.
fn seen(arguments: &[&str]) -> BTreeSet<(String, i32)> {
    let folder = root().join("models/mnist_d_minionn");
    let server = Server::start(&folder.join("model.onnx"), arguments);
    let own = |threads: &[(String, i32)]| {
        threads.iter().find(|(name, _)| name == "gazelle").map(|(_, nice)| *nice).unwrap()
    };
    let before = own(&server.threads());
    let samples = folder.join("samples").display().to_string();
    let command = ["infer", "--json", "--server", &server.address, &samples];
    let mut client = gazelle(&command);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut all = BTreeSet::new();
    while client.try_wait().unwrap().is_none() {
        all.extend(server.threads());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(client.wait().unwrap().success());
    all.extend(server.threads());
    all.into_iter().map(|(name, nice)| (name, nice - before)).collect()
}

#[test]
fn offline_threads_are_nicer_and_what_answers_is_not() {
    let all = seen(&["--offline-nice", "7"]);
    for (name, nice) in &all {
        if OFFLINE.iter().any(|begin| name.starts_with(begin)) {
            assert_eq!(*nice, 7, "{name}: {all:?}");
        } else if name == "offline" {
            // It begins as its session, and makes itself nicer.
            assert!(*nice == 7 || *nice == 0, "{all:?}");
        } else {
            assert_eq!(*nice, 0, "{name}: {all:?}");
        }
    }
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["gazelle", "session", "offline", "linear-0", "offline-0", "server-speaks"] {
        assert!(names.contains(name), "{name}: {all:?}");
    }
}

#[test]
fn a_clients_offline_threads_are_nicer_and_what_asks_is_not() {
    let folder = root().join("models/mnist_d_minionn");
    let server = Server::start(&folder.join("model.onnx"), &[]);
    let samples = folder.join("samples").display().to_string();
    let command = ["infer", "--json", "--offline-nice", "7", "--server", &server.address, &samples];
    let mut client = gazelle(&command);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let own = threads(std::process::id()).first().map(|(_, nice)| *nice).unwrap();
    let mut all = BTreeSet::new();
    while client.try_wait().unwrap().is_none() {
        all.extend(threads(client.id()));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(client.wait().unwrap().success());
    for (name, nice) in &all {
        if OFFLINE.iter().any(|begin| name.starts_with(begin)) {
            assert_eq!(*nice - own, 7, "{name}: {all:?}");
        } else if ["session", "inputs", "progress"].contains(&name.as_str()) {
            assert_eq!(*nice, own, "{name}: {all:?}");
        }
    }
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["session", "offline", "offline-0", "client-speaks"] {
        assert!(names.contains(name), "{name}: {all:?}");
    }
}

#[test]
fn without_the_option_all_threads_are_alike() {
    let all = seen(&[]);
    assert!(all.iter().all(|(name, nice)| *nice == 0 && name != "offline"), "{all:?}");
    assert!(all.iter().any(|(name, _)| name == "offline-0"), "{all:?}");
}

#[test]
fn adversarial_values_that_no_thread_can_have_are_refused() {
    let model = root().join("models/mnist_d_minionn/model.onnx").display().to_string();
    for value in ["20", "-1", "nice"] {
        for command in ["serve", "infer"] {
            let refused = output(&[command, &model, &format!("--offline-nice={value}")]);
            assert_eq!(refused.status.code(), Some(2), "{value}");
            assert!(stderr(&refused).contains("--offline-nice"), "{}", stderr(&refused));
        }
    }
}

#[test]
fn answers_are_the_same() {
    let folder = root().join("models/mnist_d_minionn");
    let samples = folder.join("samples").display().to_string();
    let answers = |arguments: &[&str]| -> Vec<String> {
        let server = Server::start(&folder.join("model.onnx"), arguments);
        let mut command = vec!["infer", "--json", "--server", &server.address, &samples];
        command.extend(arguments);
        let found = objects(&output(&command));
        found.iter().map(|object| object["logits"].to_string()).collect()
    };
    let calm = answers(&[]);
    assert!(!calm.is_empty());
    assert_eq!(answers(&["--offline-nice", "19"]), calm);
}
