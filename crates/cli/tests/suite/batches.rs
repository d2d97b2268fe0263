//! Batches: memory of one input, one broken file among good ones, what is refused before it starts.

use std::path::{Path, PathBuf};

use gazelle::backend::{Choice, DefaultService, StepProtocol};
use gazelle::share::NodeKind;
use gazelle::wire::tcp::{self, Timeouts};
use gazelle::{ModelInfo, ServerLimits};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::Value;

use crate::program::{Server, gazelle, objects, output, root, stderr};

fn models() -> PathBuf {
    root().join("models/mnist_d_minionn")
}

/// A folder of its own with a copy of the model and another model.toml.
fn with_toml(name: &str, toml: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("gazelle-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(models().join("model.onnx"), folder.join("model.onnx")).unwrap();
    std::fs::write(folder.join("model.toml"), toml).unwrap();
    folder
}

fn lines(output: &std::process::Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A dark digit on white, as a camera takes it: the middle of a large picture.
fn photo(path: &Path, width: u32, height: u32) {
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let stroke = x > width * 9 / 20 && x < width * 11 / 20 && y > height / 5;
        Rgb(if stroke { [250, 250, 250] } else { [(x % 7) as u8, (y % 5) as u8, 3] })
    });
    DynamicImage::from(picture).save_with_format(path, ImageFormat::Jpeg).unwrap();
}

#[test]
fn memory_does_not_grow_with_the_number_of_photos() {
    let toml = "[input]\nchannels = \"grey\"\nresize = 28\ncrop = [28, 28]\n";
    let folder = with_toml("photos", toml);
    let server = Server::start(&folder.join("model.onnx"), &[]);
    // 12 megapixels, as phones make them.
    let path = folder.join("photo.jpg");
    photo(&path, 4000, 3000);
    let peak = |count: usize| {
        let path = path.display().to_string();
        let mut arguments = vec!["infer", "--json", "--server", &server.address];
        arguments.extend(std::iter::repeat_n(path.as_str(), count));
        let objects = objects(&output(&arguments));
        assert_eq!(objects.len(), count);
        objects.iter().map(|object| object["peak_rss_bytes"].as_u64().unwrap()).max().unwrap()
    };
    let (one, many) = (peak(1), peak(12));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(many < 300 << 20, "{many} bytes");
    // Less than two further decoded photos: one is ahead.
    assert!(many < one + (72 << 20), "{one} bytes for one, {many} for twelve");
}

#[test]
fn memory_does_not_grow_with_the_number_of_images_in_a_file() {
    let server = Server::start(&models().join("model.onnx"), &["--backend", "gmw"]);
    let mut file = vec![0, 0, 8, 3, 0, 0, 3, 232, 0, 0, 0, 28, 0, 0, 0, 28];
    file.resize(16 + 1000 * 784, 0);
    let path = std::env::temp_dir().join(format!("gazelle-{}-many.idx", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let peak = |limit: &str| {
        let path = path.display().to_string();
        let arguments =
            ["infer", "--json", "--server", &server.address, "--limit", limit, path.as_str()];
        let objects = objects(&output(&arguments));
        assert_eq!(objects.len().to_string(), limit);
        assert!(objects[0]["input"].as_str().unwrap().ends_with("many.idx#0"));
        objects.last().unwrap()["peak_rss_bytes"].as_u64().unwrap()
    };
    let (few, many) = (peak("3"), peak("60"));
    std::fs::remove_file(&path).unwrap();
    assert!(many < few + (16 << 20), "{few} bytes for 3, {many} for 60");
}

#[test]
fn a_broken_file_does_not_stop_the_others() {
    let server = Server::start(&models().join("model.onnx"), &[]);
    let folder = std::env::temp_dir().join(format!("gazelle-{}-mixed", std::process::id()));
    std::fs::create_dir_all(folder.join("a")).unwrap();
    std::fs::create_dir_all(folder.join("b")).unwrap();
    let png = models().join("samples/000.png");
    std::fs::copy(&png, folder.join("a/1.png")).unwrap();
    std::fs::copy(models().join("samples/001.png"), folder.join("b/1.png")).unwrap();
    std::fs::write(folder.join("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    std::fs::write(folder.join("note.txt"), b"?").unwrap();
    GrayImage::new(9, 9).save(folder.join("small.png")).unwrap();
    let files = ["broken.png", "a/1.png", "small.png", "gone.png", "note.txt", "b/1.png"];
    let run = |more: &[&str]| {
        gazelle(&["infer", "--json", "--server", &server.address])
            .args(more)
            .args(files)
            .current_dir(&folder)
            .output()
            .unwrap()
    };
    let result = run(&[]);
    assert_eq!(result.status.code(), Some(1));
    let got = lines(&result);
    let names: Vec<&str> = got.iter().map(|object| object["input"].as_str().unwrap()).collect();
    assert_eq!(names, ["a/1.png", "b/1.png"]);
    let told = stderr(&result);
    for name in ["broken.png: ", "small.png: ", "gone.png: ", "note.txt: ", "4 of 6 inputs failed"]
    {
        assert!(told.contains(name), "{told}");
    }
    let first = run(&["--fail-fast"]);
    assert_eq!(first.status.code(), Some(1));
    assert!(first.stdout.is_empty() && stderr(&first).contains("gone.png"), "{}", stderr(&first));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn tensors_of_another_shape_are_refused_with_both_shapes() {
    let server = Server::start(&models().join("model.onnx"), &[]);
    let write = |name: &str, kind: &str, shape: &str, values: &[u8]| {
        let header =
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(values);
        let path = std::env::temp_dir().join(format!("gazelle-{}-{name}.npy", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let ask = |path: &Path| {
        let path = path.display().to_string();
        output(&["infer", "--json", "--server", &server.address, &path])
    };
    let zeros = [0u8; 784 * 8];
    for (name, shape) in [("flat", "784,"), ("flat-batch", "1, 784"), ("last", "1, 28, 28, 1")] {
        let path = write(name, "<f4", shape, &zeros[..784 * 4]);
        let result = ask(&path);
        assert_eq!(result.status.code(), Some(1));
        let told = stderr(&result);
        assert!(told.contains("[1, 1, 28, 28]") && told.contains("784") | told.contains("28, 1]"));
        std::fs::remove_file(path).unwrap();
    }
    for (name, kind, shape, len) in [
        ("bare", "<f4", "1, 28, 28", 4),
        ("wide", "<f8", "1, 1, 28, 28", 8),
        ("u1", "|u1", "1, 1, 28, 28", 1),
    ] {
        let path = write(name, kind, shape, &zeros[..784 * len]);
        assert_eq!(objects(&ask(&path)).len(), 1, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn adversarial_usage_that_was_accepted_without_a_word_is_refused() {
    let server = Server::start(&models().join("model.onnx"), &[]);
    let sample = models().join("samples/000.npy").display().to_string();
    let labels = std::env::temp_dir().join(format!("gazelle-{}-labels", std::process::id()));
    std::fs::write(&labels, "cat\ndog\n").unwrap();
    let labels_path = labels.display().to_string();
    let ask = |more: &[&str]| output(&[&["infer", "--server", &server.address][..], more].concat());
    for (arguments, told) in [
        (&["--labels", &labels_path, &sample][..], "2 lines, the model has 10 classes"),
        (&["--top", "0", &sample], "at least 1"),
    ] {
        let result = ask(arguments);
        assert_eq!(result.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&result).contains(told), "{}", stderr(&result));
    }
    // Both digests are named.
    let wrong = "ab".repeat(32);
    let pinned = ask(&["--pin", &wrong, &sample]);
    assert_eq!(pinned.status.code(), Some(1));
    let told = stderr(&pinned);
    assert!(told.contains(&wrong), "{told}");
    let digest = told.split("its digest is ").nth(1).unwrap()[..64].to_owned();
    assert!(ask(&["--pin", &digest, &sample]).status.success());
    std::fs::remove_file(labels).unwrap();
}

#[test]
fn adversarial_labels_and_file_names_cannot_steer_the_terminal() {
    let labels: Vec<String> =
        (0..10).map(|n| format!("\"\\u001b[2J{n}\\u009b\\u202e\\n\"")).collect();
    let toml =
        format!("[input]\nchannels = \"grey\"\n[output]\nlabels = [{}]\n", labels.join(", "));
    let folder = with_toml("escapes", &toml);
    let server = Server::logging(&folder.join("model.onnx"), &["--model-name", "\u{1b}[31mred"]);
    let image = folder.join("\u{1b}[5m\nimage.png");
    std::fs::copy(models().join("samples/000.png"), &image).unwrap();
    let gone = folder.join("\u{1b}]0;gone\u{7}.png");
    for form in [&["--layers"][..], &["--json"]] {
        let result = gazelle(&["infer", "--server", &server.address])
            .args(form)
            .args([&image, &gone])
            .output()
            .unwrap();
        assert_eq!(result.status.code(), Some(1));
        for stream in [&result.stdout, &result.stderr] {
            let text = String::from_utf8(stream.clone()).unwrap();
            let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!text.contains(bad), "{text:?}");
        }
        if form == ["--json"] {
            let label = lines(&result)[0]["label"].as_str().unwrap().to_owned();
            assert!(label.starts_with("\u{1b}[2J"), "programs get the label as it is");
        }
    }
    assert!(!server.stop().contains('\u{1b}'));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn adversarial_preprocessing_without_bound_is_no_description() {
    let folder = with_toml("resize", "[input]\nresize = 16384\ncrop = [28, 28]\n");
    let model = folder.join("model.onnx").display().to_string();
    for command in ["serve", "inspect"] {
        let result = output(&[command, &model]);
        assert_eq!(result.status.code(), Some(1));
        // `inspect` lists its reasons on standard output.
        let text = String::from_utf8(result.stdout.clone()).unwrap() + &stderr(&result);
        assert!(text.contains("resize = 16384"), "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn known_answer_pictures_are_read_as_people_see_them() {
    let folder = with_toml("pictures", "[input]\nchannels = \"grey\"\n");
    let server = Server::start(&folder.join("model.onnx"), &[]);
    let source = image::open(models().join("samples/000.png")).unwrap().into_luma8();
    source.save(folder.join("plain.png")).unwrap();
    // The digit's pixels are what is opaque: black, on white. Its mirror image in brightness.
    let inverted = GrayImage::from_fn(28, 28, |x, y| Luma([255 - source.get_pixel(x, y)[0]]));
    let transparent =
        image::RgbaImage::from_fn(28, 28, |x, y| image::Rgba([0, 0, 0, source.get_pixel(x, y)[0]]));
    inverted.save(folder.join("inverted.png")).unwrap();
    transparent.save(folder.join("transparent.png")).unwrap();
    let deep = image::ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(28, 28, |x, y| {
        Luma([u16::from(source.get_pixel(x, y)[0]) * 257])
    });
    DynamicImage::from(deep).save(folder.join("deep.png")).unwrap();
    let files = ["plain.png", "deep.png", "inverted.png", "transparent.png"];
    let result = gazelle(&["infer", "--json", "--server", &server.address])
        .args(files)
        .current_dir(&folder)
        .output()
        .unwrap();
    let told = stderr(&result);
    let objects = objects(&result);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(told.matches("transparent pixels were laid on white").count(), 1, "{told}");
    let logits = |index: usize| -> Vec<f64> {
        objects[index]["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let tolerance = 2.0 * objects[0]["tolerance"].as_f64().unwrap();
    for (a, b) in [(0, 1), (2, 3)] {
        let close = logits(a).iter().zip(logits(b)).all(|(a, b)| (a - b).abs() <= tolerance);
        assert!(close, "{} and {}", files[a], files[b]);
    }
}

/// A server whose description the program itself would not make.
fn hostile(change: impl FnOnce(&mut gazelle_model::Interface)) -> String {
    let path = models().join("model.onnx");
    let graph = gazelle_model::import(&std::fs::read(&path).unwrap()).unwrap();
    let mut interface = gazelle_model::Interface::beside(&path, &graph).unwrap();
    let mut quantised =
        gazelle_model::quantise(&graph, &gazelle_model::Options::default()).unwrap();
    gazelle_model::reveal::reveal(&mut quantised.network, interface.output.reveal, 1).unwrap();
    change(&mut interface);
    let architecture = quantised.network.architecture();
    let choice = Choice::uniform(architecture, StepProtocol::Gmw).unwrap();
    let steps = |kind: &NodeKind| matches!(kind, NodeKind::Step(_));
    let suite = choice.suite(architecture.nodes().iter().filter(|n| steps(&n.kind)).count());
    let model = ModelInfo {
        name: "hostile".into(),
        interface: Some(interface),
        tolerance: 0.1,
        proven: false,
    };
    let service =
        DefaultService::compile(suite, quantised.network.clone(), model, choice.to_value())
            .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let channel = tcp::channel(stream, &Timeouts::default()).unwrap();
            let mut rng = gazelle::system_rng().unwrap();
            let _ = service.serve(channel, &ServerLimits::default(), &mut rng);
        }
    });
    address
}

#[test]
fn adversarial_a_description_cannot_make_the_client_allocate() {
    let path = std::env::temp_dir().join(format!("gazelle-{}-wide.png", std::process::id()));
    GrayImage::new(2000, 40).save(&path).unwrap();
    let file = path.display().to_string();
    for (resize, crop) in [(16_384, true), (1 << 40, true), (0, false), (1792, true)] {
        let address = hostile(|interface| {
            let input = interface.input.as_mut().unwrap();
            (input.resize, input.crop) = (Some(resize), crop);
        });
        let begin = std::time::Instant::now();
        let result = output(&["infer", "--server", &address, &file]);
        assert_eq!(result.status.code(), Some(1), "{resize}");
        let told = stderr(&result);
        assert!(told.contains("resize"), "{told}");
        assert!(begin.elapsed().as_secs() < 20);
    }
    std::fs::remove_file(path).unwrap();
}
