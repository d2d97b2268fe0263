//! Several inferences at once.

use crate::program::{Server, output, root, stderr};
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
