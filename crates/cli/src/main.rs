//! `gazelle`: private neural-network inference between two parties.
//!
//! Exit codes: 0 success, 1 failure, 2 wrong usage or not available yet.

mod arguments;
mod demo;
mod draw;
mod failure;
mod image_input;
mod infer;
mod input;
mod inspect;
mod later;
mod model_file;
mod output;
mod progress;
mod serve;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    let result = match &arguments.command {
        Command::Demo(command) => demo::run(command, arguments.quiet, arguments.verbose > 0),
        Command::Inspect(command) => inspect::run(command),
        Command::Serve(command) => serve::run(command, arguments.quiet),
        Command::Infer(command) => infer::run(command, arguments.quiet),
        Command::Prepare(_) => Err(later::prepare()),
        Command::Keys(_) => Err(later::keys()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gazelle: {failure}");
            failure.exit_code()
        }
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;
