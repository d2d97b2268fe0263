//! Bad files and bad peers: a clear error in time, and the server serves the next client.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::{Server, gazelle, objects, output, root, stderr};

fn model() -> PathBuf {
    root().join("models/mnist_d_minionn/model.onnx")
}

fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gazelle-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_corrupt_model_is_an_error() {
    let whole = std::fs::read(model()).unwrap();
    let mut flipped = whole.clone();
    flipped.iter_mut().skip(20).step_by(97).for_each(|byte| *byte ^= 0x55);
    for (index, bytes) in
        [&whole[..whole.len() / 2], &flipped[..], b"", b"no model"].iter().enumerate()
    {
        let path = temporary(&format!("corrupt-{index}.onnx"), bytes);
        for command in ["serve", "inspect"] {
            let output = output(&[command, &path.display().to_string()]);
            assert_eq!(output.status.code(), Some(1), "{command}: {}", stderr(&output));
            assert!(stderr(&output).contains("gazelle: "));
            assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_reader_that_leaves_is_an_error_and_no_panic() {
    for form in [&["inspect"][..], &["inspect", "--json"], &["demo"], &["demo", "--json"]] {
        let mut command = gazelle(form);
        if form.contains(&"inspect") {
            command.arg(model());
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{form:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn strangers_and_wrong_images_do_not_disturb_the_next_client() {
    let server = Server::start(&model(), &["--timeout", "2", "--sessions", "1"]);
    let sample = root().join("models/mnist_d_minionn/samples/000.npy").display().to_string();
    // Says nonsense.
    let mut rude = TcpStream::connect(&server.address).unwrap();
    let _ = rude.write_all(&vec![0x5a; 100_000]);
    drop(rude);
    // Wrong size: told before anything is sent.
    let tall = temporary("tall.png", &png(28, 30));
    let wrong = output(&["infer", "--server", &server.address, &tall.display().to_string()]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("28"), "{}", stderr(&wrong));
    std::fs::remove_file(tall).unwrap();
    let good = objects(&output(&["infer", "--json", "--server", &server.address, &sample]));
    assert_eq!(good.len(), 1);
}

#[test]
fn a_client_that_trickles_loses_its_place() {
    let server = Server::start(&model(), &["--timeout", "2", "--sessions", "1"]);
    let sample = root().join("models/mnist_d_minionn/samples/000.npy").display().to_string();
    let mut slow = TcpStream::connect(&server.address).unwrap();
    let begin = Instant::now();
    // The beginning of an honest hello, a byte every 200 ms: never silent for a whole time-out.
    let hello = b"\x10\0\0\0\x45\0\0\0gazelle\0";
    let mut dropped = false;
    for byte in hello.iter().chain(std::iter::repeat_n(&0u8, 60)) {
        if slow.write_all(&[*byte]).is_err() {
            dropped = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let held = begin.elapsed().as_millis();
    assert!(dropped && (1500..8000).contains(&held), "{held} ms");
    let good = objects(&output(&["infer", "--json", "--server", &server.address, &sample]));
    assert_eq!(good.len(), 1);
}

#[test]
fn a_server_that_says_nothing_is_noticed_within_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sample = root().join("models/mnist_d_minionn/samples/000.npy").display().to_string();
    let begin = Instant::now();
    let result = output(&["infer", "--timeout", "1", "--server", &address, &sample]);
    assert_eq!(result.status.code(), Some(1));
    assert!(stderr(&result).contains("time-out"), "{}", stderr(&result));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn unreadable_inputs_are_errors() {
    for (name, bytes) in
        [("a.npy", &b"\x93NUMPY"[..]), ("b.png", b"no png"), ("c.gz", b"x"), ("d.txt", b"")]
    {
        let path = temporary(name, bytes);
        let result = output(&["infer", "--server", "127.0.0.1:1", &path.display().to_string()]);
        assert_eq!(result.status.code(), Some(1));
        assert!(stderr(&result).contains(name), "{}", stderr(&result));
        std::fs::remove_file(path).unwrap();
    }
}

/// A black PNG.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}
