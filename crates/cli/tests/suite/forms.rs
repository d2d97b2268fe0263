//! The stable forms: JSON keys, exit codes, completions, man pages.

use serde_json::Value;

use crate::program::{Server, objects, output, root, stderr};

fn assert_phase(phase: &Value) {
    assert!(phase["seconds"].as_f64().unwrap() >= 0.0);
    for key in ["bytes_sent", "bytes_received", "turns"] {
        assert!(phase[key].is_u64(), "{key} in {phase}");
    }
}

fn assert_object(object: &Value, first: bool) {
    assert!(object["input"].is_string());
    assert!(object["class"].is_u64());
    assert!(object["label"].is_string());
    assert!(object["logits"].as_array().unwrap().iter().all(Value::is_f64));
    let top = object["top"].as_array().unwrap();
    assert_eq!(top[0]["class"], object["class"]);
    assert!(top[0]["label"].is_string() && top[0]["logit"].is_f64());
    assert!(object["tolerance"].as_f64().unwrap() > 0.0);
    assert_phase(&object["offline"]);
    assert_phase(&object["online"]);
    assert_eq!(object.get("setup").is_some(), first);
    let layers = object["layers"].as_array().unwrap();
    assert!(layers.len() >= 5);
    for layer in layers {
        assert!(layer["name"].is_string() && layer["protocol"].is_string());
        assert!(["linear", "nonlinear", "output"].contains(&layer["kind"].as_str().unwrap()));
        assert_phase(&layer["offline"]);
        assert_phase(&layer["online"]);
    }
    assert!(object["peak_rss_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn the_demo_says_the_same_privately_and_in_the_clear() {
    for backend in ["auto", "garbled", "gmw"] {
        let objects = objects(&output(&["demo", "--json", "--images", "2", "--backend", backend]));
        assert_eq!(objects.len(), 2);
        for (index, object) in objects.iter().enumerate() {
            assert_object(object, index == 0);
            assert_eq!(object["class"], object["plaintext_class"]);
            let private = object["logits"].as_array().unwrap();
            let plain = object["plaintext_logits"].as_array().unwrap();
            assert_eq!(private.len(), plain.len());
        }
    }
}

#[test]
fn the_demo_for_people_draws_and_compares() {
    let output = output(&["demo", "--images", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("same class") && text.contains("offline") && text.contains("online"));
    assert!(!text.contains('\u{1b}'), "no terminal, no colours");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn infer_prints_one_object_per_input_and_serve_once_ends() {
    let model = root().join("models/mnist_d_minionn");
    let server = Server::start(&model.join("model.onnx"), &["--once", "--model-name", "digits"]);
    let samples = model.join("samples");
    let (npy, png) = (samples.join("000.npy"), samples.join("000.png"));
    let result = output(&[
        "infer",
        "--json",
        "--top",
        "2",
        "--server",
        &server.address,
        &npy.display().to_string(),
        &png.display().to_string(),
    ]);
    let objects = objects(&result);
    assert_eq!(objects.len(), 2);
    assert_object(&objects[0], true);
    assert_object(&objects[1], false);
    // The path as it was typed.
    assert_eq!(objects[0]["input"], npy.display().to_string());
    assert_eq!(objects[0]["top"].as_array().unwrap().len(), 2);
    assert_eq!(objects[0]["class"], objects[1]["class"]);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn people_see_classes_probabilities_and_once_the_table() {
    let model = root().join("models/mnist_d_minionn");
    let server = Server::start(&model.join("model.onnx"), &["--inferences-per-setup", "2"]);
    let samples = model.join("samples");
    let files = ["000.npy", "001.npy"].map(|file| samples.join(file).display().to_string());
    let ask = |more: &[&str]| {
        let arguments = ["infer", "--server", &server.address, &files[0], &files[1]];
        let output = output(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = ask(&[]);
    assert!(files.iter().all(|file| plain.contains(&format!("{file}: "))), "{plain}");
    assert!(plain.contains("each of 2") && !plain.contains("garbled"), "{plain}");
    let layers = ask(&["--layers"]);
    assert_eq!(layers.matches("protocol").count(), 1, "{layers}");
    assert!(layers.lines().all(|line| line.contains("samples") || line.chars().count() <= 80));
    assert!(!ask(&["--quiet"]).contains("offline"));
}

#[test]
fn an_answer_to_an_input_of_another_kind_is_marked() {
    let model = root().join("models/mnist_d_minionn");
    let server = Server::start(&model.join("model.onnx"), &["--inferences-per-setup", "2"]);
    let sample = model.join("samples/000.png").display().to_string();
    let empty = std::env::temp_dir().join(format!("gazelle-empty-{}.npy", std::process::id()));
    let mut tensor = b"\x93NUMPY\x01\0\x76\0".to_vec();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 28, 28), }";
    tensor.extend(format!("{header:<117}\n").bytes());
    tensor.extend((0..784).flat_map(|_| 1f32.to_le_bytes()));
    std::fs::write(&empty, tensor).unwrap();
    let file = empty.display().to_string();
    let ask = |more: &[&str]| {
        output(&[&["infer", "--server", &server.address, &sample, &file][..], more].concat())
    };
    let told = ask(&["--quiet"]);
    let lines = String::from_utf8(told.stdout).unwrap();
    assert_eq!(lines.matches("do not trust").count(), 1, "{lines}");
    let objects = objects(&ask(&["--json"]));
    std::fs::remove_file(&empty).unwrap();
    assert_eq!(objects[0].get("unlike_calibration"), None);
    assert_eq!(objects[1]["unlike_calibration"], true);
    assert_eq!(objects[1]["proven"], false);
}

#[test]
fn without_logits_the_client_learns_classes_alone() {
    let model = root().join("models/mnist_d_minionn");
    let samples = model.join("samples");
    let files: Vec<String> = ["000.npy", "001.npy"]
        .iter()
        .map(|file| samples.join(file).display().to_string())
        .collect();
    let ask = |reveal: &[&str]| {
        let server = Server::start(&model.join("model.onnx"), reveal);
        let arguments = ["infer", "--json", "--top", "4", "--server", &server.address];
        objects(&output(&[&arguments[..], &[&files[0], &files[1]]].concat()))
    };
    let logits = ask(&["--reveal", "logits", "--inferences-per-setup", "2"]);
    let classes = ask(&["--reveal", "class"]);
    let ranked = ask(&["--reveal", "top-k", "--reveal-count", "3"]);
    for ((logits, class), ranked) in logits.iter().zip(&classes).zip(&ranked) {
        let top = |object: &Value, count: usize| -> Vec<u64> {
            let top = object["top"].as_array().unwrap();
            assert_eq!(top.len(), count);
            top.iter().map(|ranked| ranked["class"].as_u64().unwrap()).collect()
        };
        let wanted = top(logits, 4);
        for (object, count) in [(class, 1), (ranked, 3)] {
            assert!(object.get("logits").is_none() && object["top"][0].get("logit").is_none());
            assert_eq!(object["class"], logits["class"]);
            assert_eq!(object["label"], logits["label"]);
            assert_eq!(top(object, count)[0], wanted[0]);
        }
        // Near the end of the list logits may be close to each other.
        assert!(wanted.contains(&top(ranked, 3)[1]));
    }
}

#[test]
fn inspect_describes_a_model_it_can_run() {
    let model = root().join("models/mnist_d_minionn/model.onnx");
    let objects = objects(&output(&["inspect", "--json", &model.display().to_string()]));
    let object = &objects[0];
    assert_eq!(object["supported"], true);
    assert_eq!(object["unsupported"].as_array().unwrap().len(), 0);
    assert!(object["ring_bits"].as_u64().unwrap() >= 16);
    assert!(object["input_shape"].is_array());
    assert!(object["layers"].as_array().unwrap().len() >= 5);
    for link in ["lan", "wan"] {
        assert_phase(&object["predicted"][link]["offline"]);
        assert_phase(&object["predicted"][link]["online"]);
    }
}

#[test]
fn an_address_that_others_can_reach_needs_a_flag_and_says_so() {
    let model = root().join("models/mnist_d_minionn/model.onnx").display().to_string();
    let output = output(&["serve", &model, "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--insecure"), "{}", stderr(&output));
    assert!(stderr(&output).contains("keys new-server"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn completions_and_man_pages_name_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = output(&["completions", shell]);
        assert!(output.status.success() && stderr(&output).is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(["inspect", "serve", "infer"].iter().all(|name| text.contains(name)), "{shell}");
    }
    let page = String::from_utf8(output(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH gazelle") && page.contains("gazelle\\-infer"), "{page}");
    let page = String::from_utf8(output(&["man", "infer"]).stdout).unwrap();
    assert!(page.contains("7764") && page.contains("fail\\-fast"), "{page}");
    let unknown = output(&["man", "fly"]);
    assert_eq!(unknown.status.code(), Some(2));
    let folder = std::env::temp_dir().join(format!("gazelle-{}-man", std::process::id()));
    let written = output(&["man", "--directory", &folder.display().to_string()]);
    assert!(written.status.success(), "{}", stderr(&written));
    for page in ["gazelle", "gazelle-serve", "gazelle-keys", "gazelle-keys-new-server"] {
        assert!(folder.join(format!("{page}.1")).exists(), "{page}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
