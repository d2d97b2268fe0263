//! `gazelle completions` and `gazelle man`: made from the command line's own definition.

use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::Outcome;
use crate::arguments::{self, Arguments};
use crate::failure::Failure;

/// Prints a shell's completions.
pub(crate) fn completions(wanted: &arguments::Completions) -> Outcome {
    let mut bytes = Vec::new();
    clap_complete::generate(wanted.shell, &mut Arguments::command(), "gazelle", &mut bytes);
    printed(&bytes)
}

/// Prints one page, or writes all.
pub(crate) fn man(wanted: &arguments::Man) -> Outcome {
    let mut program = Arguments::command();
    program.build();
    if let Some(directory) = &wanted.directory {
        return write_all(&program, directory);
    }
    let Some(name) = &wanted.command else { return printed(&page(program)?) };
    let command = program
        .get_subcommands()
        .find(|command| command.get_name() == name)
        .ok_or_else(|| Failure::Usage(format!("there is no command `{name}`; see --help")))?;
    printed(&page(command.clone())?)
}

fn write_all(program: &Command, directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory).map_err(Failure::run(directory.display()))?;
    for command in pages(program) {
        // `gazelle-infer` for `infer`.
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = directory.join(format!("{name}.1"));
        std::fs::write(&path, page(command)?).map_err(Failure::run(path.display()))?;
    }
    Ok(())
}

/// The command and all below it, but for their help.
fn pages(command: &Command) -> Vec<Command> {
    let shown = command.get_subcommands().filter(|command| command.get_name() != "help");
    std::iter::once(command.clone()).chain(shown.flat_map(pages)).collect()
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    Man::new(command).render(&mut bytes)?;
    Ok(bytes)
}

fn printed(bytes: &[u8]) -> Outcome {
    std::io::stdout().write_all(bytes).map_err(Failure::run("standard output"))
}
