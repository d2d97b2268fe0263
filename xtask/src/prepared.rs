//! `cargo xtask prepared`: what an inference takes whose material was made ahead, from a process that begins cold,
//! over loopback and mutual TLS, with the release program.
//!
//! Printed: bytes of an entry on disk and how fast it was written, then for each inference the seconds of the
//! client's whole process and of its online phase and its peak memory; and what a process takes that does nothing.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::fleet::{self, Fleet};
use crate::{Failure, generate, process, tests_built};

const USAGE: &str = "usage: cargo xtask prepared [--model NAME|resnet50|squeezenet1.1] [--count N] [--program FILE] [--most SECONDS]";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct PreparedOrders {
    model: String,
    count: usize,
    program: Option<PathBuf>,
    /// What the median online phase may take.
    most: Option<f64>,
}

fn wanted(arguments: &[String]) -> Result<PreparedOrders, Failure> {
    let mut wanted =
        PreparedOrders { model: "mnist_d_minionn".into(), count: 5, program: None, most: None };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--model" => wanted.model.clone_from(value),
            "--count" => wanted.count = value.parse()?,
            "--program" => wanted.program = Some(value.into()),
            "--most" => wanted.most = Some(value.parse()?),
            _ => return Err(USAGE.into()),
        }
    }
    if wanted.count == 0 {
        return Err("--count 0 measures nothing".into());
    }
    Ok(wanted)
}

/// Runs.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let PreparedOrders { model, count, program, most } = wanted(arguments)?;
    let program = program.map_or_else(|| tests_built::release_program(root, "gazelle"), Ok)?;
    let fleet = Fleet::of(root, "prepared", 1, program.clone())?;
    let (folder, inputs) = network(root, &fleet, &model)?;
    let store = fleet.folder().join("store").display().to_string();
    let server = fleet.serve(&folder, &["--store", &store])?;
    let number = count.to_string();
    let made = fleet.client(
        0,
        &["prepare", "--server", &server.address, "--count", &number, "--timeout", "900"],
    )?;
    let made = made.wait_with_output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    for line in String::from_utf8_lossy(&made.stderr).lines().filter(|line| line.contains(" MB/s"))
    {
        println!("prepare: {line}");
    }
    let (mut whole, mut online) = (Vec::new(), Vec::new());
    for input in inputs.iter().cycle().take(count) {
        let begin = Instant::now();
        let output = fleet.infer(0, &server.address, &[], std::slice::from_ref(input))?;
        let output = output.wait_with_output()?;
        let seconds = begin.elapsed().as_secs_f64();
        fleet::read(&output, std::slice::from_ref(input))?;
        let object: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let phase = |name: &str| {
            let seconds = object.get(name).and_then(|phase| phase.get("seconds"));
            seconds.and_then(serde_json::Value::as_f64).ok_or("no phase")
        };
        if phase("offline")? > 0.0 {
            return Err("an inference made its material itself".into());
        }
        let peak = object.get("peak_rss_bytes").and_then(serde_json::Value::as_u64);
        println!(
            "infer: {seconds:.3} s whole, {:.3} s online, {:.0} MB at most",
            phase("online")?,
            peak.ok_or("no peak")? as f64 / 1e6
        );
        whole.push(seconds);
        online.push(phase("online")?);
    }
    let start = |_| {
        let begin = Instant::now();
        process::output(Command::new(&program).arg("--version"))?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let mut starts = (0..9).map(start).collect::<Result<Vec<f64>, Failure>>()?;
    let (_, resident) = server.holds()?;
    let online = median(&mut online);
    println!(
        "{model}: {:.3} s whole, {online:.3} s online (medians of {count}); {:.3} s a process that does nothing; \
         server {:.0} MB afterwards",
        median(&mut whole),
        median(&mut starts),
        resident as f64 / 1e6
    );
    match most {
        Some(most) if online > most => Err(format!("more than {most} s online").into()),
        _ => Ok(()),
    }
}

/// A model's folder and inputs: a folder that is there, or generated with an image of noise.
fn network(root: &Path, fleet: &Fleet, name: &str) -> Result<(String, Vec<String>), Failure> {
    if let Some(folder) = fleet::model_folder(root, name) {
        let inputs = fleet.samples(&folder)?;
        return Ok((folder, inputs));
    }
    let folder = fleet.folder().join(name);
    fs::create_dir_all(folder.join("samples"))?;
    let model = folder.join("model.onnx").display().to_string();
    generate::run(root, &[name.to_owned(), model])?;
    let folder = folder.display().to_string();
    noise(&Path::new(&folder).join("samples/0.npy"))?;
    let inputs = fleet.samples(&folder)?;
    Ok((folder, inputs))
}

/// An image of 224 x 224 pixels in [0, 1), always the same.
fn noise(path: &Path) -> Result<(), Failure> {
    let mut header =
        String::from("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = File::create(path)?;
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&u16::try_from(header.len())?.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(4 * 3 * 224 * 224);
    for _ in 0..3 * 224 * 224 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pixel = (state >> 40) as f32 / (1u32 << 24) as f32;
        bytes.extend_from_slice(&pixel.to_le_bytes());
    }
    Ok(file.write_all(&bytes)?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    // optional: of nothing there is none, and there is something
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let read = wanted(&words("--model resnet50 --count 3 --most 0.9")).unwrap();
        let expected =
            PreparedOrders { model: "resnet50".into(), count: 3, program: None, most: Some(0.9) };
        assert_eq!(read, expected);
        assert!(wanted(&words("--count 0")).is_err() && wanted(&words("--count")).is_err());
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }
}
