//! The benchmark runner: `cargo xtask bench [suite] [--filter S] [--link L] [--model NAME] [--rounding R]
//! [--json FILE]`, or `cargo xtask bench --prices`.
//!
//! The first line describes the machine; then one JSON object per figure, see [`measure::Measurement`].
//! A suite is a file `src/<suite>.rs` with `pub(crate) fn run(bench: &mut Bench) -> Outcome`, listed
//! in [`SUITES`].

mod convert;
mod garble;
mod he;
mod inference;
mod limits;
mod linear;
mod machine;
mod measure;
mod networks;
mod nonlinear;
mod ot;
mod prices;
mod report;
mod ring;
mod store;
mod untrusted;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gazelle_model::RoundingMode;

use crate::inference::Party;
use crate::measure::{Bench, Link, Selection};
use crate::report::Report;

/// What a suite returns.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A suite's name and what runs it.
type Suite = (&'static str, fn(&mut Bench) -> Outcome);

/// Every suite, in the order in which they run.
const SUITES: [Suite; 10] = [
    ("ring", ring::run),
    ("he", he::run),
    ("ot", ot::run),
    ("garble", garble::run),
    ("convert", convert::run),
    ("linear", linear::run),
    ("nonlinear", nonlinear::run),
    ("store", store::run),
    ("inference", inference::run),
    ("untrusted", untrusted::run),
];

/// Benchmarks by layer and end to end; figures are JSON lines on standard output.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Arguments {
    /// One of ring, he, ot, garble, convert, linear, nonlinear, store, inference, untrusted; all if left out.
    suite: Option<String>,
    /// Only ids that contain this.
    #[arg(long)]
    filter: Option<String>,
    /// Only this link (suites with two parties): memory, lan or wan; all three if left out.
    #[arg(long, value_enum)]
    link: Option<Link>,
    /// Only this network (suite inference).
    #[arg(long)]
    model: Option<String>,
    /// A figure for every layer too (suite inference); on by itself where --model is given.
    #[arg(long)]
    layers: bool,
    /// How networks round (suite inference): exact, or local, whose ids end in `-local`.
    #[arg(long, default_value = "exact", value_parser = rounding)]
    rounding: RoundingMode,
    /// Also write the lines to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Seconds spent on repeating each figure.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Predict by prices that this run measures first, not by the committed ones (suite inference).
    #[arg(long)]
    calibrate: bool,
    /// Measure the committed prices anew, and print the file that holds them; nothing else.
    #[arg(long)]
    prices: bool,
    /// Measure those of this process's instruction set.
    #[arg(long, hide = true)]
    median_prices: bool,
    /// Be one of the two processes of a memory figure; the job comes on standard input.
    #[arg(long, hide = true, value_enum)]
    party: Option<Party>,
}

fn rounding(name: &str) -> Result<RoundingMode, String> {
    match name {
        "exact" => Ok(RoundingMode::Exact),
        "local" => Ok(RoundingMode::Local),
        _ => Err("exact or local".into()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.party.map_or_else(|| run(arguments), inference::take_part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Outcome {
    if arguments.prices {
        return prices::print();
    }
    if arguments.median_prices {
        return prices::print_medians();
    }
    let suite = arguments.suite.clone();
    let wanted = suite.as_deref();
    if let Some(name) = wanted
        && !SUITES.iter().any(|(suite, _)| *suite == name)
    {
        let names: Vec<&str> = SUITES.iter().map(|(suite, _)| *suite).collect();
        return Err(format!("no suite `{name}`; there are {}", names.join(", ")).into());
    }
    let mut report = Report::new(arguments.json.as_deref())?;
    report.line(&machine::describe())?;
    let known = |name: &String| networks::named(name).is_some();
    if let Some(name) = arguments.model.as_ref().filter(|name| !known(name)) {
        let names = networks::NETWORKS.map(|known| known.name).join(", ");
        return Err(format!("no network `{name}`; there are {names}").into());
    }
    let Arguments { filter, link, model, layers, rounding, seconds, calibrate, .. } = arguments;
    let selection = Selection { filter, link, model, layers, rounding, seconds, calibrate };
    let mut bench = Bench::new(report, selection);
    for (name, suite) in SUITES {
        if wanted.is_none_or(|wanted| wanted == name) {
            suite(&mut bench)?;
        }
    }
    Ok(())
}
