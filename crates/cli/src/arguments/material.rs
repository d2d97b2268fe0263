//! `gazelle prepare` and `gazelle material`.

use clap::{Args, Subcommand};

use super::{ClientLink, at_least_one};

#[derive(Debug, Args)]
pub(crate) struct Prepare {
    #[command(flatten)]
    pub(crate) link_layer: ClientLink,
    /// The model, by its name; may be left out if the server has only one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) model: String,
    /// For how many inferences
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) count: usize,
    /// Days after which what is made now is of no use any more
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=30))]
    pub(crate) days: u64,
    /// How long to stand in line if the server is full
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) wait: u64,
    /// Seconds that one phase may wait for the server, a second more per 8 KiB that moves
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Material {
    #[command(flatten)]
    pub(crate) link_layer: ClientLink,
    #[command(subcommand)]
    pub(crate) command: MaterialCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaterialCommand {
    /// What is kept: for which server and model, since and until when, bytes on disk
    List,
    /// Read everything to its end; exit code 1 if something cannot be read
    Verify,
    /// Remove everything, or what cannot be read
    Drop {
        /// Only what cannot be read
        #[arg(long)]
        broken: bool,
    },
}
