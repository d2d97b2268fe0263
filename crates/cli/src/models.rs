//! `gazelle models`: what a server offers to this client.

use std::time::Duration;

use gazelle::wire::tcp::Timeouts;
use gazelle_host::CatalogueEntry;

use crate::Outcome;
use crate::arguments::Models;
use crate::failure::Failure;
use crate::link;
use crate::output;
use crate::screen::{say, visible};

/// Asks, and prints a line for each.
pub(crate) fn run(command: &Models) -> Outcome {
    let time = Duration::from_secs(command.timeout);
    let timeouts = Timeouts { handshake: time, progress: time, ..Timeouts::default() };
    let channel = link::connect(&command.link_layer, timeouts).map_err(|error| error.failure)?;
    let bytes = gazelle::catalogue(channel).map_err(|error| {
        Failure::Run(format!("{error}{}", link::hint(&command.link_layer, &error)))
    })?;
    let entries: Vec<CatalogueEntry> =
        serde_json::from_slice(&bytes).map_err(Failure::run("the server's list of models"))?;
    for entry in &entries {
        if command.json {
            output::json(entry)?;
            continue;
        }
        let [channels, height, width] = entry.input;
        let left = entry.left.map_or(String::new(), |left| format!(", {left} inferences left"));
        say!(
            "{}  {channels}x{height}x{width}, {} classes, reveals {}{left}\n  {}\n",
            visible(&entry.name),
            entry.classes,
            visible(&entry.reveals),
            visible(&entry.digest),
        );
    }
    Ok(())
}
