//! `cargo xtask soak`: many clients on one server, while hostile connections garble, stall and flood.
//!
//! Every answer has to be the one that a calm server gives, bit for bit; open files go back to where they
//! were, and memory stays within what `--memory` allows beside the program itself; in long runs it grows by
//! at most 1 MiB per 1,000 inferences.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::fleet::{self, Answers, Fleet, FleetServer, Hostile};

const MODEL: &str = "mnist_d_minionn";
const MEMORY_MIB: u64 = 1024;

/// The numbers of a run.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    clients: usize,
    hostile: usize,
    minutes: u64,
}

/// Runs: `--clients N` (4), `--hostile N` (16), `--minutes N` (0: one round).
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let wanted = parse(arguments)?;
    let fleet = Fleet::new(root, "soak", wanted.clients)?;
    let inputs = fleet.samples(MODEL)?;
    let memory = MEMORY_MIB.to_string();
    let server = fleet.serve(MODEL, &["--sessions", "8", "--memory", &memory])?;
    // The calm server's answers; and everything that is made once has been made.
    let expected = fleet::answers(fleet.infer(0, &server.address, &inputs)?, &inputs)?;
    let calm = Instant::now();
    round(&fleet, &server, wanted.clients, &inputs, &expected)?;
    let calm = calm.elapsed();
    settle(&server)?;
    let (files, resident) = server.holds()?;
    println!(
        "calm: {files} open files, {} MiB resident; a round of {} clients takes {:.1} s",
        resident >> 20,
        wanted.clients,
        calm.as_secs_f64()
    );

    let begin = Instant::now();
    let hostile = Hostile::start(wanted.hostile, &server.address);
    let (mut inferences, mut most, mut seen, mut longest) = (0, resident, Vec::new(), 0.0f64);
    while seen.is_empty() || begin.elapsed() < Duration::from_mins(wanted.minutes) {
        let start = Instant::now();
        inferences += round(&fleet, &server, wanted.clients, &inputs, &expected)?;
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

/// All clients at once, each over all inputs.
fn round(
    fleet: &Fleet,
    server: &FleetServer,
    clients: usize,
    inputs: &[String],
    expected: &Answers,
) -> Result<usize, Failure> {
    let children = (0..clients)
        .map(|client| fleet.infer(client, &server.address, inputs))
        .collect::<Result<Vec<_>, Failure>>()?;
    for child in children {
        if fleet::answers(child, inputs)? != *expected {
            return Err("a client got other answers than from the calm server".into());
        }
    }
    Ok(clients * inputs.len())
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
    let mut wanted = Wanted { clients: 4, hostile: 16, minutes: 0 };
    for pair in arguments.chunks(2) {
        match pair {
            [flag, number] if flag == "--clients" => wanted.clients = number.parse()?,
            [flag, number] if flag == "--hostile" => wanted.hostile = number.parse()?,
            [flag, number] if flag == "--minutes" => wanted.minutes = number.parse()?,
            _ => {
                return Err(
                    "usage: cargo xtask soak [--clients N] [--hostile N] [--minutes N]".into()
                );
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::{parse, slope};

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
        let wanted = parse(&words("--clients 16 --hostile 64 --minutes 30")).unwrap();
        assert_eq!((wanted.clients, wanted.hostile, wanted.minutes), (16, 64, 30));
        assert!(parse(&[]).is_ok());
        assert!(parse(&words("--clients")).is_err() && parse(&words("--clients x")).is_err());
    }
}
