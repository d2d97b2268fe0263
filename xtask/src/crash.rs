//! `cargo xtask crash`: clients and a server are killed (SIGKILL) at random moments while they prepare and use
//! stored material.
//!
//! Afterwards, by both logs and both stores: no entry was used twice, every file can be read, and every entry
//! that survived on both sides gives a right answer.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::fleet::{self, Answers, Fleet};

const MODEL: &str = "mnist_d_minionn";
/// What both parties say when they use an entry, before its first online byte.
const USED: [&str; 2] =
    ["material that was made ahead is used", "material that was made ahead is taken"];

/// Runs: `--kills N` (20).
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let kills: u32 = match arguments {
        [] => 20,
        [flag, number] if flag == "--kills" => number.parse()?,
        _ => return Err("usage: cargo xtask crash [--kills N]".into()),
    };
    let fleet = Fleet::new(root, "crash", 1)?;
    let store = fleet.folder().join("store").display().to_string();
    let address = format!("127.0.0.1:{}", fleet::free_port()?);
    let start = || fleet.serve_at(MODEL, &address, &["--store", &store]);
    let inputs = fleet.samples(MODEL)?;
    let mut server = start()?;
    let expected = fleet::answers(fleet.infer(0, &address, &inputs)?, &inputs)?;
    let (mut told, mut killed) = (String::new(), [0, 0]);
    while killed.iter().sum::<u32>() < kills {
        let infers = random(2) == 0;
        let mut arguments = vec!["prepare", "--server", &address, "--count", "4"];
        if infers {
            // Something to use: made in peace.
            if count(&fleet)? < 3 {
                told.push_str(&finish(&fleet, &arguments)?);
            }
            arguments = vec!["infer", "--json", "--retries", "0", "--server", &address];
            arguments.extend(inputs.iter().take(4).map(String::as_str));
        }
        let mut client = fleet.client(0, &arguments)?;
        std::thread::sleep(Duration::from_millis(random(600)));
        if random(2) == 0 {
            client.kill()?;
            *killed.first_mut().ok_or("no count")? += 1;
        } else {
            server.kill()?;
            *killed.last_mut().ok_or("no count")? += 1;
            server = start()?;
        }
        let output = client.wait_with_output()?;
        told.push_str(&String::from_utf8_lossy(&output.stderr));
        check_some(&output.stdout, &expected)?;
    }
    // A calm server, and one more entry: both stores are compared before it is made.
    server.kill()?;
    let server = start()?;
    told.push_str(&finish(&fleet, &["prepare", "--server", &address])?);
    let listed = finish(&fleet, &["material", "verify"])?;
    let survived = count(&fleet)?;
    let mut arguments = vec!["infer", "--json", "--server", &address];
    arguments.extend(inputs.iter().cycle().take(survived).map(String::as_str));
    let output = fleet.client(0, &arguments)?.wait_with_output()?;
    let last = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("the last client failed: {last}").into());
    }
    check_some(&output.stdout, &expected)?;
    let used_last = ids(&last, USED[0])?.len();
    if used_last != survived || count(&fleet)? != 0 {
        return Err(
            format!("{survived} entries survived, {used_last} could be used: {last}").into()
        );
    }
    told.push_str(&last);
    drop(server);
    let served = fs::read_to_string(fleet.folder().join("server.log"))?;
    let (client, server) = (ids(&told, USED[0])?, ids(&served, USED[1])?);
    for unreadable in ["is removed", "is lost", "cannot be read", "cannot be listed"] {
        if let Some(line) =
            told.lines().chain(served.lines()).find(|line| line.contains(unreadable))
        {
            return Err(format!("a store cannot be read: {line}").into());
        }
    }
    println!(
        "{} kills of the client, {} of the server: {} entries used by the client, {} by the server, none \
         twice; {survived} survived, all of them good{listed}",
        killed[0],
        killed[1],
        client.len(),
        server.len()
    );
    Ok(())
}

/// Runs a client's command to its end; what it said.
fn finish(fleet: &Fleet, arguments: &[&str]) -> Result<String, Failure> {
    let output = fleet.client(0, arguments)?.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        Ok(told)
    } else {
        Err(format!("{arguments:?}: {told}{said}").into())
    }
}

/// Entries in the client's store.
fn count(fleet: &Fleet) -> Result<usize, Failure> {
    let output = fleet.client(0, &["material", "list"])?.wait_with_output()?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(lines.lines().filter(|line| line.starts_with("material")).count())
}

/// The ids in a log's lines with this text; none may occur twice.
fn ids(log: &str, text: &str) -> Result<HashSet<String>, Failure> {
    let mut found = HashSet::new();
    for line in log.lines().filter(|line| line.contains(text)) {
        let id = line.split("id=").nth(1).ok_or_else(|| format!("no id in {line}"))?;
        let id = id.split_whitespace().next().unwrap_or_default().trim_matches('"');
        if !found.insert(id.to_owned()) {
            return Err(format!("entry {id} was used twice").into());
        }
    }
    Ok(found)
}

/// The answers that a client gave before it ended are right.
fn check_some(output: &[u8], expected: &Answers) -> Result<(), Failure> {
    for line in String::from_utf8_lossy(output).lines() {
        // A client that was killed may have written half a line.
        let Ok(object) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let input = object.get("input").and_then(serde_json::Value::as_str).ok_or("no input")?;
        let logits = object.get("logits").ok_or("no logits")?.to_string();
        if expected.get(input) != Some(&logits) {
            return Err(format!("a wrong answer for {input}: {logits}").into());
        }
    }
    Ok(())
}

/// Any number below a bound.
fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

#[cfg(test)]
mod tests {
    use super::{USED, ids};

    #[test]
    fn an_entry_that_is_used_twice_is_found() {
        let line = |id: &str| format!("2026 INFO {} id=\"{id}\"\n", USED[0]);
        let log = line("aa") + "other id=\"aa\"\n" + &line("bb");
        assert_eq!(ids(&log, USED[0]).unwrap().len(), 2);
        assert!(ids(&(log + &line("aa")), USED[0]).is_err());
    }
}
