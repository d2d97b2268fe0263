//! `cargo xtask crash`: clients and a server are killed (SIGKILL) at random moments while they prepare and use
//! stored material.
//!
//! Afterwards, by both logs and both stores: no entry was used twice, every file can be read, and every entry
//! that survived on both sides gives a right answer.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::fleet::{self, Answers, Fleet, FleetServer};

const MODEL: &str = "mnist_d_minionn";
/// What both parties say when they use an entry, before its first online byte.
const USED: [&str; 2] =
    ["material that was made ahead is used", "material that was made ahead is taken"];

/// What a party says of a store that it cannot read.
const UNREADABLE: [&str; 4] = ["is removed", "is lost", "cannot be read", "cannot be listed"];
/// Kills between two looks at both stores.
const ROUND: u32 = 100;

const USAGE: &str = "usage: cargo xtask crash [--kills N] [--program FILE]";

/// Runs: `--kills N` (20), both stores looked at after every hundred; `--program FILE`: this build.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let (mut kills, mut program) = (20u32, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--kills" => kills = value.parse()?,
            "--program" => program = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    let fleet = match program {
        Some(program) => Fleet::of(root, "crash", 1, program)?,
        None => Fleet::new(root, "crash", 1)?,
    };
    let store = fleet.folder().join("store").display().to_string();
    let address = format!("127.0.0.1:{}", fleet::free_port()?);
    let inputs = fleet.samples(MODEL)?;
    let mut trial = Trial {
        fleet,
        store,
        address,
        inputs,
        expected: Answers::new(),
        told: String::new(),
        killed: [0; 2],
        takes: [0; 2],
    };
    let server = trial.start()?;
    let first = trial.fleet.infer(0, &trial.address, &[], &trial.inputs)?;
    trial.expected = fleet::answers(first, &trial.inputs)?;
    trial.measure()?;
    drop(server);
    while trial.kills() < kills {
        let server = trial.start()?;
        let server = trial.storm(server, kills.min(trial.kills() + ROUND))?;
        drop(server);
        let survived = trial.check()?;
        let [clients, servers] = trial.killed;
        println!(
            "{clients} kills of the client, {servers} of the server: {} entries used by the client, {} by the \
             server, none twice; {survived} survived, all of them good",
            ids(&trial.told, USED[0])?.len(),
            ids(&trial.served()?, USED[1])?.len()
        );
    }
    Ok(())
}

/// A client and a server with a store each, and what happened to them.
struct Trial {
    fleet: Fleet,
    store: String,
    address: String,
    inputs: Vec<String>,
    expected: Answers,
    /// What all clients said.
    told: String,
    /// Of clients, of servers.
    killed: [u32; 2],
    /// What `prepare` and `infer` take in peace, in milliseconds.
    takes: [u64; 2],
}

impl Trial {
    fn start(&self) -> Result<FleetServer, Failure> {
        self.fleet.serve_at(MODEL, &self.address, &["--store", &self.store])
    }

    fn kills(&self) -> u32 {
        self.killed.iter().sum()
    }

    fn served(&self) -> Result<String, Failure> {
        Ok(fs::read_to_string(self.fleet.folder().join("server.log"))?)
    }

    fn prepare(&self) -> Vec<&str> {
        vec!["prepare", "--server", &self.address, "--count", "4"]
    }

    fn infer(&self) -> Vec<&str> {
        let mut arguments = vec!["infer", "--json", "--retries", "0", "--server", &self.address];
        arguments.extend(self.inputs.iter().take(4).map(String::as_str));
        arguments
    }

    /// Both commands once in peace.
    fn measure(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut said = finish(&self.fleet, &self.prepare())?;
        let between = Instant::now();
        said.push_str(&finish(&self.fleet, &self.infer())?);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis());
        self.takes = [milliseconds(between - begin)?, milliseconds(between.elapsed())?];
        self.told.push_str(&said);
        Ok(())
    }

    /// Kills until there were so many, at any moment of what a client does.
    fn storm(&mut self, mut server: FleetServer, kills: u32) -> Result<FleetServer, Failure> {
        while self.kills() < kills {
            let infers = random(2) == 0;
            // Something to use: made in peace.
            if infers && count(&self.fleet)? < 3 {
                let said = finish(&self.fleet, &self.prepare())?;
                self.told.push_str(&said);
            }
            let arguments = if infers { self.infer() } else { self.prepare() };
            let mut client = self.fleet.client(0, &arguments)?;
            let [prepare, infer] = self.takes;
            let takes = if infers { infer } else { prepare };
            std::thread::sleep(Duration::from_millis(random(takes.max(1))));
            let [clients, servers] = &mut self.killed;
            if random(2) == 0 {
                client.kill()?;
                *clients += 1;
            } else {
                server.kill()?;
                *servers += 1;
                server = self.start()?;
            }
            let output = client.wait_with_output()?;
            self.told.push_str(&String::from_utf8_lossy(&output.stderr));
            check_some(&output.stdout, &self.expected)?;
        }
        Ok(server)
    }

    /// A calm server, and one more entry: both stores are compared before it is made. Everything can be read,
    /// every entry is used, and none was used before; how many there were.
    fn check(&mut self) -> Result<usize, Failure> {
        let server = self.start()?;
        let said = finish(&self.fleet, &["prepare", "--server", &self.address])?;
        self.told.push_str(&said);
        finish(&self.fleet, &["material", "verify"])?;
        let survived = count(&self.fleet)?;
        let mut arguments = vec!["infer", "--json", "--server", &self.address];
        arguments.extend(self.inputs.iter().cycle().take(survived).map(String::as_str));
        let output = self.fleet.client(0, &arguments)?.wait_with_output()?;
        let last = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("the last client failed: {last}").into());
        }
        check_some(&output.stdout, &self.expected)?;
        let used = ids(&last, USED[0])?.len();
        if used != survived || count(&self.fleet)? != 0 {
            return Err(format!("{survived} entries survived, {used} could be used: {last}").into());
        }
        self.told.push_str(&last);
        let stored = server.metric("gazelle_stored_entries")?;
        drop(server);
        if stored != 0.0 {
            return Err(format!("the server has {stored} halves without a partner").into());
        }
        let served = self.served()?;
        let (client, server) = (ids(&self.told, USED[0])?, ids(&served, USED[1])?);
        if let Some(alone) = client.difference(&server).next() {
            return Err(format!("entry {alone} was used by the client alone").into());
        }
        let mut lines = self.told.lines().chain(served.lines());
        if let Some(line) = lines.find(|line| UNREADABLE.iter().any(|text| line.contains(text))) {
            return Err(format!("a store cannot be read: {line}").into());
        }
        Ok(survived)
    }
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
