//! `cargo xtask soak`: many clients on one server, while hostile connections garble, stall and flood.
//!
//! Every answer has to be the one that a calm server gives, bit for bit; open files go back to where they
//! were, and memory stays within what `--memory` allows beside the program itself; in long runs it grows by
//! at most 1 MiB per 1,000 inferences.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::fleet::{self, Answers, Fleet, FleetServer, Hostile};

const MEMORY_MIB: u64 = 1024;
/// Twice as many clients as places: the second half waits until the first one's batches are done.
const WAIT: &str = "3600";

/// The numbers of a run.
#[derive(Debug, Clone)]
struct Wanted {
    clients: usize,
    hostile: usize,
    /// Where hostile connections come from; clients come from 127.0.0.1.
    hostile_from: IpAddr,
    /// They stand for other machines, and take the two cores of this one by so much later.
    hostile_nice: u8,
    minutes: u64,
    /// Of each client in a round; all samples if it is not said.
    images: Option<usize>,
    model: String,
    /// Of offline threads on both sides.
    offline_nice: u8,
    /// What runs instead of the program that tests run with.
    program: Option<PathBuf>,
}

/// Runs: `--clients N` (4), `--hostile N` (16), `--hostile-from ADDRESS` (127.0.0.2), `--hostile-nice N` (0) of their
/// threads, `--minutes N` (0: one round), `--images N` (of each client in a round: the samples), `--model NAME`
/// (`mnist_d_minionn`, or a folder with `model.onnx` and `samples`), `--offline-nice N` (0) of both sides, `--program
/// FILE` (the one that tests run with).
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let wanted = parse(arguments)?;
    let fleet = match &wanted.program {
        Some(program) => Fleet::of(root, "soak", wanted.clients, program.canonicalize()?)?,
        None => Fleet::new(root, "soak", wanted.clients)?,
    };
    let samples = fleet.samples(&wanted.model)?;
    let images = wanted.images.unwrap_or(samples.len());
    let inputs: Vec<String> = samples.iter().cycle().take(images).cloned().collect();
    let memory = MEMORY_MIB.to_string();
    let nice = wanted.offline_nice.to_string();
    let both = ["--offline-nice", &nice, "--wait", WAIT];
    let mut more = vec!["--sessions", "8", "--memory", &memory];
    more.extend(both);
    let server = fleet.serve(&wanted.model, &more)?;
    // The calm server's answers; and everything that is made once has been made.
    let alone = fleet.infer(0, &server.address, &both, &inputs)?.wait_with_output()?;
    let expected = fleet::read(&alone, &inputs)?;
    let alone = median(fleet::online_seconds(&alone)?);
    let calm = Instant::now();
    let clients = round(&fleet, &server, (wanted.clients, &both), &inputs, &expected)?;
    let calm = calm.elapsed();
    let online = median(clients.online.clone());
    println!(
        "shared: the slowest of {} clients takes {:.2} times their mean; online phases take {:.1} ms, {:.1} ms \
         of one client alone ({:.1} times, medians)",
        wanted.clients,
        clients.slowest_of_mean(),
        online * 1e3,
        alone * 1e3,
        online / alone
    );
    settle(&server)?;
    let (files, resident) = server.holds()?;
    println!(
        "calm: {files} open files, {} MiB resident; a round of {} clients takes {:.1} s",
        resident >> 20,
        wanted.clients,
        calm.as_secs_f64()
    );

    let begin = Instant::now();
    let from = (wanted.hostile_from, wanted.hostile_nice);
    let hostile = Hostile::start(wanted.hostile, from, &server.address)?;
    let (mut inferences, mut most, mut seen, mut longest) = (0, resident, Vec::new(), 0.0f64);
    while seen.is_empty() || begin.elapsed() < Duration::from_mins(wanted.minutes) {
        let start = Instant::now();
        round(&fleet, &server, (wanted.clients, &both), &inputs, &expected)?;
        inferences += wanted.clients * inputs.len();
        longest = longest.max(start.elapsed().as_secs_f64());
        let (_, now) = server.holds()?;
        most = most.max(now);
        seen.push((inferences as f64, now as f64));
    }
    let mean = begin.elapsed().as_secs_f64() / seen.len() as f64;
    let connections = hostile.stop();
    settle(&server)?;
    let (files_after, after) = server.holds()?;
    println!(
        "{} rounds, {inferences} inferences, all right; {connections} hostile connections\n\
         a round takes {:.2} times as long as calm, {:.2} at most\n\
         after: {files_after} open files, {} MiB resident, {} MiB at most",
        seen.len(),
        mean / calm.as_secs_f64(),
        longest / calm.as_secs_f64(),
        after >> 20,
        most >> 20
    );
    if files_after > files {
        return Err(format!("{files_after} open files, {files} before").into());
    }
    if most > resident + (MEMORY_MIB << 20) {
        return Err(format!("{} MiB resident: more than --memory allows", most >> 20).into());
    }
    // Of a short run the slope says nothing: the first sessions fill what all later ones use again.
    let settled = seen.get(seen.len() / 5..).unwrap_or_default();
    if let Some(slope) = slope(settled)
        && settled.len() >= 20
    {
        let slope = slope * 1000.0 / f64::from(1 << 20);
        println!("memory grows by {slope:.2} MiB per 1,000 inferences");
        if slope > 1.0 {
            return Err("that is more than 1 MiB".into());
        }
    }
    Ok(())
}

/// The slope of the line nearest to the points, by least squares; `None` of fewer than two.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let product: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (square > 0.0).then(|| product / square)
}

/// What a round took.
struct Round {
    /// Seconds of each client.
    clients: Vec<f64>,
    /// Seconds of all online phases.
    online: Vec<f64>,
}

impl Round {
    fn slowest_of_mean(&self) -> f64 {
        let mean = self.clients.iter().sum::<f64>() / self.clients.len() as f64;
        self.clients.iter().copied().fold(0.0, f64::max) / mean
    }
}

/// The middle one; of none nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All clients at once, each over all inputs.
fn round(
    fleet: &Fleet,
    server: &FleetServer,
    (clients, more): (usize, &[&str]),
    inputs: &[String],
    expected: &Answers,
) -> Result<Round, Failure> {
    let begin = Instant::now();
    let children = (0..clients)
        .map(|client| fleet.infer(client, &server.address, more, inputs))
        .collect::<Result<Vec<_>, Failure>>()?;
    let waits = children.into_iter().map(|child| {
        std::thread::spawn(move || (child.wait_with_output(), begin.elapsed().as_secs_f64()))
    });
    let mut round = Round { clients: Vec::new(), online: Vec::new() };
    for wait in waits.collect::<Vec<_>>() {
        let (output, seconds) = wait.join().map_err(|_| "a thread that waits panicked")?;
        let output = output?;
        if fleet::read(&output, inputs)? != *expected {
            return Err("a client got other answers than from the calm server".into());
        }
        round.clients.push(seconds);
        round.online.extend(fleet::online_seconds(&output)?);
    }
    Ok(round)
}

/// Waits until no session runs, and connections that were being refused are gone.
fn settle(server: &FleetServer) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(20);
    while server.metric("gazelle_sessions")? > 0.0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        clients: 4,
        hostile: 16,
        hostile_from: Ipv4Addr::new(127, 0, 0, 2).into(),
        hostile_nice: 0,
        minutes: 0,
        images: None,
        model: "mnist_d_minionn".to_owned(),
        offline_nice: 0,
        program: None,
    };
    for pair in arguments.chunks(2) {
        match pair {
            [flag, number] if flag == "--clients" => wanted.clients = number.parse()?,
            [flag, number] if flag == "--hostile" => wanted.hostile = number.parse()?,
            [flag, address] if flag == "--hostile-from" => wanted.hostile_from = address.parse()?,
            [flag, number] if flag == "--hostile-nice" => wanted.hostile_nice = number.parse()?,
            [flag, number] if flag == "--minutes" => wanted.minutes = number.parse()?,
            [flag, number] if flag == "--images" => wanted.images = Some(number.parse()?),
            [flag, number] if flag == "--offline-nice" => wanted.offline_nice = number.parse()?,
            [flag, name] if flag == "--model" => wanted.model.clone_from(name),
            [flag, file] if flag == "--program" => wanted.program = Some(file.into()),
            _ => {
                return Err(
                    "usage: cargo xtask soak [--clients N] [--hostile N] [--hostile-from ADDRESS] \
                            [--hostile-nice N] [--minutes N] [--images N] [--model NAME] [--offline-nice N] \
                            [--program FILE]"
                        .into(),
                );
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::{Round, median, parse, slope};

    #[test]
    fn known_answer_the_slowest_of_the_mean_and_the_middle() {
        let round = Round { clients: vec![1.0, 2.0, 3.0], online: Vec::new() };
        assert!((round.slowest_of_mean() - 1.5).abs() < 1e-12);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_slope_is_that_of_the_nearest_line() {
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]), Some(2.0));
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 0.0), (2.0, 1.0)]), Some(0.0));
        assert_eq!(slope(&[(1.0, 5.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn numbers_are_read_and_nothing_else() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(String::from).collect() };
        let wanted = parse(&words("--clients 16 --hostile 64 --minutes 30 --offline-nice 9"));
        let wanted = wanted.unwrap();
        assert_eq!((wanted.clients, wanted.hostile, wanted.minutes), (16, 64, 30));
        assert_eq!(wanted.offline_nice, 9);
        assert_eq!(parse(&words("--hostile-nice 19")).unwrap().hostile_nice, 19);
        assert!(parse(&words("--hostile-from 127.0.0.300")).is_err());
        assert!(parse(&[]).is_ok());
        assert!(parse(&words("--clients")).is_err() && parse(&words("--clients x")).is_err());
    }
}
