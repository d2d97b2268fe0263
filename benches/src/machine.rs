//! What machine this is.

use std::process::Command;

use serde::Serialize;

/// The first line of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    instruction_sets: Vec<&'static str>,
    isa_cap: Option<String>,
    rustc: String,
    commit: String,
    dirty: bool,
    debug_assertions: bool,
}

/// Asks the system.
pub(crate) fn describe() -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(':').nth(1))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned());
    Machine {
        cpu,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: instruction_sets(),
        isa_cap: std::env::var("GAZELLE_ISA").ok(),
        rustc: output("rustc", &["--version"]),
        commit: output("git", &["rev-parse", "--short", "HEAD"]),
        dirty: !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty(),
        debug_assertions: cfg!(debug_assertions),
    }
}

/// The machine in a few words: processor, cores, commit.
pub(crate) fn summary() -> String {
    let Machine { cpu, cores, commit, .. } = describe();
    format!("{cpu}, {cores} cores, at {commit}")
}

/// Largest resident set of this process so far (`VmHWM`); 0 where the system does not say.
pub(crate) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Processor seconds of this process so far, all threads, to a hundredth; 0 where the system does not say.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything: state is field 3, utime and stime 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// Lets [`peak_rss_bytes`] start anew from what is resident now, where the system can do that.
pub(crate) fn forget_peak() {
    if let Err(error) = std::fs::write("/proc/self/clear_refs", "5") {
        eprintln!("bench: the memory peak includes loading: {error}");
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    let mut sets = Vec::new();
    let mut note = |there: bool, name| {
        if there {
            sets.push(name);
        }
    };
    note(std::arch::is_x86_feature_detected!("aes"), "aes");
    note(std::arch::is_x86_feature_detected!("avx2"), "avx2");
    note(std::arch::is_x86_feature_detected!("avx512f"), "avx512f");
    note(std::arch::is_x86_feature_detected!("avx512ifma"), "avx512ifma");
    note(std::arch::is_x86_feature_detected!("vaes"), "vaes");
    note(std::arch::is_x86_feature_detected!("vpclmulqdq"), "vpclmulqdq");
    sets
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}

fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
