//! How a server starts: from a file of settings, from compiled models, and the second time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::program::{Server, gazelle, objects, output, root, stderr};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder of this test's own, with copies of two models, an hour old; gone on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("gazelle-startup-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        for model in ["mnist_c_chameleon", "mnist_d_minionn"] {
            copy(&root().join("models").join(model), &folder.0.join(model));
        }
        folder
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

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
    }
    let hour = SystemTime::now() - Duration::from_hours(1);
    std::fs::File::open(to).unwrap().set_modified(hour).unwrap();
}

/// A server with a folder of keys of its own.
fn serve(home: &str, arguments: &[&str]) -> Server {
    let mut command = gazelle(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("GAZELLE_HOME", home).env("RUST_LOG", "info").args(arguments);
    Server::run(&mut command)
}

fn ask(server: &Server, model: &str, count: usize) -> std::process::Output {
    let sample = |index| root().join(format!("models/mnist_d_minionn/samples/{index:03}.npy"));
    let inputs: Vec<String> = (0..count).map(|i| sample(i).display().to_string()).collect();
    let mut arguments = vec!["infer", "--json", "--no-store", "--server", &server.address];
    arguments.extend(["--model", model]);
    arguments.extend(inputs.iter().map(String::as_str));
    output(&arguments)
}

fn digest(server: &Server) -> String {
    let line = server.preamble.lines().find(|line| line.starts_with("model digest "));
    line.unwrap().to_owned()
}

#[test]
fn a_file_of_settings_serves_models_with_quotas_of_their_own_and_is_read_again() {
    let folder = Folder::new();
    let file = folder.file("serve.toml");
    let text = "quota-file = \"quota.redb\"\nno-cache = true\nbackend = \"gmw\"\n\n\
        [[model]]\nfile = \"mnist_c_chameleon/model.onnx\"\nmodel-name = \"c\"\nmax-inferences = 1\n\n\
        [[model]]\nfile = \"mnist_d_minionn\"\nmodel-name = \"d\"\nreveal = \"class\"\n";
    std::fs::create_dir(folder.0.join("more")).unwrap();
    std::fs::write(&file, text.replace("mnist_d_minionn", "mnist_d_minionn/model.onnx")).unwrap();
    let server = serve(&folder.file("home"), &["--config", &file]);
    assert_eq!(objects(&ask(&server, "d", 3)).len(), 3);
    assert!(objects(&ask(&server, "d", 1)).iter().all(|object| object.get("logits").is_none()));
    assert_eq!(objects(&ask(&server, "c", 1)).len(), 1);
    assert!(stderr(&ask(&server, "c", 1)).contains("no more inferences"));
    // Read again on SIGHUP: another name, and none of the old one.
    let changed = text.replace("mnist_d_minionn", "mnist_d_minionn/model.onnx");
    std::fs::write(&file, changed.replace("\"d\"", "\"e\"")).unwrap();
    server.signal("HUP");
    let until = std::time::Instant::now() + Duration::from_mins(2);
    while !ask(&server, "e", 1).status.success() {
        assert!(std::time::Instant::now() < until, "{}", server.stop());
    }
    assert!(!ask(&server, "d", 1).status.success());
}

#[test]
fn adversarial_a_wrong_key_of_the_file_is_named_before_anything_is_served() {
    let folder = Folder::new();
    let file = folder.file("serve.toml");
    let model = "[[model]]\nfile = \"mnist_d_minionn/model.onnx\"\n";
    for (text, named) in [
        (format!("sesions = 2\n{model}"), "sesions"),
        (format!("{model}per-minute = 0\n"), "per-minute"),
        (String::new(), "[[model]]"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = output(&["serve", "--config", &file]);
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.contains(named) && told.contains("serve.toml"), "{told}");
    }
}

#[test]
fn a_second_start_takes_the_compiled_copy_and_a_compiled_file_is_served() {
    let folder = Folder::new();
    let (home, model) = (folder.file("home"), folder.file("mnist_d_minionn/model.onnx"));
    let first = serve(&home, &[&model]);
    let copies = || std::fs::read_dir(folder.0.join("home/models")).map_or(0, Iterator::count);
    assert_eq!(copies(), 1);
    let digests = digest(&first);
    assert!(!first.stop().contains("copy"));
    let second = serve(&home, &[&model]);
    assert_eq!(digest(&second), digests);
    assert_eq!(objects(&ask(&second, "", 2)).len(), 2);
    assert!(!second.stop().contains("copy"));
    // A broken copy is told, and made anew.
    let entry = std::fs::read_dir(folder.0.join("home/models")).unwrap().next().unwrap();
    let copy = entry.unwrap().path();
    let mut bytes = std::fs::read(&copy).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let third = serve(&home, &[&model]);
    assert_eq!(digest(&third), digests);
    assert!(third.preamble.contains("a compiled copy is broken"), "{}", third.preamble);
    drop(third);
    // By hand, for another machine: without the ONNX file.
    let compiled = folder.file("d.gazelle");
    let made = output(&["compile", &model, "-o", &compiled, "--backend", "gmw"]);
    assert!(made.status.success(), "{}", stderr(&made));
    std::fs::remove_dir_all(folder.0.join("mnist_d_minionn")).unwrap();
    let server = serve(&home, &[&compiled, "--model-name", "d"]);
    assert!(stderr(&made).contains(&digest(&serve(&home, &[&compiled]))), "{}", stderr(&made));
    assert_eq!(objects(&ask(&server, "d", 2)).len(), 2);
    // What was said to `compile` is not said again; nor does anything else take the file.
    for (arguments, why) in [
        (&["serve", &compiled, "--rounding", "local"][..], "is compiled"),
        (&["compile", &compiled, "-o", &model], "is compiled already"),
        (&["inspect", &compiled], "compiled model"),
    ] {
        let refused = output(arguments);
        let told = stderr(&refused) + &String::from_utf8_lossy(&refused.stdout);
        assert!(!refused.status.success() && told.contains(why), "{told}");
    }
    std::fs::write(&compiled, b"gazelle model 1\nand nothing").unwrap();
    assert!(stderr(&output(&["serve", &compiled])).contains("not a compiled model"));
}
