//! `gazelle`: private neural-network inference between two parties.
//!
//! Exit codes: 0 success, 1 failure, 2 wrong usage.

mod accuracy;
mod allocator;
mod arguments;
mod compile;
mod demo;
mod draw;
mod failure;
mod infer;
mod inspect;
mod keys;
mod link;
mod log;
mod manual;
mod material;
mod model_file;
mod models;
mod notices;
mod output;
mod prepare;
mod progress;
mod report;
mod screen;
mod serve;
mod stores;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::arguments::{Arguments, Command, ServeOrders};
use crate::failure::Failure;

fn main() -> ExitCode {
    allocator::one_arena();
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let (quiet, verbose) = (arguments.quiet, arguments.verbose > 0);
    log::start(&arguments);
    let result = match &arguments.command {
        Command::Demo(command) => demo::run(command, quiet, verbose),
        Command::Inspect(command) => inspect::run(command),
        Command::Serve(command) => {
            // optional: whoever serves has said `serve`
            let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
            ServeOrders::new(command, typed).and_then(|orders| serve::run(&orders, quiet))
        }
        Command::Compile(command) => compile::run(command, quiet),
        Command::Infer(command) => infer::run(command, quiet, verbose),
        Command::Prepare(command) => prepare::run(command, quiet),
        Command::Material(command) => material::run(command),
        Command::Models(command) => models::run(command),
        Command::Keys(command) => keys::run(command, quiet),
        Command::Completions(command) => manual::completions(command),
        Command::Man(command) => manual::man(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen::report(&failure);
            failure.exit_code()
        }
    }
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;
