//! `cargo xtask jobs`: many images over a link of limited bandwidth and latency, by the release program as two
//! processes: one image at a time, and several at once (`gazelle infer --jobs`).
//!
//! Each run makes its own setup. Printed: seconds of the client's whole process with one job and with several,
//! and how many times as fast that is; turns of the first image's setup and offline phase.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::fleet::{self, Fleet};
use crate::shaped::Link;
use crate::{Failure, tests_built};

const USAGE: &str = "usage: cargo xtask jobs [--model NAME] [--images N] [--jobs J] [--program FILE] [--least RATIO]";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct JobsOrders {
    model: String,
    images: usize,
    jobs: usize,
    program: Option<PathBuf>,
    /// How many times as fast several jobs have to be.
    least: Option<f64>,
}

fn wanted(arguments: &[String]) -> Result<JobsOrders, Failure> {
    let model = "cifar10_resnet20".into();
    let mut wanted = JobsOrders { model, images: 16, jobs: 4, program: None, least: None };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--model" => wanted.model.clone_from(value),
            "--images" => wanted.images = value.parse()?,
            "--jobs" => wanted.jobs = value.parse()?,
            "--program" => wanted.program = Some(value.into()),
            "--least" => wanted.least = Some(value.parse()?),
            _ => return Err(USAGE.into()),
        }
    }
    if wanted.images == 0 || wanted.jobs == 0 {
        return Err("no images or no jobs: that measures nothing".into());
    }
    Ok(wanted)
}

/// Runs.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let JobsOrders { model, images, jobs, program, least } = wanted(arguments)?;
    let program = program.map_or_else(|| tests_built::release_program(root, "gazelle"), Ok)?;
    let fleet = Fleet::of(root, "jobs", 1, program)?;
    let folder = fleet::model_folder(root, &model).ok_or_else(|| format!("no model {model}"))?;
    let samples = fleet.samples(&folder)?;
    let inputs: Vec<String> = samples.iter().cycle().take(images).cloned().collect();
    // One client gets all places but one.
    let places = (jobs + 1).to_string();
    let server = fleet.serve(&folder, &["--link", "wan", "--sessions", &places])?;
    let address = Link::WAN.before(&server.address)?;
    let seconds = |jobs: usize| -> Result<f64, Failure> {
        let number = jobs.to_string();
        let mut arguments = vec!["infer", "--json", "--jobs", &number, "--server", &address];
        arguments.extend(inputs.iter().map(String::as_str));
        let begin = Instant::now();
        let output = fleet.client(0, &arguments)?.wait_with_output()?;
        let seconds = begin.elapsed().as_secs_f64();
        fleet::read(&output, &inputs)?;
        let turns = turns(&output.stdout)?;
        println!("--jobs {jobs}: {seconds:.2} s; turns of the first image: {turns}");
        Ok(seconds)
    };
    let (one, several) = (seconds(1)?, seconds(jobs)?);
    let ratio = one / several;
    println!(
        "{model}, {images} images, 400 Mbit/s, 40 ms: --jobs {jobs} is {ratio:.2} times as fast as --jobs 1"
    );
    match least {
        Some(least) if ratio < least => Err(format!("less than {least} times").into()),
        _ => Ok(()),
    }
}

/// Turns of setup, offline and online phase of the first answer.
fn turns(answers: &[u8]) -> Result<String, Failure> {
    let line = std::str::from_utf8(answers)?.lines().next().ok_or("no answer")?;
    let object: serde_json::Value = serde_json::from_str(line)?;
    let of = |name: &str| {
        let turns = object.get(name).and_then(|phase| phase.get("turns"));
        turns.map_or_else(|| format!("{name} none"), |turns| format!("{name} {turns}"))
    };
    Ok(["setup", "offline", "online"].map(of).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let read = wanted(&words("--model mnist_d_minionn --images 8 --jobs 2 --least 3")).unwrap();
        let expected = JobsOrders {
            model: "mnist_d_minionn".into(),
            images: 8,
            jobs: 2,
            program: None,
            least: Some(3.0),
        };
        assert_eq!(read, expected);
        assert!(wanted(&words("--images 0")).is_err() && wanted(&words("--jobs")).is_err());
    }

    #[test]
    fn turns_are_read_off_the_first_answer() {
        let line = r#"{"input": "a", "setup": {"turns": 3}, "offline": {"turns": 2}}"#;
        assert_eq!(turns(line.as_bytes()).unwrap(), "setup 3, offline 2, online none");
    }
}
