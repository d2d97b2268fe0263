//! What a server's owner and a client decide about trust: fresh hints, a cap on inferences, names.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Server, objects, output, root, stderr};

fn model(file: &str) -> String {
    root().join("models/mnist_a_secureml").join(file).display().to_string()
}

fn infer(server: &Server, arguments: &[&str], count: usize) -> std::process::Output {
    let sample = model("samples/000.png");
    let mut line = vec!["--quiet", "infer", "--json", "--server", &server.address];
    line.extend_from_slice(arguments);
    line.extend(std::iter::repeat_n(sample.as_str(), count));
    output(&line)
}

fn inspect(arguments: &[&str]) -> Value {
    let file = model("model.onnx");
    let mut line = vec!["inspect", "--json", "--backend", "garbled", &file];
    line.extend_from_slice(arguments);
    serde_json::from_slice(&output(&line).stdout).unwrap()
}

#[test]
fn a_client_that_wants_fresh_hints_gets_them_or_does_not_begin() {
    let path = PathBuf::from(model("model.onnx"));
    let fresh = Server::start(&path, &["--hints", "fresh"]);
    let answers = objects(&infer(&fresh, &["--hints", "fresh"], 3));
    // What comes before the input: a setup of the linear layers in each, but for the first.
    let offline = |object: &Value| object["offline"]["bytes_received"].as_u64().unwrap();
    let first = offline(&answers[0]);
    let hints = offline(&answers[1]) - first;
    assert!(hints > 100_000 && offline(&answers[2]) == offline(&answers[1]), "{hints}");
    for object in &answers {
        assert_eq!(object["logits"], answers[0]["logits"]);
    }
    assert_eq!(objects(&infer(&fresh, &[], 1)).len(), 1, "a client may also not mind");
    let reused = Server::start(&path, &[]);
    let refused = infer(&reused, &["--hints", "fresh"], 1);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(stderr(&refused).contains("--hints fresh"), "{}", stderr(&refused));
    assert_eq!(objects(&infer(&reused, &[], 1)).len(), 1);
}

#[test]
fn a_client_of_a_server_that_rounds_locally_is_cut_off_at_its_cap() {
    let path = PathBuf::from(model("model.onnx"));
    let counts = std::env::temp_dir().join(format!("gazelle-trust-{}.redb", std::process::id()));
    let file = counts.display().to_string();
    let arguments = ["--rounding", "local", "--max-inferences", "3", "--quota-file", &file];
    let server = Server::logging(&path, &arguments);
    assert_eq!(objects(&infer(&server, &[], 2)).len(), 2);
    let cut = infer(&server, &[], 2);
    assert!(!cut.status.success());
    assert_eq!(String::from_utf8_lossy(&cut.stdout).lines().count(), 1, "one was left");
    let log = server.stop();
    assert!(log.contains("a client may make 3 inferences"), "{log}");
    assert!(stderr(&cut).contains("all inferences that the server allows"), "{}", stderr(&cut));
    std::fs::remove_file(counts).unwrap();
}

#[test]
fn inspect_shows_hints_and_names_that_tell_nothing() {
    let (plain, anonymous) = (inspect(&[]), inspect(&["--anonymous-names", "--hints", "fresh"]));
    assert_eq!((&plain["fresh_hints"], &anonymous["fresh_hints"]), (&false.into(), &true.into()));
    let names = |object: &Value| -> Vec<String> {
        let layers = object["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["name"].as_str().unwrap().to_owned()).collect()
    };
    let (plain, anonymous) = (names(&plain), names(&anonymous));
    assert_eq!(plain.len(), anonymous.len());
    let numbered = |name: &String| name.starts_with("linear ") || name.starts_with("step ");
    assert!(anonymous.iter().all(numbered), "{anonymous:?}");
    assert!(!plain.iter().any(numbered), "{plain:?}");
}
