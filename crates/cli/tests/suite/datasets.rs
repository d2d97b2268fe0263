//! Accuracy over the first images of a data set, by two processes with GMW, against f32.
//!
//! `GAZELLE_SLOW=1 cargo test --release -p gazelle-cli datasets -- --nocapture` runs 2000 MNIST and
//! 500 CIFAR-10 images and prints both accuracies; without it a few images show that files of many
//! images are read as they should.

use std::path::{Path, PathBuf};

use gazelle_model::{Graph, Interface, Pixels, float, import};

use crate::program::{Server, objects, output, root, slow};

/// A model, the images, and how many of them.
struct Task {
    model: &'static str,
    /// What is written beside a copy of the model.
    toml: &'static str,
    images: &'static str,
    few: usize,
    many: usize,
}

/// f32 and private accuracy may differ by this share of the images.
const ALLOWED: f64 = 0.005;

#[test]
fn mnist_accuracy_is_that_of_f32() {
    check(&Task {
        model: "mnist_d_minionn",
        toml: "",
        images: "mnist_test_0-4999/images-idx3-ubyte.gz",
        few: 12,
        many: 2000,
    });
}

#[test]
fn cifar_accuracy_is_that_of_f32() {
    check(&Task {
        model: "cifar10_minionn_gazelle",
        toml: "[input]\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n",
        images: "cifar10_test_0-999/data.bin",
        few: 2,
        many: 500,
    });
}

fn check(task: &Task) {
    let data = root().join("../shared/data");
    let (folder, images) =
        (data.join("models").join(task.model), data.join("datasets").join(task.images));
    if !folder.exists() || !images.exists() {
        eprintln!("{}: no shared data, left out", task.model);
        return;
    }
    let count = if slow() { task.many } else { task.few };
    let copy = copy(&folder, task);
    let model = copy.join("model.onnx");
    let (private, seconds) = private(&model, &images, count);
    let labels = labels(&images, count);
    let plain = plain(&model, &images, count);
    std::fs::remove_dir_all(&copy).unwrap();
    assert_eq!((private.len(), plain.len(), labels.len()), (count, count, count));
    let right = |classes: &[usize]| {
        classes.iter().zip(&labels).filter(|(class, label)| class == label).count()
    };
    let same = private.iter().zip(&plain).filter(|(a, b)| a == b).count();
    let (private, plain) = (right(&private), right(&plain));
    eprintln!(
        "{}: {private} of {count} right privately, {plain} in f32; {same} classes are the same; \
         {:.3} s each",
        task.model,
        seconds / count as f64
    );
    let allowed = (ALLOWED * count as f64).floor() as usize;
    assert!(private.abs_diff(plain) <= allowed.max(usize::from(count < 200)));
    assert!(private * 10 >= count * 8, "images are not read as they should be");
}

/// A folder with the model, its samples and a `model.toml`: the shared data is read-only.
fn copy(folder: &Path, task: &Task) -> PathBuf {
    let copy = std::env::temp_dir().join(format!("gazelle-{}-{}", std::process::id(), task.model));
    std::fs::create_dir_all(copy.join("samples")).unwrap();
    std::fs::copy(folder.join("model.onnx"), copy.join("model.onnx")).unwrap();
    for entry in std::fs::read_dir(folder.join("samples")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join("samples").join(entry.file_name())).unwrap();
    }
    std::fs::write(copy.join("model.toml"), task.toml).unwrap();
    copy
}

/// Classes from one session, and its seconds.
fn private(model: &Path, images: &Path, count: usize) -> (Vec<usize>, f64) {
    let many = count.to_string();
    let server =
        Server::start(model, &["--backend", "gmw", "--inferences-per-setup", &many, "--once"]);
    let images = images.display().to_string();
    let objects = objects(&output(&[
        "infer",
        "--json",
        "--limit",
        &many,
        "--server",
        &server.address,
        &images,
    ]));
    let seconds =
        |object: &serde_json::Value, phase: &str| object[phase]["seconds"].as_f64().unwrap_or(0.0);
    let all = objects.iter().map(|object| seconds(object, "offline") + seconds(object, "online"));
    let all = all.sum();
    let class = |object: &serde_json::Value| object["class"].as_u64().unwrap() as usize;
    (objects.iter().map(class).collect(), all)
}

/// Classes of the imported network in floating point.
fn plain(model: &Path, images: &Path, count: usize) -> Vec<usize> {
    let graph: Graph = import(&std::fs::read(model).unwrap()).unwrap();
    let description = Interface::beside(model, &graph).unwrap();
    let input = description.input.unwrap();
    let run = |bytes: Vec<u8>| {
        let (height, width) = (input.height, input.width);
        let channels = bytes.len() / (height * width);
        let tensor = input.tensor(&Pixels { height, width, channels, bytes: &bytes }).unwrap();
        let logits = float::run(&graph, &tensor).unwrap();
        (0..logits.len()).rev().max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
    };
    pixels(images, count).into_iter().map(run).collect()
}

fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        return unpacked;
    }
    bytes
}

/// Interleaved pixels of the first images: IDX, or CIFAR's planes.
fn pixels(path: &Path, count: usize) -> Vec<Vec<u8>> {
    let bytes = unpacked(path);
    if path.extension().is_some_and(|extension| extension == "gz") {
        return bytes[16..].chunks(28 * 28).take(count).map(<[u8]>::to_vec).collect();
    }
    let interleave = |record: &[u8]| {
        (0..1024).flat_map(|i| [record[1 + i], record[1025 + i], record[2049 + i]]).collect()
    };
    bytes.chunks(3073).take(count).map(interleave).collect()
}

fn labels(images: &Path, count: usize) -> Vec<usize> {
    if images.extension().is_some_and(|extension| extension == "gz") {
        let bytes = unpacked(&images.with_file_name("labels-idx1-ubyte.gz"));
        return bytes[8..].iter().take(count).map(|label| usize::from(*label)).collect();
    }
    unpacked(images).chunks(3073).take(count).map(|record| usize::from(record[0])).collect()
}
